"""The actor: who it is, whether it is known, how it got its session, what else it did; by the story and by hand."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keytrail.investigate.activity import activity_of
from keytrail.investigate.actor import actor_sightings, actor_wants, address_wants, describe_actor
from keytrail.investigate.change import PolicyChange, change_of
from keytrail.investigate.events import Event, events_of
from keytrail.investigate.limits import Limits
from keytrail.investigate.model import Actor
from keytrail.simulation import simulate
from keytrail.store import MemoryStore, Selector, Want
from tests.investigate import records
from tests.investigate.records import DEFAULT, OUTSIDE, OWNER, Json

LIMITS = Limits()
ALICE = records.user()
ADMIN = records.session("Admin", name="eve", access_key="ASIAEXAMPLEADMIN0001", created="11:30")
ADMIN_ROLE = records.role_arn("Admin")
LONG_AGO = "2026-02-01T00:00:00Z"
YESTERDAY = "2026-03-01T11:59:59Z"  # a second more than a day before the change
ATTACKER = {"sourceIPAddress": "203.0.113.66", "userAgent": "evil/1.0"}


def put(who: Json = ALICE, when: str = "12:00", **more: object) -> Json:
    return records.put_policy(when, who, DEFAULT, **more)


def describe(changed: Json, *others: Json, limits: Limits = LIMITS) -> Actor:
    """The actor of a change, from a store that holds it and the others."""
    store = MemoryStore([*others, changed])
    return _describe(records.change(changed), store, limits)


def _describe(change: PolicyChange, store: MemoryStore, limits: Limits = LIMITS) -> Actor:
    about = events_of(store.find(Selector.any_of((change.key.arn, change.key.id))))
    return describe_actor(change, store, activity_of(change.key, about, most_calls=1000), limits)


def told(actor: Actor) -> list[str]:
    return [act.sentence for act in actor.acts.items]


# The story ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], MemoryStore]:
    """The ledger and the events of a simulated archive."""
    out = tmp_path_factory.mktemp("story")
    summary = simulate(out, events=8000, seed=7)
    loaded: list[Json] = []
    for path in sorted(summary.logs.rglob("*_CloudTrail_*.json.gz")):
        loaded += json.loads(gzip.decompress(path.read_bytes()))["Records"]
    return json.loads(Path(summary.ledger).read_bytes()), MemoryStore(loaded)


def actor_of(story: tuple[dict[str, Any], MemoryStore], step: str) -> Actor:
    ledger, store = story
    planted = next(change for change in ledger["changes"] if change["step"] == step)
    (record,) = store.find(Selector.any_of((planted["event_id"],)))
    event = Event.of(record.data)
    assert event is not None
    change = change_of(event)
    assert change is not None
    return _describe(change, store)


def test_the_thief_is_found_behind_the_role(story: tuple[dict[str, Any], MemoryStore]) -> None:
    actor = actor_of(story, "key-opened")
    assert actor.principal.endswith(":role/KeyAdministrator")
    assert (actor.type, actor.session_issuer, actor.mfa) == ("AssumedRole", actor.principal, False)
    assert (actor.access_key_kind, actor.access_key_age_seconds) == ("temporary", 85)
    assert actor.address.value == "203.0.113.66"
    assert actor.address.is_new
    assert actor.agent.is_new
    assert (actor.address.before_on_key, actor.before_on_key) == (False, False)
    (opened,) = actor.chain
    assert opened.who.endswith(":user/svc-reporting")
    assert opened.sentence == "assumed the role KeyAdministrator (session svc-reporting)"


def test_what_the_thief_did_around_the_change_is_what_the_ledger_planted(
    story: tuple[dict[str, Any], MemoryStore],
) -> None:
    ledger, _ = story
    actor = actor_of(story, "key-opened")
    people = ("svc-reporting", "KeyAdministrator", "OrganizationKeyAdmin")
    planted = {
        event["event_id"]
        for event in ledger["events"]
        if "2026-03-06T20:00:00Z" < event["time"] < "2026-03-07T06:00:00Z"
        and event["principal"].rpartition("/")[2] in people
        and event["step"] != "key-opened"
    }
    acts = {act.event_id for act in actor.acts.items}
    assert acts == planted
    assert actor.acts.total == len(acts)
    assert actor.acts_by_others == 0
    sentences = told(actor)
    assert "created the user backup-agent2" in sentences
    assert "attached AdministratorAccess to the user backup-agent2" in sentences
    assert "listed buckets" in sentences
    assert "tried to stop the logging of a trail: AccessDenied" in sentences
    refused = [act for act in actor.acts.items if act.kind == "policy" and act.outcome == "failure"]
    assert [act.who.rpartition("/")[2] for act in refused] == ["svc-reporting"] * 2
    assert [act.time for act in actor.acts.items] == sorted(act.time for act in actor.acts.items)


def test_the_way_into_another_account_is_followed_back_to_the_stolen_key(
    story: tuple[dict[str, Any], MemoryStore],
) -> None:
    callers = [act.who.rpartition(":")[2] for act in actor_of(story, "takeover").chain]
    assert callers == ["assumed-role/KeyAdministrator/svc-reporting", "user/svc-reporting"]


def test_the_pipeline_is_known(story: tuple[dict[str, Any], MemoryStore]) -> None:
    actor = actor_of(story, "new-role")
    assert actor.principal.endswith(":role/terraform-apply")
    assert actor.agent.before_in_account
    assert not actor.address.is_new
    mine = [act.sentence for act in actor.acts.items if act.who == actor.who and act.kind == "identity"]
    assert mine == ["created the role payments-batch", "attached AmazonSQSFullAccess to the role payments-batch"]


def test_a_service_has_no_key_and_no_address(story: tuple[dict[str, Any], MemoryStore]) -> None:
    actor = actor_of(story, "service-change")
    assert (actor.who, actor.principal, actor.type) == ("backup.amazonaws.com",) * 2 + ("AWSService",)
    assert (actor.access_key_kind, actor.access_key_age_seconds, actor.mfa) == ("none", None, None)
    assert (actor.address.before_in_account, actor.address.before_on_key) == (None, None)
    assert (actor.agent.before_in_account, actor.agent.is_new) == (None, False)
    assert (actor.chain, actor.acts.total) == ((), 0)


# What is asked ------------------------------------------------------------------------------------------------------


def test_a_session_is_asked_for_by_its_key_and_its_own_arn_and_by_its_address_if_that_is_new() -> None:
    change = records.change(put(ADMIN, **ATTACKER))
    day = timedelta(hours=24)
    key, around = actor_wants(change, LIMITS)
    assert (key.what.literals, key.since, key.until) == ({"ASIAEXAMPLEADMIN0001"}, None, None)
    assert around.what.literals == {ADMIN["arn"]}  # Not the role's ARN, which all its sessions have.
    assert (around.since, around.until) == (change.event.time - day, change.event.time + day)
    (address,) = address_wants(change, MemoryStore([]), LIMITS)
    assert address == Want(Selector.any_of({"203.0.113.66"}), around.since, around.until)
    earlier = records.record("s3:ListBuckets", "2026-03-01T11:00:00Z", records.user("bob"), **ATTACKER)
    assert address_wants(change, MemoryStore([earlier]), LIMITS) == ()
    assert {(one.path, one.value) for one in actor_sightings(change, LIMITS)} == {
        (("sourceIPAddress",), "203.0.113.66"), (("userAgent",), "evil/1.0"),
    }  # fmt: skip
    assert {(one.account, one.before) for one in actor_sightings(change, LIMITS)} == {(OWNER, around.since)}


def test_nothing_is_asked_about_a_service_nor_by_an_account_alone() -> None:
    assert actor_wants(records.change(put(records.service())), LIMITS) == ()
    assert actor_sightings(records.change(put(records.service())), LIMITS) == ()
    root = records.outsider(principal_id=OUTSIDE)
    assert actor_wants(records.change(put(root)), LIMITS) == ()
    assert address_wants(records.change(put(records.service())), MemoryStore([]), LIMITS) == ()


def test_a_caller_without_arn_goes_by_its_id() -> None:
    outsider = records.outsider()
    actor = describe(put(outsider), records.record("kms:ListKeys", "11:00", outsider, sourceIPAddress="198.51.100.1"))
    assert (actor.who, actor.principal, actor.account) == ("AROAEXAMPLEOUTSIDE:job", records.root_arn(OUTSIDE), OUTSIDE)
    assert (actor.type, actor.access_key_kind, actor.session_issuer) == ("AWSAccount", "none", None)
    assert told(actor) == ["listed keys"]


# What is new --------------------------------------------------------------------------------------------------------


def test_preparations_on_the_same_day_make_nothing_known() -> None:
    look = records.key_call("GetKeyPolicy", "11:55", ALICE, **ATTACKER)
    old = records.record("s3:ListBuckets", LONG_AGO, records.session())
    actor = describe(put(**ATTACKER), look, old)
    assert (actor.address.before_in_account, actor.address.before_on_key) == (False, False)
    assert (actor.agent.before_in_account, actor.agent.before_on_key) == (False, False)
    assert actor.before_on_key is False


def test_what_was_there_a_day_before_is_known() -> None:
    look = records.key_call("GetKeyPolicy", YESTERDAY, ALICE, **ATTACKER)
    actor = describe(put(**ATTACKER), look, records.record("s3:ListBuckets", LONG_AGO, records.session()))
    assert (actor.address.before_in_account, actor.address.before_on_key) == (True, True)
    assert (actor.agent.before_in_account, actor.agent.before_on_key) == (True, True)
    assert actor.before_on_key is True


def test_the_same_address_in_another_account_makes_it_known_in_that_one_only() -> None:
    there = records.record("s3:ListBuckets", LONG_AGO, records.session(), recipientAccountId=OUTSIDE, **ATTACKER)
    actor = describe(put(**ATTACKER), there, records.record("s3:ListBuckets", LONG_AGO, records.session()))
    assert actor.address.before_in_account is False


@pytest.mark.parametrize(("begins", "known"), [("2026-02-28T12:00:01Z", None), ("2026-02-28T12:00:00Z", False)])
def test_an_archive_that_begins_less_than_two_days_before_proves_nothing_new(begins: str, known: bool | None) -> None:
    actor = describe(put(**ATTACKER), records.record("s3:ListBuckets", begins, records.session()))
    assert (actor.address.before_in_account, actor.address.before_on_key) == (known, known)
    assert (actor.agent.before_in_account, actor.before_on_key) == (known, known)
    assert actor.address.is_new is (known is False)
    assert actor.account_seen_since == records.moment(begins)


def test_of_a_key_made_on_the_same_day_nobody_can_be_known() -> None:
    made = records.create_key("09:00", records.session())
    old = records.record("s3:ListBuckets", LONG_AGO, records.session())
    assert describe(put(), made, old).before_on_key is None
    assert describe(records.create_key("09:00", ALICE), old).before_on_key is None


def test_a_key_too_busy_to_keep_all_its_calls_does_not_tell_who_is_new() -> None:
    uses = [records.use(LONG_AGO, records.session(), {"n": str(number)}) for number in range(3)]
    changed = records.change(put())
    store = MemoryStore([*uses, put()])
    for most, known in ((3, False), (2, None)):
        activity = records.activity(*uses, put(), most_calls=most)
        assert describe_actor(changed, store, activity, LIMITS).before_on_key is known


# The access key and how it came about -------------------------------------------------------------------------------


def test_the_age_of_an_access_key_counts_from_its_making_at_any_time() -> None:
    made = records.iam(
        "CreateAccessKey", LONG_AGO, records.user("root", access_key="AKIAEXAMPLEROOT00001"), {"userName": "alice"},
        responseElements={"accessKey": {"accessKeyId": ALICE["accessKeyId"], "userName": "alice"}},
    )  # fmt: skip
    actor = describe(put(), made)
    assert actor.access_key_kind == "long-term"
    assert actor.access_key_age_seconds == (29 * 24 + 12) * 3600
    assert [act.sentence for act in actor.chain] == ["created an access key for the user alice"]


@pytest.mark.parametrize("mfa", [True, False])
def test_mfa_is_what_the_session_says(mfa: bool) -> None:
    assert describe(put(records.session("Admin", mfa=mfa))).mfa is mfa


def test_mfa_is_unknown_where_the_record_is_silent() -> None:
    assert describe(put(ALICE)).mfa is None


def test_the_chain_goes_back_step_by_step_and_ends_at_five() -> None:
    steps, caller = [], ALICE
    for number in range(8):
        key = f"ASIAEXAMPLESTEP{number:05d}"
        role = records.role_arn(f"Step{number}")
        steps.append(records.assume_role(f"10:{number:02d}", caller, role, name="eve", access_key=key))
        caller = records.session(f"Step{number}", name="eve", access_key=key, created=f"10:{number:02d}")
    chain = describe(put(caller), *steps).chain
    assert [act.event_id for act in chain] == [step["eventID"] for step in reversed(steps[3:])]


def test_a_refused_or_later_opening_opens_nothing() -> None:
    key = str(ADMIN["accessKeyId"])
    refused = records.refused(records.assume_role("11:30", ALICE, ADMIN_ROLE, name="eve", access_key=key))
    later = records.assume_role("12:01", ALICE, ADMIN_ROLE, name="eve", access_key=key)
    assert describe(put(ADMIN), refused, later).chain == ()


def test_of_the_two_copies_of_an_opening_the_callers_counts() -> None:
    """The account of the role does not see the caller's name, so that the chain would end there."""
    key, shared = str(ADMIN["accessKeyId"]), "5f1c7a52"
    partner = records.user("eve", OUTSIDE, access_key="AKIAEXAMPLEEVE000001")
    copies = [
        records.assume_role("11:30", who, ADMIN_ROLE, name="eve", access_key=key, sharedEventID=shared,
                            recipientAccountId=account)
        for who, account in ((records.outsider(), OWNER), (partner, OUTSIDE))
    ]  # fmt: skip
    for order in (copies, copies[::-1]):
        (opened,) = describe(put(ADMIN), *order).chain
        assert opened.who == partner["arn"]


