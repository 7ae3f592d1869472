"""What a guardrail would have denied of what was recorded, decided by the evaluator of policies.

For actions of KMS its statements stand as a key policy beside one that allows everything; for those of IAM and RAM the
conditions are asked one by one. As in AWS, service control policies hold back callers of the organisation's accounts
only, resource control policies whoever calls for a key of theirs, and neither holds back a service-linked role, a
service that calls by itself, or anybody in or for the management account.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Literal

from keytrail.investigate import Event
from keytrail.investigate.events import each_once
from keytrail.policy import CallerKind, KeyPolicy, Outcome, Request, Statement, evaluate
from keytrail.policy.conditions import all_of, any_of, holds
from keytrail.policy.context import complete
from keytrail.policy.parse import parse_principal
from keytrail.policy.patterns import glob_match
from keytrail.respond.guardrail.calls import Attempt, action_of, attempt_of, is_echo
from keytrail.respond.guardrail.model import Guardrail, Kind
from keytrail.respond.guardrail.statements import VERSION, denied_actions, statements

EXAMPLES = 3
"""Ids of the latest events that are given of each principal."""

Spared = Literal["break-glass", "service-linked role", "AWS service", "management account", "outside", "not denied"]


@dataclass(frozen=True, slots=True)
class DeniedCaller:
    """What one principal would have been denied, by which policies. `actions` counts its calls, `refused` those of them
    that AWS refused anyway.

    `certain` is False where the records do not tell enough to be sure. Texts of records in it are hostile.
    """

    principal: str
    by: tuple[Kind, ...]
    certain: bool
    actions: Mapping[str, int]
    refused: int
    last: datetime
    resources: tuple[str, ...]
    examples: tuple[str, ...]

    @property
    def calls(self) -> int:
        """How many calls."""
        return sum(self.actions.values())


@dataclass(frozen=True, slots=True)
class Simulation:
    """What the recorded calls of a time came to, those who lose most first.

    `examined` are the calls of guarded actions; `spared` counts those that stay possible, by why. `untold` are calls
    whose records do not tell who made them.
    """

    since: datetime
    until: datetime
    examined: int
    denied: tuple[DeniedCaller, ...]
    spared: Mapping[Spared, int]
    untold: int = 0

    @property
    def certain(self) -> tuple[DeniedCaller, ...]:
        """Those who would have been denied for sure."""
        return tuple(one for one in self.denied if one.certain)

    @property
    def calls(self) -> int:
        """How many calls would have been denied for sure."""
        return sum(one.calls for one in self.certain)


def denies(attempt: Attempt, guardrail: Guardrail, kind: Kind, ours: frozenset[str] = frozenset()) -> bool | None:
    """Whether the policy of a kind denies a call; None where the record, or AWS's documentation, leaves it open."""
    answers = {_denied(attempt, request, guardrail, kind) for request in attempt.requests(guardrail, ours)}
    return answers.pop() if len(answers) == 1 else None


def simulate(
    events: Iterable[Event],
    guardrail: Guardrail,
    kinds: Sequence[Kind],
    *,
    since: datetime,
    until: datetime,
    accounts: frozenset[str] = frozenset(),
    management: str | None = None,
) -> Simulation:
    """Try a guardrail on recorded events, each once, of a time (`until` exclusive).

    `accounts` are known to be of the organisation, besides those of which there are records; `management` is its
    management account.
    """
    calls = _Calls(guardrail, frozenset(denied_actions(guardrail, kinds)), set(accounts))
    for event in events:
        if since <= event.time < until:
            calls.add(event)
    tried = calls.tallied()
    ours = frozenset(calls.accounts)
    denied: dict[tuple[str, tuple[Kind, ...], bool], _Tally] = {}
    spared: Counter[Spared] = Counter()
    for attempt, tally in tried.items():
        answers = {
            kind: _reached(attempt, kind, ours, management) and denies(attempt, guardrail, kind, ours) for kind in kinds
        }
        sure = tuple(kind for kind, answer in answers.items() if answer)
        maybe = tuple(kind for kind, answer in answers.items() if answer is None)
        if sure or maybe:
            denied.setdefault((attempt.principal, sure or maybe, bool(sure)), _Tally()).join(tally)
        else:
            spared[_why(attempt, guardrail, ours, management)] += tally.calls
    callers = [tally.to_denied(*key) for key, tally in denied.items()]
    callers.sort(key=lambda one: (not one.certain, -one.calls, one.principal, one.by))
    examined = sum(tally.calls for tally in tried.values())
    return Simulation(since, until, examined, tuple(callers), dict(spared), calls.untold)


