"""Where things stand in the text of a rule file: from character offsets to lines and columns."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from keytrail.errors import Place
from keytrail.rules.checks import Path
from keytrail.rules.model import TextPlace


class Places(Protocol):
    """Where the values of one rule stand. A path is as in the API's form of the rule, whatever the file's form."""

    def of(self, path: Path) -> Place:
        """Return the place of the key at `path`, or of the nearest one around it that the file has."""

    def text(self, path: Path) -> TextPlace | None:
        """Return where the characters of the string at `path` stand; None if no string is there."""


class Lines:
    """The text of one file, and the place of each of its characters. Lines end with a line feed, as in editors."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column, both from 1, of the character at `offset` (from 0)."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def place(self, offset: int) -> Place:
        """Return the place of the character at `offset`."""
        line, column = self.position(offset)
        return Place(self.file, line=line, column=column)


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a file spells a string: `escapes` finds what does not stand for itself, `meant` counts what it stands for."""

    escapes: re.Pattern[str]
    meant: Callable[[str], int] = lambda escape: 1


def string_place(lines: Lines, start: int, end: int, spelling: Spelling) -> TextPlace:
    """Return where each character of a string stands whose spelling, without its quotes, is `text[start:end]`."""
    marks = [(0, *lines.position(start))]
    meant = start  # what the offset in the file would be if nothing before it had been an escape
    for match in spelling.escapes.finditer(lines.text, start, end):
        meant += len(match[0]) - spelling.meant(match[0])
        marks.append((match.end() - meant, *lines.position(match.end())))
    return TextPlace(lines.file, tuple(marks))