def test_a_console_session_is_opened_by_the_sign_in_beside_it() -> None:
    console = ALICE | {"accessKeyId": "ASIAEXAMPLECONSOLE01", "sessionContext": {
        "attributes": {"creationDate": records.time("11:30"), "mfaAuthenticated": "true"}}}  # fmt: skip
    by = {name: value for name, value in ALICE.items() if name != "accessKeyId"}
    earlier, beside = (
        records.record("signin:ConsoleLogin", when, by, additionalEventData={"MFAUsed": "Yes"})
        for when in ("09:00", "11:29:58")
    )
    other = records.record("signin:ConsoleLogin", "11:29:59", records.user("bob"))
    (opened,) = describe(put(console), earlier, beside, other).chain
    assert (opened.event_id, opened.sentence) == (beside["eventID"], "signed in to the console with MFA")


# Its other acts -----------------------------------------------------------------------------------------------------


def test_acts_are_those_of_the_key_the_session_and_the_address_within_a_day() -> None:
    renewed = ADMIN | {"accessKeyId": "ASIAEXAMPLEADMIN0002"}
    elsewhere = {"sourceIPAddress": "198.51.100.7"}
    acts = [
        records.iam("CreateUser", "2026-03-01T12:00:00Z", ADMIN, {"userName": "first"}, **elsewhere),
        records.iam("CreateUser", "11:00", renewed, {"userName": "same session"}, **elsewhere),
        records.iam("CreateUser", "13:00", records.user("bob"), {"userName": "same address"}, **ATTACKER),
        records.iam("CreateUser", "2026-03-03T11:59:59Z", ADMIN, {"userName": "last"}, **elsewhere),
    ]
    others = [
        records.iam("CreateUser", "2026-03-01T11:59:59Z", ADMIN, {"userName": "too early"}, **elsewhere),
        records.iam("CreateUser", "2026-03-03T12:00:00Z", ADMIN, {"userName": "too late"}, **ATTACKER),
        records.iam("CreateUser", "11:00", records.user("bob"), {"userName": "somebody else"}, **elsewhere),
        records.iam(
            "UpdateAccessKey", "13:00", records.user("bob"), {"accessKeyId": ADMIN["accessKeyId"]}, **elsewhere
        ),
    ]
    actor = describe(put(ADMIN, **ATTACKER), *others, *acts)
    assert [act.event_id for act in actor.acts.items] == [act["eventID"] for act in acts]
    assert (actor.acts.total, actor.acts_by_kind) == (4, {"identity": 4})
    # The third is by another identity that nothing links to the actor's, and `who` says so.
    assert actor.acts_by_others == 1
    assert actor.acts.items[2].who == records.user("bob")["arn"]
    # Of an address that the account knew before, what others did says nothing.
    known = records.record("s3:ListBuckets", "2026-03-01T09:00:00Z", records.user("carol"), **ATTACKER)
    actor = describe(put(ADMIN, **ATTACKER), known, *others, *acts)
    assert [act.event_id for act in actor.acts.items] == [act["eventID"] for act in (acts[0], acts[1], acts[3])]


