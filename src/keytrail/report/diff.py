"""The difference of two policy documents: statement with statement, however they are ordered, then line with line."""

from __future__ import annotations

import difflib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence

from keytrail.investigate.reading import Json, text
from keytrail.report.blocks import Diff, DiffLine

# The time of a comparison grows with the product of the lines; a statement beyond this counts as another one.
_MOST_LINES = 1_500
_CONTEXT = 3


def statements_diff(before: Json | None, after: Json | None, *, most: int = 300) -> Diff | None:
    """What became of each statement, in the order of the document after; at most so many lines, None when equal.

    Statements are matched by their content, then by their Sid, the rest in their order by what they have in common.
    """
    old, new = _statements(before), _statements(after)
    lines: list[DiffLine] = []
    for earlier, later in _pairs(old, new):
        lines += _compared(earlier, later)
        if len(lines) > most:
            return Diff(tuple(lines[:most]), cut=True)
    changed = any(line.sign in "+-" for line in lines)
    return Diff(tuple(lines)) if changed else None


def _statements(document: Json | None) -> list[tuple[str, Json]]:
    """Each statement with its name in words."""
    listed = (document or {}).get("Statement")
    found = listed if isinstance(listed, list) else [listed]
    statements = [one for one in found if isinstance(one, dict)]
    return [(_named(number, one), one) for number, one in enumerate(statements, 1)]


def _named(number: int, statement: Json) -> str:
    sid = text(statement, "Sid")
    return f"statement {number}" + (f' "{sid}"' if sid else "")


Named = tuple[str, Json]


def _pairs(old: Sequence[Named], new: Sequence[Named]) -> Iterator[tuple[Named | None, Named | None]]:
    """Each statement after with its predecessor; those that went stand behind the one they followed."""
    match = _matched([one for _, one in old], [one for _, one in new])
    before_of = {later: earlier for earlier, later in match.items()}
    gone: dict[int, list[int]] = defaultdict(list)
    last = -1
    for index in range(len(old)):
        if index in match:
            last = match[index]
        else:
            gone[last].append(index)
    for index in gone[-1]:
        yield old[index], None
    for later, statement in enumerate(new):
        yield (old[before_of[later]] if later in before_of else None), statement
        for index in gone[later]:
            yield old[index], None


def _matched(old: Sequence[Json], new: Sequence[Json]) -> dict[int, int]:
    match: dict[int, int] = {}
    for key in (_content, _sid):
        waiting: dict[str, list[int]] = defaultdict(list)
        taken = set(match.values())
        for later, statement in enumerate(new):
            if later not in taken and (value := key(statement)):
                waiting[value].append(later)
        for earlier, statement in enumerate(old):
            value = key(statement)
            if earlier not in match and value and waiting[value]:
                match[earlier] = waiting[value].pop(0)
    left = [later for later in range(len(new)) if later not in set(match.values())]
    for earlier, statement in enumerate(old):
        if earlier not in match and left:
            best = max(left, key=lambda later: (_common(statement, new[later]), -later))
            if _common(statement, new[best]) * 2 > len(statement):
                match[earlier] = best
                left.remove(best)
    return match


def _content(statement: Json) -> str:
    return json.dumps(statement, sort_keys=True, default=str)


def _sid(statement: Json) -> str:
    return text(statement, "Sid")


def _common(one: Json, other: Json) -> int:
    """How many members are the same in both."""
    return sum(other.get(name) == value for name, value in one.items())


def _compared(before: Named | None, after: Named | None) -> Iterator[DiffLine]:
    if before is None or after is None:
        name, statement = after or before or ("", {})
        yield DiffLine("@", f"{name}, {'added' if before is None else 'removed'}")
        yield from (DiffLine("+" if before is None else "-", line) for line in _lines(statement))
        return
    old, new = _lines(before[1]), _lines(after[1])
    if old == new:
        moved = "" if before[0] == after[0] else f", before {before[0]}"
        yield DiffLine("@", f"{after[0]}, unchanged{moved}")
        return
    yield DiffLine("@", f"{after[0]}, changed" + ("" if before[0] == after[0] else f", before {before[0]}"))
    if max(len(old), len(new)) > _MOST_LINES:
        yield from (DiffLine("-", line) for line in old)
        yield from (DiffLine("+", line) for line in new)
        return
    groups = list(difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_CONTEXT))
    for number, group in enumerate(groups):
        if number:
            yield DiffLine(" ", "…")
        for tag, first, last, start, end in group:
            if tag == "equal":
                yield from (DiffLine(" ", line) for line in old[first:last])
            else:
                yield from (DiffLine("-", line) for line in old[first:last])
                yield from (DiffLine("+", line) for line in new[start:end])


def _lines(statement: Json) -> list[str]:
    """A statement as indented JSON; the order in which a condition or an object names its members is no difference."""
    return json.dumps(_ordered(statement), indent=2, ensure_ascii=False, default=str).split("\n")


_ORDER = ("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")


def _ordered(statement: Json) -> Json:
    known = {name: statement[name] for name in _ORDER if name in statement}
    return known | {name: value for name, value in statement.items() if name not in known}
