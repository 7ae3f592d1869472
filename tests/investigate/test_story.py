"""The story of the simulated archive is told right: each fact of an investigation is what the ledger says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

import pytest

from keytrail.policy.catalogue import catalogue, expand
from tests.investigate.archive import Archive, Json, Told

AROUND = timedelta(hours=24)
ANYONE = "*"

VERDICTS = {
    "set-up": "expected",
    "new-role": "expected",
    "reordering": "no_effect",
    "service-change": "expected",
    "approved-onboarding": "expected",
    "org-boundary-lost": "review",
    "expired-approval": "review",
    "history-missing": "review",
    "parameters-omitted": "review",
    "after-omission": "review",
    "key-opened": "malicious",
    "alias-moved": "malicious",
    "takeover": "malicious",
    "reverted": "malicious",
    "replica-diverges": "malicious",
    "locked-out": "malicious",
    "restored": "review",
}
"""What is to be thought of each step of the story that changes a policy."""


@pytest.fixture(scope="module")
def changes(archive: Archive) -> list[Json]:
    """The changes that were planted, as the ledger tells them."""
    found: list[Json] = archive.ledger["changes"]
    return found


@pytest.fixture(scope="module")
def planted(archive: Archive) -> Mapping[str, Json]:
    """Every planted event, by its id."""
    return {one["event_id"]: one for one in archive.ledger["events"]}


# The verdict ----------------------------------------------------------------------------------------------------------


def test_every_change_is_investigated_and_gets_its_verdict(told: Told, changes: list[Json]) -> None:
    found = [(one["step"], one["event_name"], told[one["event_id"]]["verdict"]) for one in changes]

    assert found == [(one["step"], one["event_name"], VERDICTS[one["step"]]) for one in changes]


def test_scores_go_with_verdicts_and_both_are_explained(told: Told) -> None:
    assert all(found["score"] >= 70 for found in told.values() if found["verdict"] == "malicious")
    assert all(found["score"] <= 29 for found in told.values() if found["verdict"] in ("expected", "no_effect"))
    assert all(found["summary"] and found["reasons"] for found in told.values())


# The key and its policy -----------------------------------------------------------------------------------------------


def test_the_key_is_named_as_planted(told: Told, changes: list[Json], archive: Archive, planted: Told) -> None:
    aliases = {one["arn"]: one["alias"] for one in archive.ledger["keys"].values()}
    named = {one["key"]: one["time"] for one in planted.values() if one["event_name"] == "CreateAlias"}
    for change in changes:
        key = told[change["event_id"]]["key"]
        arn = change["key"]

        assert key["arn"] == arn, change["step"]
        assert (key["account"], key["region"]) == tuple(arn.split(":")[i] for i in (4, 3))
        if arn in named:
            current = {one["name"]: one["current"] for one in key["aliases"]}
            # The alias of the payments key names the attacker's key from that step on, until after the restoration.
            moved = change["step"] == "restored"
            assert current[aliases[arn]] is (named[arn] <= change["time"] and not moved), change["step"]


def test_both_policies_and_where_they_come_from_are_as_planted(told: Told, changes: list[Json]) -> None:
    for change in changes:
        found, step = told[change["event_id"]], change["step"]
        after = change["after"]

        assert found["after"]["status"] == after["status"], step
        assert _same(found["after"]["document"], after["policy"]), step
        assert found["after"]["source"]["event_id"] == after["event_id"], step
        if step == "after-omission":
            continue
        before = change["before"]
        source = found["before"]["source"]
        assert found["before"]["status"] == before["status"], step
        assert _same(found["before"]["document"], before["policy"]), step
        assert (source and source["event_id"]) == before["event_id"], step


def test_after_an_omitted_change_the_last_known_policy_stands_in_for_it(told: Told, changes: list[Json]) -> None:
    """The ledger says "unknown": nobody knows the policy that was omitted.

    An investigation says more and means the same. There is an earlier version that is known, so it is the best to
    compare with; "gap" says that it is not what the key had right before, and why. "unknown" is for keys of which no
    version at all is known.
    """
    steps = {one["step"]: one for one in changes}
    omitted, after = steps["parameters-omitted"], steps["after-omission"]
    assert (after["before"]["status"], after["before"]["event_id"]) == ("unknown", omitted["event_id"])

    before = told[after["event_id"]]["before"]

    assert before["status"] == "gap"
    assert before["source"]["event_id"] == steps["history-missing"]["event_id"]
    assert _same(before["document"], steps["history-missing"]["after"]["policy"])
    assert omitted["event_id"] in before["reason"]


def test_the_event_of_a_replica_in_its_own_region_tells_the_same(told: Told, changes: list[Json]) -> None:
    copies = {one["key"]: told[one["event_id"]] for one in changes if one["event_name"] == "ReplicateKey"}
    traces = [found for id_, found in told.items() if id_ not in {one["event_id"] for one in changes}]

    assert len(traces) == len(copies) == 2
    for trace in traces:
        copied = copies[trace["key"]["arn"]]
        assert all(trace[name] == copied[name] for name in ("before", "after", "history", "in_force_until"))
        assert trace["comparison"]["gains"] == copied["comparison"]["gains"]
        assert trace["comparison"]["external_accounts"] == copied["comparison"]["external_accounts"]


def test_a_bypassed_lock_out_check_is_found_where_it_was_planted(told: Told, changes: list[Json]) -> None:
    bypassed = {one["event_id"] for one in changes if one["bypassed_lockout_check"]}

    assert bypassed
    assert {id_ for id_, found in told.items() if "KMS-P19" in _ids(found)} == bypassed


# Who gained and lost --------------------------------------------------------------------------------------------------


def test_who_gained_what_is_as_planted(told: Told, changes: list[Json]) -> None:
    for change in changes:
        found, step = told[change["event_id"]], change["step"]
        if found["comparison"] is None or change["before"]["status"] == "unknown":
            continue
        owner = change["key"].split(":")[4]
        gained = _by_principal(found["comparison"]["gains"])
        if found["compared_with"] == "nothing":
            gained = {name: got for name, got in gained.items() if _account(name) != owner}
        wanted = {one["principal"]: one for one in change["gained"]}
        assert gained.keys() == wanted.keys(), step
        for name, gain in wanted.items():
            assert gained[name]["actions"] == _effective(gain["actions"], name, owner), (step, name)
            assert gained[name]["conditions"] or not gain["limit"], (step, name)


def test_who_lost_access_is_as_planted(told: Told, changes: list[Json]) -> None:
    for change in changes:
        comparison = told[change["event_id"]]["comparison"]
        if comparison is not None and change["before"]["status"] != "unknown":
            assert _by_principal(comparison["losses"]).keys() == set(change["lost"]), change["step"]


def test_without_the_policy_before_no_gain_is_proved(told: Told, changes: list[Json]) -> None:
    unknown = [one for one in changes if "unknown" in (one["before"]["status"], one["after"]["status"])]

    assert {one["step"] for one in unknown} == {"history-missing", "parameters-omitted", "after-omission"}
    for change in unknown:
        found = told[change["event_id"]]
        assert found["comparison"] is None or "KMS-P26" in _ids(found)
        assert "KMS-P00" not in _ids(found)


def test_outside_accounts_that_gained_and_their_approvals_are_as_planted(
    told: Told, changes: list[Json], archive: Archive
) -> None:
    approvals = {one["account"]: one for one in archive.ledger["organisation"]["approved_accounts"]}
    seen = set()
    for change in changes:
        gained = {one["account"]: one for one in told[change["event_id"]]["accounts"] if one["gained"]}
        outside = {
            account: one
            for account, one in gained.items()
            if one["relation"] not in ("owner", "organisation") and account != ANYONE
        }
        assert outside.keys() == set(change["outside_accounts"]), change["step"]
        for account, one in outside.items():
            approval = approvals.get(account)
            if approval is None:
                assert (one["relation"], one["reason"], one["expires"]) == ("outside", "", None)
            else:
                holds = change["time"] < approval["expires"]
                assert one["relation"] == ("approved" if holds else "expired")
                assert (one["reason"], one["expires"]) == (approval["reason"], approval["expires"])
            seen.add(one["relation"])
        if any(one["principal"] == ANYONE and "without any" in one["limit"] for one in change["gained"]):
            assert gained[ANYONE]["relation"] == "anyone"
            seen.add("anyone")

    assert seen == {"outside", "approved", "expired", "anyone"}


# What is at stake -----------------------------------------------------------------------------------------------------


def test_the_data_at_stake_is_as_planted(told: Told, changes: list[Json]) -> None:
    assert sum(len(one["data_at_stake"]) for one in changes) > 40
    for change in changes:
        found = {
            _key(row["context"]): (row["service"], row["count"], row["first"], row["last"], row["principals"]["items"])
            for row in told[change["event_id"]]["data_at_stake"]["items"]
            if row["context"]
        }
        wanted = {
            _key(row["context"]): (row["service"], row["count"], row["first"], row["last"], row["principals"])
            for row in change["data_at_stake"]
        }
        assert found == wanted, change["step"]


# Before and since -----------------------------------------------------------------------------------------------------


def test_refused_attempts_and_reverts_are_as_planted(told: Told, changes: list[Json]) -> None:
    for change in changes:
        found = told[change["event_id"]]
        assert found["refused_before"] == change["refused_before"], change["step"]
        assert found["reverted_by"] == change["reverted_by"], change["step"]
        assert ("KMS-P29" in _ids(found)) is bool(change["refused_before"])
        assert ("KMS-P32" in _ids(found)) is (change["reverted_by"] is not None)


def test_uses_by_outsiders_since_are_as_planted(told: Told, changes: list[Json], planted: Told) -> None:
    assert sum(len(one["used_since"]) for one in changes) > 20
    for change in changes:
        found = told[change["event_id"]]
        used = [
            id_
            for id_ in found["related_activity"]["used_event_ids"]
            if planted[id_]["event_name"] != "CreateGrant"
            and _account(planted[id_]["principal"]) in change["outside_accounts"]
        ]
        assert used == change["used_since"], change["step"]
        assert not change["used_since"] or "KMS-P31" in _ids(found)


def test_grants_that_survive_are_as_planted(told: Told, changes: list[Json]) -> None:
    assert any(one["surviving_grants"] for one in changes)
    for change in changes:
        found = told[change["event_id"]]
        grants = [one["event_id"] for one in found["related_activity"]["surviving_grants"]]
        assert grants == change["surviving_grants"], change["step"]
        assert ("KMS-P30" in _ids(found)) is bool(grants)


# The actor ------------------------------------------------------------------------------------------------------------


def test_the_actor_is_who_was_planted(told: Told, changes: list[Json], planted: Told) -> None:
    for change in changes:
        actor, event = told[change["event_id"]]["actor"], planted[change["event_id"]]
        found = (actor["principal"], actor["address"]["value"], actor["agent"]["value"], actor["access_key"])

        assert found == (event["principal"], event["address"], event["agent"], event["access_key"] or "")
        assert change["principal"] == event["principal"]


def test_what_else_was_done_with_the_same_access_key_is_told(told: Told, changes: list[Json], planted: Told) -> None:
    for change in changes:
        event, acts = planted[change["event_id"]], told[change["event_id"]]["actor"]["acts"]
        wanted = {
            id_
            for id_, one in planted.items()
            if event["access_key"] is not None
            and one["access_key"] == event["access_key"]
            and abs(_time(one) - _time(event)) <= AROUND
            and one is not event
        }
        found = {one["event_id"] for one in acts["items"]}
        assert acts["total"] == len(acts["items"]), change["step"]
        assert wanted <= found, (change["step"], [planted[id_]["what"] for id_ in wanted - found])


def test_the_chain_leads_from_the_opened_key_back_to_the_stolen_access_key(told: Told, changes: list[Json]) -> None:
    [opened] = [one for one in changes if one["step"] == "key-opened"]

    actor = told[opened["event_id"]]["actor"]

    assert [one["event_name"] for one in actor["chain"]] == ["AssumeRole"]
    assert actor["chain"][0]["who"].endswith(":user/svc-reporting")
    assert actor["address"]["before_in_account"] is False
    assert actor["before_on_key"] is False


def test_every_event_that_is_cited_is_in_the_archive_and_every_line_of_the_time_line_has_its_time(
    told: Told, archive: Archive
) -> None:
    times = {str(one["eventID"]): one["eventTime"] for one in archive.records()}
    for found in told.values():
        lines = found["timeline"]["items"]

        assert set(_cited(found)) <= times.keys()
        assert [one["time"] for one in lines] == [times[one["event_id"]] for one in lines]
        assert [one["time"] for one in lines] == sorted(one["time"] for one in lines)
        assert sum(one["event_id"] == found["event_id"] for one in lines) == 1


# Helpers --------------------------------------------------------------------------------------------------------------


def _same(one: Json | None, other: Json | None) -> bool:
    """Whether two documents have the same members, in whatever order and with whatever blanks."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


