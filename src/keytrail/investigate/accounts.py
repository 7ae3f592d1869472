"""Which accounts the policy lets in or gave more to, and what accounts.toml says about each at that time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keytrail.investigate.change import PolicyChange
from keytrail.investigate.model import AccountFact, ComparedChange, Relation
from keytrail.policy import Comparison, compare
from keytrail.settings import Accounts, is_account_id

ANYONE = "*"
ORGANISATION = "org:"
"""How a comparison names everyone, and the accounts of an organisation (`external_accounts`)."""

UNTRUSTED: tuple[Relation, ...] = ("anyone", "outside", "expired")
"""Accounts that nobody vouches for at the time of the change, the strangest first."""

_ORDER: tuple[Relation, ...] = (*UNTRUSTED, "trusted", "approved", "organisation", "owner")


def account_facts(change: PolicyChange, compared: ComparedChange, accounts: Accounts) -> tuple[AccountFact, ...]:
    """Every account that the policy after lets in or that gained; those that gained and are least trusted first.

    The key's own account is listed only when it gained. An AWS service is of no account.
    """
    comparison = compared.comparison
    if comparison is None:
        return ()
    gained = _gained(comparison, change, compared)
    listed = dict.fromkeys([*gained, *comparison.external_accounts])
    facts = [_fact(account, gained, change, accounts) for account in listed]
    return tuple(sorted(facts, key=lambda one: (not one.gained, _ORDER.index(one.relation), one.account)))


def untrusted_gains(accounts: Iterable[AccountFact]) -> tuple[AccountFact, ...]:
    """The accounts that gained and that nobody vouches for."""
    return tuple(one for one in accounts if one.gained and one.relation in UNTRUSTED)


def called(one: AccountFact) -> str:
    """An account as a sentence names it.

    >>> called(AccountFact("999988887777", "outside", True)), called(AccountFact("org:o-1", "outside", True))
    ('account 999988887777', 'every account of organisation o-1')
    """
    if one.account == ANYONE:
        return "anyone with an AWS account"
    if one.account.startswith(ORGANISATION):
        own = "your own " if one.relation == "organisation" else ""
        return f"every account of {own}organisation {one.account.removeprefix(ORGANISATION)}"
    return f"account {one.account}{f' ({one.name})' if one.name else ''}"


def account_of(principal: str) -> str:
    """The account in the ARN of a principal, or in the name of a service's identity there; "" for a service.

    >>> account_of("arn:aws:iam::999988887777:role/App"), account_of("backup.amazonaws.com")
    ('999988887777', '')
    >>> account_of("999988887777:aws:ec2-infrastructure:i-0abc")
    '999988887777'
    """
    parts = principal.split(":")
    if len(parts) > 5:
        return parts[4]
    return parts[0] if len(parts) > 2 and parts[1] == "aws" and is_account_id(parts[0]) else ""


def relation_of(principal: str, change: PolicyChange, facts: Iterable[AccountFact], trust: Accounts) -> Relation:
    """What the account of a principal is to the key's owner at the time of the change; a service counts as the owner's.

    Who got in as one of an organisation that the policy names, and no other way, is of that organisation.
    """
    account, owner = account_of(principal), change.key.account
    if account in ("", owner):
        return "owner"
    known = {one.account: one.relation for one in facts}
    standing = known.get(account) or trust.standing(account, owner=owner, at=change.event.time)
    wide = {relation for name, relation in known.items() if name == ANYONE or name.startswith(ORGANISATION)}
    return "organisation" if standing == "outside" and account not in known and wide == {"organisation"} else standing


def _let_in_before(change: PolicyChange, compared: ComparedChange) -> frozenset[str]:
    policy = compared.before.policy if compared.baseline == "before" else None
    if policy is None:
        return frozenset()
    return frozenset(compare(None, policy, change.key.account, at=change.event.time).external_accounts)


def _gained(comparison: Comparison, change: PolicyChange, compared: ComparedChange) -> Mapping[str, tuple[str, ...]]:
    """The accounts that gained, and what.

    What a statement gives to accounts that it does not name is a gain of everyone's, or of an organisation's, not of
    each account that somebody knows by name.
    """
    found: dict[str, dict[str, None]] = {}
    wide = [name for name in comparison.external_accounts if name == ANYONE or name.startswith(ORGANISATION)]
    before = _let_in_before(change, compared) if wide else frozenset()
    newly = [name for name in wide if name not in before] or wide or [ANYONE]
    owner = change.key.account
    for gain in comparison.gains:
        strangers = any(group.sort == "stranger" for group in gain.classes)
        own = [group.account for group in gain.classes if group.account == owner]
        named = [group.account for group in gain.classes if group.account is not None]
        for account in dict.fromkeys([*newly, *own] if strangers else named):
            found.setdefault(account, {}).update(dict.fromkeys(gain.actions))
    return {account: tuple(sorted(actions)) for account, actions in found.items()}


def _fact(account: str, gained: Mapping[str, tuple[str, ...]], change: PolicyChange, accounts: Accounts) -> AccountFact:
    at = change.event.time
    has, actions = account in gained, gained.get(account, ())
    if account == ANYONE:
        return AccountFact(account, "anyone", has, actions=actions)
    if account.startswith(ORGANISATION):
        own = account.removeprefix(ORGANISATION) == accounts.organisation
        return AccountFact(account, "organisation" if own else "outside", has, actions=actions)
    relation = accounts.standing(account, owner=change.key.account, at=at)
    approval = accounts.approval(account, at) if relation in ("approved", "expired") else None
    return AccountFact(
        account,
        relation,
        has,
        name=accounts.names.get(account, ""),
        reason=approval.reason if approval else "",
        expires=approval.expires if approval else None,
        actions=actions,
    )
