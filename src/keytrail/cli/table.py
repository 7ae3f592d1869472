"""Tables of one line a row: columns as wide as their content, shrunk until they fit the terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from keytrail.cli.colour import paint
from keytrail.text import for_terminal

_GAP = 2
_MEASURED = 1000


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `usual` is its width where the rows are not known beforehand; a `rigid` one is never shrunk, the
    others give way until their widths are to each other as their `share`.

    The text of a cell names its style (see `colour`) when `styled` is set, as severities do. With `middle` a cell that
    is too long loses its middle and not its end.
    """

    key: str
    title: str
    usual: int = 12
    share: int = 10
    rigid: bool = False
    styled: bool = False
    middle: bool = False


def cell_width(text: str) -> int:
    """Return the number of terminal cells that printable `text` takes.

    >>> cell_width("key"), cell_width("鍵"), cell_width("e\u0301")
    (3, 2, 1)
    """
    if text.isascii():
        return len(text)
    return sum(_character_width(c) for c in text)


def cut(text: str, width: int, *, middle: bool = False) -> str:
    """Return `text` cut to at most `width` cells, the cut shown as an ellipsis at the end or in the middle.

    >>> cut("PutKeyPolicy", 7), cut("Admin/mallory", 9, middle=True), cut("鍵鍵鍵", 5)
    ('PutKey…', 'Admi…lory', '鍵鍵…')
    """
    if cell_width(text) <= width:
        return text
    room = max(width - 1, 0)
    tail = _head(text[::-1], room // 2)[::-1] if middle else ""
    return _head(text, room - cell_width(tail)) + "…"[:width] + tail


def _head(text: str, width: int) -> str:
    used = 0
    for position, character in enumerate(text):
        used += _character_width(character)
        if used > width:
            return text[:position]
    return text


def widths(columns: Sequence[Column], rows: Iterable[Mapping[str, str]] | None, available: int | None) -> list[int]:
    """Return the width of each column so that a line fits in `available` cells (None: no limit).

    `rows` are the safe cells; None when they are not known yet. The column that exceeds its share most gives way first.

    >>> widths([Column("a", "A"), Column("b", "B")], [{"a": "x" * 30, "b": "y" * 5}], 20)
    [13, 5]
    """
    if rows is None:
        wanted = [max(column.usual, len(column.title)) for column in columns]
    else:
        wanted = [len(column.title) for column in columns]
        for row in rows:
            wanted = [max(width, cell_width(row[column.key])) for width, column in zip(wanted, columns, strict=True)]
    if available is None:
        return wanted
    room = available - _GAP * (len(columns) - 1)
    if rows is None and sum(wanted) < room:
        spare = (room - sum(wanted)) // (sum(not column.rigid for column in columns) or 1)
        return [width if column.rigid else width + spare for width, column in zip(wanted, columns, strict=True)]
    # In steps of a hundredth: a cell at most for columns of any reasonable share.
    scale = 100 * max(wanted, default=0)
    while scale > 0 and sum(_capped(columns, wanted, scale)) > room:
        scale -= 1
    return _capped(columns, wanted, scale)


def lines(
    columns: Sequence[Column],
    rows: Iterable[Mapping[str, str]],
    *,
    available: int | None = None,
    colour: bool = False,
    known: bool = True,
) -> Iterator[str]:
    """Yield the table, its header first; nothing when there are no rows.

    Cells may hold anything and are made safe here. Of `known` rows the first thousand are measured before any is shown;
    others are shown as they come, in the usual widths.
    """
    safe = ({column.key: for_terminal(row[column.key]) for column in columns} for row in rows)
    measured = list(islice(safe, _MEASURED if known else 1))
    if not measured:
        return
    fitted = widths(columns, measured if known else None, available)
    yield _line(columns, fitted, {column.key: column.title for column in columns}, available, colour, style="header")
    for row in chain(measured, safe):
        yield _line(columns, fitted, row, available, colour)


def _line(
    columns: Sequence[Column],
    fitted: Sequence[int],
    row: Mapping[str, str],
    available: int | None,
    colour: bool,
    style: str = "",
) -> str:
    parts: list[str] = []
    # Without a limit nothing is cut; with one, a terminal narrower than the rigid columns cuts the line itself.
    left = available if available is not None else None
    for index, (column, width) in enumerate(zip(columns, fitted, strict=True)):
        text = row[column.key]
        if left is not None:
            if left <= 0:
                break
            text = cut(text, min(width, left), middle=column.middle)
        last = index == len(columns) - 1
        pad = 0 if last else max(width - cell_width(text), 0) + _GAP
        if left is not None:
            pad = max(min(pad, left - cell_width(text)), 0)
            left -= cell_width(text) + pad
        parts.append(paint(text, style or (row[column.key] if column.styled else ""), on=colour) + " " * pad)
    return "".join(parts).rstrip()


def _capped(columns: Sequence[Column], wanted: Sequence[int], scale: int) -> list[int]:
    return [
        width if column.rigid else min(width, max(column.share * scale // 100, 1))
        for width, column in zip(wanted, columns, strict=True)
    ]


def _character_width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