CITING = ("event_id", "event_ids", "example", "ended_by", "reverted_by", "refused_before", "used_event_ids")
"""The members that hold ids of events, alone or in a list, which may be cut."""


def _cited(value: object) -> Iterator[str]:
    """The ids of events anywhere in a document."""
    if isinstance(value, dict):
        for name, inner in value.items():
            held = inner["items"] if name in CITING and isinstance(inner, dict) else inner
            if name in CITING and held is not None:
                yield from held if isinstance(held, list) else [held]
            else:
                yield from _cited(inner)
    elif isinstance(value, list):
        for item in value:
            yield from _cited(item)


def _ids(found: Json) -> set[str]:
    return {one["id"] for one in found["findings"]}


def _key(context: Mapping[str, str]) -> str:
    return json.dumps(context, sort_keys=True)


def _time(event: Json) -> datetime:
    return datetime.fromisoformat(event["time"])


def _account(principal: str) -> str:
    parts = principal.split(":")
    return parts[4] if len(parts) > 5 else ""


def _by_principal(changes: Iterable[Json]) -> dict[str, Json]:
    """Gains or losses, by principals as the ledger names them: an account for its identities, `*` for everyone."""
    found: dict[str, Json] = {}
    for change in changes:
        names = {_named(name) for name in change["principals"]}
        for name in {ANYONE} if ANYONE in names else names:
            # What an identity has by the policy alone; what IAM could give it anyway is its account's.
            if change["needs_iam"] and ":role/" in name:
                continue
            one = found.setdefault(name, {"actions": set(), "conditions": []})
            one["actions"].update(change["actions"])
            one["conditions"] += change["conditions"]
    return found


def _named(principal: str) -> str:
    account = principal.removeprefix("any other identity of account ")
    if account != principal:
        return f"arn:aws:iam::{account}:root"
    if principal.startswith("any "):  # identity of an account that is named nowhere, other AWS service
        return ANYONE
    return principal.removeprefix("service:")


def _effective(actions: Iterable[str], principal: str, owner: str) -> set[str]:
    """The actions that patterns cover, of which another account can use only some (spec/key-policy.md 1.5)."""
    covered = {name for pattern in actions for name in expand(pattern)}
    if principal == ANYONE or _account(principal) not in ("", owner):
        known = catalogue()
        return {name for name in covered if (found := known.action(name)) is not None and found.cross_account}
    return covered
