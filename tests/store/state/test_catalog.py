"""The catalog of the lake: positions in the order of the commits, the same for every process that looks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from keytrail.errors import StoreError
from keytrail.store.state.catalog import (
    SqlCatalog,
    add_segment,
    drop_segments,
    dropped_before,
    forget_dropped,
    replace_segments,
)
from keytrail.store.state.database import Database
from tests.store.state.made import NOW, segment_file

Open = Callable[[str], Database]


def test_rows_get_positions_in_the_order_of_commits(database: Database) -> None:
    catalog = SqlCatalog(database)
    assert (catalog.head(), list(catalog.segments())) == (0, [])
    for number, rows in enumerate((3, 5, 1)):
        with database.write() as connection:
            add_segment(connection, segment_file(number, rows), ingested=NOW, history=number == 1)
    assert [(one.first_sequence, one.end, one.history) for one in catalog.segments()] == [
        (0, 3, False),
        (3, 8, True),
        (8, 9, False),
    ]
    assert [one.file for one in catalog.segments()] == [segment_file(n, rows) for n, rows in enumerate((3, 5, 1))]
    assert catalog.head() == 9


def test_what_is_rolled_back_takes_no_positions(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            add_segment(connection, segment_file(0, 3), ingested=NOW)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with database.write() as connection:
        assert add_segment(connection, segment_file(0, 3), ingested=NOW).first_sequence == 0


def test_two_processes_see_the_same_whatever_was_changed(url: str, open_database: Open) -> None:
    writer = open_database(url)
    first, second = SqlCatalog(open_database(url)), SqlCatalog(open_database(url))

    def same() -> list[tuple[int, int, str]]:
        shown = [[(one.first_sequence, one.end, one.file.path) for one in each.segments()] for each in (first, second)]
        assert shown[0] == shown[1]
        return shown[0]

    with writer.write() as connection:
        old = [add_segment(connection, segment_file(n, 2), ingested=NOW + timedelta(n)) for n in range(3)]
    assert [end for _, end, _ in same()] == [2, 4, 6]
    with writer.write() as connection:
        merged = replace_segments(connection, old[:2], segment_file(9, 4), NOW)
        add_segment(connection, segment_file(10, 1), ingested=NOW)
    assert same() == [(0, 4, merged.file.path), (4, 6, old[2].file.path), (6, 7, segment_file(10, 1).path)]
    assert first.arrived()[0].ingested == NOW + timedelta(1)  # the later one, so that retention drops none too early
    with writer.write() as connection:
        drop_segments(connection, [merged], NOW)
    assert [start for start, _, _ in same()] == [4, 6]
    assert first.head() == 7
    with writer.write() as connection:
        drop_segments(connection, first.segments(), NOW)
    assert same() == []
    assert second.head() == 7


def test_segments_that_changed_meanwhile_are_not_replaced(database: Database) -> None:
    with database.write() as connection:
        old = [add_segment(connection, segment_file(n, 2), ingested=NOW) for n in range(2)]
    with database.write() as connection:
        drop_segments(connection, old[:1], NOW)
    for file in (segment_file(8, 4), segment_file(8, 3)):
        with pytest.raises(StoreError, match="changed while they were merged"), database.write() as connection:
            replace_segments(connection, old, file, NOW)
    with pytest.raises(StoreError), database.write() as connection:
        replace_segments(connection, old[1:], segment_file(8, 3), NOW)  # not the same rows
    assert [one.id for one in SqlCatalog(database).segments()] == [old[1].id]


def test_dropped_files_are_named_until_they_are_gone(database: Database) -> None:
    with database.write() as connection:
        old = [add_segment(connection, segment_file(n, 2), ingested=NOW) for n in range(3)]
        drop_segments(connection, old[:1], NOW)
        drop_segments(connection, old[1:], NOW + timedelta(hours=1))
        paths = [one.file.path for one in old]
        assert dropped_before(connection, NOW + timedelta(minutes=1)) == (paths[0],)
        forget_dropped(connection, paths[:2])
        assert dropped_before(connection, NOW + timedelta(days=1)) == (paths[2],)
