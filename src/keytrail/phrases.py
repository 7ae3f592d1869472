"""Pieces of sentences: counts, enumerations, beginnings, times; and the words for verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

VERDICTS: Mapping[str, str] = {
    "malicious": "malicious",
    "review": "review",
    "expected": "expected",
    "no_effect": "no effect",
}
"""The verdicts of investigations as people read them, gravest first."""


def count(number: int, noun: str) -> str:
    """A number and what is counted.

    >>> count(1, "alert"), count(12345, "alert"), count(2, "policy"), count(2, "day")
    ('1 alert', '12,345 alerts', '2 policies', '2 days')
    """
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def joined(parts: Sequence[str], last: str = "and") -> str:
    """The parts as an enumeration, "" when there are none.

    >>> joined(["decrypt"]), joined(["a", "b"], "or"), joined(["a", "b", "c"])
    ('decrypt', 'a or b', 'a, b and c')
    """
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}" if len(parts) > 1 else "".join(parts)


def start(text: str) -> str:
    """Text as the start of a sentence; an ARN stays as it is.

    >>> start("assumed the role Admin"), start("arn:aws:iam::111122223333:root"), start("")
    ('Assumed the role Admin', 'arn:aws:iam::111122223333:root', '')
    """
    return text if text.startswith("arn:") else text[:1].upper() + text[1:]


def clock(moment: datetime) -> str:
    """An aware time in UTC, to the second, for places that say that times are in UTC.

    >>> clock(datetime(2026, 3, 1, 8, 0, 12, tzinfo=UTC))
    '2026-03-01 08:00:12'
    """
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
