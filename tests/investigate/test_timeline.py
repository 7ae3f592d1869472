"""The time line: what is in it, in which lane, what is folded, and what stays when there is too much."""

from __future__ import annotations

import pytest

from keytrail.investigate.actor import describe_actor
from keytrail.investigate.acts import act_of
from keytrail.investigate.limits import Limits
from keytrail.investigate.model import Actor, Capped, ComparedChange, PolicyVersion, Seen, TimelineEntry
from keytrail.investigate.related import relate
from keytrail.investigate.timeline import timeline_of
from keytrail.policy import KeyPolicy, assess
from keytrail.store import MemoryStore
from tests.investigate import records
from tests.investigate.records import (
    DEFAULT,
    OUTSIDE,
    OWNER,
    Json,
    adding,
    alias,
    allow,
    assume_role,
    event,
    grant,
    iam,
    key_call,
    outsider,
    put_policy,
    record,
    refused,
    revoke_grant,
    role_arn,
    root_arn,
    session,
    use,
    user,
)
from tests.investigate.story import LIMITS, Scene, scenes

ADMIN = user("admin")
JOB = role_arn("Job")
OPENED = adding(DEFAULT, allow(root_arn(OUTSIDE), "kms:*"), allow(JOB, "kms:Decrypt"))
PUT = put_policy("10:00", ADMIN, OPENED)


def timeline(
    *events: Json, attempts: tuple[Json, ...] = (), acts: tuple[Json, ...] = (), limits: Limits = LIMITS
) -> Capped[TimelineEntry]:
    """The time line of a change at 10:00 that let an account and a role in; `acts` are those of its actor."""
    change = records.change(PUT)
    policies = [PolicyVersion("known", KeyPolicy.parse(one)) for one in (DEFAULT, OPENED)]
    compared = ComparedChange(*policies, assess(policies[0].policy, KeyPolicy.parse(OPENED), OWNER))
    every = sorted([PUT, *events, *attempts, *acts], key=lambda one: (str(one["eventTime"]), str(one["eventID"])))
    activity = records.activity(*(one for one in every if records.KEY in str(one)))
    gained = (root_arn(OUTSIDE), JOB)
    store = MemoryStore(every)
    related = relate(change, compared, gained, activity, store, records.identities(store), (), limits)
    return timeline_of(change, [event(one) for one in attempts], actor(*acts), related, activity, limits)


def actor(*acts: Json) -> Actor:
    seen = Seen("", None, None)
    told = tuple(act_of(event(one)) for one in acts)
    return Actor(
        who="", principal="", type="", account=OWNER, session_issuer=None, session_created=None, mfa=None,
        address=seen, agent=seen, access_key="", access_key_kind="none", access_key_first_seen=None,
        access_key_age_seconds=None, before_on_key=None, account_seen_since=None, chain=(),
        acts=Capped(told, len(told)),
    )  # fmt: skip


def lanes(found: Capped[TimelineEntry]) -> list[tuple[str, str]]:
    return [(one.lane, one.event_name) for one in found.items]


# The story ----------------------------------------------------------------------------------------------------------

STORY = {scene.step: scene for scene in scenes()}


def of_story(scene: Scene) -> Capped[TimelineEntry]:
    made = records.identities(scene.store)
    related = relate(
        scene.change, scene.compared, scene.gained, scene.activity, scene.store, made, (), LIMITS, scene.accounts
    )
    who = describe_actor(scene.change, scene.store, scene.activity, LIMITS)
    return timeline_of(scene.change, scene.attempts, who, related, scene.activity, LIMITS)


def test_the_story_of_the_opened_key_reads_from_the_refused_attempts_to_the_use_of_the_grant() -> None:
    found = of_story(STORY["key-opened"])
    told = [
        (one.event_name, one.lane, one.count, one.failed)
        for one in found.items
        if one.lane in ("attempt", "change", "access")
    ]
    assert told == [
        ("PutKeyPolicy", "attempt", 1, True),
        ("PutKeyPolicy", "attempt", 1, True),
        ("PutKeyPolicy", "change", 1, False),
        ("CreateGrant", "access", 1, False),
        ("Decrypt", "access", 16, False),
        ("CreateGrant", "access", 1, False),
        ("PutKeyPolicy", "change", 1, False),
        ("Decrypt", "access", 5, False),
    ]
    names = [one.event_name for one in found.items]
    assert {"CreateKey", "CreateUser", "ModifySnapshotAttribute", "UpdateAlias"} <= set(names)


