"""The verdict: what each story comes to, why, what would change it; and that no signal is without a story."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from keytrail.investigate.investigator import Knowledge, investigate
from keytrail.investigate.model import Act, Capped, Fact, Judgement, PolicyVersion, PrincipalActivity, Seen
from keytrail.investigate.signals import SIGNALS
from keytrail.investigate.verdict import MALICIOUS_FROM, REVIEW_FROM
from keytrail.policy import KeyPolicy, Severity
from keytrail.settings.trust import ApprovedAccount
from tests.investigate import records
from tests.investigate.facts import (
    APP,
    FORMER,
    NOW,
    ORG,
    PARTNER,
    ROOT,
    TRUST,
    actor,
    acts,
    changed,
    compared,
    data,
    grant,
    judged,
    key,
    lets_in,
    related,
    usage,
    version,
)
from tests.investigate.story import scenes

OUTSIDE = records.root_arn(records.OUTSIDE)
ADMIN = records.session("Admin", name="dana")
ADMIN_ARN = f"arn:aws:sts::{records.OWNER}:assumed-role/Admin/dana"
USE_APP = records.allow(APP, ["kms:Decrypt"])
ONLY_OUTSIDE = records.allow(OUTSIDE, "kms:*")
BYPASS = {
    "requestParameters": {
        "keyId": records.KEY,
        "policy": json.dumps(records.policy(ONLY_OUTSIDE)),
        "bypassPolicyLockoutSafetyCheck": True,
    }
}


def plain(*after: records.Json, before: tuple[records.Json, ...] | None = (ROOT,), **more: object) -> Judgement:
    """A change from `before` to `after` in plain surroundings; `more` goes to `judged`."""
    change = changed(*after)
    return judged(change, compared(change, version(before)), **more)  # type: ignore[arg-type]


def members(operator: str) -> records.Json:
    return records.allow("*", ["kms:Decrypt"], {operator: {"aws:PrincipalOrgID": ORG}})


def expected_own_role() -> Judgement:
    return plain(ROOT, USE_APP)


def reordered() -> Judgement:
    return plain(USE_APP, ROOT, before=(ROOT, USE_APP))


def reordered_after_a_gap() -> Judgement:
    change = changed(USE_APP, ROOT)
    before = replace(version((ROOT, USE_APP)), status="gap", reason="the trail was stopped")
    return judged(change, compared(change, before))


def approved() -> Judgement:
    return plain(ROOT, lets_in(PARTNER), around=related(uses=[usage(records.root_arn(PARTNER))]))


def expired() -> Judgement:
    return plain(ROOT, lets_in(FORMER), around=related(uses=[usage(records.root_arn(FORMER))]))


def by_a_service() -> Judgement:
    backup = {"Service": "backup.amazonaws.com"}
    bound = records.allow(backup, ["kms:Decrypt"], {"StringEquals": {"aws:SourceAccount": records.OWNER}})
    change = changed(ROOT, bound, by=records.service())
    nothing = Seen("backup.amazonaws.com", None, None)
    who = actor(change, type="AWSService", mfa=None, address=nothing, agent=nothing, before_on_key=None)
    return judged(change, compared(change, version([ROOT])), by=who)


def unbounded_service() -> Judgement:
    return plain(ROOT, records.allow({"Service": "sns.amazonaws.com"}, ["kms:Decrypt"]))


def outside_only() -> Judgement:
    return plain(ROOT, lets_in(records.OUTSIDE), stake=data("secretsmanager", *["s3"] * 10))


def intrusion() -> Judgement:
    change = changed(ROOT, lets_in(records.OUTSIDE))
    known = compared(change, version([ROOT]), refused_before=("try-1", "try-2"))
    new = {"address": Seen("203.0.113.66", False, False), "agent": Seen("kali", False, False)}
    who = actor(change, before_on_key=False, acts=acts(ADMIN_ARN, "CreateUser", "StopLogging"), **new)
    around = related(uses=[usage(OUTSIDE, 16)], since=[grant(OUTSIDE)])
    return judged(change, known, by=who, around=around)


def stolen_key() -> Judgement:
    change = changed(ROOT, USE_APP, by=records.user("mallory"))
    who = actor(
        change, type="IAMUser", mfa=False, before_on_key=False, access_key_kind="long-term",
        acts=acts(change.event.who, "CreateAccessKey"), agent=Seen("new/1.0", False, False),
    )  # fmt: skip
    return judged(change, compared(change, version([ROOT])), by=who)


def opened_to_anyone() -> Judgement:
    return plain(ROOT, members("StringEqualsIfExists"), before=(ROOT, members("StringEquals")))


def takeover() -> Judgement:
    change = changed(records.allow(records.role_arn("Admin")), ONLY_OUTSIDE)
    known = compared(change, version([ROOT]), reverted_by="undo", reverted_at=NOW + timedelta(minutes=6))
    return judged(change, known, around=related(uses=[usage(OUTSIDE, 6)]))


def locked_out() -> Judgement:
    change = changed(ONLY_OUTSIDE, **BYPASS)
    return judged(change, compared(change, version([ROOT])))


def locked_out_by_mistake() -> Judgement:
    return plain(records.allow(APP, ["kms:Decrypt"]), before=(records.allow(records.role_arn("Admin")),))


def copy_that_differs(severity: Severity = "medium") -> Judgement:
    change = changed(ROOT, USE_APP)
    known = compared(change, version([ROOT]))
    assert known.comparison is not None
    copies = replace(known.comparison.findings[0], id="KMS-P28", severity=severity)
    return judged(change, replace(known, comparison=replace(known.comparison, findings=(copies,))))


def deny_removed() -> Judgement:
    deny = {**USE_APP, "Sid": "Mfa", "Effect": "Deny", "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "false"}}}
    return plain(ROOT, USE_APP, before=(ROOT, USE_APP, deny))


def before_unknown() -> Judgement:
    return plain(ROOT, before=None)


def outside_since_nobody_knows_when() -> Judgement:
    return plain(ROOT, lets_in(records.OUTSIDE), before=None, around=related(uses=[usage(OUTSIDE)]))


def after_unknown() -> Judgement:
    change = records.change(records.put_omitted("12:00", ADMIN))
    return judged(change, compared(change, version([ROOT])))


def undecided() -> Judgement:
    change = changed(ROOT, USE_APP)
    known = compared(change, version([ROOT]))
    assert known.comparison is not None
    proof = replace(known.comparison.proof, new_access="possible")
    return judged(change, replace(known, comparison=replace(known.comparison, proof=proof)))


def put_back(author: str = "mallory", *, minutes: int = 600, surviving: bool = False) -> Judgement:
    """The version of the morning is put back after somebody let an outside account in."""
    change = changed(ROOT)
    first = version([ROOT], "00:10")
    when = f"{(NOW - timedelta(minutes=minutes)):%H:%M}"
    opened = version([ROOT, lets_in(records.OUTSIDE)], when, author=author)
    around = related(surviving=[grant(records.role_arn("exfil", records.OUTSIDE))] if surviving else [])
    return judged(change, compared(change, opened, history=[first]), around=around)


def by_infrastructure_code() -> Judgement:
    change = changed(ROOT, USE_APP)
    who = actor(change, agent=Seen("HashiCorp/1.0 Terraform/1.8.1", True, True))
    return judged(change, compared(change, version([ROOT])), by=who)


def no_second_factor() -> Judgement:
    change = changed(ROOT, USE_APP, by=records.user("mallory"))
    who = actor(change, type="IAMUser", mfa=False)
    return judged(change, compared(change, version([ROOT])), by=who)


def given_to_itself() -> Judgement:
    return plain(ROOT, records.allow(records.role_arn("Admin")))


def made_anew() -> Judgement:
    """The same policy again, after the role that it names was deleted and made anew."""
    role = records.event(records.iam("CreateRole", "11:00", ADMIN, {"roleName": "App"}))
    change = changed(ROOT, USE_APP)
    return judged(change, compared(change, version([ROOT, USE_APP])), remade=[role])


def assumed_from(account: str) -> Judgement:
    role = PrincipalActivity(APP, assumed_by_accounts=(account,))
    return plain(ROOT, USE_APP, around=replace(related(), principals=Capped((role,), 1)))


def crowd() -> Judgement:
    return plain(ROOT, USE_APP, around=replace(related(), principals=Capped((PrincipalActivity(APP),), 2)))


def held_to_ransom(*exempt: str) -> Judgement:
    deny = records.allow("*", ["kms:Decrypt"], {"ArnNotLike": {"aws:PrincipalArn": list(exempt)}}, Effect="Deny")
    return plain(ROOT, USE_APP, deny, before=(ROOT, USE_APP))


STORIES: Mapping[str, tuple[Callable[[], Judgement], str, set[str]]] = {
    "a role of the own account": (expected_own_role, "expected", {"own_accounts_only", "known_actor"}),
    "infrastructure code": (by_infrastructure_code, "expected", {"infrastructure_code"}),
    "statements in another order": (reordered, "no_effect", {"no_effect"}),
    "the same, after a gap": (reordered_after_a_gap, "review", {"before_unknown"}),
    "an approved partner, who uses it": (approved, "expected", {"approved_gained"}),
    "a partner whose approval expired": (expired, "review", {"expired_gained", "used_after_expiry"}),
    "a service bound to the account": (by_a_service, "expected", {"made_by_service"}),
    "a service bound to nothing": (unbounded_service, "review", {"unbounded_service"}),
    "an account nobody approved": (
        outside_only, "review", {"outside_gained", "secrets_at_stake", "much_data_at_stake"}
    ),
    "an intruder": (
        intrusion,
        "malicious",
        {"outside_gained", "used_by_outsiders", "refused_before", "suspicious_acts", "grants_since", "new_address",
         "new_agent", "new_actor"},
    ),
    "a stolen access key": (stolen_key, "review", {"young_access_key", "suspicious_act", "no_second_factor"}),
    "a user without a second factor": (no_second_factor, "expected", {"no_second_factor"}),
    "everyone let in": (opened_to_anyone, "review", {"opened_to_anyone", "organisation_boundary_lost"}),
    "a takeover, put back soon": (
        takeover, "malicious", {"takeover", "self_grant", "reverted_quickly", "used_by_outsiders"}
    ),
    "a lock-out for ransom": (locked_out, "malicious", {"locked_out", "takeover", "lockout_check_bypassed"}),
    "a lock-out by mistake": (locked_out_by_mistake, "review", {"locked_out"}),
    "an administrator who helps himself": (given_to_itself, "review", {"self_grant"}),
    "a role of that name, but another": (made_anew, "review", {"principal_remade"}),
    "a role that strangers act as": (lambda: assumed_from(records.OUTSIDE), "review", {"assumed_from_outside"}),
    "a role that a partner acts as": (lambda: assumed_from(PARTNER), "expected", {"own_accounts_only"}),
    "one in a crowd": (crowd, "review", {"not_all_looked_at"}),
    "data held to ransom": (lambda: held_to_ransom(records.role_arn("Admin")), "review", {"no_longer_readable"}),
    "one role less may decrypt": (
        lambda: held_to_ransom(records.role_arn("Admin"), APP), "expected", {"nothing_gained"}
    ),
    "nothing known of before": (before_unknown, "review", {"before_unknown"}),
    "an account nobody approved, perhaps of old": (
        outside_since_nobody_knows_when, "review", {"outside_perhaps", "used_perhaps", "before_unknown"}
    ),
    "nothing known of after": (after_unknown, "review", {"after_unknown"}),
    "nothing decided": (undecided, "review", {"undecided"}),
    "a Deny taken out": (deny_removed, "review", {"protection_weakened"}),
    "copies that differ": (copy_that_differs, "review", {"copies_differ"}),
    "restored by the defenders": (put_back, "expected", {"restores_earlier", "nothing_gained"}),
    "restored, but grants stay": (lambda: put_back(surviving=True), "review", {"grants_survive"}),
    "put back by whoever changed it": (lambda: put_back(ADMIN_ARN, minutes=6), "review", {"undoes_itself"}),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_a_story_comes_to_its_verdict(story: str) -> None:
    tell, verdict, codes = STORIES[story]
    found = tell()
    assert found.verdict == verdict, [(one.code, one.points) for one in found.reasons]
    assert codes <= {one.code for one in found.reasons}


TOLD = {
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
"""What each change of the simulated archive comes to; the review of the restored key is for the grants that stay."""


def test_the_simulated_archive_is_judged_as_it_was_meant() -> None:
    told = list(scenes())
    approved = (
        ApprovedAccount("777788889999", "Partner of the exchange", told[-1].change.event.time + timedelta(days=400)),
        ApprovedAccount("888899990000", "Contract ended", told[0].change.event.time - timedelta(days=31)),
    )
    knowledge = Knowledge(accounts=replace(told[0].accounts, approved=approved))
    found = investigate([scene.change for scene in told], told[0].store, knowledge)
    verdicts = {change.event.id: one.judgement.verdict for change, one in found}
    assert {scene.step for scene in told} == set(TOLD)
    assert {(one.step, verdicts[one.change.event.id]) for one in told} == set(TOLD.items())


def test_every_signal_has_a_story() -> None:
    assert {code for _, _, codes in STORIES.values() for code in codes} == set(SIGNALS)


@pytest.mark.parametrize("story", STORIES)
def test_a_judgement_explains_itself(story: str) -> None:
    found = STORIES[story][0]()
    points = sum(one.points for one in found.reasons)
    least = REVIEW_FROM if found.verdict == "review" else 0
    assert found.score == min(100, max(least, points)), "the reasons add up to the score"
    weights = [abs(one.points) for one in found.reasons]
    assert weights == sorted(weights, reverse=True)
    texts = [found.summary, *found.would_change, *(one.sentence for one in found.reasons)]
    assert all(not text[0].islower() and text.endswith(".") and ".." not in text for text in texts)
    assert found == STORIES[story][0](), "the same every time"


@pytest.mark.parametrize("story", STORIES)
def test_the_bands_of_the_score_are_those_of_the_verdicts(story: str) -> None:
    found = STORIES[story][0]()
    grave = any(SIGNALS[one.code].weight == "grave" for one in found.reasons)
    assert (found.verdict == "malicious") == (found.score >= MALICIOUS_FROM and grave)
    assert (found.score < REVIEW_FROM) == (found.verdict in ("expected", "no_effect"))


def test_approving_the_account_is_what_it_takes() -> None:
    change = changed(ROOT, lets_in(records.OUTSIDE))
    known = compared(change, version([ROOT]))
    found = judged(change, known)
    assert any(f"keytrail accounts approve {records.OUTSIDE}" in one for one in found.would_change)
    approval = ApprovedAccount(records.OUTSIDE, "onboarded")
    assert judged(change, known, trust=replace(TRUST, approved=(approval,))).verdict == "expected"


def test_copies_that_differed_before_are_no_news() -> None:
    assert copy_that_differs("low").verdict == "expected"


def test_an_own_account_that_came_in_with_everyone_is_no_outsider() -> None:
    own = records.root_arn("222233334444")
    for statement in (records.allow("*", ["kms:Decrypt"]), members("StringEquals")):
        for user, used in ((own, False), (OUTSIDE, statement["Principal"] == "*" and "Condition" not in statement)):
            codes = {one.code for one in plain(ROOT, statement, around=related(uses=[usage(user)])).reasons}
            assert ("used_by_outsiders" in codes) is used


def test_where_approval_would_not_help_it_is_not_advised() -> None:
    assert locked_out().would_change == ("Only word from those who answer for the key, that all of this was meant.",)
    assert f"Approve account {records.OUTSIDE}" in takeover().would_change[0]


def test_an_expected_change_says_what_would_make_it_suspect() -> None:
    assert any(f"keytrail accounts revoke {PARTNER}" in one for one in approved().would_change)
    assert reordered().would_change == ()


def test_a_quick_return_by_somebody_else_or_much_later_is_no_cover_up() -> None:
    for found in (put_back("mallory", minutes=6), put_back(ADMIN_ARN, minutes=120)):
        assert found.verdict == "expected"
        assert "undoes_itself" not in {one.code for one in found.reasons}


def test_thinking_again_about_ones_own_people_is_no_cover_up() -> None:
    change = changed(ROOT)
    opened = version([ROOT, USE_APP], "11:54", author=ADMIN_ARN)
    assert judged(change, compared(change, opened, history=[version([ROOT], "00:10")])).verdict == "expected"


def test_a_mistake_that_gave_nothing_may_be_undone_soon() -> None:
    change = changed(ROOT)
    known = compared(change, version([ROOT, USE_APP]), reverted_by="undo", reverted_at=NOW + timedelta(minutes=6))
    assert judged(change, known).verdict == "expected"


def test_infrastructure_code_makes_users_and_retires_keys_but_stops_no_trail() -> None:
    change = changed(ROOT, USE_APP)
    known, tool = compared(change, version([ROOT])), Seen("HashiCorp/1.0 Terraform/1.8.1", True, True)
    for more, verdict in (((), "expected"), (("StopLogging", "ModifySnapshotAttribute"), "review")):
        done = acts(change.event.who, "CreateUser", "ScheduleKeyDeletion", *more)
        assert judged(change, known, by=actor(change, agent=tool, acts=done)).verdict == verdict


def test_what_others_do_behind_a_known_address_is_not_the_actors() -> None:
    change = changed(ROOT, USE_APP)
    known = compared(change, version([ROOT]))
    others: Capped[Act] = acts(f"arn:aws:iam::{records.OWNER}:user/bob", "CreateUser", "StopLogging")
    assert judged(change, known, by=actor(change, acts=others)).verdict == "expected"
    new = Seen("203.0.113.66", False, False)
    assert judged(change, known, by=actor(change, acts=others, address=new)).verdict == "review"
    opener = acts(f"arn:aws:iam::{records.OWNER}:user/bob", "AssumeRole").items[0]
    assert judged(change, known, by=actor(change, acts=others, chain=(opener,))).verdict == "review"


def test_what_the_store_cannot_tell_is_not_new() -> None:
    change = changed(ROOT, USE_APP)
    blank = {"address": Seen("192.0.2.1", None, None), "agent": Seen("x", None, None), "before_on_key": None}
    found = judged(change, compared(change, version([ROOT])), by=actor(change, **blank))
    assert not {one.code for one in found.reasons} & {"new_address", "new_agent", "new_actor", "known_actor"}


def test_the_first_policy_of_a_key_is_judged_by_whom_it_lets_in() -> None:
    nothing = PolicyVersion("none")
    for statements, verdict in (((ROOT,), "expected"), ((ROOT, lets_in(records.OUTSIDE)), "review")):
        change = records.change(records.create_key("12:00", ADMIN, records.policy(*statements)))
        known = replace(compared(change, nothing), before=nothing)
        assert judged(change, known).verdict == verdict


def test_a_default_policy_before_is_known() -> None:
    change = changed(ROOT)
    default = PolicyVersion("default", KeyPolicy.default(records.OWNER), records.DEFAULT)
    assert judged(change, compared(change, default)).verdict == "no_effect"


def test_the_summary_tells_who_what_and_what_since() -> None:
    alias = key(aliases=())
    assert "key 1234abcd-12ab-34cd-56ef-1234567890ab in eu-west-1" in plain(ROOT, USE_APP, about=alias).summary
    found = intrusion().summary
    assert found.startswith("Role Admin (session dana) replaced the policy of key")
    assert f"account {records.OUTSIDE} (not approved) can now decrypt data with this key" in found
    assert f"Since then account {records.OUTSIDE} used the key 16 times." in found
    assert "proved that nobody gained access" in reordered().summary
    assert "undone 6 minutes later" in takeover().summary
    assert f"account {records.OUTSIDE} lost" in put_back().summary or "can no longer" in put_back().summary


def test_the_state_of_a_key_changes_no_verdict() -> None:
    state = key(state=Fact("Disabled", NOW - timedelta(days=1), "e"))
    assert plain(ROOT, lets_in(records.OUTSIDE), about=state).verdict == "review"


def test_texts_of_records_stay_as_they_are() -> None:
    change = changed(ROOT, USE_APP)
    hostile = "<script>{0}\x1b[2J=cmd"
    found = judged(change, compared(change, version([ROOT])), by=actor(change, agent=Seen(hostile, False, False)))
    assert any(hostile in one.sentence for one in found.reasons)
