"""Which grants are to be revoked: those of the rogue, never those that AWS services gave themselves."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keytrail.respond.facts import LiveGrant
from keytrail.settings import Accounts
from tests.investigate import records
from tests.respond.attacks import ADMIN, APP, GOOD, OPENED, attack, claim, opened, plan, without

MALLORY = records.session("Mallory", name="m")
EXFIL = f"arn:aws:iam::{records.OUTSIDE}:role/Exfil"
SINCE, EARLIER = datetime(2026, 3, 2, 10, 30, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
RDS = f"arn:aws:iam::{records.OWNER}:role/aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS"


def live(grant_id: str, grantee: str, created: datetime | None = SINCE) -> LiveGrant:
    return LiveGrant(grant_id, grantee, ("Decrypt",), created)


def test_a_grant_to_an_outside_account_is_revoked_by_one_call() -> None:
    case = opened(records.grant("10:30", MALLORY, EXFIL, grant_id="g1"))
    found = plan(case.proposal(case.subject(live=OPENED)), "revoke-grants")
    [call] = found.calls
    assert (call.action, call.parameters) == ("kms:RevokeGrant", {"KeyId": records.KEY, "GrantId": "g1"})
    assert "cannot be brought back" in call.undo
    assert found.losses[0].principals == (EXFIL,)


def test_each_grant_has_a_call_of_its_own() -> None:
    made = [records.grant(f"10:3{number}", MALLORY, EXFIL, grant_id=f"g{number}") for number in range(3)]
    case = opened(*made)
    found = plan(case.proposal(case.subject(live=OPENED)), "revoke-grants")
    assert [call.parameters["GrantId"] for call in found.calls] == ["g0", "g1", "g2"]


def test_what_only_records_tell_is_open_and_what_list_grants_shows_is_proved() -> None:
    case = opened(records.grant("10:30", MALLORY, EXFIL, grant_id="g1"))
    by_records = plan(case.proposal(case.subject(live=OPENED)), "revoke-grants")
    asked = plan(case.proposal(case.subject(live=OPENED, grants=[live("g1", EXFIL)])), "revoke-grants")
    assert claim(by_records, "rogue_gone")[0] == "open"
    assert claim(asked, "rogue_gone")[0] == "proved"


def test_a_grant_that_is_gone_by_now_is_not_revoked() -> None:
    case = opened(records.grant("10:30", MALLORY, EXFIL, grant_id="g1"))
    assert (
        "ListGrants shows no grant" in without(case.proposal(case.subject(live=OPENED, grants=[])), "revoke-grants").why
    )


def test_a_grant_that_was_revoked_by_the_records_is_not_revoked_again() -> None:
    made = records.grant("10:30", MALLORY, EXFIL, grant_id="g1")
    case = opened(made, records.revoke_grant("11:00", records.session("Admin"), "g1"))
    assert without(case.proposal(case.subject(live=OPENED)), "revoke-grants").kind == "revoke-grants"


def test_a_live_grant_to_an_outsider_that_no_record_shows_is_revoked() -> None:
    case = opened()
    found = plan(case.proposal(case.subject(live=OPENED, grants=[live("hidden", EXFIL)])), "revoke-grants")
    assert found.calls[0].parameters["GrantId"] == "hidden"
    assert any("No record shows who made grant hidden" in one for one in found.warnings)


def test_an_older_grant_to_an_outsider_is_warned_of() -> None:
    case = opened()
    found = plan(case.proposal(case.subject(live=OPENED, grants=[live("old", EXFIL, EARLIER)])), "revoke-grants")
    assert any("older than the change" in one for one in found.warnings)


def test_grants_of_trusted_accounts_and_of_the_owners_identities_stay() -> None:
    partner = "arn:aws:iam::444455556666:role/Partner"
    case = opened(accounts=Accounts(names={"444455556666": "payments"}))
    grants = [live("a", partner), live("b", APP, EARLIER), live("c", ADMIN)]
    assert without(case.proposal(case.subject(live=OPENED, grants=grants)), "revoke-grants")


def test_a_grant_since_to_an_identity_that_gained_is_revoked() -> None:
    gained = records.adding(GOOD, records.allow(ADMIN, "kms:Decrypt"))
    case = opened()
    case = type(case)((case.told[0], change := records.put_policy("10:00", MALLORY, gained)), change, case.accounts)
    grants = [live("new", ADMIN), live("old", ADMIN, EARLIER)]
    found = plan(case.proposal(case.subject(live=gained, grants=grants)), "revoke-grants")
    assert [call.parameters["GrantId"] for call in found.calls] == ["new"]


def test_grants_that_services_gave_themselves_stay() -> None:
    case = opened()
    disk = f"{records.OWNER}:aws:ec2-infrastructure:i-0abc"
    grants = [live("a", RDS), live("b", "dynamodb.eu-west-1.amazonaws.com"), live("c", disk)]
    assert without(case.proposal(case.subject(live=OPENED, grants=grants)), "revoke-grants")


def test_a_services_grant_that_the_actor_made_goes_with_a_warning() -> None:
    outsider = records.adding(OPENED, records.allow(records.role_arn("Mallory"), "kms:CreateGrant"))
    change = records.put_policy("10:00", MALLORY, outsider)
    case = opened()
    made = records.grant("10:30", MALLORY, RDS, grant_id="g1")
    case = type(case)((case.told[0], change, made), change, case.accounts)
    found = plan(case.proposal(case.subject(live=outsider)), "revoke-grants")
    assert "by who made the change" in found.why
    assert any("an AWS service may need it" in one for one in found.warnings)


def test_a_grant_whose_id_no_record_tells_is_asked_for() -> None:
    made = records.grant("10:30", MALLORY, EXFIL, grant_id="g1", responseElements=None)
    case = opened(made)
    found = without(case.proposal(case.subject(live=OPENED)), "revoke-grants")
    assert "do not tell its id" in found.why
    assert "kms:ListGrants" in found.advice


def test_an_id_that_could_not_be_one_is_never_sent() -> None:
    made = records.grant("10:30", MALLORY, EXFIL, grant_id="x --key-id other")
    case = opened(made)
    assert without(case.proposal(case.subject(live=OPENED)), "revoke-grants")


@pytest.mark.parametrize(
    "grantee",
    [
        f"arn:aws:iam::{records.OUTSIDE}:role/rds.amazonaws.com",
        f"arn:aws:sts::{records.OUTSIDE}:assumed-role/Exfil/backup.amazonaws.com",
        f"arn:aws:iam::{records.OUTSIDE}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
        f"arn:aws:sts::{records.OUTSIDE}:assumed-role/aws:ec2-infrastructure/i-1",
        f"{records.OUTSIDE}:aws:ec2-infrastructure:i-1",
    ],
)
def test_nobody_from_outside_passes_for_a_service_by_a_name(grantee: str) -> None:
    case = opened()
    found = plan(case.proposal(case.subject(live=OPENED, grants=[live("a", grantee)])), "revoke-grants")
    assert found.calls[0].parameters["GrantId"] == "a"


def test_an_identity_that_gained_does_not_keep_its_grant_by_a_name_like_a_services() -> None:
    named = records.role_arn("rds.amazonaws.com")
    gained = records.adding(GOOD, records.allow(named, "kms:Decrypt"))
    case = attack(gained)
    found = plan(case.proposal(case.subject(live=gained, grants=[live("a", named)])), "revoke-grants")
    assert [call.parameters["GrantId"] for call in found.calls] == ["a"]
