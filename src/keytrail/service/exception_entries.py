"""Exception items from what people write on a command line: fields, operators and values."""

from __future__ import annotations

from collections.abc import Sequence

from keytrail.errors import UsageError
from keytrail.rules import Entry, ExistsEntry, ListEntry, MatchAnyEntry, MatchEntry, WildcardEntry
from keytrail.store.state.value_lists import ListHead

OPERATORS = (
    "is", "is_not", "one_of", "none_of", "exists", "not_exists", "matches", "not_matches", "in_list", "not_in_list",
)  # fmt: skip
"""What can be asked of a field."""

_EXCLUDED = frozenset({"is_not", "none_of", "not_exists", "not_matches", "not_in_list"})
_WITHOUT_VALUE = frozenset({"exists", "not_exists"})
_ADVICE = "such as --field user.name --value ada, or --field source.ip --operator in_list --value offices"


def entries_of(
    fields: Sequence[str], operators: Sequence[str], values: Sequence[str], lists: Sequence[ListHead]
) -> tuple[Entry, ...]:
    """The entries, all of which are to hold. `lists` are the value lists that there are.

    One field takes all values; each of several takes one, in their order. One operator, or none ("is"), is that of
    every field. Raises UsageError where they do not go together.

    >>> entries_of(["user.name", "error"], ["is", "not_exists"], ["ada"], ())
    (MatchEntry(field='user.name', value='ada', excluded=False), ExistsEntry(field='error', excluded=True))
    """
    if not fields:
        raise UsageError("say which events: --field and --value", advice=_ADVICE)
    asked = list(operators) or ["is"]
    if len(asked) == 1:
        asked *= len(fields)
    if len(asked) != len(fields):
        raise UsageError(
            f"{len(fields)} fields and {len(asked)} operators do not go together",
            advice="Give one --operator for all fields, or one for each.",
        )
    left = list(values)
    made: list[Entry] = []
    for field, operator in zip(fields, asked, strict=True):
        if operator in _WITHOUT_VALUE:
            taken: list[str] = []
        elif len(fields) == 1:
            taken, left = left, []
        else:
            taken, left = left[:1], left[1:]
        made.append(_entry(field.strip(), operator, taken, lists))
    if left:
        raise UsageError(
            f"no field is left for the value {left[0]!r}",
            advice="One --field takes all values; each of several takes one, in their order.",
        )
    return tuple(made)


def _entry(field: str, operator: str, values: Sequence[str], lists: Sequence[ListHead]) -> Entry:
    excluded = operator in _EXCLUDED
    if not field:
        raise UsageError("--field is empty", advice=_ADVICE)
    if operator in _WITHOUT_VALUE:
        return ExistsEntry(field, excluded)
    if not values or not all(values):
        raise UsageError(f"the field {field!r} has no value", advice=_ADVICE)
    if operator in ("one_of", "none_of") or (len(values) > 1 and operator in ("is", "is_not")):
        return MatchAnyEntry(field, tuple(values), excluded)
    if len(values) > 1:
        raise UsageError(f"{operator} takes one value, not {len(values)}", advice=_ADVICE)
    [value] = values
    if operator in ("is", "is_not"):
        return MatchEntry(field, value, excluded)
    if operator in ("matches", "not_matches"):
        return WildcardEntry(field, value, excluded)
    for head in lists:
        if head.id == value:
            return ListEntry(field, head.id, head.type, excluded)
    raise UsageError(
        f"no value list has the id {value!r}", advice="`keytrail exceptions value-lists import` makes one."
    )
