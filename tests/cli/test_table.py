"""Tables: every line fits, whatever the cells hold."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.cli.table import Column, cell_width, cut, lines, widths

COLUMNS = (
    Column("a", "TIME", usual=10, rigid=True),
    Column("b", "SEVERITY", usual=8, rigid=True, styled=True),
    Column("c", "RULE", usual=30),
    Column("d", "WHO", usual=20),
)
ROW = {"a": "2026-03-01", "b": "high", "c": "a rule with a rather long name", "d": "Admin/mallory"}
CELLS = st.fixed_dictionaries({key: st.text(max_size=60) for key in "abcd"})
SGR = re.compile(r"\x1b\[[0-9;]*m")


def test_a_wide_terminal_shows_everything() -> None:
    assert list(lines(COLUMNS, [ROW], available=200)) == [
        "TIME        SEVERITY  RULE                            WHO",
        "2026-03-01  high      a rule with a rather long name  Admin/mallory",
    ]


def test_without_a_terminal_nothing_is_cut() -> None:
    long = ROW | {"c": "x" * 500}
    assert "x" * 500 in "\n".join(lines(COLUMNS, [long]))


def test_the_widest_columns_give_way_first() -> None:
    assert list(lines(COLUMNS, [ROW], available=52)) == [
        "TIME        SEVERITY  RULE             WHO",
        "2026-03-01  high      a rule with a …  Admin/mallory",
    ]


def test_a_long_cell_never_takes_a_line_of_its_own() -> None:
    for width in (200, 100, 80, 60, 40, 20, 5, 1):
        shown = list(lines(COLUMNS, [ROW] * 3, available=width))
        assert len(shown) == 4
        assert max(map(cell_width, shown)) <= width


@settings(max_examples=150)
@given(st.lists(CELLS, min_size=1, max_size=5), st.integers(1, 120), st.booleans())
def test_every_line_fits_and_is_safe(rows: list[dict[str, str]], width: int, known: bool) -> None:
    shown = list(lines(COLUMNS, rows, available=width, colour=True, known=known))
    assert len(shown) == len(rows) + 1
    for line in shown:
        plain = SGR.sub("", line)
        assert plain.isprintable()
        assert cell_width(plain) <= width


@settings(max_examples=150)
@given(st.text(max_size=40), st.integers(0, 50), st.booleans())
def test_cut_fits(text: str, width: int, middle: bool) -> None:
    shown = cut(text, width, middle=middle)
    assert cell_width(shown) <= max(width, 0)
    if cell_width(text) <= width:
        assert shown == text


def test_wide_characters_count_twice() -> None:
    rows = [ROW | {"c": "鍵" * 10}, ROW | {"c": "k" * 20}]
    first, second = list(lines(COLUMNS, rows))[1:]
    assert cell_width(first) == cell_width(second)
    assert cell_width(first[: first.index("Admin")]) == cell_width(second[: second.index("Admin")])


def test_severity_is_coloured_and_nothing_else_is() -> None:
    shown = list(lines(COLUMNS, [ROW | {"c": "high"}], colour=True))[1]
    assert shown.count("\x1b[31mhigh\x1b[0m") == 1


def test_no_rows_no_table() -> None:
    assert list(lines(COLUMNS, [], available=80)) == []


def test_unknown_rows_are_shown_as_they_come() -> None:
    asked = []

    def rows() -> object:
        for number in range(3):
            asked.append(number)
            yield ROW

    shown = lines(COLUMNS, rows(), available=80, known=False)  # type: ignore[arg-type]
    next(shown)
    next(shown)
    assert asked == [0]


def test_unknown_rows_use_the_width_there_is() -> None:
    assert widths(COLUMNS, None, 200)[2] > widths(COLUMNS, None, 100)[2] > widths(COLUMNS, None, 60)[2]
    assert sum(widths(COLUMNS, None, 200)) + 2 * 3 <= 200
