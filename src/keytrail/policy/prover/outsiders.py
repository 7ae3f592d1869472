"""Who outside the owner's account a policy lets in: public, accounts, organisations (1.10), decided by meaning."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keytrail.policy import values
from keytrail.policy.model import Condition
from keytrail.policy.patterns import Wildcard, template
from keytrail.policy.prover.checks import NetworkCheck, TextCheck, text_language
from keytrail.policy.prover.comparison import Proof
from keytrail.policy.prover.encode import Holds
from keytrail.policy.prover.formulas import TRUE
from keytrail.policy.prover.globs import Language
from keytrail.policy.prover.questions import Finding, Questions
from keytrail.policy.prover.slots import Free
from keytrail.policy.prover.space import Actions, Callers, Space
from keytrail.policy.requests import CallerKind, Request

_ACCOUNT = re.compile(r"[0-9]{12}")
_NARROW = {4: 8, 6: 19}
"""The shortest prefix that makes a network somebody's: /8 by 1.10; no IPv6 allocation is larger than /19."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a policy gives outsiders."""

    public: bool
    public_proof: Proof
    accounts: tuple[str, ...]
    accounts_proof: Proof
    witness: Request | None


def exposure(space: Space, questions: Questions, side: int) -> Exposure:
    """Decide who is let in by a side. Services are not counted: they are found by their sources (1.10)."""
    pins = _Pins(space, side)
    strangers = [callers for callers in space.callers if _is_stranger(callers)]
    open_to_all = _first(questions, side, space, strangers, pins.unbounded)
    public = _first(questions, side, space, strangers, pins.unpinned) if open_to_all else None
    accounts: list[str] = []
    doubtful = [open_to_all] if open_to_all is not None else []
    if open_to_all is None:
        for organisation in sorted(pins.organisations):

            def within(callers: Callers, actions: Actions, name: str = organisation) -> int:
                return pins.in_organisation(callers, actions, name)

            found = _first(questions, side, space, strangers, within)
            if found is not None:
                accounts.append(f"org:{organisation}")
                doubtful.append(found)
    wide = open_to_all is not None or bool(accounts)
    named = pins.accounts_of_allows if wide else None
    for account, callers_of in _accounts(space):
        if named is not None and account not in named:
            continue
        found = _first(questions, side, space, callers_of, lambda callers, actions: TRUE)
        if found is not None:
            accounts.append(account)
            doubtful.append(found)
    if open_to_all is not None:
        accounts.append("*")
    certain = all(finding.witness is not None for finding in doubtful)
    return Exposure(
        public is not None,
        "proved" if public is None else ("witnessed" if public.witness is not None else "possible"),
        tuple(sorted(accounts)),
        ("witnessed" if accounts else "proved") if certain else "possible",
        None if public is None else public.witness,
    )


def _is_stranger(callers: Callers) -> bool:
    return callers.first.account is None and callers.first.caller.kind is not CallerKind.SERVICE


def _accounts(space: Space) -> Iterator[tuple[str, list[Callers]]]:
    """Every named account but the owner's, with the groups its identities are in."""
    found: dict[str, dict[int, Callers]] = {}
    for callers in space.callers:
        for group in callers.classes:
            if group.account is not None and group.account != space.owner:
                found.setdefault(group.account, {})[id(callers)] = callers
    for account in sorted(found):
        yield account, list(found[account].values())


def _first(
    questions: Questions, side: int, space: Space, groups: Iterable[Callers], slice_of: object
) -> Finding | None:
    """The first request that a side allows in a slice; a certain one if there is any."""
    doubtful: Finding | None = None
    for callers in groups:
        for actions in space.actions:
            if not actions.first.cross_account or not space.relevant(side, callers, actions, iam=True)[0]:
                continue
            found = questions.holds(side, callers, actions, slice_of(callers, actions))  # type: ignore[operator]
            if found is not None and found.witness is not None:
                return found
            doubtful = doubtful or found
    return doubtful


