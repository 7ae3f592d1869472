"""The difference of two key policies as texts: their statements as JSON, compared line by line."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from keytrail.cli.colour import paint
from keytrail.text import for_terminal, shorten

if TYPE_CHECKING:
    from keytrail.policy import KeyPolicy
    from keytrail.service.policy_diff import PolicyDiff

LINES = 300
"""Lines that are shown."""

# The time of a comparison grows with the product of the lines; beyond this, statements are compared as a whole.
_MOST_LINES = 1_500
_LONGEST = 400
_STYLES = {"+": "low", "-": "high", "@": "dim"}


def statements_diff(found: PolicyDiff, *, colour: bool = False) -> Iterator[str]:
    """Yield the unified difference, safe to show; nothing when the statements are the same texts in the same order."""
    if found.after.policy is None:
        return
    before, after = _statements(found.before.policy), _statements(found.after.policy)
    old, new = _lines(before), _lines(after)
    if max(len(old), len(new)) > _MOST_LINES:
        same = Counter(before) & Counter(after)
        old, new = _lines(_without(before, same)), _lines(_without(after, same))
    lines = (
        difflib.unified_diff(old, new, "before", "after", lineterm="")
        if max(len(old), len(new)) <= _MOST_LINES
        else [f"-{line}" for line in old] + [f"+{line}" for line in new]
    )
    for number, line in enumerate(lines):
        if number == LINES:
            yield "  … the rest is left out: it is too long to read"
            return
        yield paint(f"  {for_terminal(shorten(line, _LONGEST))}", _STYLES.get(line[:1], ""), on=colour)


def _statements(policy: KeyPolicy | None) -> list[str]:
    """Each statement as indented JSON, in the order of the document; both policies in the same spelling."""
    listed = policy.to_dict()["Statement"] if policy is not None else []
    return [json.dumps(one, indent=2, ensure_ascii=False) for one in (listed if isinstance(listed, list) else [listed])]


def _lines(statements: Sequence[str]) -> list[str]:
    return [line for text in statements for line in text.split("\n")]


def _without(statements: Sequence[str], same: Counter[str]) -> list[str]:
    left = Counter(same)
    kept = []
    for text in statements:
        if left[text] > 0:
            left[text] -= 1
        else:
            kept.append(text)
    return kept
