"""Uses of a key that only the policy after a change allows: what counts, what does not, and what records leave open."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import pytest

from keytrail.investigate.limits import Limits
from keytrail.investigate.model import BeforeStatus, ComparedChange, PolicyVersion, Usage
from keytrail.investigate.uses import undone_at, uses_since
from keytrail.policy import KeyPolicy, assess
from keytrail.settings.trust import Accounts
from tests.investigate import records
from tests.investigate.records import (
    DEFAULT,
    OUTSIDE,
    OWNER,
    Json,
    adding,
    allow,
    grant,
    moment,
    outsider,
    policy,
    put_policy,
    refused,
    role_arn,
    root_arn,
    session,
    use,
    user,
)
from tests.investigate.story import LIMITS, Scene, scenes

ADMIN = user("admin")
OPENED = adding(DEFAULT, allow(root_arn(OUTSIDE), ["kms:Decrypt", "kms:CreateGrant"]))
CARDS = {"aws:s3:arn": "arn:aws:s3:::ledger/cards"}


def version(document: Json | None, status: BeforeStatus = "known") -> PolicyVersion:
    return PolicyVersion(status, None if document is None else KeyPolicy.parse(json.loads(json.dumps(document))))


def uses(
    before: Json | None,
    after: Json,
    gained: Iterable[str],
    *events: Json,
    status: BeforeStatus = "known",
    accounts: Accounts | None = None,
    limits: Limits = LIMITS,
) -> tuple[Usage, ...]:
    """The uses since a change at 10:00."""
    put = put_policy("10:00", ADMIN, after)
    compared = ComparedChange(version(before, status), version(after), None)
    return uses_since(records.change(put), compared, tuple(gained), records.activity(put, *events), limits, accounts)


def counts(found: Iterable[Usage]) -> Mapping[tuple[str, str], tuple[int, int]]:
    return {(one.principal, one.action): (one.in_force, one.after_revert) for one in found}


# The story ----------------------------------------------------------------------------------------------------------

STORY = tuple(scenes())


@pytest.mark.parametrize("scene", STORY, ids=lambda one: f"{one.step}-{one.change.event.id[:8]}")
def test_the_uses_of_each_change_are_those_of_the_ledger(scene: Scene) -> None:
    found = uses_since(scene.change, scene.compared, scene.gained, scene.activity, LIMITS, scene.accounts)
    outside = {root_arn(account) for account in scene.planted["outside_accounts"]}
    ids = [
        event_id
        for one in found
        if one.principal in outside and one.action != "kms:CreateGrant"
        for event_id in one.event_ids.items
    ]
    assert ids == scene.planted["used_since"]
    others = {one.principal for one in found} - outside
    # Who was shut out for some minutes by the takeover is let in again.
    assert others == ({role_arn("glue-etl", "555566667777")} if scene.step == "reverted" else set())


def test_the_story_of_the_opened_key_goes_on_after_the_policy_was_restored() -> None:
    (scene,) = (one for one in STORY if one.step == "key-opened")
    found = uses_since(scene.change, scene.compared, scene.gained, scene.activity, LIMITS)
    assert counts(found) == {
        (root_arn("999988887777"), "kms:Decrypt"): (16, 5),
        (root_arn("999988887777"), "kms:CreateGrant"): (1, 0),
    }
    read = found[0]
    assert "arn:aws:s3:::example-payments-ledger/2026/03/cards.parquet" in read.resources.items
    assert [(run.count, run.after_revert) for run in read.runs.items] == [(16, False), *[(1, True)] * 5]


# What counts --------------------------------------------------------------------------------------------------------


def test_a_use_counts_when_only_the_policy_after_allows_it() -> None:
    used = use("10:30", outsider(), CARDS)
    found = uses(
        DEFAULT,
        OPENED,
        [root_arn(OUTSIDE)],
        used,
        use("09:30", outsider("777788889999")),
        refused(use("10:31", outsider(), CARDS)),  # did not succeed
        use("10:31:30", outsider(), CARDS, errorMessage="The key is disabled"),  # nor did what failed without a code
        use("10:32", outsider(), CARDS, call="Encrypt"),  # neither policy allows it
        use("10:33", session("App")),  # IAM of the owner's account could allow it before
    )
    (one,) = found
    assert counts(found) == {(root_arn(OUTSIDE), "kms:Decrypt"): (1, 0)}
    assert (one.event_ids.items, one.first, one.last) == ((used["eventID"],), moment("10:30"), moment("10:30"))
    assert one.resources.items == ("arn:aws:s3:::ledger/cards",)
    assert not one.also_before


def test_a_use_in_the_second_of_the_change_counts_since_the_policy_before_did_not_allow_it() -> None:
    found = uses(DEFAULT, OPENED, [root_arn(OUTSIDE)], use("10:00", outsider()), use("09:59:59", outsider()))
    assert counts(found) == {(root_arn(OUTSIDE), "kms:Decrypt"): (1, 0)}


def test_a_use_by_somebody_who_gained_nothing_does_not_count() -> None:
    second = "888877776666"
    both = policy(allow(root_arn(OUTSIDE)), allow(root_arn(second)))
    assert uses(DEFAULT, both, [root_arn(OUTSIDE)], use("10:30", outsider(second))) == ()


def test_making_a_grant_is_a_use_of_the_power_to_make_grants() -> None:
    made = grant("10:30", outsider(), role_arn("exfil", OUTSIDE), grant_id="g1")
    found = uses(DEFAULT, OPENED, [root_arn(OUTSIDE)], made)
    assert counts(found) == {(root_arn(OUTSIDE), "kms:CreateGrant"): (1, 0)}


def test_the_conditions_of_both_policies_are_judged_by_what_the_call_says() -> None:
    def through(service: str) -> Json:
        return policy(
            allow(root_arn(OWNER), "kms:PutKeyPolicy"),
            allow(role_arn("App"), "kms:Decrypt", {"StringEquals": {"kms:ViaService": service}}),
        )

    direct, by_s3 = use("10:30", session("App")), use("10:31", session("App"), CARDS, via="s3.amazonaws.com")
    bucket, free = through("s3.eu-west-1.amazonaws.com"), policy(allow(role_arn("App"), "kms:Decrypt"))
    (one,) = uses(bucket, free, [role_arn("App")], direct, by_s3)
    assert one.event_ids.items == (direct["eventID"],)

    ledger = {"StringLike": {"kms:EncryptionContext:aws:s3:arn": "arn:aws:s3:::ledger/*"}}
    other = use("10:32", session("App"), {"aws:s3:arn": "arn:aws:s3:::payroll/1"})
    (one,) = uses(policy(allow(role_arn("App"), "kms:Decrypt", ledger)), free, [role_arn("App")], by_s3, other)
    assert one.event_ids.items == (other["eventID"],)


@pytest.mark.parametrize(
    ("condition", "same", "other"),
    [
        ({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, {"sourceIPAddress": "192.0.2.7"},
         {"sourceIPAddress": "198.51.100.1"}),
        ({"StringEquals": {"aws:UserAgent": "batch/1"}}, {"userAgent": "batch/1"}, {"userAgent": "curl/8"}),
        ({"DateLessThan": {"aws:CurrentTime": "2026-03-02T10:30:00Z"}}, {"eventTime": "2026-03-02T10:29:59Z"},
         {"eventTime": "2026-03-02T10:30:01Z"}),
    ],
)  # fmt: skip
def test_address_program_and_time_are_judged_as_the_record_has_them(condition: Json, same: Json, other: Json) -> None:
    before = policy(allow(role_arn("App"), "kms:Decrypt", condition))
    outside = use("10:20", session("App"), **other)
    # Had the record left it open, the use before the change would speak for both.
    known = use("09:00", session("App"))
    found = uses(before, policy(allow(role_arn("App"))), [role_arn("App")], known, use("10:20", session("App"), **same),
                 outside)  # fmt: skip
    assert [one.event_ids.items for one in found] == [(outside["eventID"],)]


def test_a_private_address_is_not_the_one_that_policies_mean() -> None:
    before = policy(allow(role_arn("App"), "kms:Decrypt", {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}))
    inside = use("10:20", session("App"), sourceIPAddress="10.1.2.3")
    found = uses(before, policy(allow(role_arn("App"))), [role_arn("App")], inside)
    assert counts(found) == {(role_arn("App"), "kms:Decrypt"): (1, 0)}


def test_one_session_may_gain_what_the_role_has_not() -> None:
    gained = "arn:aws:sts::111122223333:assumed-role/App/thief"
    after = policy(allow(gained, "kms:Decrypt"))
    found = uses(policy(), after, [gained], use("10:30", session("App", name="thief")), use("10:31", session("App")))
    assert counts(found) == {(gained, "kms:Decrypt"): (1, 0)}


def test_a_caller_from_outside_of_whom_only_the_account_is_known_may_be_the_role_that_gained() -> None:
    exfil = role_arn("exfil", OUTSIDE)
    after = adding(DEFAULT, allow(exfil, "kms:Decrypt"))
    found = uses(DEFAULT, after, [exfil], use("10:30", outsider()), use("10:31", outsider("888877776666")))
    assert counts(found) == {(root_arn(OUTSIDE), "kms:Decrypt"): (1, 0)}


# What records do not tell -------------------------------------------------------------------------------------------

WITH_MFA = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}


def test_what_hangs_on_something_records_do_not_tell_counts_unless_it_was_done_before() -> None:
    before = policy(allow(role_arn("App"), "kms:Decrypt", WITH_MFA))
    after = policy(allow(role_arn("App"), "kms:Decrypt"))
    late = use("10:30", session("App"))
    assert counts(uses(before, after, [role_arn("App")], late)) == {(role_arn("App"), "kms:Decrypt"): (1, 0)}
    assert uses(before, after, [role_arn("App")], use("09:30", session("App")), late) == ()


def test_a_condition_after_the_change_that_records_do_not_tell_was_met_since_the_call_succeeded() -> None:
    after = policy(allow(root_arn(OUTSIDE), "kms:Decrypt", {"StringEquals": {"aws:PrincipalTag/team": "etl"}}))
    found = uses(policy(), after, [root_arn(OUTSIDE)], use("10:30", outsider()))
    assert counts(found) == {(root_arn(OUTSIDE), "kms:Decrypt"): (1, 0)}


def test_a_member_of_the_organisation_did_not_gain_by_a_boundary_that_kept_others_out() -> None:
    member = "222233334444"
    inside = policy(allow("*", "kms:Decrypt", {"StringEquals": {"aws:PrincipalOrgID": "o-example"}}))
    hole = policy(allow("*", "kms:Decrypt", {"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-example"}}))
    accounts = Accounts(organisation="o-example", names={OWNER: "owner", member: "member"})
    found = uses(inside, hole, ["*"], use("10:30", outsider(member)), use("10:31", outsider()), accounts=accounts)
    assert counts(found) == {(root_arn(OUTSIDE), "kms:Decrypt"): (1, 0)}


# What the policy before was -----------------------------------------------------------------------------------------


def test_of_a_new_key_only_the_uses_from_outside_the_owners_account_count() -> None:
    found = uses(None, OPENED, [root_arn(OUTSIDE), root_arn(OWNER)], use("10:30", outsider()),
                 use("10:31", session("App")), status="none")  # fmt: skip
    assert counts(found) == {(root_arn(OUTSIDE), "kms:Decrypt"): (1, 0)}


def test_with_nothing_known_of_the_policy_before_only_outsiders_who_are_new_to_the_key_count() -> None:
    partner = "777788889999"
    after = policy(allow("*", "kms:Decrypt"))
    found = uses(
        None,
        after,
        ["*"],
        use("09:00", outsider(partner)),
        use("10:30", outsider(partner)),
        use("10:31", outsider()),
        use("10:32", session("App")),
        status="unknown",
    )
    assert counts(found) == {(root_arn(OUTSIDE), "kms:Decrypt"): (1, 0)}


# Until when ---------------------------------------------------------------------------------------------------------


def test_a_later_change_that_leaves_the_gain_in_place_undoes_nothing() -> None:
    still = adding(OPENED, allow(role_arn("Reader"), "kms:DescribeKey"))
    events = (
        put_policy("11:00", ADMIN, still),
        put_policy("12:00", ADMIN, DEFAULT),
        *(use(when, outsider()) for when in ("10:30", "11:30", "12:00", "12:30")),
    )
    found = uses(DEFAULT, OPENED, [root_arn(OUTSIDE)], *events)
    assert counts(found) == {(root_arn(OUTSIDE), "kms:Decrypt"): (2, 2)}
    assert [(run.first, run.count, run.after_revert) for run in found[0].runs.items] == [
        (moment("10:30"), 1, False),
        (moment("11:30"), 1, False),
        (moment("12:00"), 2, True),
    ]
    put = put_policy("10:00", ADMIN, OPENED)
    comparison = assess(KeyPolicy.parse(DEFAULT), KeyPolicy.parse(OPENED), OWNER)
    compared = ComparedChange(version(DEFAULT), version(OPENED), comparison)
    assert undone_at(records.change(put), compared, records.activity(put, *events)) == moment("12:00")


def test_what_is_opened_again_later_is_another_changes_doing() -> None:
    found = uses(
        DEFAULT,
        OPENED,
        [root_arn(OUTSIDE)],
        put_policy("11:00", ADMIN, DEFAULT),
        put_policy("12:00", ADMIN, OPENED),
        use("12:30", outsider()),
    )
    assert counts(found) == {(root_arn(OUTSIDE), "kms:Decrypt"): (0, 1)}


def test_an_omitted_policy_is_not_taken_for_the_end_of_the_gain() -> None:
    found = uses(DEFAULT, OPENED, [root_arn(OUTSIDE)], records.put_omitted("11:00", ADMIN), use("11:30", outsider()))
    assert counts(found) == {(root_arn(OUTSIDE), "kms:Decrypt"): (1, 0)}


def test_lists_are_capped_and_counts_are_not() -> None:
    many = [use(f"10:{minute}", outsider(), {"n": str(minute)}) for minute in range(10, 40)]
    (one,) = uses(DEFAULT, OPENED, [root_arn(OUTSIDE)], *many, limits=Limits(max_event_ids=3))
    assert (one.count, one.event_ids.total, len(one.event_ids.items)) == (30, 30, 3)
    assert (one.resources.total, len(one.resources.items)) == (30, 3)
    assert [run.count for run in one.runs.items] == [30]


def test_nothing_counts_where_the_policy_after_is_not_known() -> None:
    put = records.put_omitted("10:00", ADMIN)
    compared = ComparedChange(version(DEFAULT), version(None, "unknown"), None)
    found = records.activity(put, use("10:30", outsider()))
    assert uses_since(records.change(put), compared, ["*"], found, LIMITS) == ()
