"""What finding functions are given: the change, its comparison, what each side held, and counterfactual questions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from keytrail.policy.catalogue import catalogue
from keytrail.policy.findings import words
from keytrail.policy.findings.finding import ChangeFacts, StatementRef, references
from keytrail.policy.findings.holdings import Holdings, Key, Slice, World, class_key, differences, keys_of
from keytrail.policy.model import KeyPolicy, Principal, PrincipalKind, Statement
from keytrail.policy.prover.classes import PrincipalClass
from keytrail.policy.prover.compare import BUDGET, compare
from keytrail.policy.prover.comparison import Bound, Change, Comparison, Proof
from keytrail.policy.prover.witness import confirms
from keytrail.policy.prover.words import Meter
from keytrail.policy.requests import CallerKind, Request

EVERYONE = Principal(PrincipalKind.EVERYONE, "*", text="*")
ALLOW_EVERYTHING = Statement(0, None, "Allow", principals=(EVERYONE,), actions=("kms:*",), resources=("*",))
_BUDGET = 2 * BUDGET  # for all counterfactual questions of one change together
_LEAST = 2_000  # what a question is always given, so that an easy one is still answered


@dataclass(frozen=True, slots=True)
class Access:
    """Callers who gained (or lost) the same actions by the same statements.

    `kept` tells whether the other policy allows them the same actions too, only under other conditions.
    """

    classes: tuple[PrincipalClass, ...]
    actions: tuple[str, ...]
    change: Change
    kept: bool

    @property
    def bound(self) -> Bound:
        """Strict where only the need for IAM changed."""
        return self.change.bound

    @property
    def proof(self) -> Proof:
        """How it stands."""
        return self.change.proof


@dataclass
class Case:
    """One change. `first` is True for the first policy of a key: its gains are those beyond AWS's default policy."""

    before: KeyPolicy | None
    after: KeyPolicy
    owner: str
    comparison: Comparison
    org: str | None = None
    trusted: frozenset[str] = frozenset()
    facts: ChangeFacts = field(default_factory=ChangeFacts)
    at: datetime | None = None
    spent: int = 0
    witnesses: dict[Key, Request | None] = field(default_factory=dict)
    closing: ExitStack = field(default_factory=ExitStack)

    @property
    def first(self) -> bool:
        """Whether there was no policy before, or none is known."""
        return self.before is None

    @cached_property
    def baseline(self) -> KeyPolicy:
        """What gains are measured against: the policy before, or what AWS gives a key without one."""
        return self.before if self.before is not None else KeyPolicy.default(self.owner)

    @cached_property
    def difference(self) -> Comparison:
        """The comparison with the baseline."""
        return self.comparison if self.before is not None else self.compare(self.baseline, self.after)

    @cached_property
    def world(self) -> World:
        """What questions about this change have in common."""
        return World((self.baseline, self.after), self.owner, self.org, self.trusted, self.at)

    @cached_property
    def earlier(self) -> Holdings:
        """What the baseline gave."""
        return Holdings(self.world, self.baseline, BUDGET, self.closing)

    @cached_property
    def later(self) -> Holdings:
        """What the policy after gives."""
        return Holdings(self.world, self.after, BUDGET, self.closing)

    @cached_property
    def services(self) -> list[PrincipalClass]:
        """The AWS services that the policies tell apart."""
        return [group for group in self.world.classes if group.caller.kind is CallerKind.SERVICE]

    @cached_property
    def gains(self) -> tuple[Access, ...]:
        """Gains over the baseline, by who already had the action under other conditions."""
        return tuple(self._accesses(self.difference.gains, lambda: self.earlier))

    @cached_property
    def losses(self) -> tuple[Access, ...]:
        """Losses; none for a first policy."""
        return () if self.first else tuple(self._accesses(self.comparison.losses, lambda: self.later))

    @cached_property
    def new_statements(self) -> tuple[Statement, ...]:
        """The statements of the policy after whose like the one before does not have."""
        old = set() if self.before is None else {content(s) for s in self.before.statements}
        return tuple(s for s in self.after.statements if content(s) not in old)

    def compare(self, before: KeyPolicy | None, after: KeyPolicy) -> Comparison:
        """Another comparison on the same key, from the common budget."""
        budget = max(_LEAST, _BUDGET - self.spent)
        found = compare(
            before, after, self.owner, org=self.org, trusted_accounts=self.trusted, at=self.at, budget=budget
        )
        self.spent += found.work
        return found

    def differences(
        self,
        before: KeyPolicy,
        after: KeyPolicy,
        classes: Iterable[PrincipalClass],
        actions: Collection[str] | None = None,
    ) -> list[Slice]:
        """What one policy gives some callers that another does not, from the common budget."""
        wanted = keys_of(classes)
        meter = Meter(max(_LEAST, _BUDGET - self.spent))
        found = list(differences(self.world, before, after, lambda group: class_key(group) in wanted, meter, actions))
        self.spent += meter.used
        return found

    def gained(self, actions: Collection[str] | None = None, *, kept: bool | None = None) -> Iterator[Access]:
        """The gains of some actions; `kept` picks those already had under other conditions, or those that were not.

        Services that only "*" names are left out: who else "*" names is the finding, and P15 asks about them.
        """
        for access in self.gains:
            chosen = access.actions if actions is None else tuple(a for a in access.actions if a in actions)
            classes = tuple(group for group in access.classes if group.sort != "other service")
            if chosen and classes and (kept is None or access.kept is kept):
                yield replace(access, actions=chosen, classes=classes)

    def witness(self, access: Access, *, lost: bool = False) -> Request | None:
        """A request that shows the access for one of its actions, confirmed by the evaluator."""
        key = (id(access.change), access.actions, access.classes[:1], lost)
        if key not in self.witnesses:
            self.witnesses[key] = self._witness(access, lost=lost)
        return self.witnesses[key]

    def _witness(self, access: Access, *, lost: bool) -> Request | None:
        gaining, other = (self.baseline, self.after) if lost else (self.after, self.baseline)
        given = access.change.witness
        if given is None:
            return None
        for action in access.actions if len(access.actions) < 4 else access.actions[:1]:
            tried = replace(given, action=action)
            if confirms(tried, gaining, other, self.owner):
                return tried
        for slice_ in self.differences(other, gaining, access.classes[:1], access.actions):
            request = slice_.witness
            if request is not None and confirms(request, gaining, other, self.owner):
                return request
        return None

    def allows(self, request: Request) -> bool:
        """Whether the policy after allows a request for certain."""
        return confirms(request, self.after, None, self.owner)

    def is_gain(self, request: Request) -> bool:
        """Whether only the policy after allows a request."""
        return confirms(request, self.after, self.baseline, self.owner)

    def statements(self, access: Access) -> tuple[StatementRef, ...]:
        """The statements behind a gain: what gives it, and what stood against it."""
        denials = () if self.first else references("before", access.change.denials)
        return references("after", access.change.statements) + denials

    def who(self, classes: Iterable[PrincipalClass]) -> str:
        """Callers as the subject of a sentence."""
        return words.who(classes, self.owner)

    def is_outside(self, group: PrincipalClass) -> bool:
        """Whether a class is of another account, named or not."""
        return group.sort == "stranger" or (group.account is not None and group.account != self.owner)

    def is_trusted(self, classes: Iterable[PrincipalClass]) -> bool:
        """Whether all callers are of accounts declared trusted."""
        return all(group.account in self.trusted for group in classes)

    def _accesses(self, changes: Iterable[Change], other: Callable[[], Holdings]) -> Iterator[Access]:
        """Changes split by what the other side holds, and joined again over callers with equal outcomes."""
        merged: dict[Key, Access] = {}
        for change in changes:
            held = other()
            for group in change.classes:
                for kept in (False, True):
                    actions = tuple(
                        a for a in change.actions if held.holds(group, a, direct=change.bound == "strict") is kept
                    )
                    if not actions:
                        continue
                    indexes = tuple(s.index for s in change.statements), tuple(s.index for s in change.denials)
                    outside = self.is_outside(group), change.proof, change.needs_iam and group.account == self.owner
                    key = (actions, *indexes, change.bound, kept, outside)
                    known = merged.get(key)
                    if known is None:
                        merged[key] = Access((group,), actions, change, kept)
                    else:
                        merged[key] = replace(known, classes=(*known.classes, group))
        yield from merged.values()


def content(statement: Statement) -> Key:
    """What a statement says, whatever its place, its Sid and the order of its parts."""
    parts = (
        statement.principals,
        statement.not_principals,
        statement.resources,
        statement.not_resources,
        statement.conditions,
    )
    actions = statement.actions if statement.actions is not None else statement.not_actions
    return (
        statement.effect,
        statement.actions is None,
        None if actions is None else frozenset(action.lower() for action in actions),
        *(None if part is None else frozenset(part) for part in parts),
    )


def group_actions(*groups: str) -> frozenset[str]:
    """The names of the actions of some groups that a key policy can give."""
    return frozenset(action.name for action in catalogue().key_actions() if action.group in groups)


def with_statements(policy: KeyPolicy, statements: Iterable[Statement]) -> KeyPolicy:
    """The policy with more statements behind its own."""
    first = max((statement.index for statement in policy.statements), default=-1) + 1
    added = tuple(replace(statement, index=first + at) for at, statement in enumerate(statements))
    return replace(policy, statements=policy.statements + added, source=None)
