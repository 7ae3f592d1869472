"""What is claimed about the policy that a plan puts in place, and how far it is shown."""

from __future__ import annotations

import json

from keytrail.policy import KeyPolicy
from keytrail.respond import proofs
from keytrail.respond.model import Claim
from keytrail.respond.situation import Situation
from keytrail.settings import Accounts
from tests.investigate import records
from tests.respond.attacks import ADMIN, APP, GOOD, NOW, OPENED, OUTSIDE, OWNERS, Attack, Json, attack, opened


def parsed(document: Json) -> KeyPolicy:
    return KeyPolicy.parse(json.dumps(document))


def judged(case: Attack, live: Json = OPENED) -> Situation:
    return case.situation(case.subject(live=live))


def kept(case: Attack, result: Json, live: Json = OPENED) -> Claim:
    return proofs.services_keep(judged(case, live), parsed(result))


# The rogue access ----------------------------------------------------------------------------------------------------


def test_what_is_left_of_the_rogue_access_refutes_the_claim_with_a_request_that_shows_it() -> None:
    found = proofs.rogue_gone(judged(opened()), parsed(OPENED))
    assert found.answer == "refuted"
    assert found.examples[0]["action"] == "kms:Decrypt"
    assert records.OUTSIDE in str(found.examples[0]["principal"])


def test_access_that_is_less_than_the_good_versions_is_proved_to_be_nothing_beyond_it() -> None:
    assert proofs.rogue_gone(judged(opened()), parsed(records.policy(OWNERS))).answer == "proved"


def test_what_the_prover_cannot_decide_is_open() -> None:
    untold = records.allow(OUTSIDE, "kms:Decrypt", {"StringEquals": {"aws:TagKeys": ["team"]}})
    assert proofs.rogue_gone(judged(opened()), parsed(records.adding(GOOD, untold))).answer == "open"


def test_without_a_good_version_an_outsider_that_is_left_refutes_it() -> None:
    found = proofs.rogue_gone(judged(opened(before=None)), parsed(OPENED))
    assert found.answer == "refuted"
    assert found.examples


def test_the_owners_organisation_is_nobody_from_outside() -> None:
    bound = records.allow("*", "kms:Decrypt", {"StringEquals": {"aws:PrincipalOrgID": "o-own"}})
    case = opened(before=None, accounts=Accounts(organisation="o-own"))
    found = proofs.rogue_gone(judged(case), parsed(records.policy(OWNERS, bound)))
    assert found.answer == "open"
    assert "is let in by the policy, proved" in found.sentence


# The owner -----------------------------------------------------------------------------------------------------------


def test_a_policy_that_nobody_can_set_again_refutes_that_the_owner_manages_the_key() -> None:
    found = proofs.owner_manages(judged(opened()), parsed(records.policy(APPS_ONLY)))
    assert found.answer == "refuted"
    assert "AWS Support" in found.sentence


APPS_ONLY = records.allow(APP, "kms:Decrypt")


def test_who_can_set_the_policy_by_itself_is_named() -> None:
    found = proofs.owner_manages(judged(opened()), parsed(records.policy(records.allow(ADMIN))))
    assert found.answer == "proved"
    assert found.sentence == "The key's policy can be set by role Admin by the key policy itself."


def test_a_key_that_only_who_made_the_change_could_manage_is_not_the_owners() -> None:
    found = proofs.owner_manages(judged(opened()), parsed(records.policy(records.allow(records.role_arn("Mallory")))))
    assert found.answer == "refuted"
    assert "role Mallory" in found.sentence


def test_a_key_that_only_a_deleted_role_could_manage_is_nobodys() -> None:
    gone = records.iam("DeleteRole", "09:30", records.session("Root", name="r"), {"roleName": "Admin"})
    live = records.adding(OPENED, records.allow(ADMIN))
    found = proofs.owner_manages(judged(opened(gone), live), parsed(records.policy(records.allow(ADMIN))))
    assert found.answer == "refuted"
    assert "was deleted" in found.sentence