@pytest.mark.parametrize("step", STORY)
def test_each_event_of_the_story_stands_once_and_by_time(step: str) -> None:
    found = of_story(STORY[step])
    ids = [one.event_id for one in found.items]
    assert len(set(ids)) == len(ids) == found.total
    assert STORY[step].change.event.id in ids
    assert [one.time for one in found.items] == sorted(one.time for one in found.items)


# Lanes --------------------------------------------------------------------------------------------------------------


def test_what_happened_stands_in_the_lane_that_tells_most() -> None:
    into_role = assume_role("09:30", ADMIN, JOB)
    made = grant("10:20", ADMIN, role_arn("exfil", OUTSIDE), grant_id="g1")
    found = timeline(
        alias("CreateAlias", "07:00", ADMIN, "alias/x"),
        iam("CreateRole", "08:00", ADMIN, {"roleName": "Job"}),
        refused(put_policy("09:10", user("eve"), DEFAULT)),
        use("10:10", outsider()),
        revoke_grant("10:40", user("bob"), "g1"),
        record("ec2:CopySnapshot", "10:50", user("bob"), {"kmsKeyId": records.KEY}, readOnly=False),
        put_policy("11:00", user("bob"), DEFAULT),
        key_call("DisableKey", "11:10", user("bob")),
        attempts=(refused(put_policy("09:00", ADMIN, OPENED)),),
        acts=(into_role, made, record("iam:ListUsers", "09:40", ADMIN)),
    )
    assert lanes(found) == [
        ("key", "CreateAlias"),
        ("access", "CreateRole"),
        ("attempt", "PutKeyPolicy"),
        ("attempt", "PutKeyPolicy"),
        ("access", "AssumeRole"),
        ("actor", "ListUsers"),
        ("change", "PutKeyPolicy"),
        ("access", "Decrypt"),
        ("access", "CreateGrant"),
        ("key", "RevokeGrant"),
        ("data", "CopySnapshot"),
        ("change", "PutKeyPolicy"),
        ("key", "DisableKey"),
    ]
    assert [one.failed for one in found.items if one.lane == "attempt"] == [True, True]


# Folding ------------------------------------------------------------------------------------------------------------


def test_the_same_use_again_is_one_line_until_something_comes_between() -> None:
    first = use("10:10", outsider())
    after = use("10:40", outsider())
    found = timeline(
        first,
        use("10:11", outsider(), {"n": "2"}),
        use("10:12", outsider()),
        put_policy("10:30", ADMIN, adding(OPENED, allow(role_arn("X"), "kms:DescribeKey"))),
        after,
        use("15:00", outsider()),
        put_policy("16:00", ADMIN, DEFAULT),
        use("16:30", outsider()),
    )
    told = [(one.event_id, one.count) for one in found.items if one.lane == "access"]
    assert told[:2] == [(first["eventID"], 3), (after["eventID"], 2)]
    assert [one.sentence for one in found.items if one.lane == "access"] == [
        "used what the change gave: Decrypt",
        "used what the change gave: Decrypt",
        "used what the change gave, after it was undone: Decrypt",
    ]


def test_attempts_and_changes_are_never_folded() -> None:
    attempts = tuple(refused(put_policy(f"09:0{minute}", ADMIN, OPENED)) for minute in range(3))
    assert [one.count for one in timeline(attempts=attempts).items] == [1, 1, 1, 1]


# Too much -----------------------------------------------------------------------------------------------------------


def test_of_too_many_lines_the_change_what_it_led_to_and_what_is_near_are_kept() -> None:
    far = use("20:00", outsider())
    acts = tuple(record("iam:ListUsers", f"09:{minute}", ADMIN, {"marker": str(minute)}) for minute in range(10, 60))
    found = timeline(
        far, attempts=(refused(put_policy("02:00", ADMIN, OPENED)),), acts=acts, limits=Limits(max_timeline=5)
    )
    assert found.total == 53
    assert [(one.lane, one.time.hour, one.time.minute) for one in found.items] == [
        ("attempt", 2, 0),
        ("actor", 9, 58),
        ("actor", 9, 59),
        ("change", 10, 0),
        ("access", 20, 0),
    ]
    assert lanes(timeline(far, acts=acts, limits=Limits(max_timeline=1))) == [("change", "PutKeyPolicy")]


def test_everyday_uses_of_the_key_are_not_in_it() -> None:
    assert lanes(timeline(use("10:30", session("App")), use("09:00", session("App")))) == [("change", "PutKeyPolicy")]
