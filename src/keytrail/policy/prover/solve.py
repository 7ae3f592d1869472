"""Satisfiability of formulas over requests: a SAT solver for the Booleans, values checked lazily, clashes learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from keytrail.policy.prover.encode import Exists, Holds, Presence, Relation, Unknown, Vocabulary
from keytrail.policy.prover.formulas import FALSE, TRUE, Kind
from keytrail.policy.prover.slots import Setting
from keytrail.policy.prover.theory import Clash, Theory, Values
from keytrail.policy.prover.words import BudgetExceededError, Meter

if TYPE_CHECKING:
    from pysat.solvers import Solver  # type: ignore[import-untyped]  # it has no stubs

_CONFLICTS = 10_000  # of the SAT solver, in one call
_CONFLICT_UNITS = 5  # what one of them costs on the meter
_INFINITE = float("inf")


class Verdict(Enum):
    """How a question ends."""

    NO = 0  # no request satisfies the formula: proved
    YES = 1  # the solution does
    POSSIBLE = 2  # nothing was proved; `why` says what is in the way


@dataclass(frozen=True, slots=True)
class Solution:
    """Literals that make the formula true whatever the others are, and values for them."""

    literals: tuple[int, ...]
    values: Values


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a question."""

    verdict: Verdict
    solution: Solution | None = None
    why: str | None = None


NO = Answer(Verdict.NO)