def test_conditions_on_managing_the_key_are_said() -> None:
    bound = records.allow(ADMIN, "kms:*", {"Bool": {"aws:MultiFactorAuthPresent": "true"}})
    found = proofs.owner_manages(judged(opened()), parsed(records.policy(bound)))
    assert "aws:MultiFactorAuthPresent" in found.sentence


# Those who use the key -----------------------------------------------------------------------------------------------

APP_USES = records.use("09:00", records.session("App"), {"aws:s3:arn": "arn:aws:s3:::ledger/a"}, via="s3.amazonaws.com")


def test_a_recorded_use_that_stays_allowed_is_proved_to_stay() -> None:
    found = kept(opened(APP_USES), GOOD)
    assert found.answer == "proved"
    assert "(1 kind)" in found.sentence


def test_a_recorded_use_that_is_lost_refutes_it_and_says_who_lost_what() -> None:
    denied = records.adding(GOOD, records.allow(APP, "kms:*", Effect="Deny"))
    found = kept(opened(APP_USES), denied)
    assert found.answer == "refuted"
    assert "role App (Decrypt once, last at 2026-03-02 09:00:00 UTC, through s3.amazonaws.com" in found.sentence
    assert found.examples[0]["action"] == "kms:Decrypt"


def test_a_use_that_only_iam_would_allow_after_the_plan_is_open() -> None:
    found = kept(opened(APP_USES), records.policy(OWNERS))
    assert found.answer == "open"
    assert "only if IAM allows it" in found.sentence


def test_a_use_that_iam_allowed_all_along_stays() -> None:
    other = records.use("09:00", records.session("Other"))
    assert kept(opened(other), records.policy(OWNERS)).answer == "proved"


def test_what_records_do_not_tell_leaves_it_open() -> None:
    bound = records.allow(APP, "kms:Decrypt", {"StringEquals": {"aws:PrincipalTag/team": "x"}})
    live = records.adding(OPENED, records.allow(APP, "kms:Encrypt", {"Bool": {"aws:MultiFactorAuthPresent": "true"}}))
    found = kept(opened(APP_USES, before=records.policy(records.allow(ADMIN), APPS_ONLY)), records.policy(bound), live)
    assert found.answer == "open"
    assert "what records do not tell decides about role App" in found.sentence


def test_uses_by_the_rogue_account_do_not_count() -> None:
    rogue = records.use("10:30", records.outsider())
    found = kept(opened(rogue), GOOD)
    assert found.answer == "open"
    assert "no use of the key" in found.sentence


def test_without_records_nobody_knows_who_loses_access() -> None:
    case = opened()
    found = proofs.services_keep(Situation(case.subject(live=OPENED), None, None, NOW), parsed(GOOD))
    assert found.answer == "open"


# Losses --------------------------------------------------------------------------------------------------------------


def test_the_access_that_the_change_gave_is_meant_to_be_lost_with_its_last_use() -> None:
    rogue = records.use("10:30", records.outsider(), {"aws:s3:arn": "arn:aws:s3:::ledger/a"})
    [loss] = proofs.losses(judged(opened(rogue)), parsed(GOOD))
    assert loss.meant
    assert loss.principals[0] == OUTSIDE
    assert loss.recent == "Decrypt once, last at 2026-03-02 10:30:00 UTC, for arn:aws:s3:::ledger/a"


def test_access_given_after_the_alerts_change_is_not_what_the_plan_is_for() -> None:
    live = records.adding(OPENED, records.allow(ADMIN, "kms:Decrypt"))
    found = {one.principals[0]: one.meant for one in proofs.losses(judged(opened(), live), parsed(GOOD))}
    assert found == {OUTSIDE: True, ADMIN: False}


def test_what_the_version_before_gave_as_well_is_not_rogue() -> None:
    case = attack(records.adding(OPENED, records.allow(ADMIN, "kms:Decrypt")), before=OPENED)
    live = records.adding(OPENED, records.allow(ADMIN, "kms:Decrypt"))
    found = {one.principals[0]: one.meant for one in proofs.losses(judged(case, live), parsed(GOOD))}
    assert found == {OUTSIDE: False, ADMIN: True}
