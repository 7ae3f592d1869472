"""What the principals that gained access did, what was done to them, and the grants that outlive the change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pytest

from keytrail.investigate.limits import Limits
from keytrail.investigate.model import Capped, ComparedChange, DataAtStake, PolicyVersion, RelatedActivity
from keytrail.investigate.related import relate, related_wants
from keytrail.policy import KeyPolicy, assess
from keytrail.store import MemoryStore
from tests.investigate import records
from tests.investigate.records import (
    DEFAULT,
    OUTSIDE,
    OWNER,
    Json,
    adding,
    allow,
    assume_role,
    grant,
    iam,
    outsider,
    policy,
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
JOB = role_arn("etl/Job")
EXFIL = role_arn("exfil", OUTSIDE)
OPENED = adding(DEFAULT, allow(JOB, "kms:Decrypt"))


def related(
    *events: Json,
    before: Json = DEFAULT,
    after: Json = OPENED,
    gained: Sequence[str] = (JOB,),
    data: Iterable[DataAtStake] = (),
    limits: Limits = LIMITS,
    in_force_until: datetime | None = None,
) -> RelatedActivity:
    """What is related to a change at 10:00."""
    put = put_policy("10:00", ADMIN, after)
    policies = [PolicyVersion("known", KeyPolicy.parse(one)) for one in (before, after)]
    comparison = assess(policies[0].policy, KeyPolicy.parse(after), OWNER)
    compared = ComparedChange(*policies, comparison, in_force_until=in_force_until)
    ordered = sorted([put, *events], key=lambda one: (str(one["eventTime"]), str(one["eventID"])))
    of_key = [one for one in ordered if one["eventSource"] == "kms.amazonaws.com"]
    store = MemoryStore(ordered)
    made, about = records.identities(store), records.activity(*of_key)
    return relate(records.change(put), compared, gained, about, store, made, tuple(data), limits)


def at_stake(service: str, kind: str, resource: str) -> DataAtStake:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    return DataAtStake(service, kind, resource, {}, "encryption_context", 1, moment, moment, Capped(), (), "")


# The story ----------------------------------------------------------------------------------------------------------

STORY = tuple(scenes())


def of_story(scene: Scene) -> RelatedActivity:
    made = records.identities(scene.store)
    return relate(
        scene.change, scene.compared, scene.gained, scene.activity, scene.store, made, (), LIMITS, scene.accounts
    )


def told(step: str) -> RelatedActivity:
    return of_story(next(one for one in STORY if one.step == step))


@pytest.mark.parametrize("scene", STORY, ids=lambda one: f"{one.step}-{one.change.event.id[:8]}")
def test_the_grants_that_outlive_each_change_are_those_of_the_ledger(scene: Scene) -> None:
    surviving = [one.event_id for one in of_story(scene).surviving_grants]
    assert surviving == scene.planted["surviving_grants"]


def test_the_story_of_the_opened_key_has_its_two_grants() -> None:
    found = told("key-opened")
    assert [(one.grantee, one.created_by) for one in found.grants_since] == [
        ("arn:aws:iam::999988887777:role/exfil-worker", "arn:aws:iam::444455556666:role/KeyAdministrator"),
        ("arn:aws:iam::999988887777:role/exfil-worker", root_arn("999988887777")),
    ]
    (outside,) = found.principals.items
    assert outside.grants == found.grants_since
    assert outside.uses == found.uses
    assert told("new-role").grants_since == ()  # made while that change was in force, but not to anybody it let in


def test_the_story_of_the_new_role_is_told_from_its_creation_on() -> None:
    (role,) = told("new-role").principals.items
    assert [one.event_name for one in (*role.created, *role.policies_attached, *role.assumed.items)] == [
        "CreateRole",
        "AttachRolePolicy",
        "AssumeRole",
    ]
    assert {one.about for one in role.assumed.items} == {"arn:aws:iam::444455556666:role/payments-batch"}


def test_the_story_of_the_takeover_tells_who_assumed_the_role() -> None:
    taken = {one.principal: one for one in told("takeover").principals.items}
    (assumed,) = taken["arn:aws:iam::555566667777:role/OrganizationKeyAdmin"].assumed.items
    assert assumed.who.endswith("assumed-role/KeyAdministrator/svc-reporting")


# What is asked of the store -----------------------------------------------------------------------------------------


def test_only_named_identities_are_asked_for_and_never_bare_account_ids() -> None:
    gained = [JOB, f"arn:aws:iam::{OWNER}:user/al", root_arn(OUTSIDE), "backup.amazonaws.com", "*"]
    change = records.change(put_policy("10:00", ADMIN, DEFAULT))
    (want,) = related_wants(change, gained, LIMITS)
    assert want.what.literals == {JOB, f"arn:aws:iam::{OWNER}:user/al"}
    assert related_wants(change, gained[2:], LIMITS) == ()
    assert (want.since, want.until) == (change.event.time - LIMITS.around, None)


def test_a_session_is_asked_for_by_its_arn() -> None:
    gained = f"arn:aws:sts::{OWNER}:assumed-role/Job/i-1"
    (want,) = related_wants(records.change(put_policy("10:00", ADMIN, DEFAULT)), [gained], LIMITS)
    assert want.what.literals == {gained}
    into = assume_role("09:00", ADMIN, JOB, name="i-1")
    found = related(into, assume_role("09:01", ADMIN, JOB, name="i-2"), gained=[gained])
    assert [one.event_id for one in found.principals.items[0].assumed.items] == [into["eventID"]]


# Roles and users ----------------------------------------------------------------------------------------------------


def test_a_role_is_told_by_its_creation_policies_and_sessions() -> None:
    made = iam("CreateRole", "08:00", ADMIN, {"roleName": "Job", "path": "/etl/"})
    trust = iam("UpdateAssumeRolePolicy", "08:10", ADMIN, {"roleName": "Job", "policyDocument": "{}"})
    given = iam("AttachRolePolicy", "10:30", ADMIN, {"roleName": "Job", "policyArn": "arn:aws:iam::aws:policy/X"})
    before, since = assume_role("09:00", user("bob"), JOB), assume_role("11:00", outsider(), JOB, name="x")
    (found,) = related(
        made,
        trust,
        given,
        before,
        since,
        refused(assume_role("11:30", user("eve"), JOB)),
        iam("CreateRole", "07:00", ADMIN, {"roleName": "Job"}, account=OUTSIDE),  # another account's
        iam("CreateUser", "07:10", ADMIN, {"userName": "Job"}),  # a user of that name
        iam("GetRole", "07:20", ADMIN, {"roleName": "Job"}),
        assume_role("09:30", user("bob"), role_arn("Job")),  # a role without that path
    ).principals.items
    assert [one.event_id for one in found.created] == [made["eventID"]]
    assert [one.event_id for one in found.policies_attached] == [trust["eventID"], given["eventID"]]
    assert [one.event_id for one in found.assumed.items] == [before["eventID"], since["eventID"]]
    assert {one.about for one in (*found.created, *found.policies_attached, *found.assumed.items)} == {JOB}
    assert found.policies_attached_total == 2


def test_a_user_is_told_by_its_creation_policies_and_access_keys() -> None:
    alice = f"arn:aws:iam::{OWNER}:user/alice"
    made = iam("CreateUser", "08:00", ADMIN, {"userName": "alice"})
    named = iam("CreateAccessKey", "08:10", ADMIN, {"userName": "alice"})
    own = iam("CreateAccessKey", "08:20", user("alice"), {})
    other = iam("CreateAccessKey", "08:30", user("alice"), {"userName": "bob"})
    (found,) = related(made, named, own, other, gained=[alice]).principals.items
    assert [one.event_id for one in found.created] == [made["eventID"]]
    assert [one.event_id for one in found.policies_attached] == [named["eventID"], own["eventID"]]


def test_an_operation_that_two_accounts_logged_is_told_once_by_the_record_that_names_the_caller() -> None:
    mark = {"sharedEventID": "5a1f0c9e-0000-4000-8000-000000000001"}
    bob = user("bob", OUTSIDE)
    owners = assume_role("09:00", outsider(principal_id=str(bob["principalId"])), JOB, **mark)
    callers = assume_role("09:00", bob, JOB, recipientAccountId=OUTSIDE, **mark)
    (found,) = related(owners, callers).principals.items
    assert [one.event_id for one in found.assumed.items] == [callers["eventID"]]
    assert found.assumed.total == 1


def test_of_many_sessions_those_nearest_to_the_change_are_shown_and_all_are_counted() -> None:
    many = [assume_role(f"{hour:02}:30", ADMIN, JOB, name=f"h{hour}") for hour in range(24)]
    (found,) = related(*many, limits=Limits(max_acts=4)).principals.items
    assert found.assumed.total == 24
    assert [one.time.hour for one in found.assumed.items] == [8, 9, 10, 11]


def test_of_many_principals_the_first_are_looked_at_and_all_are_counted() -> None:
    gained = [role_arn(f"role{number}") for number in range(5)]
    found = related(gained=gained, limits=Limits(max_principals=2)).principals
    assert [one.principal for one in found.items] == gained[:2]
    assert found.total == 5
    change = records.change(put_policy("10:00", ADMIN, DEFAULT))
    (want,) = related_wants(change, gained, Limits(max_principals=2))
    assert want.what.literals == {*gained[:2]}


# Data ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "kind", "resource", "call", "asked"),
    [
        ("s3", "object", "arn:aws:s3:::ledger/2026/cards", "s3:GetObject", {"bucketName": "ledger", "key": "other"}),
        ("s3", "bucket", "arn:aws:s3:::ledger", "s3:ListObjects", {"bucketName": "ledger"}),
        ("secretsmanager", "secret", f"arn:aws:secretsmanager:eu-west-1:{OWNER}:secret:prod/db-a1B2c3",
         "secretsmanager:GetSecretValue", {"secretId": "prod/db"}),
        ("ssm", "parameter", f"arn:aws:ssm:eu-west-1:{OWNER}:parameter/app/key",
         "ssm:GetParameter", {"name": "/app/key", "withDecryption": True}),
        ("dynamodb", "table", f"arn:aws:dynamodb:eu-west-1:{OWNER}:table/payments",
         "dynamodb:GetItem", {"tableName": "payments"}),
        ("sqs", "queue", f"arn:aws:sqs:eu-west-1:{OWNER}:orders",
         "sqs:ReceiveMessage", {"queueUrl": f"https://sqs.eu-west-1.amazonaws.com/{OWNER}/orders"}),
        ("ebs", "volume", f"arn:aws:ec2:eu-west-1:{OWNER}:volume/vol-0a91",
         "ec2:AttachVolume", {"volumeId": "vol-0a91"}),
    ],
)  # fmt: skip
def test_access_to_the_data_at_stake_is_found_by_the_names_that_requests_use(
    service: str, kind: str, resource: str, call: str, asked: Json
) -> None:
    job = session("etl/Job")
    read = record(call, "11:00", job, asked)
    (found,) = related(
        read,
        record(call, "09:00", job, asked),  # before the change
        record(call, "11:10", session("Other"), asked),
        record(call, "11:20", job, {name: f"{value}-old" for name, value in asked.items()}),
        record("iam:GetRole", "11:30", job, {"roleName": next(iter(asked.values()))}),  # another service's name
        data=[at_stake(service, kind, resource)],
    ).principals.items
    assert [one.event_id for one in found.data_access.items] == [read["eventID"]]


def test_access_to_the_data_at_stake_is_found_by_its_arn() -> None:
    arn = "arn:aws:s3:::ledger/cards"
    read = record("athena:StartQuery", "11:00", session("etl/Job"), None, resources=[{"ARN": arn}])
    (found,) = related(read, data=[at_stake("s3", "object", arn)]).principals.items
    assert [one.event_id for one in found.data_access.items] == [read["eventID"]]


# Grants -------------------------------------------------------------------------------------------------------------

SHARED = adding(DEFAULT, allow(root_arn(OUTSIDE), ["kms:Decrypt", "kms:CreateGrant"]))


def test_grants_count_while_what_the_change_gave_is_in_force() -> None:
    to_outside = grant("10:30", ADMIN, EXFIL, grant_id="g1")
    by_outside = grant("10:40", outsider(), role_arn("mule", "888877776666"), grant_id="g2")
    still = grant("11:30", ADMIN, EXFIL, grant_id="g3")
    found = related(
        grant("09:00", ADMIN, EXFIL, grant_id="g0"),
        to_outside,
        by_outside,
        grant("10:50", ADMIN, role_arn("App"), grant_id="own"),
        put_policy("11:00", ADMIN, adding(SHARED, allow(JOB, "kms:DescribeKey"))),
        still,
        put_policy("12:00", ADMIN, DEFAULT),
        grant("12:30", ADMIN, EXFIL, grant_id="g4"),
        after=SHARED,
        gained=[root_arn(OUTSIDE)],
    )
    expected = [one["eventID"] for one in (to_outside, by_outside, still)]
    assert [one.event_id for one in found.grants_since] == expected
    assert [one.event_id for one in found.principals.items[0].grants] == expected


def test_a_grant_to_another_account_counts_until_the_next_change_although_nobody_there_gained() -> None:
    made = grant("10:30", ADMIN, EXFIL, grant_id="g1")
    found = related(made, grant("11:30", ADMIN, EXFIL, grant_id="g2"), in_force_until=records.moment("11:00"))
    assert [one.event_id for one in found.grants_since] == [made["eventID"]]
    assert found.principals.items[0].grants == ()


def test_grants_survive_to_those_whom_the_change_takes_access_from_unless_they_were_ended() -> None:
    before = adding(SHARED, allow("arn:aws:iam::777788889999:root", "kms:Decrypt"))
    before = policy(
        allow(role_arn("Old"), "kms:Decrypt"), allow(role_arn("App"), "kms:Decrypt"), *before["Statement"][1:]
    )  # type: ignore[index]
    after = policy(allow(role_arn("App"), "kms:Decrypt"), allow("arn:aws:iam::777788889999:root", "kms:Decrypt"))
    outside, old = grant("09:00", ADMIN, EXFIL, grant_id="g1"), grant("09:10", ADMIN, role_arn("Old"), grant_id="g2")
    found = related(
        outside,
        old,
        grant("09:20", ADMIN, EXFIL, grant_id="g3"),
        revoke_grant("09:50", ADMIN, "g3"),
        grant("09:21", ADMIN, EXFIL, grant_id="g4"),
        revoke_grant("10:50", ADMIN, "g4"),
        grant("09:30", ADMIN, role_arn("App"), grant_id="g5"),
        grant("09:40", ADMIN, role_arn("x", "777788889999"), grant_id="g6"),
        grant("09:45", ADMIN, "rds.eu-west-1.amazonaws.com", grant_id="g7"),
        grant("10:30", ADMIN, EXFIL, grant_id="g8"),
        before=before,
        after=after,
        gained=[],
    )
    assert [one.event_id for one in found.surviving_grants] == [outside["eventID"], old["eventID"]]


def test_an_account_that_lost_one_action_and_keeps_what_its_grant_is_for_is_not_shut_out() -> None:
    wide = adding(DEFAULT, allow(root_arn(OUTSIDE), ["kms:Decrypt", "kms:Encrypt"]))
    narrow = adding(DEFAULT, allow(root_arn(OUTSIDE), "kms:Decrypt"))
    reads = grant("09:00", ADMIN, EXFIL, grant_id="g1", operations=["Decrypt"])
    writes = grant("09:10", ADMIN, EXFIL, grant_id="g2", operations=["Encrypt"])
    found = related(reads, writes, before=wide, after=narrow, gained=[])
    assert [one.event_id for one in found.surviving_grants] == [writes["eventID"]]


def test_the_use_by_a_caller_of_whom_only_the_account_is_known_is_told_of_the_role_that_gained() -> None:
    used = use("10:30", outsider())
    found = related(used, after=adding(DEFAULT, allow(EXFIL, "kms:Decrypt")), gained=[EXFIL, role_arn("App")])
    assert found.used_event_ids == (used["eventID"],)
    assert [len(one.uses) for one in found.principals.items] == [1, 0]


def test_of_very_many_users_of_a_public_key_the_outsiders_are_listed_and_all_are_counted() -> None:
    own = [use("10:30", session(f"Role{number}")) for number in range(20)]
    before = policy(allow(role_arn("Admin"), "kms:PutKeyPolicy"))
    found = related(*own, use("11:00", outsider()), before=before, after=policy(allow("*")), gained=["*"],
                    limits=Limits(max_acts=2))  # fmt: skip
    assert found.uses_total == 21
    assert [one.principal for one in found.uses] == [role_arn("Role0"), root_arn(OUTSIDE)]


def test_of_very_many_grants_the_first_are_listed_and_all_are_counted() -> None:
    since = [grant(f"10:{minute}", ADMIN, EXFIL, grant_id=f"s{minute}") for minute in range(10, 20)]
    surviving = [grant(f"09:{minute}", ADMIN, EXFIL, grant_id=f"b{minute}") for minute in range(10, 20)]
    limits = Limits(max_acts=3)
    found = related(*since, after=SHARED, gained=[root_arn(OUTSIDE)], limits=limits)
    assert (len(found.grants_since), found.grants_since_total) == (3, 10)
    found = related(*surviving, before=SHARED, after=DEFAULT, gained=[], limits=limits)
    assert (len(found.surviving_grants), found.surviving_grants_total) == (3, 10)