def test_who_opened_the_session_and_whom_the_actor_made_are_no_others() -> None:
    key = str(ADMIN["accessKeyId"])
    made = records.user("backup", access_key="AKIAEXAMPLEBACKUP001")
    acts = [
        records.record("s3:ListBuckets", "11:00", ALICE, **ATTACKER),
        records.assume_role("11:30", ALICE, ADMIN_ROLE, name="eve", access_key=key, **ATTACKER),
        records.iam(
            "CreateAccessKey",
            "12:10",
            ADMIN,
            {"userName": "backup"},
            **ATTACKER,
            responseElements={"accessKey": {"accessKeyId": "AKIAEXAMPLEBACKUP001"}},
        ),
        records.record("s3:ListBuckets", "12:20", made, **ATTACKER),
    ]
    actor = describe(put(ADMIN, **ATTACKER), *acts)
    assert (actor.acts.total, actor.acts_by_others) == (4, 0)


def test_a_thousand_uses_do_not_crowd_out_what_changed_something() -> None:
    uses = [
        records.use(f"11:{number // 60:02d}:{number % 60:02d}", ALICE, {"aws:ebs:id": f"vol-{number}"})
        for number in range(1000)
    ]
    users = [records.iam("CreateUser", f"13:{number:02d}", ALICE, {"userName": f"u{number}"}) for number in range(8)]
    look = records.record("s3:ListBuckets", "13:30", ALICE)
    actor = describe(put(), *uses, *users, look, limits=Limits(max_acts=10))
    assert told(actor)[1:] == [*(f"created the user u{number}" for number in range(8)), "listed buckets"]
    assert told(actor)[0].startswith("decrypted")
    assert (actor.acts.total, actor.acts.truncated) == (1009, True)
    assert actor.acts_by_kind == {"identity": 8, "look": 1, "use": 1000}


def test_the_order_of_arrival_changes_nothing_and_a_second_delivery_neither() -> None:
    acts = [records.iam("CreateUser", "12:10", ADMIN, {"userName": f"u{number}"}) for number in range(9)]
    acts.append(records.assume_role("11:30", ALICE, ADMIN_ROLE, name="eve", access_key=str(ADMIN["accessKeyId"])))
    assert describe(put(ADMIN), *acts) == describe(put(ADMIN), *reversed(acts), *acts)


def test_hostile_strings_stay_as_they_are() -> None:
    hostile = "<script>alert(1)</script>\x1b[2J =cmd|'/C calc'!A0"
    who = records.session("Admin", name=hostile, access_key=hostile)
    actor = describe(put(who, userAgent=hostile, sourceIPAddress=hostile))
    assert actor.who.endswith(hostile)
    assert (actor.agent.value, actor.address.value, actor.access_key) == (hostile, hostile, hostile)
    assert (actor.access_key_kind, actor.address.before_in_account) == ("unknown", None)


def test_what_others_did_to_the_key_is_no_act_of_the_actors() -> None:
    assert describe(put(), records.use("11:00", records.session(), sourceIPAddress="198.51.100.9")).acts.total == 0
