"""The exact comparison of two key policies: two questions per group of callers and actions, asked both ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from keytrail.policy.model import KeyPolicy
from keytrail.policy.prover.classes import labels, partition_callers
from keytrail.policy.prover.comparison import Change, Comparison, Proof, Proofs
from keytrail.policy.prover.outsiders import Exposure, exposure
from keytrail.policy.prover.questions import Finding, Questions
from keytrail.policy.prover.space import Actions, Callers, Side, Space, each_bit
from keytrail.policy.prover.witness import confirms
from keytrail.policy.prover.words import Meter
from keytrail.policy.requests import Request

BUDGET = 250_000
"""Units of work for one comparison, a few microseconds each: below a second on a small machine."""

_BEFORE, _AFTER = 0, 1
_PRIORITY = ("decrypt", "policy", "grants", "derive", "sign", "generate", "encrypt", "mac", "lifecycle")


def compare(
    before: KeyPolicy | None,
    after: KeyPolicy,
    owner: str,
    *,
    org: str | None = None,
    trusted_accounts: Iterable[str] = (),
    at: datetime | None = None,
    budget: int = BUDGET,
) -> Comparison:
    """Decide exactly which requests on a key of account `owner` (12 digits) one policy allows and the other does not.

    `before` None is a key without a policy. `org` is the organisation the owner is known to be in; `trusted_accounts`
    are told apart from other accounts. With `at`, only requests from that instant on count. `budget` bounds the work
    by counting it; when it does not suffice, `incomplete` says so, and what is not proved is taken for changed.
    Never raises.
    """
    sides = (Side(before, owner), Side(after, owner))
    policies = [policy for policy in (before, after) if policy is not None]
    classes = partition_callers(policies, owner, sorted(set(trusted_accounts)))
    floor = 0 if at is None else int(at.timestamp())
    space = Space(sides, classes, owner, org, floor)
    meter = Meter(budget)
    with Questions(space, meter) as questions:
        gains = list(_differences(space, questions, _AFTER, _BEFORE))
        losses = list(_differences(space, questions, _BEFORE, _AFTER))
        exposed = exposure(space, questions, _AFTER)
        return _comparison(space, questions, gains, losses, exposed)


@dataclass(frozen=True, slots=True)
class _Difference:
    """What one group of callers gains for one group of actions."""

    callers: Callers
    actions: Actions
    upper: Finding | None  # with IAM of every account in favour
    direct: Finding | None  # without IAM

    @property
    def best(self) -> Finding:
        """The finding to show: one that is witnessed, and that needs no IAM where there is a choice."""
        found = [each for each in (self.direct, self.upper) if each is not None]
        return min(found, key=lambda each: not each.certain)


def _differences(space: Space, questions: Questions, gaining: int, other: int) -> Iterator[_Difference]:
    for callers in space.callers:
        for actions in space.actions:
            if not callers.reaches[gaining].delegated & actions.masks[gaining]:
                continue
            upper = questions.difference(gaining, other, callers, actions, iam=True)
            direct = questions.difference(gaining, other, callers, actions, iam=False) if callers.local else None
            if upper is not None or direct is not None:
                yield _Difference(callers, actions, upper, direct)


def _explain(
    space: Space, questions: Questions, gaining: int, other: int, difference: _Difference
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The Allow statements that give the difference on their own, and the Deny statements that stood against it."""
    callers, actions = difference.callers, difference.actions
    found = difference.upper or difference.best
    iam = difference.upper is not None
    giving = questions.givers(gaining, other, callers, actions, found, iam=iam)
    allow, _ = space.relevant(gaining, callers, actions, iam=iam)
    _, denied = space.relevant(other, callers, actions, iam=iam)
    holds = space.vocabulary.formulas.holds
    denials = tuple(
        index for index in each_bit(denied) if holds(space.statement(other, index, callers, actions), found.literals)
    )
    return giving or tuple(each_bit(allow)), denials


