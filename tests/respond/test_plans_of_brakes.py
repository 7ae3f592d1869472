"""Disabling the key, quarantining who did it, revoking sessions: what breaks is said, and what cannot be stopped."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from keytrail.respond.propose import propose
from keytrail.settings import Accounts
from tests.investigate import records
from tests.respond.attacks import GOOD, NOW, OPENED, Json, attack, claim, opened, plan, plans, without

OTHER = "444455556666"
USER = records.user("eve", access_key="AKIAEXAMPLEEVE000001")

# Disable the key -----------------------------------------------------------------------------------------------------


def test_what_would_break_is_said_with_how_it_was_used() -> None:
    app = records.session("App")
    context = {"aws:s3:arn": "arn:aws:s3:::ledger/a"}
    case = opened(*(records.use(f"09:0{number}", app, context, via="s3.amazonaws.com") for number in range(3)))
    found = plan(case.proposal(case.subject(live=OPENED)), "disable-key")
    assert found.warnings[0] == (
        "This would break what uses the key: role App (Decrypt 3 times, last at 2026-03-02 09:02:00 UTC,"
        " through s3.amazonaws.com, for arn:aws:s3:::ledger/a)."
    )
    assert "arn:aws:s3:::ledger" in found.warnings[1]
    assert found.calls[0].undo.startswith("EnableKey")
    assert [(one.principals[0], one.meant) for one in found.losses] == [(records.role_arn("App"), False)]


def test_who_from_outside_uses_it_is_no_breakage() -> None:
    case = opened(records.use("10:30", records.outsider()))
    found = plan(case.proposal(case.subject(live=OPENED)), "disable-key")
    assert any("of accounts that nobody vouches for: account 999988887777" in one for one in found.warnings)
    assert found.losses[0].meant


def test_a_brake_that_the_rogue_can_let_go_says_so_and_can_be_pulled_all_the_same() -> None:
    taken = records.adding(GOOD, records.allow(records.role_arn("Mallory")))
    case = attack(taken)
    proposal = case.proposal(case.subject(live=taken))
    found = plan(proposal, "disable-key")
    assert claim(found, "rogue_gone")[0] == "open"
    assert "role Mallory, who gained access, can enable it again" in claim(found, "rogue_gone")[1]
    assert found.sound
    assert found.unproved
    assert proposal.plans[-1] is found


def test_who_can_set_the_policy_of_a_disabled_key_can_enable_it_again() -> None:
    taken = records.adding(GOOD, records.allow(records.role_arn("Mallory"), "kms:PutKeyPolicy"))
    case = attack(taken)
    found = plan(case.proposal(case.subject(live=taken)), "disable-key")
    assert claim(found, "rogue_gone")[0] == "open"


def test_a_request_that_is_refused_by_now_does_not_prove_that_all_are() -> None:
    mallory = records.role_arn("Mallory")
    network: Json = {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}
    case = attack(records.adding(GOOD, records.allow(mallory)))
    now = records.adding(GOOD, records.allow(mallory, condition=network))
    assert claim(plan(case.proposal(case.subject(live=now)), "disable-key"), "rogue_gone")[0] == "open"


@pytest.mark.parametrize("state", ["disabled", "pending"])
def test_a_key_that_nobody_can_use_is_not_disabled(state: Any) -> None:
    case = opened()
    assert without(case.proposal(case.subject(live=OPENED, state=state)), "disable-key")


def test_the_records_tell_that_a_key_is_disabled() -> None:
    case = opened(records.key_call("DisableKey", "11:00", records.session("Admin", name="dana")))
    assert without(case.proposal(case.subject(live=OPENED)), "disable-key").why == "The key is disabled already."


def test_the_answer_of_aws_about_the_state_counts_more_than_the_records() -> None:
    case = opened(records.key_call("DisableKey", "11:00", records.session("Admin", name="dana")))
    assert plan(case.proposal(case.subject(live=OPENED, state="enabled")), "disable-key")


# Quarantine ----------------------------------------------------------------------------------------------------------


def test_a_user_is_denied_everything_and_its_access_key_goes_off() -> None:
    case = opened(who=USER)
    found = plan(case.proposal(case.subject(live=OPENED)), "quarantine")
    put, key = found.calls
    assert (put.action, put.parameters["UserName"]) == ("iam:PutUserPolicy", "eve")
    assert str(put.parameters["PolicyName"]).startswith("keytrail-quarantine-")
    [statement] = json.loads(str(put.parameters["PolicyDocument"]))["Statement"]
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == ("Deny", "*", "*")
    assert key.parameters == {"UserName": "eve", "AccessKeyId": "AKIAEXAMPLEEVE000001", "Status": "Inactive"}
    assert (found.subject, put.account, put.region) == (f"arn:aws:iam::{records.OWNER}:user/eve", records.OWNER, "")


def test_other_access_keys_that_a_user_was_seen_with_go_off_as_well() -> None:
    other = records.user("eve", access_key="AKIAEXAMPLEEVE000002")
    case = opened(records.record("s3:ListBuckets", "09:00", other), who=USER)
    found = plan(case.proposal(case.subject(live=OPENED)), "quarantine")
    assert [call.parameters["AccessKeyId"] for call in found.calls[1:]] == [
        "AKIAEXAMPLEEVE000001",
        "AKIAEXAMPLEEVE000002",
    ]


def test_a_role_is_denied_everything_and_who_else_uses_it_is_said() -> None:
    ci = records.session("team/Mallory", name="ci-7", access_key="ASIAEXAMPLECI0000001")
    mallory = records.session("team/Mallory", name="m")
    case = opened(records.record("s3:ListBuckets", "09:00", ci), who=mallory)
    found = plan(case.proposal(case.subject(live=OPENED)), "quarantine")
    [call] = found.calls
    assert (call.action, call.parameters["RoleName"]) == ("iam:PutRolePolicy", "Mallory")
    assert call.resource == records.role_arn("team/Mallory")
    assert any("role Mallory (session ci-7)" in one and "denied everything as well" in one for one in found.warnings)


def test_open_sessions_are_denied_by_the_time_they_were_opened() -> None:
    case = opened()
    found = plan(case.proposal(case.subject(live=OPENED)), "revoke-sessions")
    [statement] = json.loads(str(found.calls[0].parameters["PolicyDocument"]))["Statement"]
    assert statement["Condition"] == {"DateLessThan": {"aws:TokenIssueTime": "2026-03-03T02:00:00Z"}}
    assert any("Sessions opened after 2026-03-03 02:00:00 UTC go on" in one for one in found.warnings)


def test_the_two_policies_of_a_role_do_not_replace_each_other() -> None:
    case = opened()
    proposal = case.proposal(case.subject(live=OPENED))
    names = {plan(proposal, kind).calls[0].parameters["PolicyName"] for kind in ("quarantine", "revoke-sessions")}
    assert len(names) == 2


def test_the_user_who_opened_the_sessions_is_stopped_too() -> None:
    mallory = records.session("Mallory", name="m", access_key="ASIAEXAMPLEMALLORY01")
    assumed = records.assume_role(
        "09:50", USER, records.role_arn("Mallory"), name="m", access_key="ASIAEXAMPLEMALLORY01"
    )
    case = opened(assumed, who=mallory)
    proposal = case.proposal(case.subject(live=OPENED))
    found = {one.subject: one for one in plans(proposal, "quarantine")}
    assert set(found) == {records.role_arn("Mallory"), f"arn:aws:iam::{records.OWNER}:user/eve"}
    assert "opened a session that led to the change" in found[f"arn:aws:iam::{records.OWNER}:user/eve"].why


def test_the_only_one_who_can_set_the_policy_is_not_stopped_before_it_is_put_back() -> None:
    taken = records.policy(records.allow(records.role_arn("Mallory")))
    case = attack(taken)
    found = plan(case.proposal(case.subject(live=taken)), "quarantine")
    assert "Put the policy back first" in found.warnings[0]


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ({"type": "Root", "arn": records.root_arn(records.OWNER), "accountId": records.OWNER}, "root user"),
        (records.session("AWSReservedSSO_Ops_0123456789abcdef", name="dana"), "IAM Identity Center"),
        (records.session("aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS"), "service-linked role"),
        (
            {
                "type": "FederatedUser",
                "arn": f"arn:aws:sts::{records.OWNER}:federated-user/eve",
                "accountId": records.OWNER,
                "accessKeyId": "ASIAEXAMPLEFED000001",
            },
            "federated user",
        ),
        (records.session("Mallory", OTHER), "neither the key's nor of its organisation"),
        (records.service("backup.amazonaws.com"), "no identity of IAM"),
        (records.session("Break\x1b[2JGlass", name="x"), "a name that IAM does not take"),
    ],
)
def test_who_cannot_be_stopped_in_iam_is_said_and_where(who: Json, why: str) -> None:
    case = opened(who=who)
    assert why in without(case.proposal(case.subject(live=OPENED)), "quarantine").why


def test_a_role_of_the_organisation_is_stopped_in_its_own_account() -> None:
    case = opened(who=records.session("Mallory", OTHER), accounts=Accounts(names={OTHER: "payments"}))
    assert plan(case.proposal(case.subject(live=OPENED)), "quarantine").calls[0].account == OTHER


def test_nobody_is_made_to_lock_themselves_out() -> None:
    case = opened(who=records.session("team/BreakGlass", name="other"))
    for kind in ("quarantine", "revoke-sessions"):
        found = without(case.proposal(case.subject(live=OPENED)), kind)  # type: ignore[arg-type]
        assert "would lock itself out" in found.why


def test_the_alert_is_in_the_name_of_the_policy_so_that_it_is_found_again() -> None:
    case = opened()
    found = plan(case.proposal(case.subject(live=OPENED)), "quarantine")
    assert found.calls[0].parameters["PolicyName"] == "keytrail-quarantine-ab12ab12ab12"


def test_a_plan_made_later_denies_the_sessions_up_to_then() -> None:
    case = opened()
    subject = case.subject(live=OPENED)
    now = propose(subject, caller=None, uses=None, now=NOW)
    later = propose(subject, caller=None, uses=None, now=NOW + timedelta(hours=1))
    assert plan(now, "revoke-sessions").id != plan(later, "revoke-sessions").id
    assert plan(now, "quarantine").id == plan(later, "quarantine").id