# -- counting ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tally:
    """Calls that are counted as they come: how many of each action, and the latest of them."""

    actions: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    latest: list[tuple[datetime, str]] = field(default_factory=list)
    resources: set[str] = field(default_factory=set)

    @property
    def calls(self) -> int:
        return self.actions.total()

    def add(self, event: Event, attempt: Attempt) -> None:
        self.actions[attempt.action] += 1
        self.refused += not event.succeeded
        self.latest = sorted([*self.latest, (event.time, event.id)], reverse=True)[:EXAMPLES]
        if attempt.resource:
            self.resources.add(attempt.resource)

    def join(self, other: _Tally) -> None:
        self.actions += other.actions
        self.refused += other.refused
        self.latest = sorted([*self.latest, *other.latest], reverse=True)[:EXAMPLES]
        self.resources |= other.resources

    def to_denied(self, principal: str, by: tuple[Kind, ...], certain: bool) -> DeniedCaller:
        return DeniedCaller(
            principal,
            by,
            certain,
            dict(sorted(self.actions.items())),
            self.refused,
            self.latest[0][0],
            tuple(sorted(self.resources)),
            tuple(id for _, id in self.latest),
        )


@dataclass(slots=True)
class _Calls:
    """Takes in events one by one: only what was tried is kept, since grants are made by the hundred thousand."""

    guardrail: Guardrail
    actions: frozenset[str]
    accounts: set[str]
    untold: int = 0
    _tallies: dict[Attempt, _Tally] = field(default_factory=dict)
    _shared: list[Event] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Count an event if it is a call of a guarded action; its account is one of ours, since we have its records."""
        if action_of(event) not in self.actions or is_echo(event):
            return
        if event.account:
            self.accounts.add(event.account)
        if event.data.get("sharedEventID"):
            self._shared.append(event)
        else:
            self._count(event)

    def tallied(self) -> dict[Attempt, _Tally]:
        """What was tried, with its calls; of a call that two accounts recorded the caller's record, which names it."""
        for event in each_once(self._shared):
            self._count(event)
        self._shared.clear()
        return self._tallies

    def _count(self, event: Event) -> None:
        attempt = attempt_of(event, self.guardrail)
        if attempt is None:
            self.untold += 1
        else:
            self._tallies.setdefault(attempt, _Tally()).add(event, attempt)


# -- whom a policy reaches --------------------------------------------------------------------------------------------


def _reached(attempt: Attempt, kind: Kind, ours: frozenset[str], management: str | None) -> bool:
    """Whether a policy of the kind can have a say in the call at all."""
    caller = attempt.caller
    if attempt.is_linked or caller.kind is CallerKind.SERVICE:
        return False
    match kind:
        case "scp":
            return caller.account in ours and caller.account != management
        case "rcp":
            return attempt.owner in ours and attempt.owner != management
        case "boundary":
            return caller.kind is not CallerKind.ROOT and caller.account in ours


def _why(attempt: Attempt, guardrail: Guardrail, ours: frozenset[str], management: str | None) -> Spared:
    caller = attempt.caller
    if caller.kind is CallerKind.SERVICE:
        return "AWS service"
    if attempt.is_linked:
        return "service-linked role"
    if guardrail.spares(caller.principal_arn or ""):
        return "break-glass"
    if management is not None and management in (caller.account, attempt.owner):
        return "management account"
    return "not denied" if caller.account in ours else "outside"


# -- what it says -----------------------------------------------------------------------------------------------------


def _denied(attempt: Attempt, request: Request, guardrail: Guardrail, kind: Kind) -> bool | None:
    if attempt.action.startswith("kms:"):
        decision = evaluate(_as_key_policy(guardrail, kind), request, attempt.owner, key_arn=attempt.resource or None)
        return None if decision.outcome is Outcome.UNKNOWN else decision.outcome is Outcome.DENIED
    context = complete(request, attempt.owner)
    return any_of(
        all_of(
            (
                _names_resource(one, attempt),
                *(holds(condition, context, variables=True) for condition in one.conditions),
            )
        )
        for one in statements(guardrail, kind)
        if attempt.action in (one.actions or ())
    )


def _names_resource(statement: Statement, attempt: Attempt) -> bool | None:
    patterns = statement.resources or ()
    if "*" in patterns:
        return True
    if not attempt.resource:
        return None
    found = any(glob_match(pattern, attempt.resource) for pattern in patterns)
    return None if found and attempt.maybe_resource else found


@lru_cache(64)
def _as_key_policy(guardrail: Guardrail, kind: Kind) -> KeyPolicy:
    """The statements about keys as a key policy that allows everything else."""
    everyone = (parse_principal("AWS", "*"),)
    allow = Statement(0, "Everything", "Allow", everyone, actions=("kms:*",), resources=("*",))
    about_keys = (
        Statement(
            number, one.sid, "Deny", everyone, actions=one.actions, resources=one.resources, conditions=one.conditions
        )
        for number, one in enumerate(statements(guardrail, kind), 1)
        if all(action.startswith("kms:") for action in one.actions or ())  # a statement is about one service
    )
    return KeyPolicy((allow, *about_keys), VERSION)