def _comparison(
    space: Space,
    questions: Questions,
    gains: Sequence[_Difference],
    losses: Sequence[_Difference],
    exposed: Exposure,
) -> Comparison:
    questions.reserve()
    gained = _merge(space, questions, gains, _AFTER, _BEFORE)
    lost = _merge(space, questions, losses, _BEFORE, _AFTER)
    return Comparison(
        new_access=bool(gains),
        lost_access=bool(losses),
        upper_bound_new_access=any(each.upper is not None for each in gains),
        upper_bound_lost_access=any(each.upper is not None for each in losses),
        public=exposed.public,
        external_accounts=exposed.accounts,
        witness=gained[0].witness if gained else None,
        lost_witness=lost[0].witness if lost else None,
        gains=gained,
        losses=lost,
        proof=Proofs(
            new_access=_proof(gained),
            lost_access=_proof(lost),
            upper_bound_new_access=_proof([change for change in gained if change.bound == "upper bound"]),
            upper_bound_lost_access=_proof([change for change in lost if change.bound == "upper bound"]),
            public=exposed.public_proof,
            external_accounts=exposed.accounts_proof,
        ),
        incomplete=(*space.vocabulary.notes, *(f"incomplete: {reason}" for reason in questions.reasons)),
        public_witness=exposed.witness,
        work=questions.meter.used,
    )


def _proof(changes: Sequence[Change]) -> Proof:
    if not changes:
        return "proved"
    return "witnessed" if any(change.witness is not None for change in changes) else "possible"


_Explained = tuple[tuple[int, ...], tuple[int, ...]]  # statements and denials, by index


def _merge(
    space: Space, questions: Questions, found: Sequence[_Difference], gaining: int, other: int
) -> tuple[Change, ...]:
    """One change per statements, bound and actions; the most telling first."""
    by_callers: dict[tuple[Callers, _Explained, bool, bool, bool], list[_Difference]] = {}
    for each in found:
        why = _explain(space, questions, gaining, other, each)
        key = (each.callers, why, each.upper is None, each.direct is None, each.best.certain)
        by_callers.setdefault(key, []).append(each)
    alike: dict[tuple[object, ...], tuple[_Explained, list[_Difference]]] = {}
    for (_, why, *how), members in by_callers.items():
        actions = tuple(action.name for each in members for action in each.actions.actions)
        alike.setdefault((why, *how, actions), (why, []))[1].extend(members)
    changes = (_change(space, members, why, gaining, other) for why, members in alike.values())
    return tuple(sorted(changes, key=_rank))


def _change(space: Space, members: Sequence[_Difference], why: _Explained, gaining: int, other: int) -> Change:
    first = min(members, key=_telling)
    actions = dict.fromkeys(action for each in members for action in each.actions.actions)
    callers = dict.fromkeys(each.callers for each in members)
    classes = tuple(group for each in callers for group in each.classes)
    given = tuple(space.sides[gaining].statements[index] for index in why[0])
    conditions = dict.fromkeys(str(condition) for statement in given for condition in statement.conditions)
    witness = _witness(space, first, gaining, other)  # any other finding of this change would do as well
    return Change(
        principals=labels(classes),
        classes=classes,
        actions=tuple(action.name for action in actions),
        groups=tuple(dict.fromkeys(action.group for action in actions)),
        conditions=tuple(conditions),
        statements=given,
        denials=tuple(space.sides[other].statements[index] for index in why[1]),
        bound="upper bound" if first.upper is not None else "strict",
        needs_iam=first.direct is None,
        proof="witnessed" if witness is not None else "possible",
        witness=witness,
    )


def _witness(space: Space, difference: _Difference, gaining: int, other: int) -> Request | None:
    """The request to show: one that needs no IAM, if it also shows the upper bound where that is what is claimed."""
    found = difference.best.witness
    if found is None or difference.upper is None or found.needs_iam:
        return found
    sides = space.sides
    with_iam = replace(found, needs_iam=True)
    if confirms(with_iam, sides[gaining].policy, sides[other].policy, space.owner):
        return found
    return difference.upper.witness


def _telling(difference: _Difference) -> int:
    """The action a person should see first."""
    return _severity(difference.actions.first.group)


def _severity(group: str) -> int:
    return _PRIORITY.index(group) if group in _PRIORITY else len(_PRIORITY)


def _rank(change: Change) -> tuple[bool, int, int]:
    size = len(change.witness.context) if change.witness is not None else 0
    return (change.witness is None, min(map(_severity, change.groups)), size)
