"""Which accounts a change lets in: what each gained, and what accounts.toml says about it at that time."""

from __future__ import annotations

import pytest

from keytrail.investigate.accounts import account_facts
from keytrail.investigate.model import AccountFact
from tests.investigate import records
from tests.investigate.facts import FORMER, ORG, PARTNER, READ, ROOT, TRUST, changed, compared, lets_in, version

ORGANISATION = "222233334444"


def facts_of(before: list[records.Json], *after: records.Json) -> tuple[AccountFact, ...]:
    change = changed(*after)
    return account_facts(change, compared(change, version(before)), TRUST)


def everyone(condition: records.Json | None = None) -> records.Json:
    return records.allow("*", list(READ), condition)


@pytest.mark.parametrize(
    ("account", "relation"),
    [(records.OUTSIDE, "outside"), (PARTNER, "approved"), (FORMER, "expired"), (ORGANISATION, "organisation")],
)
def test_a_named_account_gains_with_its_standing(account: str, relation: str) -> None:
    (found,) = facts_of([ROOT], ROOT, lets_in(account))
    assert (found.account, found.relation, found.gained) == (account, relation, True)
    assert found.actions == READ


def test_an_approval_is_told_with_reason_and_expiry_even_when_it_is_over() -> None:
    (found,) = facts_of([ROOT], ROOT, lets_in(FORMER))
    assert (found.reason, found.expires) == ("Contract ended", TRUST.approved[1].expires)


def test_trust_from_the_command_line_is_told_as_such() -> None:
    change = changed(ROOT, lets_in(records.OUTSIDE))
    (found,) = account_facts(change, compared(change, version([ROOT])), TRUST.adding(trusted=[records.OUTSIDE]))
    assert found.relation == "trusted"


def test_an_account_that_was_in_before_is_let_in_and_gains_nothing() -> None:
    (found,) = facts_of([ROOT, lets_in(PARTNER)], lets_in(PARTNER), ROOT)
    assert (found.account, found.gained, found.actions) == (PARTNER, False, ())


def test_everyone_is_one_account_and_not_each_that_is_known_by_name() -> None:
    found = facts_of([ROOT], ROOT, everyone())
    assert [(one.account, one.relation) for one in found] == [("*", "anyone"), (records.OWNER, "owner")]


@pytest.mark.parametrize(("name", "relation"), [(ORG, "organisation"), ("o-zzzzzzzzzz", "outside")])
def test_an_organisation_is_the_own_one_or_outside(name: str, relation: str) -> None:
    found = facts_of([ROOT], ROOT, everyone({"StringEquals": {"aws:PrincipalOrgID": name}}))
    outsiders = [(one.account, one.relation, one.gained) for one in found if one.relation != "owner"]
    assert outsiders == [(f"org:{name}", relation, True)]


def test_an_organisation_that_was_in_before_does_not_gain_with_another() -> None:
    def both(*names: str) -> records.Json:
        return everyone({"StringEquals": {"aws:PrincipalOrgID": list(names)}})

    found = facts_of([ROOT, both(ORG)], ROOT, both(ORG, "o-zzzzzzzzzz"))
    assert [(one.account, one.gained) for one in found] == [("org:o-zzzzzzzzzz", True), (f"org:{ORG}", False)]


def test_who_gained_and_is_least_trusted_comes_first() -> None:
    after = [lets_in(one) for one in (PARTNER, FORMER, records.OUTSIDE, ORGANISATION)]
    found = facts_of([ROOT, lets_in(FORMER)], ROOT, records.allow(records.role_arn("App"), list(READ)), *after)
    assert [one.account for one in found] == [records.OUTSIDE, PARTNER, ORGANISATION, records.OWNER, FORMER]


def test_a_policy_that_is_not_known_lets_nobody_in_for_certain() -> None:
    change = records.change(records.put_omitted("12:00", records.session("Admin")))
    assert account_facts(change, compared(change, version([ROOT])), TRUST) == ()