class _Pins:
    """The fixed values of a policy that bound who calls, or from where, and the requests that none of them bounds."""

    def __init__(self, space: Space, side: int) -> None:
        self._space = space
        self.organisations: set[str] = set() if space.organisation is None else {space.organisation}
        self.accounts_of_allows: set[str] = set()
        self._endpoints: dict[str, set[str]] = {"aws:sourcevpce": set(), "aws:sourcevpc": set()}
        self._users: set[str] = set()
        networks: list[values.Network] = []
        for statement in space.sides[side].statements:
            if statement.effect == "Allow":
                for principal in statement.all_principals():
                    if principal.account is not None:
                        self.accounts_of_allows.add(principal.account)
            for condition in statement.conditions:
                self._collect(condition, networks)
                if statement.effect == "Allow" and "Not" not in condition.operator.name:
                    self.accounts_of_allows.update(_accounts_in(condition))
        self._users_check = TextCheck(_user_language(self._users))
        self._organisations_check = TextCheck(Language.of(*sorted(self.organisations)))
        self._endpoint_checks = {
            name: TextCheck(Language.of(*sorted(found))) for name, found in self._endpoints.items()
        }
        narrow = [n for n in _collapsed(networks) if n.prefixlen >= _NARROW[n.version]]
        self._network_check = NetworkCheck(narrow)

    def _collect(self, condition: Condition, networks: list[values.Network]) -> None:
        match condition.name:
            case "aws:principalorgid":
                self.organisations.update(v for v in condition.values if _fixed(v))
            case "aws:principalorgpaths":
                heads = (value.partition("/")[0] for value in condition.values)
                self.organisations.update(head for head in heads if _fixed(head))
            case "aws:sourcevpce" | "aws:sourcevpc":
                self._endpoints[condition.name].update(v for v in condition.values if _fixed(v))
            case "aws:sourceip":
                found = (values.network(value) for value in condition.values)
                networks.extend(network for network in found if network is not None)
            case "aws:userid":
                self._users.update(v for v in condition.values if _fixed(v.partition(":")[0]))

    def unbounded(self, callers: Callers, actions: Actions) -> int:
        """Nothing fixed says whose the account is: no known organisation, no known user id."""
        formulas = self._space.vocabulary.formulas
        return formulas.all(
            [
                self._outside(callers, actions, "aws:principalorgid", self._organisations_check),
                self._outside(callers, actions, "aws:userid", self._users_check),
            ]
        )

    def unpinned(self, callers: Callers, actions: Actions) -> int:
        """Nothing fixed bounds the account, nor from where the call comes."""
        formulas = self._space.vocabulary.formulas
        parts = [self.unbounded(callers, actions)]
        for name, check in self._endpoint_checks.items():
            parts.append(self._outside(callers, actions, name, check))
        parts.append(self._outside(callers, actions, "aws:sourceip", self._network_check))
        return formulas.all(parts)

    def in_organisation(self, callers: Callers, actions: Actions, name: str) -> int:
        """The caller's account is in that organisation."""
        vocabulary = self._space.vocabulary
        slot = self._space.setting(callers, actions).slot("aws:principalorgid")
        if not isinstance(slot, Free):
            return TRUE
        own = vocabulary.formulas.literal(vocabulary.atom(Holds(slot.base, slot.view, self._organisation(name))))
        return vocabulary.formulas.all([vocabulary.presence(slot.presence), own])

    def _organisation(self, name: str) -> TextCheck:
        return TextCheck(Language.of(name))

    def _outside(self, callers: Callers, actions: Actions, key: str, check: TextCheck | NetworkCheck) -> int:
        """The key is missing or its value is not one of those the policy fixes."""
        if isinstance(check, TextCheck) and check.language.empty:
            return TRUE
        if isinstance(check, NetworkCheck) and not check.networks:
            return TRUE
        vocabulary = self._space.vocabulary
        formulas = vocabulary.formulas
        slot = self._space.setting(callers, actions).slot(key)
        if not isinstance(slot, Free):
            return TRUE
        inside = formulas.literal(vocabulary.atom(Holds(slot.base, slot.view, check)))
        return formulas.any([formulas.negate(vocabulary.presence(slot.presence)), formulas.negate(inside)])


def _fixed(value: str) -> bool:
    return bool(value) and not any(sign in value for sign in ("*", "?", "${"))


def _accounts_in(condition: Condition) -> Iterator[str]:
    for value in condition.values:
        if condition.name in ("kms:calleraccount", "aws:principalaccount") and _ACCOUNT.fullmatch(value):
            yield value
        if condition.name == "aws:principalarn" and _ACCOUNT.fullmatch(account := (value.split(":") + [""] * 5)[4]):
            yield account


def _user_language(patterns: Iterable[str]) -> Language:
    parts = [
        tuple(part for part in template(pattern, variables=False) if isinstance(part, (str, Wildcard)))
        for pattern in sorted(patterns)
    ]
    return text_language("like", parts)


def _collapsed(networks: Iterable[values.Network]) -> Iterator[values.Network]:
    """Networks joined where they touch: two halves of the Internet are the Internet."""
    distinct = list(dict.fromkeys(networks))
    yield from ipaddress.collapse_addresses([n for n in distinct if isinstance(n, ipaddress.IPv4Network)])
    yield from ipaddress.collapse_addresses([n for n in distinct if isinstance(n, ipaddress.IPv6Network)])
