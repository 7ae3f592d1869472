"""All plans of an alert together: order, ids, their form in the state, hostile texts, and whatever alert comes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keytrail.errors import UsageError
from keytrail.fields import INVESTIGATION
from keytrail.investigate import Knowledge, investigate
from keytrail.policy import KeyPolicy, compare
from keytrail.respond.facts import Current
from keytrail.respond.model import plan_of
from keytrail.respond.operations import operation_of
from keytrail.respond.propose import propose
from keytrail.respond.registry import KINDS
from keytrail.respond.subject import subject_of
from keytrail.respond.uses import recent_uses
from keytrail.settings import Accounts
from keytrail.store import MemoryStore
from tests.investigate import records
from tests.investigate.scenarios import load
from tests.investigate.story import scenes
from tests.respond.attacks import ALERT, CALLER, GOOD, NOW, OPENED, Json, attack, opened, plan, texts

HOSTILE = '</td><script>alert(1)</script>\x1b[2J\x1b]0;owned\x07 =HYPERLINK("http://x/") \u202e`id`$(id)'


def test_the_policy_comes_first_then_what_outlives_it_then_who_did_it_then_the_brake() -> None:
    exfil = f"arn:aws:iam::{records.OUTSIDE}:role/Exfil"
    case = opened(records.grant("10:30", records.session("Mallory", name="m"), exfil, grant_id="g1"))
    proposal = case.proposal(case.subject(live=OPENED))
    assert [one.kind for one in proposal.plans] == [
        "restore",
        "remove",
        "revoke-grants",
        "revoke-sessions",
        "quarantine",
        "disable-key",
    ]
    assert [one.kind for one in proposal.without] == ["recondition"]


def test_a_refuted_plan_never_comes_before_one_that_is_not() -> None:
    takeover = records.policy(records.allow(records.role_arn("Mallory")))
    case = attack(GOOD, before=takeover)
    order = [one.sound for one in case.proposal(case.subject(live=GOOD)).plans]
    assert order == sorted(order, reverse=True)
    assert False in order


def test_the_ids_are_the_same_whenever_the_plans_are_made() -> None:
    case = opened()
    first, second = (case.proposal(case.subject(live=OPENED)) for _ in range(2))
    assert [one.id for one in first.plans] == [one.id for one in second.plans]


def test_a_plan_for_another_version_has_another_id() -> None:
    case = opened()
    other = records.adding(OPENED, records.allow(records.role_arn("New"), "kms:Decrypt"))
    ids = [plan(case.proposal(case.subject(live=live)), "restore").id for live in (OPENED, other)]
    assert len(set(ids)) == 2


def test_an_expected_change_is_said_to_be_one() -> None:
    case = opened()
    expected = replace(case.subject(live=OPENED), verdict="expected")
    assert "found this change expected" in case.proposal(expected).notes[0]


def test_replicas_and_deletion_are_noted() -> None:
    case = opened()
    subject = case.subject(live=OPENED, state="pending")
    mrk = replace(subject, key=replace(subject.key, id="mrk-1234"))
    notes = " ".join(propose(mrk, caller=None, uses=None, now=NOW).notes)
    assert "CancelKeyDeletion" in notes
    assert "replicas" in notes


def test_an_alert_about_anything_else_is_refused() -> None:
    with pytest.raises(UsageError, match="has no investigation of a key policy"):
        subject_of({"kibana.alert.uuid": "x"}, accounts=Accounts())


@pytest.mark.parametrize("broken", [None, 5, "x", [], {}, {"key": {"arn": "x"}}, {"key": 7, "after": []}])
def test_a_document_that_is_no_investigation_is_refused_and_never_fails(broken: object) -> None:
    with pytest.raises(UsageError):
        subject_of({INVESTIGATION: broken}, accounts=Accounts())


def test_a_document_with_members_of_other_types_is_read_as_far_as_it_goes() -> None:
    alert = opened().alert()
    found = dict(alert[INVESTIGATION])
    for name in set(found) - {"key", "after"}:
        found[name] = ["nothing", 7, None]
    subject = subject_of({**alert, INVESTIGATION: found}, accounts=Accounts())
    assert propose(subject, caller=None, uses=None, now=NOW).without


# What is hostile ------------------------------------------------------------------------------------------------------


def test_hostile_texts_reach_no_parameter_but_the_policy_itself() -> None:
    rogue = records.allow(records.root_arn(records.OUTSIDE), "kms:Decrypt", Sid=HOSTILE)
    who = records.session("Mallory", name="m")
    case = attack(records.adding(GOOD, rogue), records.grant("10:30", who, HOSTILE, grant_id=HOSTILE), who=who)
    proposal = case.proposal(case.subject(live=records.adding(GOOD, rogue)))
    for one in proposal.plans:
        for call in one.calls:
            parameters = {name: value for name, value in call.parameters.items() if name != "Policy"}
            assert not any(mark in json.dumps(parameters) for mark in ("script", "\\u001b", "HYPERLINK", "$("))
    assert HOSTILE in plan(proposal, "remove").why


def test_hostile_names_are_no_name_of_an_inline_policy() -> None:
    case = opened()
    subject = replace(case.subject(live=OPENED), alert_id=f"../{HOSTILE}")
    name = str(plan(case.proposal(subject), "quarantine").calls[0].parameters["PolicyName"])
    assert name.replace("-", "").isalnum()
    assert name.startswith("keytrail-quarantine-")


# Whatever alert -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", load.names())
def test_every_scenario_has_plans_that_keep_what_they_promise(name: str) -> None:
    scenario = load.scenario(name)
    alert = {"kibana.alert.uuid": ALERT, INVESTIGATION: load.document(name)}
    _check(alert, scenario.records, scenario.knowledge.accounts)


def test_every_change_of_the_story_has_plans_that_keep_what_they_promise() -> None:
    kinds: set[str] = set()
    for scene in scenes():
        [(_, found)] = investigate([scene.change], scene.store, Knowledge(accounts=scene.accounts))
        alert = {"kibana.alert.uuid": ALERT, INVESTIGATION: found.to_dict()}
        kinds |= _check(alert, scene.store, scene.accounts)
    assert kinds == set(KINDS)


def _check(alert: Json, told: object, accounts: Accounts) -> set[str]:
    """Plans for the policy after the change come back from their JSON, and what they claim about a policy is so."""
    now = datetime(2026, 3, 20, tzinfo=UTC)
    store = told if isinstance(told, MemoryStore) else MemoryStore(told)  # type: ignore[arg-type]
    subject = subject_of(alert, accounts=accounts)
    if subject.after.text is not None:
        current = Current.read(subject.after.text, now, "GetKeyPolicy")
        subject = subject_of(alert, accounts=accounts, current=current)
    uses = recent_uses(
        store, subject.key, now - timedelta(days=90), now, accounts, subject.policies, subject.identities
    )
    proposal = propose(subject, caller=CALLER, uses=uses, now=now)
    assert {one.kind for one in proposal.plans} | {one.kind for one in proposal.without} == set(KINDS)
    for one in proposal.plans:
        assert plan_of(json.loads(json.dumps(one.to_dict()))) == one
        assert one.title
        assert one.why.endswith(".")
        assert all(call.undo and call.account and call.resource for call in one.calls)
        assert all(operation_of(call).name == call.operation for call in one.calls)  # what an apply takes
        assert not any("Bypass" in text for text in texts([dict(call.parameters) for call in one.calls]))
        if one.kind in ("restore", "remove", "recondition"):
            after = KeyPolicy.parse(one.after or "")
            claims = {claim.code: claim.answer for claim in one.claims}
            if subject.good is not None and claims["rogue_gone"] == "proved":
                found = compare(subject.good.policy, after, subject.owner, org=accounts.organisation)
                assert not found.new_access
            assert one.basis.digest == (subject.current.digest if subject.current else "")
    for none in proposal.without:
        assert none.why.endswith(".")
        assert not none.why[0].islower()
    return {one.kind for one in proposal.plans}