class Engine:
    """Answers questions about requests whose values have the same domains; what one question teaches helps the next.

    Must be closed: the solver lives outside of Python.
    """

    def __init__(self, setting: Setting, vocabulary: Vocabulary, meter: Meter) -> None:
        self._vocabulary = vocabulary
        self._meter = meter
        self._theory = Theory(setting, vocabulary.atoms, meter)
        self._solver: Solver | None = None
        self._size = 0  # variables in use
        self._atoms: dict[int, int] = {}  # atom -> variable
        self._nodes: dict[int, int] = {}  # formula -> variable that implies it
        self._unknown: dict[int, int] = {}  # literal of an unknown -> variable
        self._pending: list[int] = []  # atoms whose rules are still to be added

    def close(self) -> None:
        """Give the solver back."""
        if self._solver is not None:
            self._solver.delete()
            self._solver = None

    def ask(self, *formulas: int) -> Answer:
        """Whether some request satisfies all formulas. Never raises: an exceeded budget is a POSSIBLE."""
        formula = self._vocabulary.formulas.all(formulas)
        if formula == FALSE:
            return NO
        try:
            return self._ask(formula, [each for each in formulas if each != TRUE])
        except BudgetExceededError:
            return Answer(Verdict.POSSIBLE, why="budget")

    def _ask(self, whole: int, formulas: Sequence[int]) -> Answer:
        possible: Answer | None = None
        solver = self._open()
        self._meter.spend(5)
        wanted = [self._variable(solver, formula) for formula in formulas]
        self._add_rules(solver)
        active = self._fresh()  # clauses of this question only hang on it
        for known_only in (True, False) if self._unknown else (True,):
            assumed = [*wanted, active, *((-each for each in self._unknown.values()) if known_only else ())]
            while (model := self._solve(solver, assumed)) is not None:
                literals = self._implicant(whole, model)
                outcome = self._theory.check(literals)
                if isinstance(outcome, Values):
                    if known_only:
                        return Answer(Verdict.YES, Solution(literals, outcome))
                    return Answer(Verdict.POSSIBLE, Solution(literals, outcome), "undocumented")
                self._learn(solver, outcome, active)
                if not outcome.exact:
                    possible = possible or Answer(Verdict.POSSIBLE, why="values")
        return possible or NO

    def _learn(self, solver: Solver, clash: Clash, active: int) -> None:
        clause = [-self._literal(solver, literal) for literal in clash.literals]
        solver.add_clause(clause if clash.exact else [*clause, -active])
        self._add_rules(solver)

    # To clauses --------------------------------------------------------------------------------------------------

    def _open(self) -> Solver:
        if self._solver is None:
            from pysat.solvers import Solver  # 50 ms to import: only when there is something to solve

            self._solver = Solver(name="m22")
        return self._solver

    def _fresh(self) -> int:
        self._size += 1
        return self._size

    def _variable(self, solver: Solver, formula: int) -> int:
        """A literal of the solver that implies the formula, enough as formulas are in negation normal form."""
        known = self._nodes.get(formula)
        if known is not None:
            return known
        kind, parts = self._vocabulary.formulas.nodes[formula]
        if kind is Kind.LITERAL:
            variable = self._literal(solver, parts[0])
        else:
            variable = self._fresh()
            children = [self._variable(solver, part) for part in parts]
            self._meter.spend(1 + len(children) // 8)
            if kind is Kind.ALL:
                for child in children:
                    solver.add_clause([-variable, child])
            else:
                solver.add_clause([-variable, *children])
        self._nodes[formula] = variable
        return variable

    def _literal(self, solver: Solver, literal: int) -> int:
        number = abs(literal)
        if isinstance(self._vocabulary.atoms[number], Unknown):
            # Both readings get a variable of their own, false by assumption while answers must not hang on them.
            if literal not in self._unknown:
                self._unknown[literal] = self._fresh()
                if -literal in self._unknown:
                    solver.add_clause([-self._unknown[literal], -self._unknown[-literal]])
            return self._unknown[literal]
        variable = self._atoms.get(number)
        if variable is None:
            variable = self._atoms[number] = self._fresh()
            self._pending.append(number)
        return variable if literal > 0 else -variable

    def _add_rules(self, solver: Solver) -> None:
        while self._pending:
            for clause in self._vocabulary.rules.get(self._pending.pop(), ()):
                solver.add_clause([self._literal(solver, literal) for literal in clause])

    # To models ---------------------------------------------------------------------------------------------------

    def _solve(self, solver: Solver, assumed: Sequence[int]) -> Sequence[int] | None:
        """A model, variable n at place n - 1; None when there is none. Raises BudgetExceededError."""
        solver.conf_budget(_CONFLICTS)
        before = solver.accum_stats()["conflicts"]
        result = solver.solve_limited(assumptions=assumed)
        conflicts = solver.accum_stats()["conflicts"] - before
        self._meter.spend(10 + _CONFLICT_UNITS * conflicts + self._size // 50)
        if result is None:
            raise BudgetExceededError
        model: Sequence[int] | None = solver.get_model() if result else None
        return model

    def _implicant(self, formula: int, model: Sequence[int]) -> tuple[int, ...]:
        """Literals of the model that make the formula true on their own, few and cheap ones."""
        nodes = self._vocabulary.formulas.nodes

        def price(part: int) -> float:
            kind, parts = nodes[part]
            if kind is Kind.LITERAL:
                return self._price(parts[0], model)
            return 4.0 + 2.0 * len(parts) if model[self._nodes[part] - 1] > 0 else _INFINITE

        chosen: dict[int, None] = {}
        pending = [formula]
        steps = 0
        while pending:
            kind, parts = nodes[pending.pop()]
            steps += len(parts)
            if kind is Kind.LITERAL:
                chosen[parts[0]] = None
            elif kind is Kind.ALL:
                pending += reversed(parts)
            elif kind is Kind.ANY:
                pending.append(min(parts, key=price))
        self._meter.spend(1 + steps // 6)
        return tuple(chosen)

    def _price(self, literal: int, model: Sequence[int]) -> float:
        atom = self._vocabulary.atoms[abs(literal)]
        if isinstance(atom, Unknown):
            variable = self._unknown.get(literal)
            return 50.0 if variable is not None and model[variable - 1] > 0 else _INFINITE
        variable = self._atoms.get(abs(literal))
        if variable is None or (model[variable - 1] > 0) is not (literal > 0):
            return _INFINITE
        if isinstance(atom, Presence):
            return 1.0 if literal < 0 else 2.0
        if isinstance(atom, Relation):
            return 9.0
        return 4.0 if isinstance(atom, (Holds, Exists)) and literal > 0 else 3.0
