"""Questions about a space of requests, each asked once: a difference, its givers, what a side allows in a slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

from keytrail.policy.prover.formulas import FALSE
from keytrail.policy.prover.solve import Answer, Engine, Solution, Verdict
from keytrail.policy.prover.space import Actions, Callers, Space, each_bit
from keytrail.policy.prover.witness import build, confirms
from keytrail.policy.prover.words import BudgetExceededError, Meter
from keytrail.policy.requests import Request

_QUESTION = 100_000  # units for one question at most, so that a hard one leaves something for the others
_WITNESS = 20_000  # units for making one witness
_GIVER = 10_000  # units for finding out whether one statement gives a difference


@dataclass(frozen=True)
class Finding:
    """Something that a request shows. When it is not `certain` it is only possible.

    The witness is made, and put before the evaluator, when it is first asked for: many findings end up in one change.
    """

    make: Callable[[], Request | None] | None
    literals: frozenset[int] = frozenset()  # of the solution

    @property
    def certain(self) -> bool:
        """Whether there is a solution to make a witness of."""
        return self.make is not None

    @cached_property
    def witness(self) -> Request | None:
        """The request, confirmed by the evaluator; None for a finding that is only possible."""
        return None if self.make is None else self.make()


class Questions:
    """Asks and remembers. `reasons` collects why answers were not exact; `disagreements` must stay empty.

    A disagreement is a witness that the evaluator did not confirm: an error of the prover, never passed on.
    """

    def __init__(self, space: Space, meter: Meter) -> None:
        self.space = space
        self.meter = meter
        self.reasons: dict[str, None] = {}
        self.disagreements: list[Request] = []
        self._engines: dict[object, Engine] = {}
        self._given: dict[tuple[int, int, Engine], bool] = {}
        self._explained = meter.budget
        self._answers: dict[tuple[int, Engine], Answer] = {}

    def __enter__(self) -> Questions:
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._engines.values():
            engine.close()

    def difference(self, gaining: int, other: int, callers: Callers, actions: Actions, *, iam: bool) -> Finding | None:
        """A request of these callers and actions that one side allows and the other does not; None proves none."""
        space = self.space
        formula = space.difference(gaining, other, callers, actions, iam=iam)
        if formula == FALSE:
            return None
        answer = self._answer(formula, callers, actions)
        return self._finding(answer, callers, actions, iam=iam, sides=(gaining, other))

    def holds(self, side: int, callers: Callers, actions: Actions, slice_: int, *, iam: bool = True) -> Finding | None:
        """A request that a side allows and for which the formula `slice_` is true; None proves there is none."""
        allowed = self.space.allowed(side, callers, actions, iam=iam)
        formula = self.space.vocabulary.formulas.all([allowed, slice_])
        if formula == FALSE:
            return None
        answer = self._answer(formula, callers, actions)
        return self._finding(answer, callers, actions, iam=iam, sides=(side, None))

    def reserve(self) -> None:
        """From here on explanations are asked for; they may take half of what is left, the rest is for witnesses."""
        self._explained = self.meter.used + (self.meter.budget - self.meter.used) // 2

    def givers(
        self, gaining: int, other: int, callers: Callers, actions: Actions, found: Finding, *, iam: bool
    ) -> tuple[int, ...]:
        """The Allow statements of a side that give a difference on their own, as far as the budget goes."""
        space = self.space
        allow, deny = space.relevant(gaining, callers, actions, iam=iam)
        other_allow, other_deny = space.relevant(other, callers, actions, iam=iam)

        def formulas(side: int, mask: int) -> dict[int, int]:
            return {index: space.statement(side, index, callers, actions) for index in each_bit(mask)}

        own = formulas(gaining, allow)
        theirs = set(formulas(other, other_allow).values())
        lifted = set(formulas(other, other_deny).values()) - set(formulas(gaining, deny).values())
        # Unless a Deny was lifted, what the other side says as well gives nothing new.
        candidates = {index: formula for index, formula in own.items() if lifted or formula not in theirs}
        if len(candidates) == 1:
            return tuple(candidates)
        difference = space.difference(gaining, other, callers, actions, iam=iam)
        engine = self._engine(callers, actions)
        holds = space.vocabulary.formulas.holds
        return tuple(
            index
            for index, formula in candidates.items()
            if holds(formula, found.literals) or self._gives(engine, difference, formula)
        )

    def _gives(self, engine: Engine, difference: int, formula: int) -> bool:
        key = (difference, formula, engine)
        known = self._given.get(key)
        if known is None:
            if self.meter.used >= self._explained:
                return False
            self.meter.stop = min(self._explained, self.meter.used + _GIVER)
            answer = engine.ask(difference, formula)
            known = self._given[key] = answer.verdict is not Verdict.NO and answer.why != "budget"
        return known

    def _engine(self, callers: Callers, actions: Actions) -> Engine:
        """The engine for the domains of values in this setting: they depend on the class of callers only."""
        first = callers.first
        key = (first if first.domain is not None else None, first.account, callers.local)
        engine = self._engines.get(key)
        if engine is None:
            setting = self.space.setting(callers, actions)
            engine = self._engines[key] = Engine(setting, self.space.vocabulary, self.meter)
        return engine

    def _answer(self, formula: int, callers: Callers, actions: Actions) -> Answer:
        engine = self._engine(callers, actions)
        key = (formula, engine)
        known = self._answers.get(key)
        if known is None:
            self.meter.share(_QUESTION)
            known = self._answers[key] = engine.ask(formula)
            if known.why is not None:
                self.reasons[known.why] = None
        return known

    def _finding(
        self, answer: Answer, callers: Callers, actions: Actions, *, iam: bool, sides: tuple[int, int | None]
    ) -> Finding | None:
        if answer.verdict is Verdict.NO:
            return None
        if answer.verdict is Verdict.POSSIBLE or answer.solution is None:
            return Finding(None)
        literals = frozenset(answer.solution.literals)
        return Finding(partial(self._witness, answer.solution, callers, actions, iam, sides), literals)

    def _witness(
        self, solution: Solution, callers: Callers, actions: Actions, iam: bool, sides: tuple[int, int | None]
    ) -> Request | None:
        """The request of a solution once the evaluator has confirmed it."""
        space = self.space
        gaining, other = sides
        reached = [space.keys_of(side, callers, actions, iam=iam) for side in sides if side is not None]
        keys = sorted(frozenset().union(*reached))
        setting = space.setting(callers, actions)
        self.meter.share(_WITNESS)
        try:
            request = build(solution, setting, keys, space.spellings, space.vocabulary, self.meter, iam=iam)
            self.meter.spend(len(space.sides[gaining].statements))
        except BudgetExceededError:
            self.reasons["budget"] = None
            return None
        against = None if other is None else space.sides[other].policy
        if confirms(request, space.sides[gaining].policy, against, space.owner):
            return request
        self.disagreements.append(request)
        self.reasons["a witness was not confirmed"] = None
        return None
