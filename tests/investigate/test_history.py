"""The policies a key had: which events give one, in which order, and when the answer is that nobody knows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

import pytest

from keytrail import query
from keytrail.cloudtrail import CATALOGUE, Document
from keytrail.errors import PolicyError
from keytrail.investigate.change import KeyName
from keytrail.investigate.history import KeyHistory, Snapshot, history_of
from keytrail.investigate.model import PolicyVersion
from keytrail.investigate.queries import LOGGING_QUERY
from keytrail.investigate.unseen import logging_gaps, unseen_of
from keytrail.policy import KeyPolicy
from keytrail.store import Coverage, Damage, Interval
from tests.investigate.records import (
    DEFAULT,
    KEY,
    OUTSIDE,
    OWNER,
    REGION,
    Json,
    allow,
    change,
    create_key,
    event,
    moment,
    policy,
    put_omitted,
    put_policy,
    record,
    refused,
    replicate_key,
    role_arn,
    root_arn,
    service,
    user,
)

NAME = KeyName("aws", REGION, OWNER, KEY.rpartition("/")[2])
CLOSED, OPEN = policy(allow(root_arn(OWNER))), policy(allow("*", "kms:Decrypt"))
PRIMARY = f"arn:aws:kms:eu-west-1:{OWNER}:key/mrk-1234abcd12ab34cd56ef1234567890ab"
REPLICA = PRIMARY.replace("eu-west-1", "us-east-1")


def put(when: str, document: Json | str = OPEN, **more: Any) -> Json:
    return put_policy(when, user(), document, **more)


def history(*records: Json, snapshots: tuple[Snapshot, ...] = (), key: str = KEY) -> KeyHistory:
    name = KeyName.parse(key)
    assert name is not None
    return history_of(name, [event(one) for one in records], snapshots)


def snapshot(when: str | None, document: Json, *, key: str = KEY, place: str = "export.json") -> Snapshot:
    return Snapshot(key, None if when is None else moment(when), json.dumps(document), place)


def documents(told: KeyHistory) -> list[Json | None]:
    return [version.document for version in told.versions]


# -- which events give a key which policy ---------------------------------------------------------------------------


def test_each_version_has_its_document_author_event_and_digest() -> None:
    first, second = create_key("08:00", user(), CLOSED), put("09:00", OPEN)
    told = history(second, first)
    assert documents(told) == [CLOSED, OPEN]
    source = told.versions[1].source
    assert source is not None
    assert (source.kind, source.time, source.event_name) == ("event", moment("09:00"), "PutKeyPolicy")
    assert (source.event_id, source.author) == (second["eventID"], f"arn:aws:iam::{OWNER}:user/alice")
    spaced = put("10:00", json.dumps(dict(reversed(OPEN.items())), indent=7))
    assert history(spaced).versions[0].digest == told.versions[1].digest != told.versions[0].digest
    assert [entry.digest for entry in told.entries(9, change(second))] == [one.digest for one in told.versions]


def test_a_key_created_without_a_policy_has_the_default_one_of_aws() -> None:
    changed = put("09:00")
    before = history(create_key("08:00", user()), changed).before(change(changed))
    assert (before.status, before.policy) == ("default", KeyPolicy.default(OWNER))
    assert KeyPolicy.parse(before.document or {}) == KeyPolicy.default(OWNER)


def test_what_was_refused_or_is_about_another_policy_makes_no_version() -> None:
    tried = refused(put("09:00"))
    other = put("09:30", requestParameters={"keyId": KEY, "policyName": "AWS_RAM", "policy": json.dumps(OPEN)})
    told = history(put("08:00", CLOSED), tried, refused(other), other, put("10:00", key=REPLICA))
    assert documents(told) == [CLOSED]
    assert [one.event.id for one in told.refused] == [tried["eventID"]]


def test_an_operation_that_two_accounts_saw_is_one_whichever_event_is_asked_about() -> None:
    own, theirs = (put("09:00", sharedEventID="s-1", recipientAccountId=one) for one in (OWNER, OUTSIDE))
    for records in ((own, theirs), (theirs, own)):
        told = history(put("08:00", CLOSED), *records)
        assert documents(told) == [CLOSED, OPEN]
        for one in (own, theirs):
            assert told.before(change(one)).document == CLOSED
            assert told.told(change(one)).event.id == own["eventID"]


def test_a_replica_begins_with_the_policy_of_its_replication_told_in_two_regions() -> None:
    replicated = replicate_key("09:00", user(), OPEN, primary=PRIMARY, replica=REPLICA)
    made = create_key("09:00:02", user() | {"invokedBy": "kms.amazonaws.com"}, key=REPLICA)
    told = history(create_key("08:00", user(), CLOSED, key=PRIMARY), replicated, made, key=REPLICA)
    assert documents(told) == [OPEN]
    for one in (replicated, made):
        assert told.before(change(one)) == PolicyVersion("none")
        assert told.after(change(one)).document == OPEN
        assert told.next(change(one)) is None
        assert told.told(change(one)).event.name == "ReplicateKey"


def test_a_replica_made_without_a_policy_has_the_default_one_and_not_that_of_its_primary() -> None:
    replicated = replicate_key("09:00", user(), OPEN, primary=PRIMARY, replica=REPLICA)
    replicated["requestParameters"] = {"keyId": PRIMARY, "replicaRegion": "us-east-1"}
    answered = replicated["responseElements"]
    assert isinstance(answered, dict)
    del answered["replicaPolicy"]
    assert history(replicated, key=REPLICA).versions[0].status == "default"


def test_of_a_replica_whose_replication_is_not_there_only_what_its_region_tells_is_known() -> None:
    by_kms = user() | {"invokedBy": "kms.amazonaws.com"}
    [version] = history(create_key("09:00", by_kms, key=REPLICA), key=REPLICA).versions
    assert (version.status, version.policy) == ("unknown", None)
    assert "ReplicateKey" in version.reason
    assert documents(history(create_key("09:00", by_kms, OPEN, key=REPLICA), key=REPLICA)) == [OPEN]


def test_in_one_second_a_creation_comes_first_and_the_order_of_replacements_is_not_known() -> None:
    born, changed = create_key("09:00", user(), CLOSED), put("09:00", OPEN)
    told = history(changed, born)
    assert documents(told) == [CLOSED, OPEN]
    assert told.notes(change(changed)) == told.notes(change(born)) == ()
    one, other = put("09:00", eventID="a"), put("09:00", CLOSED, eventID="b")
    told = history(other, one)
    assert documents(told) == [OPEN, CLOSED]
    for each in (one, other):
        assert "which came last is not known" in told.notes(change(each))[0]


# -- what is not known ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        (put_omitted("08:30", user()), "omits parameters that are too large"),
        (put("08:30", requestParameters=None), "omits parameters"),
        (put("08:30", "{not json"), "cannot be read: not JSON"),
        (put("08:30", '{"Statement": {"Effect": "Maybe"}}'), "cannot be read"),
    ],
    ids=["omitted", "null", "not-json", "no-policy"],
)
def test_a_policy_that_is_not_in_its_event_leaves_a_gap_after_the_last_one_that_is(lost: Json, says: str) -> None:
    first, changed = put("08:00", CLOSED), put("09:00")
    before = history(first, lost, changed).before(change(changed))
    assert (before.status, before.document) == ("gap", CLOSED)
    assert says in before.reason
    assert str(lost["eventID"]) in before.reason
    alone = history(lost, changed).before(change(changed))
    assert (alone.status, alone.policy) == ("unknown", None)
    assert says in alone.reason
    assert history(first, lost).after(change(lost)).status == "unknown"


def test_nothing_earlier_is_unknown_and_a_new_key_had_none() -> None:
    changed, born = put("09:00"), create_key("08:00", user(), OPEN)
    before = history(changed).before(change(changed))
    assert (before.status, before.policy) == ("unknown", None)
    assert before.reason
    assert history(born).before(change(born)) == PolicyVersion("none")


# -- snapshots ------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_what_the_key_had_where_no_event_tells() -> None:
    changed = put("09:00")
    told = history(changed, snapshots=(snapshot("08:00", CLOSED), snapshot("08:00", OPEN, key=REPLICA)))
    before = told.before(change(changed))
    assert (before.status, before.document) == ("known", CLOSED)
    assert before.source is not None
    assert (before.source.kind, before.source.place) == ("snapshot", "export.json")
    by_id = history(changed, snapshots=(snapshot("08:00", CLOSED, key=NAME.id),))
    assert by_id.before(change(changed)).document == CLOSED


def test_a_snapshot_without_a_time_proves_nothing_about_the_moment_before_the_change() -> None:
    # It may have been taken after the change, and would then hide it.
    changed = put("09:00")
    before = history(changed, snapshots=(snapshot(None, OPEN),)).before(change(changed))
    assert (before.status, before.document) == ("gap", OPEN)
    assert before.reason == "export.json has no time: it is taken for older than every event"
    for known in (
        history(put("08:00", CLOSED), changed, snapshots=(snapshot(None, OPEN),)),
        history(changed, snapshots=(snapshot(None, CLOSED), snapshot("08:00", CLOSED))),
    ):
        assert (known.before(change(changed)).status, known.notes(change(changed))) == ("known", ())


def test_a_snapshot_that_shows_what_is_known_is_no_version_and_one_that_does_not_is() -> None:
    first, changed = put("08:00", CLOSED), put("09:00")
    same = history(first, changed, snapshots=(snapshot("08:30", CLOSED), snapshot("09:30", OPEN)))
    assert documents(same) == [CLOSED, OPEN]
    assert same.notes(change(changed)) == ()
    other = policy(allow(role_arn("App")))
    told = history(first, changed, snapshots=(snapshot("08:30", other),))
    before = told.before(change(changed))
    assert (before.status, before.document) == ("known", other)
    assert told.notes(change(changed)) == (
        "export.json shows a policy that no event gave the key: a change before it was not logged",
    )


def test_a_snapshot_of_the_same_second_shows_the_change_and_not_what_was_before() -> None:
    changed = put("09:00")
    told = history(put("08:00", CLOSED), changed, snapshots=(snapshot("09:00", OPEN),))
    assert told.before(change(changed)).document == CLOSED


def test_a_snapshot_that_is_no_policy_is_an_error_that_names_it() -> None:
    with pytest.raises(PolicyError, match=r"export\.json"):
        history(put("09:00"), snapshots=(Snapshot(KEY, None, "{", "export.json"),))


# -- times without events -------------------------------------------------------------------------------------------


def trail(call: str, when: str, request: Json | None = None, *, account: str = OWNER, **more: object) -> Json:
    named = "trailName" if call == "PutEventSelectors" else "name"
    usual: Json = {"recipientAccountId": account}
    return record(
        f"cloudtrail:{call}", when, user(account=account), {named: "main", **(request or {})}, **(usual | more)
    )


def selectors(*basic: Json, advanced: tuple[Json, ...] = ()) -> Json:
    return {"advancedEventSelectors": list(advanced)} if advanced else {"eventSelectors": list(basic)}


def advanced(*fields: Json) -> Json:
    return {"name": "x", "fieldSelectors": [{"field": "eventCategory", "equals": ["Management"]}, *fields]}


WITHOUT_KMS = selectors({"readWriteType": "All", "excludeManagementEventSources": ["kms.amazonaws.com"]})
EVERYTHING = selectors({"readWriteType": "All", "includeManagementEvents": True, "excludeManagementEventSources": []})


def status(*logging: Json, changed: Json | None = None, more: tuple[Json, ...] = (), **known: Any) -> str:
    """How well the policy before is known, with these events about logging between the two changes of the policy."""
    last = changed or put("12:00")
    told = history(put("08:00", CLOSED), *more, last)
    gaps = logging_gaps([event(one) for one in logging], OWNER, logged=told.logged(), **known)
    return told.before(change(last), gaps).status


@pytest.mark.parametrize(
    "logging",
    [
        [trail("StopLogging", "09:00"), trail("StartLogging", "09:05")],
        [trail("StopLogging", "09:00", {"name": f"arn:aws:cloudtrail:us-east-1:{OWNER}:trail/main"})],
        [trail("StopLogging", "07:00"), trail("StartLogging", "07:30"), trail("DeleteTrail", "11:00")],
        [trail("UpdateTrail", "09:00", {"isMultiRegionTrail": False})],
        [trail("CreateTrail", "07:00", {"s3BucketName": "a"}), trail("UpdateTrail", "09:00", {"s3BucketName": "b"})],
        [
            trail("CreateTrail", "07:00", {"s3BucketName": "a"}),
            trail("DeleteTrail", "07:30"),
            trail("CreateTrail", "09:00", {"s3BucketName": "b"}),
            trail("StartLogging", "09:01"),
        ],
        [trail("PutEventSelectors", "09:00", WITHOUT_KMS), trail("PutEventSelectors", "09:30", EVERYTHING)],
        [trail("PutEventSelectors", "09:00", selectors({"readWriteType": "ReadOnly"}))],
        [trail("PutEventSelectors", "09:00", selectors({"includeManagementEvents": False}))],
        [trail("PutEventSelectors", "09:00", {"omitted": True})],
        [
            trail(
                "PutEventSelectors",
                "09:00",
                selectors(advanced=(advanced({"field": "eventSource", "notEquals": ["kms.amazonaws.com"]}),)),
            )
        ],
        [
            trail(
                "PutEventSelectors", "09:00", selectors(advanced=(advanced({"field": "readOnly", "equals": ["true"]}),))
            )
        ],
        [
            trail(
                "PutEventSelectors",
                "09:00",
                selectors(advanced=(advanced({"field": "eventName", "notStartsWith": ["PutKey"]}),)),
            )
        ],
        [
            trail(
                "PutEventSelectors",
                "09:00",
                selectors(advanced=({"fieldSelectors": [{"field": "eventCategory", "equals": ["Data"]}]},)),
            )
        ],
    ],
)
def test_logging_that_was_off_or_left_kms_out_in_between_is_a_gap(logging: list[Json]) -> None:
    assert status(*logging) == "gap"
    wanted = query.compile(LOGGING_QUERY, CATALOGUE, now=moment("12:00"))
    assert all(wanted.matches(Document(one)) for one in logging)


@pytest.mark.parametrize(
    "logging",
    [
        [trail("StopLogging", "06:00"), trail("StartLogging", "07:00")],
        [trail("StopLogging", "13:00")],
        [refused(trail("StopLogging", "09:00"))],
        [trail("UpdateTrail", "09:00", {"s3BucketName": "b", "isMultiRegionTrail": True})],
        [
            trail("CreateTrail", "07:00", {"isMultiRegionTrail": False}),
            trail("UpdateTrail", "09:00", {"isMultiRegionTrail": False}),
        ],
        [trail("PutEventSelectors", "09:00", EVERYTHING)],
        [
            trail(
                "PutEventSelectors",
                "09:00",
                selectors({"includeManagementEvents": False}, {"readWriteType": "WriteOnly"}),
            )
        ],
        [trail("PutEventSelectors", "09:00", selectors(advanced=(advanced(),)))],
        [
            trail(
                "PutEventSelectors",
                "09:00",
                selectors(advanced=(advanced({"field": "eventSource", "notEquals": ["rdsdata.amazonaws.com"]}),)),
            )
        ],
        [trail("PutEventSelectors", "07:00", WITHOUT_KMS)],
    ],
)
def test_logging_that_went_on_in_between_is_none(logging: list[Json]) -> None:
    assert status(*logging) == "known"


def test_a_gap_is_told_with_its_trail_times_and_event_however_the_trail_is_named() -> None:
    stopped = trail("StopLogging", "09:00", {"name": f"arn:aws:cloudtrail:us-east-1:{OWNER}:trail/main"})
    others = trail("StartLogging", "09:02", {"name": "other"}), trail("StartLogging", "09:05")
    [gap] = logging_gaps([event(one) for one in (stopped, *others)], OWNER)
    assert (gap.since, gap.until) == (moment("09:00"), moment("09:05"))
    assert gap.reason == (
        f"the trail main was stopped at 2026-03-02T09:00:00Z until 2026-03-02T09:05:00Z (event {stopped['eventID']})"
    )


def test_a_change_that_was_logged_shows_that_logging_went_on() -> None:
    assert status(trail("StopLogging", "09:00"), more=(put("10:00", CLOSED),)) == "known"
    assert status(trail("StopLogging", "11:00"), more=(put("10:00", CLOSED),)) == "gap"


def test_a_trail_of_another_account_counts_unless_it_cannot_be_the_organisations() -> None:
    theirs = trail("StopLogging", "09:00", account=OUTSIDE)
    own_only = trail("CreateTrail", "07:00", account=OUTSIDE, responseElements={"isOrganizationTrail": False})
    assert status(theirs) == "gap"
    assert status(theirs, organisation=(OWNER, OUTSIDE)) == "gap"
    assert status(theirs, organisation=(OWNER,)) == "known"
    assert status(own_only, theirs) == "known"
    turned = trail("UpdateTrail", "09:00", {"isOrganizationTrail": False}, account=OUTSIDE)
    assert status(turned) == "gap"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (Damage("x.gz", OWNER, REGION, date(2026, 3, 2)), "gap"),
        (Damage("x.gz"), "gap"),
        (Damage("x.gz", day=date.max), "gap"),  # no day of ours: the name tells nothing
        (Damage("x.gz", OWNER, REGION, date(2026, 3, 3)), "gap"),  # delivered after midnight
        (Damage("x.gz", OWNER, REGION, date(2026, 3, 1)), "known"),
        (Damage("x.gz", OWNER, REGION, date(2026, 3, 4)), "known"),
        (Damage("x.gz", OUTSIDE, REGION, date(2026, 3, 2)), "known"),
        (Damage("x.gz", OWNER, "us-east-1", date(2026, 3, 2)), "known"),
    ],
)
def test_what_could_not_be_read_of_the_days_in_between_is_a_gap(damage: Damage, expected: str) -> None:
    changed = put("12:00")
    told = history(put("08:00", CLOSED), changed)
    before = told.before(change(changed), unseen_of(NAME, (), Coverage(damage=(damage,)), logged=told.logged()))
    assert before.status == expected
    assert ("x.gz could not be read" in before.reason) is (expected == "gap")


def test_a_snapshot_closes_a_gap_and_one_older_than_the_store_leaves_one() -> None:
    changed = put("12:00")
    stopped = [event(trail("StopLogging", "09:00")), event(trail("StartLogging", "09:30"))]

    def before(at: str) -> PolicyVersion:
        told = history(put("08:00", CLOSED), changed, snapshots=(snapshot(at, CLOSED),))
        return told.before(change(changed), unseen_of(NAME, stopped, Coverage(), logged=told.logged()))

    assert (before("09:10").status, before("10:00").status) == ("gap", "known")
    told = history(changed, snapshots=(snapshot("08:00", CLOSED),))
    for first, expected in (("07:00", "known"), ("08:30", "gap")):
        seen = Coverage((Interval(OWNER, "us-east-1", moment(first), moment("12:00")),))
        assert told.before(change(changed), unseen_of(NAME, (), seen, logged=told.logged())).status == expected


def test_of_many_reasons_a_few_are_said_and_the_rest_counted() -> None:
    changed = put("12:00")
    told = history(put("08:00", CLOSED), changed)
    damage = tuple(Damage(f"{number}.gz") for number in range(1203))
    reason = told.before(change(changed), unseen_of(NAME, (), Coverage(damage=damage))).reason
    assert reason.endswith("; and 1,200 more")


def test_nothing_depends_on_the_order_in_which_events_are_given() -> None:
    born = create_key("08:00", service(), DEFAULT)
    records = [born, put("09:00"), put_omitted("09:00", user()), put("10:00", CLOSED), refused(put("08:30"))]

    def told(given: Iterable[dict[str, object]]) -> object:
        found = history(*given)
        return found.versions, [step.time for step in found.steps], [one.event.id for one in found.refused]

    expected = told(records)
    assert len(history(*records).steps) == 4
    assert told(reversed(records)) == expected
    assert told([*records[2:], *records[:2]]) == expected
