"""What one policy gives, class by class and action by action as findings ask, and differences among some callers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from keytrail.policy.model import KeyPolicy
from keytrail.policy.prover.classes import PrincipalClass, partition_callers
from keytrail.policy.prover.formulas import TRUE
from keytrail.policy.prover.outsiders import Exposure, exposure
from keytrail.policy.prover.questions import Finding as Answer
from keytrail.policy.prover.questions import Questions
from keytrail.policy.prover.space import Side, Space
from keytrail.policy.prover.words import Meter
from keytrail.policy.requests import Request

Key = tuple[object, ...]
"""What equal things have in common."""


def class_key(group: PrincipalClass) -> Key:
    """The same for a class in all comparisons of policies that name the same principals."""
    caller = group.caller
    if group.sort == "stranger":
        return (group.sort, caller.kind)
    return (group.sort, caller.kind, group.account, caller.name, caller.session)


@dataclass(frozen=True)
class World:
    """What all questions about one change have in common: its policies name the classes of callers."""

    policies: tuple[KeyPolicy, ...]
    owner: str
    org: str | None
    trusted: frozenset[str]
    at: datetime | None

    @cached_property
    def classes(self) -> list[PrincipalClass]:
        """The callers that the policies tell apart."""
        return partition_callers(self.policies, self.owner, sorted(self.trusted))

    def space(self, *sides: KeyPolicy, keep: Callable[[PrincipalClass], bool] = lambda _: True) -> Space:
        """The requests that some policies tell apart, by the callers to `keep`."""
        floor = 0 if self.at is None else int(self.at.timestamp())
        kept = [group for group in self.classes if keep(group)]
        return Space([Side(policy, self.owner) for policy in sides], kept, self.owner, self.org, floor)


class Holdings:
    """What each class of callers can do under one policy, whatever the conditions. Answers are remembered."""

    def __init__(self, world: World, policy: KeyPolicy, budget: int, closing: ExitStack) -> None:
        self._space = world.space(policy)
        self._questions = closing.enter_context(Questions(self._space, Meter(budget)))
        self._callers = {class_key(group): callers for callers in self._space.callers for group in callers.classes}
        self._known: dict[tuple[int, int, bool], Answer | None] = {}
        self._actions = {action.name: actions for actions in self._space.actions for action in actions.actions}

    def holds(self, group: PrincipalClass, action: str, *, direct: bool = False, possible: bool = False) -> bool:
        """Whether the class can do it, with IAM in favour or `direct` without; `possible` counts what is open."""
        callers, actions = self._callers.get(class_key(group)), self._actions.get(action)
        if callers is None or actions is None:
            return False
        key = (id(callers), id(actions), direct)
        if key not in self._known:
            self._known[key] = self._questions.holds(0, callers, actions, TRUE, iam=not direct)
        found = self._known[key]
        return found is not None and (possible or found.certain)

    def holders(self, action: str) -> list[PrincipalClass]:
        """The classes that can do it, or possibly can."""
        classes = (group for callers in self._space.callers for group in callers.classes)
        return [group for group in classes if self.holds(group, action, possible=True)]

    def has_anything(self, account: str) -> bool:
        """Whether some identity of an account certainly can do something."""
        return any(
            self.holds(group, action)
            for callers in self._space.callers
            for group in callers.classes
            if group.account == account
            for action in self._actions
        )

    @cached_property
    def exposure(self) -> Exposure:
        """Who outside the account is let in."""
        return exposure(self._space, self._questions, 0)


@dataclass(frozen=True, slots=True)
class Slice:
    """Callers who are allowed the same actions by one policy and not by another."""

    classes: tuple[PrincipalClass, ...]
    actions: tuple[str, ...]
    witness: Request | None


def differences(
    world: World,
    before: KeyPolicy,
    after: KeyPolicy,
    keep: Callable[[PrincipalClass], bool],
    meter: Meter,
    actions: Collection[str] | None = None,
) -> Iterator[Slice]:
    """What policy `after` allows and `before` does not, for some callers and actions."""
    space = world.space(before, after, keep=keep)
    with Questions(space, meter) as questions:
        for callers in space.callers:
            for same in space.actions:
                names = tuple(a.name for a in same.actions if actions is None or a.name in actions)
                if not names:
                    continue
                found = questions.difference(1, 0, callers, same, iam=True)
                if found is None and callers.local:
                    found = questions.difference(1, 0, callers, same, iam=False)
                if found is not None:
                    witness = found.witness
                    yield Slice(callers.classes, names, witness and replace(witness, action=names[0]))


def keys_of(classes: Iterable[PrincipalClass]) -> frozenset[Key]:
    """The keys of several classes."""
    return frozenset(map(class_key, classes))
