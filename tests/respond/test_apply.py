"""Plans applied to a real KMS and IAM, and what happens when these answer badly."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from keytrail.errors import KeytrailError, SourceError, StoreError, UsageError
from keytrail.respond.apply import StalePlan, Step, summary
from keytrail.respond.model import Call, Plan
from tests.respond.kit import (
    ACCOUNT,
    DENY_ALL,
    FOREIGN,
    GOOD,
    REGION,
    ROGUE,
    Clock,
    applied,
    assert_no_bypass,
    deny,
    disable,
    iam,
    kms,
    live_policy,
    lost_answer,
    make_key,
    make_plan,
    moves,
    policy_answer,
    put_policy,
    restore,
    revoke,
    understanding_arns,
)
from tests.servers.proxy import Answer, Proxy, cut, error

CALLER = f"arn:aws:sts::{ACCOUNT}:user/moto"


def make_grant(url: str, key: str, name: str = "rogue") -> str:
    arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
    return str(kms(url).create_grant(KeyId=key, GranteePrincipal=arn, Operations=["Decrypt"])["GrantId"])


# -- all goes well -------------------------------------------------------------------------------------------------


def test_a_policy_is_restored_and_read_back(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    result = applied(restore(key), proxy.url)
    assert (result.outcome, result.well, result.done, result.left) == ("agreed", True, (0,), ())
    assert live_policy(proxy.upstream, key) == GOOD
    assert moves(result) == [(-1, "checked"), (0, "begun"), (0, "done"), (0, "agreed"), (-1, "agreed")]
    assert {one.caller for one in result.steps} == {CALLER}
    assert_no_bypass(proxy)


def test_a_grant_is_revoked(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    rogue, other = make_grant(proxy.upstream, key), make_grant(proxy.upstream, key, "reporting")
    result = applied(make_plan("revoke-grants", key, revoke(key, rogue)), proxy.url)
    assert result.outcome == "agreed"
    assert [one["GrantId"] for one in kms(proxy.upstream).list_grants(KeyId=key)["Grants"]] == [other]


def test_a_key_is_disabled(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    with understanding_arns(proxy):
        result = applied(make_plan("disable-key", key, disable(key)), proxy.url)
    assert result.outcome == "agreed"
    assert kms(proxy.upstream).describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"


@pytest.mark.parametrize("kind", ["Role", "User"])
def test_a_role_and_a_user_are_quarantined(proxy: Proxy, kind: str) -> None:
    key, name = make_key(proxy.upstream), f"mallory-{kind}"
    trust = {"AssumeRolePolicyDocument": "{}"} if kind == "Role" else {}
    make, get = (getattr(iam(proxy.upstream), f"{verb}_{kind.lower()}") for verb in ("create", "get"))
    make(**{f"{kind}Name": name}, **trust)
    plan = make_plan("quarantine", key, deny(kind, name, DENY_ALL))
    assert applied(plan, proxy.url).outcome == "agreed"
    get = getattr(iam(proxy.upstream), f"get_{kind.lower()}_policy")
    found = get(**{f"{kind}Name": name}, PolicyName="keytrail-quarantine")
    assert found["PolicyDocument"] == json.loads(DENY_ALL)
    assert applied(plan, proxy.url).outcome == "there already"


def test_doing_it_again_changes_nothing(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    grant = make_grant(proxy.upstream, key)
    plan = make_plan("remove", key, put_policy(key, GOOD), revoke(key, grant), before=ROGUE, after=GOOD)
    assert applied(plan, proxy.url).outcome == "agreed"
    proxy.clear()
    again = applied(plan, proxy.url)
    assert (again.outcome, again.done) == ("there already", (0, 1))
    assert moves(again) == [(-1, "checked"), (0, "there already"), (1, "there already")]
    assert not proxy.count("PutKeyPolicy|RevokeGrant")


def test_a_policy_that_aws_writes_in_its_own_way_is_the_same(proxy: Proxy) -> None:
    document = json.loads(GOOD)
    document["Statement"][0] |= {"Action": ["kms:*"], "Principal": {"AWS": [ACCOUNT]}}
    key = make_key(proxy.upstream, json.dumps(document))
    assert applied(restore(key), proxy.url).outcome == "there already"


# -- nothing is changed --------------------------------------------------------------------------------------------


def refused(plan: Plan, proxy: Proxy) -> KeytrailError:
    """The error of a plan that is not applied; nothing that changes anything went over the wire."""
    noted: list[Step] = []
    with pytest.raises(KeytrailError) as caught:
        applied(plan, proxy.url, record=noted.append)
    assert not proxy.count("PutKeyPolicy|RevokeGrant|DisableKey|PutRolePolicy|PutUserPolicy")
    assert [(one.step, one.state) for one in noted] == [(-1, "failed")]
    return caught.value


def test_a_plan_for_another_version_is_refused(proxy: Proxy) -> None:
    key = make_key(proxy.upstream, FOREIGN)
    problem = refused(restore(key), proxy)
    assert isinstance(problem, StalePlan)
    assert problem.seen.value == FOREIGN
    assert "not the one that the plan was made for" in problem.what
    assert "Nothing was changed" in problem.advice
    assert live_policy(proxy.upstream, key) == FOREIGN


def test_credentials_of_another_account_are_refused(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    elsewhere = key.replace(ACCOUNT, "555566667777")
    problem = refused(make_plan("restore", elsewhere, put_policy(elsewhere, GOOD, "555566667777"), before=ROGUE), proxy)
    assert isinstance(problem, UsageError)
    assert f"of account {ACCOUNT}" in problem.what
    assert "of account 555566667777" in problem.what
    assert "--role-arn" in problem.advice
    assert not proxy.count("GetKeyPolicy")


def test_nobody_stops_the_identity_that_applies_the_plan(proxy: Proxy) -> None:
    name = iam(proxy.upstream).create_role(RoleName="BreakGlass", Path="/team/", AssumeRolePolicyDocument="{}")
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/BreakGlass/night"
    answer = f"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>x</UserId><Account>{ACCOUNT}"
    answer += "</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    proxy.plan("GetCallerIdentity", lambda request, ask: Answer(200, (("Content-Type", "text/xml"),), answer.encode()))
    call = replace(deny("Role", "BreakGlass", DENY_ALL), resource=name["Role"]["Arn"])
    problem = refused(make_plan("quarantine", make_key(proxy.upstream), call), proxy)
    assert "would lock itself out" in problem.what
    assert not proxy.count("PutRolePolicy")


def test_a_policy_that_may_not_be_read_is_not_replaced(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("GetKeyPolicy", error("AccessDeniedException"))
    problem = refused(restore(key), proxy)
    assert isinstance(problem, SourceError)
    assert "denies kms:GetKeyPolicy" in problem.what


def test_a_key_that_waits_for_its_deletion_is_not_disabled(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    kms(proxy.upstream).schedule_key_deletion(KeyId=key.rpartition("/")[2], PendingWindowInDays=7)
    assert "PendingDeletion" in refused(make_plan("disable-key", key, disable(key)), proxy).what


def test_a_policy_of_the_same_name_that_says_something_else_is_kept(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    iam(proxy.upstream).create_user(UserName="taken")
    theirs = DENY_ALL.replace("Deny", "Allow")
    iam(proxy.upstream).put_user_policy(UserName="taken", PolicyName="keytrail-quarantine", PolicyDocument=theirs)
    assert (
        "another policy of the name"
        in refused(make_plan("quarantine", key, deny("User", "taken", DENY_ALL)), proxy).what
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda key: put_policy(key, GOOD, BypassPolicyLockoutSafetyCheck=True),
        lambda key: put_policy(key, GOOD, BypassPolicyLockoutSafetyCheck=False),
        lambda key: put_policy(key, "file:///etc/passwd"),
        lambda key: put_policy("alias/orders", GOOD),
        lambda key: Call("kms", "ScheduleKeyDeletion", {"KeyId": key}, ACCOUNT, REGION, key),
        lambda key: revoke(key, "--cli-input-json file:///etc/passwd"),
        lambda key: deny("User", "--user-name", DENY_ALL),
        lambda key: deny("User", "eve", DENY_ALL.replace("Deny", "Allow")),
        lambda key: Call("kms", "DisableKey", {"KeyId": key}, ACCOUNT, REGION, key.replace("key/", "key/x")),
        lambda key: Call("kms", "DisableKey", {"KeyId": key}, ACCOUNT, "us-east-1", key),
        lambda key: Call("kms", "DisableKey", {"KeyId": key}, "555566667777", REGION, key),
        lambda key: replace(deny("User", "eve", DENY_ALL), resource=f"arn:aws:iam::{ACCOUNT}:user/adam"),
        lambda key: replace(deny("User", "eve", DENY_ALL), resource=f"arn:aws:iam::{ACCOUNT}:role/eve"),
        lambda key: replace(deny("User", "eve", DENY_ALL), resource="eve"),
    ],
)
def test_what_no_plan_says_is_never_sent(proxy: Proxy, call: Any) -> None:
    key = make_key(proxy.upstream)
    proxy.clear()
    assert isinstance(refused(make_plan("restore", key, call(key), before=ROGUE), proxy), UsageError)
    assert not proxy.requests


def test_a_plan_without_calls_is_refused(proxy: Proxy) -> None:
    assert "no call" in refused(make_plan("restore", make_key(proxy.upstream)), proxy).what


# -- half way ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("MalformedPolicyDocumentException", "lock-out check refused it"),
        ("AccessDeniedException", "--iam-policy"),
        ("KMSInvalidStateException", "cancel-key-deletion"),
        ("LimitExceededException", "32,768 bytes"),
        ("NotFoundException", "the key or the grant is gone"),
    ],
)
def test_a_call_that_aws_refuses_says_what_to_do(proxy: Proxy, code: str, advice: str) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("PutKeyPolicy", error(code))
    result = applied(restore(key), proxy.url)
    assert (result.outcome, result.done, result.left) == ("failed", (), (0,))
    assert result.error is not None
    assert advice in result.error.advice
    assert summary(result)[-1] == "Nothing of this plan was done."
    assert live_policy(proxy.upstream, key) == ROGUE


def test_a_failure_half_way_says_what_was_done_and_goes_on_later(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    grants = [make_grant(proxy.upstream, key, f"rogue{number}") for number in range(3)]
    plan = make_plan(
        "remove", key, put_policy(key, GOOD), *(revoke(key, one) for one in grants), before=ROGUE, after=GOOD
    )
    proxy.plan("RevokeGrant", error("KMSInternalException", 400), 0)
    proxy.plan("RevokeGrant", lambda request, ask: ask())
    proxy.plan("RevokeGrant", error("AccessDeniedException"))
    result = applied(plan, proxy.url)
    assert (result.outcome, result.done, result.left) == ("failed", (0, 1), (2, 3))
    lines = summary(result)
    assert lines[0] == f"done: set the key policy of {key}"
    assert f"not done: revoke the grant {grants[1]} on {key}" in lines
    assert "2 calls of 4 took effect" in lines[-1]
    assert "apply the plan again" in lines[-1]

    again = applied(plan, proxy.url)
    assert (again.outcome, again.done) == ("agreed", (0, 1, 2, 3))
    assert [step for step, state in moves(again) if state == "there already"] == [0, 1]
    assert not kms(proxy.upstream).list_grants(KeyId=key)["Grants"]


def test_an_answer_that_is_lost_is_looked_up(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("PutKeyPolicy", lost_answer)
    result = applied(restore(key), proxy.url)
    assert result.outcome == "agreed"
    assert live_policy(proxy.upstream, key) == GOOD


def test_an_answer_that_is_lost_with_the_network_is_not_taken_for_a_refusal(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("PutKeyPolicy", lost_answer)
    proxy.plan("GetKeyPolicy", lambda request, ask: ask())
    proxy.plan("GetKeyPolicy", cut())
    result = applied(restore(key), proxy.url)
    assert (result.outcome, result.left) == ("failed", (0,))
    assert result.error is not None
    assert "not certain" in result.error.what
    assert "Nothing of this plan" not in summary(result)[-1]
    assert applied(restore(key), proxy.url).outcome == "there already"


def test_a_refusal_of_the_second_try_does_not_tell_what_became_of_the_first(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("PutKeyPolicy", lost_answer)
    proxy.plan("PutKeyPolicy", error("AccessDeniedException"))  # by the policy that the first try put there
    proxy.plan("GetKeyPolicy", lambda request, ask: ask())
    proxy.plan("GetKeyPolicy", error("AccessDeniedException"))
    result = applied(restore(key), proxy.url, attempts=2)
    assert live_policy(proxy.upstream, key) == GOOD
    assert result.error is not None
    assert "not certain" in result.error.what
    assert "Nothing of this plan" not in summary(result)[-1]


def test_a_call_that_cannot_be_noted_is_not_made(proxy: Proxy) -> None:
    def full(step: Step) -> None:
        if step.state == "begun":
            raise StoreError("no space")

    key = make_key(proxy.upstream)
    with pytest.raises(StoreError):
        applied(restore(key), proxy.url, record=full)
    assert not proxy.count("PutKeyPolicy")


def test_throttling_is_waited_for(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("PutKeyPolicy", error("ThrottlingException"))
    result = applied(restore(key), proxy.url, attempts=3)
    assert result.outcome == "agreed"
    assert proxy.count("PutKeyPolicy") == 2


# -- read back -----------------------------------------------------------------------------------------------------


def test_a_result_that_comes_late_is_waited_for_with_growing_pauses(proxy: Proxy) -> None:
    key, clock = make_key(proxy.upstream), Clock()
    proxy.plan("GetKeyPolicy", policy_answer(ROGUE), 6)
    assert applied(restore(key), proxy.url, clock=clock).outcome == "agreed"
    assert clock.pauses == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_a_result_that_does_not_come_is_said(proxy: Proxy) -> None:
    key, clock = make_key(proxy.upstream), Clock()
    proxy.plan("GetKeyPolicy", policy_answer(ROGUE), 1000)
    result = applied(restore(key), proxy.url, clock=clock)
    assert (result.outcome, result.well) == ("not seen", False)
    assert moves(result)[-2:] == [(0, "not seen"), (-1, "not seen")]
    assert sum(clock.pauses) == pytest.approx(60)
    assert "still shows what was there before" in summary(result)[-1]


def test_somebody_who_comes_between_is_told(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("GetKeyPolicy", policy_answer(ROGUE))
    proxy.plan("GetKeyPolicy", policy_answer(FOREIGN), 1000)
    result = applied(restore(key), proxy.url)
    assert (result.outcome, result.well) == ("disputed", False)
    [(number, seen)] = result.seen
    assert (number, seen.value) == (0, FOREIGN)
    assert "somebody came between" in summary(result)[-1]


def test_a_replica_that_is_far_behind_for_a_moment_is_no_dispute(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("GetKeyPolicy", policy_answer(ROGUE))
    proxy.plan("GetKeyPolicy", policy_answer(FOREIGN))
    assert applied(restore(key), proxy.url).outcome == "agreed"


def test_a_result_that_cannot_be_read_for_a_while_is_read_later(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("GetKeyPolicy", lambda request, ask: ask())
    proxy.plan("GetKeyPolicy", error("KMSInternalException", 500), 2)
    assert applied(restore(key), proxy.url).outcome == "agreed"


def test_a_result_that_may_not_be_read_any_more_is_not_taken_for_the_old_one(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("GetKeyPolicy", lambda request, ask: ask())
    proxy.plan("GetKeyPolicy", error("AccessDeniedException"), 1000)
    result = applied(restore(key), proxy.url)
    assert (result.outcome, result.done, result.left) == ("not seen", (0,), ())
    assert result.error is not None
    assert "denies kms:GetKeyPolicy" in result.error.what
    assert "could not be read back" in summary(result)[-1]
    assert live_policy(proxy.upstream, key) == GOOD


def test_of_several_results_the_one_that_does_not_come_is_named(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    grant = make_grant(proxy.upstream, key)
    plan = make_plan("remove", key, put_policy(key, GOOD), revoke(key, grant), before=ROGUE, after=GOOD)
    proxy.plan("GetKeyPolicy", policy_answer(ROGUE), 1000)
    result = applied(plan, proxy.url)
    assert moves(result)[-3:] == [(0, "not seen"), (1, "agreed"), (-1, "not seen")]


@pytest.mark.parametrize("text", ["not JSON", "[]", '{"Statement": "\\u001b[2J"}'])
def test_a_policy_that_is_none_is_a_dispute_and_no_defect(proxy: Proxy, text: str) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("GetKeyPolicy", policy_answer(ROGUE))
    proxy.plan("GetKeyPolicy", policy_answer(text), 1000)
    assert applied(restore(key), proxy.url).outcome == "disputed"
