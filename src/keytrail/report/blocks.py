"""What a report is made of: sections of a few kinds of blocks, which every face shows in its own way.

Texts are those of the records, unsafe; the faces make them safe. Tones and kinds are words of ours and safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

Tone = Literal["critical", "high", "medium", "low", "info", "good", "plain"]


@dataclass(frozen=True, slots=True)
class Code:
    """A name as it stands in a record or a policy: an ARN, an action, an id."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True, slots=True)
class Mark:
    """A word that weighs: a severity, a verdict, a relation. The tone colours it; the word alone says it all."""

    text: str
    tone: Tone
    kind: ClassVar[str] = "mark"


@dataclass(frozen=True, slots=True)
class Strong:
    """Words that the eye should find first."""

    text: str
    kind: ClassVar[str] = "strong"


Inline = str | Code | Mark | Strong
Cell = Inline | tuple[Inline, ...]
"""One piece of text, or one a line."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings. `total` counts the rows that are not shown too; `noun` is what one row is ("resource").

    `widths` are those of the columns in percent, for faces that have width.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: int
    noun: str
    widths: tuple[int, ...]
    caption: str = ""
    kind: ClassVar[str] = "table"

    @property
    def left_out(self) -> int:
        """How many rows are not shown."""
        return max(self.total - len(self.rows), 0)


@dataclass(frozen=True, slots=True)
class Facts:
    """Named values. Those without a value are left out when it is made with `of`."""

    pairs: tuple[tuple[str, Cell], ...]
    kind: ClassVar[str] = "facts"

    @classmethod
    def of(cls, *pairs: tuple[str, Cell | None]) -> Facts:
        """The pairs that have a value."""
        return cls(tuple((name, value) for name, value in pairs if value and value != Code("")))


@dataclass(frozen=True, slots=True)
class Items:
    """A list, each item with what it is about in front (a severity, points) or "", and details below."""

    rows: tuple[tuple[Inline, Cell, tuple[Cell, ...]], ...]
    left_out: int = 0
    kind: ClassVar[str] = "items"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Sentences. `warning` makes them stand out."""

    text: Cell
    warning: bool = False
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of a difference: `sign` is "+", "-" or " "; "@" starts a piece that is apart from the one before."""

    sign: Literal["+", "-", " ", "@"]
    text: str


@dataclass(frozen=True, slots=True)
class Diff:
    """The difference of two texts. `cut` tells that lines are left out at the end."""

    lines: tuple[DiffLine, ...]
    cut: bool = False
    kind: ClassVar[str] = "diff"


@dataclass(frozen=True, slots=True)
class Point:
    """An event in the picture. `count` events of the same kind may be one point."""

    time: datetime
    lane: str
    label: str
    title: str
    failed: bool
    count: int
    is_change: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """Events in their lanes; `end` is when the change stopped being in force, None while it is."""

    points: tuple[Point, ...]
    end: datetime | None
    kind: ClassVar[str] = "timeline"


@dataclass(frozen=True, slots=True)
class Raw:
    """A text as it was stored, on many lines. Only a page has room for it."""

    title: str
    text: str
    kind: ClassVar[str] = "raw"


Block = Table | Facts | Items | Paragraph | Diff | Timeline | Raw


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks to open when wanted. `essential` ones say what a picture says, for where there is none."""

    title: str
    blocks: tuple[Block, ...]
    essential: bool = False
    kind: ClassVar[str] = "folded"


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under a heading."""

    title: str
    blocks: tuple[Block | Folded, ...]


@dataclass(frozen=True, slots=True)
class Opening:
    """What a report says before its alerts: sections under a heading of their own."""

    title: str
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many rows of each list a report shows."""

    gains: int = 40
    data: int = 50
    acts: int = 40
    timeline: int = 200
    findings: int = 40
    others: int = 25
    diff_lines: int = 300


def section(title: str, blocks: Sequence[Block | Folded | None]) -> Section | None:
    """A section of the blocks that there are, None when there is none."""
    present = tuple(block for block in blocks if block is not None)
    return Section(title, present) if present else None
