"""Restore, remove and re-condition: which version is good, what the calls are, what is proved, what is warned of."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from keytrail.policy.digest import digest_of_text
from keytrail.respond.facts import Mark
from tests.investigate import records
from tests.respond.attacks import (
    ADMIN,
    APP,
    GOOD,
    OPENED,
    OUTSIDE,
    OWNERS,
    ROOT,
    Json,
    attack,
    claim,
    opened,
    plan,
    without,
)


def mark(document: Json, at: datetime, note: str = "") -> Mark:
    text = json.dumps(document)
    return Mark(text, digest_of_text(text), at, "dana", note)


BEFORE, AFTER = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, 12, tzinfo=UTC)

# Restore -------------------------------------------------------------------------------------------------------------


def test_the_version_before_the_change_is_put_back_and_says_which_it_is() -> None:
    case = opened()
    found = plan(case.proposal(case.subject(live=OPENED)), "restore")
    [call] = found.calls
    assert json.loads(str(call.parameters["Policy"])) == GOOD
    assert dict(call.parameters, Policy="") == {"KeyId": records.KEY, "PolicyName": "default", "Policy": ""}
    assert (call.action, call.account, call.region) == ("kms:PutKeyPolicy", records.OWNER, records.REGION)
    assert "CreateKey at 2026-03-02 08:00:00 UTC by role Admin" in found.why
    assert found.before == json.dumps(OPENED)
    assert found.after == call.parameters["Policy"]
    assert claim(found, "equals")[0] == claim(found, "rogue_gone")[0] == claim(found, "owner_manages")[0] == "proved"


def test_the_lockout_check_is_never_bypassed() -> None:
    case = opened()
    proposal = case.proposal(case.subject(live=OPENED))
    assert "Bypass" not in json.dumps([one.to_dict() for one in proposal.plans])


def test_a_version_marked_before_the_change_is_better_than_the_last_one() -> None:
    marked = records.policy(OWNERS)
    case = opened()
    subject = case.subject(live=OPENED, marks=[mark(marked, BEFORE, "reviewed")])
    found = plan(case.proposal(subject), "restore")
    assert json.loads(found.after or "") == marked
    assert "dana marked this version as good at 2026-03-01 00:00:00 UTC, before the change (reviewed)." in found.why


def test_a_mark_made_after_the_change_is_better_than_an_older_one() -> None:
    case = opened()
    marks = [mark(records.policy(OWNERS), BEFORE), mark(GOOD, AFTER)]
    found = plan(case.proposal(case.subject(live=OPENED, marks=marks)), "restore")
    assert json.loads(found.after or "") == GOOD
    assert "after the change" in found.why


def test_what_a_mark_takes_away_beyond_the_rogue_access_is_not_called_meant() -> None:
    case = opened(records.use("09:00", records.session("App"), {"aws:s3:arn": "arn:aws:s3:::ledger/a"}))
    subject = case.subject(live=OPENED, marks=[mark(records.policy(OWNERS), BEFORE)])
    losses = {one.principals[0]: one for one in plan(case.proposal(subject), "restore").losses}
    assert losses[OUTSIDE].meant
    assert not losses[APP].meant
    assert losses[APP].recent.startswith("Decrypt once, last at 2026-03-02 09:00:00 UTC")


def test_a_gap_before_the_change_is_said() -> None:
    omitted = records.put_omitted("09:00", records.session("Admin", name="dana"))
    case = opened(omitted)
    found = plan(case.proposal(case.subject(live=OPENED)), "restore")
    assert any("Another version may have come after the one taken for good" in one for one in found.warnings)
    assert any("PutKeyPolicy at 2026-03-02T09:00:00Z" in one for one in found.warnings)


def test_nothing_is_put_back_that_is_there_already_and_who_did_it_is_said() -> None:
    case = opened(records.put_policy("11:00", records.session("Admin", name="dana"), GOOD))
    found = without(case.proposal(case.subject(live=GOOD)), "restore")
    assert "role Admin (session dana) at 2026-03-02 11:00:00 UTC" in found.why
    assert "nothing to put back" in found.why


def test_another_text_with_the_same_meaning_is_as_good_by_proof() -> None:
    case = opened()
    same = records.policy(*reversed(GOOD["Statement"]))  # type: ignore[call-overload]
    found = without(case.proposal(case.subject(live=same)), "restore")
    assert "allows exactly what the good version allows, proved" in found.why


def test_a_version_that_has_an_almost_equal_policy_is_not_taken_for_the_same() -> None:
    case = opened()
    wider = records.policy(OWNERS, records.allow(APP, ["kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt"]))
    assert plan(case.proposal(case.subject(live=wider)), "restore").sound


def test_records_tell_the_current_policy_where_aws_was_not_asked_and_the_plan_says_so() -> None:
    case = opened()
    found = plan(case.proposal(case.subject()), "restore")
    assert found.basis.read_at is None
    assert "records: PutKeyPolicy" in found.basis.origin
    assert any("was not read from AWS" in one for one in found.warnings)


def test_a_policy_that_nobody_knows_cannot_be_replaced() -> None:
    case = opened(records.put_omitted("11:00", records.session("Admin", name="dana")))
    found = without(case.proposal(case.subject()), "restore")
    assert "not known what policy the key has now" in found.why
    assert "kms:GetKeyPolicy" in found.advice


def test_without_an_earlier_version_a_mark_is_asked_for() -> None:
    case = opened(before=None)
    found = without(case.proposal(case.subject(live=OPENED)), "restore")
    assert "No version of the policy is known from before the change" in found.why
    assert "mark-good" in found.advice


def test_identities_that_were_deleted_since_are_warned_of() -> None:
    gone = records.iam("DeleteRole", "09:30", records.session("Admin", name="dana"), {"roleName": "App"})
    case = opened(gone)
    found = plan(case.proposal(case.subject(live=OPENED)), "restore")
    [warning] = [one for one in found.warnings if "role App" in one]
    assert "deleted at 2026-03-02 09:30:00 UTC" in warning
    assert "KMS refuses" in warning


def test_a_role_made_again_under_the_name_is_warned_of_as_another_one() -> None:
    admin = records.session("Admin", name="dana")
    mallory = records.session("Mallory", name="m")
    gone = records.iam("DeleteRole", "09:30", admin, {"roleName": "App"})
    again = records.iam("CreateRole", "09:40", mallory, {"roleName": "App"})
    case = opened(gone, again)
    found = plan(case.proposal(case.subject(live=OPENED)), "restore")
    [warning] = [one for one in found.warnings if "role App" in one]
    assert "made again by role Mallory (session m) at 2026-03-02 09:40:00 UTC" in warning


def test_ids_of_deleted_identities_in_the_good_version_are_dropped_and_the_rest_is_proved_equal() -> None:
    good = records.policy(OWNERS, records.allow([APP, "AROAEXAMPLEDELETED001"], "kms:Decrypt"))
    good["Statement"][1]["Principal"] = {"AWS": [APP, "AROAEXAMPLEDELETED001"]}  # type: ignore[index]
    case = opened()
    subject = case.subject(live=OPENED, marks=[mark(good, AFTER)])
    found = plan(case.proposal(subject), "restore")
    assert "AROAEXAMPLEDELETED001" not in (found.after or "")
    assert claim(found, "equals")[0] == "proved"


def test_a_version_before_by_the_same_caller_may_be_rogue_too() -> None:
    mallory = records.session("Mallory", name="m")
    first = records.put_policy("09:00", mallory, records.policy(OWNERS, records.allow(ADMIN, "kms:Decrypt")))
    case = opened(first)
    found = plan(case.proposal(case.subject(live=OPENED)), "restore")
    assert any("by role Mallory (session m) as well" in one for one in found.warnings)


def test_who_was_let_in_by_a_version_before_that_nobody_marked_is_warned_of() -> None:
    planted = records.adding(GOOD, records.allow("arn:aws:iam::555566667777:root", "kms:Decrypt"))
    opened_more = records.adding(planted, records.allow(OUTSIDE, "kms:Decrypt"))
    case = attack(opened_more, before=planted)
    proposal = case.proposal(case.subject(live=opened_more))
    for kind in ("restore", "remove"):
        warned = [one for one in plan(proposal, kind).warnings if "still lets in account 555566667777" in one]
        assert len(warned) == 1
    marked = case.subject(live=opened_more, marks=[mark(planted, BEFORE)])
    assert not any("still lets in" in one for one in plan(case.proposal(marked), "restore").warnings)


def test_a_change_that_only_shut_somebody_out_is_not_undone_by_putting_them_back() -> None:
    case = attack(GOOD, before=OPENED)
    found = without(case.proposal(case.subject(live=GOOD)), "restore")
    assert "account 999988887777" in found.why
    assert "it may have been a repair" in found.why


def test_letting_somebody_in_again_is_never_called_proved() -> None:
    repaired = records.policy(OWNERS, records.allow(ADMIN, "kms:Decrypt"))
    case = attack(repaired, before=OPENED)
    found = plan(case.proposal(case.subject(live=repaired)), "restore")
    answer, sentence = claim(found, "rogue_gone")
    assert answer == "open"
    assert "lets in account 999988887777" in sentence


# Remove and re-condition ---------------------------------------------------------------------------------------------


def test_only_the_rogue_statement_is_removed_and_the_rest_stays_byte_for_byte() -> None:
    text = json.dumps(OPENED, indent=3).replace('"Sid": "App"', '"Sid":   "App"')
    case = opened()
    found = plan(case.proposal(case.subject(live=text)), "remove")
    after = found.after or ""
    assert '"Sid":   "App"' in after
    assert "Rogue" not in after
    assert json.loads(after) == GOOD
    assert claim(found, "nothing_taken")[0] == claim(found, "rogue_gone")[0] == "proved"
    assert [one.principals[0] for one in found.losses] == [OUTSIDE]


def test_a_later_change_is_kept_by_removing_and_so_that_comes_first() -> None:
    admin = records.session("Admin", name="dana")
    later = records.policy(OWNERS, OPENED["Statement"][2])  # type: ignore[index]
    case = opened(records.put_policy("12:00", admin, later))
    proposal = case.proposal(case.subject(live=later))
    kinds = [one.kind for one in proposal.plans]
    assert kinds.index("remove") < kinds.index("restore")
    assert any("changed again since the alert (role Admin" in one for one in plan(proposal, "restore").warnings)
    assert json.loads(plan(proposal, "remove").after or "") == records.policy(OWNERS)


def test_a_condition_that_was_lost_is_put_back() -> None:
    bound = records.allow("*", "kms:Decrypt", {"StringEquals": {"kms:CallerAccount": records.OWNER}}, Sid="Own")
    good = records.policy(OWNERS, bound)
    weak = records.policy(OWNERS, records.allow("*", "kms:Decrypt", Sid="Own"))
    case = attack(weak, before=good)
    found = plan(case.proposal(case.subject(live=weak)), "recondition")
    assert json.loads(found.after or "") == good
    assert claim(found, "rogue_gone")[0] == "proved"


def test_of_two_ways_the_one_that_takes_away_no_more_than_is_meant_comes_first() -> None:
    bound = records.allow("*", "kms:Decrypt", {"StringEquals": {"kms:CallerAccount": records.OWNER}}, Sid="Own")
    weak = records.policy(OWNERS, records.allow("*", "kms:Decrypt", Sid="Own"))
    case = attack(weak, before=records.policy(OWNERS, bound))
    proposal = case.proposal(case.subject(live=weak))
    assert [one.kind for one in proposal.plans][:3] == ["restore", "recondition", "remove"]
    assert any(not one.meant for one in plan(proposal, "remove").losses)


def test_without_a_good_version_only_who_is_from_outside_is_taken_out_and_that_is_said() -> None:
    mixed = records.policy(OWNERS, records.allow(APP, "kms:Decrypt"), records.allow(OUTSIDE, "kms:Decrypt"))
    mixed["Statement"][1]["Principal"] = {"AWS": [APP, OUTSIDE]}  # type: ignore[index]
    case = attack(mixed, before=None)
    found = plan(case.proposal(case.subject(live=mixed)), "remove")
    assert json.loads(found.after or "") == records.policy(OWNERS, records.allow({"AWS": [APP]}, "kms:Decrypt"))
    answer, sentence = claim(found, "rogue_gone")
    assert answer == "open"
    assert "no good version of the policy is known" in sentence
    assert [one.principals[0] for one in found.losses if one.meant] == [OUTSIDE]


def test_nothing_is_removed_where_nothing_goes_beyond_the_good_version() -> None:
    case = attack(records.policy(OWNERS))
    found = without(case.proposal(case.subject(live=records.policy(OWNERS))), "remove")
    assert found.why == "The key's policy gives nobody more than the good version does, proved."


def test_a_policy_that_kms_does_not_take_for_its_size_is_no_plan() -> None:
    long = records.allow(APP, "kms:Decrypt", Sid="x" * 33_000)
    case = opened()
    subject = case.subject(live=OPENED, marks=[mark(records.policy(OWNERS, long), AFTER)])
    assert "32,768" in without(case.proposal(subject), "restore").why


def test_the_root_of_the_account_is_how_the_owner_manages_where_nobody_is_named() -> None:
    case = opened()
    answer, sentence = claim(plan(case.proposal(case.subject(live=OPENED)), "restore"), "owner_manages")
    assert answer == "proved"
    assert "by the root user of account 111122223333" in sentence
    assert "make sure that IAM allows kms:PutKeyPolicy to somebody" in sentence
    assert ROOT not in sentence
