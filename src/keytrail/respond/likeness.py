"""Which statements of two policies are the same, which are the same in another form, and which are added or lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from keytrail.policy import KeyPolicy, Principal, Statement

_ALIKE = 3.0  # of the five aspects, for statements without a Sid in common
_SAME_SID = 6.0  # more than all aspects


@dataclass(frozen=True, slots=True)
class Shape:
    """What a statement says, without Sid, place, order and repetition; equal shapes allow or deny the same requests.

    Principals that match nobody are left out. `variables` is None where the statement has no policy variables.
    """

    effect: str
    who: tuple[str, frozenset[Principal]]
    what: tuple[str, frozenset[str]]
    where: tuple[str, frozenset[str]]
    conditions: frozenset[tuple[str, str, frozenset[str]]]
    variables: bool | None

    @property
    def names_nobody(self) -> bool:
        """Whether it applies to no caller at all."""
        return self.who == ("Principal", frozenset())

    def differences(self, other: Shape) -> frozenset[str]:
        """The aspects in which two shapes differ, variables aside: effect, who, what, where, conditions."""
        return frozenset(name for name in _ASPECTS if getattr(self, name) != getattr(other, name))


_ASPECTS = ("effect", "who", "what", "where", "conditions")


def shape_of(statement: Statement, policy: KeyPolicy) -> Shape:
    """The shape of a statement of a policy, whose Version decides whether it has variables."""
    who, name = (statement.principals, "Principal")
    if who is None:
        who, name = (statement.not_principals or (), "NotPrincipal")
    return Shape(
        statement.effect,
        (name, frozenset(each for each in who if not each.kind.names_nobody)),
        _either("Action", statement.actions, statement.not_actions, fold=True),
        _either("Resource", statement.resources, statement.not_resources),
        frozenset((str(each.operator), each.name, frozenset(each.values)) for each in statement.conditions),
        policy.has_variables if has_variables(statement) else None,
    )


def has_variables(statement: Statement) -> bool:
    """Whether what the statement means depends on the Version of its policy."""
    texts = (*(statement.resources or ()), *(statement.not_resources or ()))
    return any("${" in text for text in texts) or any(
        "${" in value for condition in statement.conditions for value in condition.values
    )


def _either(
    name: str, given: tuple[str, ...] | None, but: tuple[str, ...] | None, *, fold: bool = False
) -> tuple[str, frozenset[str]]:
    if given is None and but is None:
        return "", frozenset()
    texts = given if given is not None else but or ()
    return name if given is not None else f"Not{name}", frozenset(t.lower() if fold else t for t in texts)


def kept_principals(good: KeyPolicy, current: KeyPolicy) -> dict[int, frozenset[Principal]]:
    """The principals of each statement of `current` that some statement of `good` names, all else being the same.

    A statement that is not in it has no counterpart. With NotPrincipal only the same statement is one.
    """
    named: dict[Shape, frozenset[Principal]] = {}
    for statement in good.statements:
        shape = shape_of(statement, good)
        named[_rest(shape)] = named.get(_rest(shape), frozenset()) | shape.who[1]
    kept = {}
    for statement in current.statements:
        shape = shape_of(statement, current)
        others = named.get(_rest(shape))
        if others is not None:
            kept[statement.index] = shape.who[1] & others
    return kept


def _rest(shape: Shape) -> Shape:
    return replace(shape, who=("Principal", frozenset())) if shape.who[0] == "Principal" else shape


def common(good: KeyPolicy, current: KeyPolicy) -> KeyPolicy:
    """A policy that allows exactly what `good` and the unchanged statements of `current` both allow.

    Unchanged are the Allow statements that `good` has too, with the principals that both have; against them stand the
    Deny statements of both. Since their Allow statements are also good's, nothing else is in what both allow. Where
    the meaning of variables in both cannot be kept, because Versions differ, it allows more, never less.
    """
    kept = kept_principals(good, current)
    statements: list[Statement] = []
    for statement in current.statements:
        if statement.effect == "Deny":
            statements.append(statement)
        elif statement.not_principals is not None:
            statements += [statement] * (statement.index in kept)
        elif both := tuple(each for each in statement.principals or () if each in kept.get(statement.index, ())):
            statements.append(replace(statement, principals=both))
    version = current.version
    denials = [statement for statement in good.statements if statement.effect == "Deny"]
    if good.has_variables != current.has_variables:
        if any(map(has_variables, statements)):
            denials = [statement for statement in denials if not has_variables(statement)]
        else:
            version = good.version
    numbered = tuple(replace(each, index=index) for index, each in enumerate((*statements, *denials)))
    return KeyPolicy(numbered, version)


@dataclass(frozen=True, slots=True)
class Pairs:
    """What became of the statements of `good` in `current`, by index; `changed` are in another form, `lost` are gone.

    `same` and `changed` map an index in `good` to the one in `current`.
    """

    same: Mapping[int, int]
    changed: Mapping[int, int]
    lost: tuple[int, ...]

    def place(self, index: int) -> int:
        """Where a lost statement of `good` stood: the index in `current` before which to put it."""
        known = {**self.same, **self.changed}
        before = [known[each] for each in range(index) if each in known]
        return before[-1] + 1 if before else 0


def pairs(good: KeyPolicy, current: KeyPolicy) -> Pairs:
    """Find the statements of `good` in `current`: the same ones, then by Sid and by what they have in common."""
    theirs = {statement.index: shape_of(statement, good) for statement in good.statements}
    ours = {statement.index: shape_of(statement, current) for statement in current.statements}
    by_shape = {shape: index for index, shape in reversed(ours.items())}
    same = {index: by_shape[shape] for index, shape in theirs.items() if shape in by_shape}
    known = set(theirs.values())
    scored = [
        (_likeness(shape, other) + _SAME_SID * _same_sid(good.statements[one], current.statements[two]), one, two)
        for one, shape in theirs.items()
        if one not in same and not shape.names_nobody
        for two, other in ours.items()
        if other not in known
    ]
    changed: dict[int, int] = {}
    for score, one, two in sorted(scored, key=lambda each: -each[0]):
        if score >= _ALIKE and one not in changed and two not in changed.values():
            changed[one] = two
    lost = (index for index in theirs if index not in same and index not in changed)
    return Pairs(same, changed, tuple(index for index in lost if not theirs[index].names_nobody))


def _same_sid(one: Statement, other: Statement) -> bool:
    return bool(one.sid) and one.sid == other.sid


def _likeness(one: Shape, other: Shape) -> float:
    """The aspects that are the same; principals in common count half."""
    different = one.differences(other)
    shared = "who" in different and one.who[0] == other.who[0] and bool(one.who[1] & other.who[1])
    return len(_ASPECTS) - len(different) + (0.5 if shared else 0)
