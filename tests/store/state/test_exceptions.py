"""Exception lists, items and value lists: kept as they are, by id and namespace, on every database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from keytrail.errors import Place, StoreError
from keytrail.rules import ExceptionItem, ExceptionList, ExistsEntry, ListEntry, MatchAnyEntry, NestedEntry
from keytrail.store.state import exceptions, rule_states, value_lists
from keytrail.store.state.database import Database
from keytrail.store.state.rule_states import Choice
from tests.store.state.made import NOW

# What a rule may hold: no control characters in names, anything in values but lone surrogates.
HOSTILE = "\x1b[2J \u202e鍵 '; DROP TABLE exception_items;--"
HERE = Place("a test")
LIST = ExceptionList(list_id="shared", name="Shared", origin=HERE, tags=("a",), extra={"immutable": False})
ITEM = ExceptionItem(
    item_id="i1",
    list_id="shared",
    name="One",
    origin=HERE,
    entries=(
        MatchAnyEntry("user.name", (HOSTILE, "b"), excluded=True),
        ListEntry("source.ip", "offices", "ip"),
        NestedEntry("x", (ExistsEntry("y"),)),
    ),
    expire_time=NOW + timedelta(microseconds=-NOW.microsecond),
    comments=({"comment": HOSTILE},),
)


def test_lists_and_items_are_read_as_they_were_put(database: Database) -> None:
    agnostic = replace(LIST, namespace_type="agnostic")
    items = (ITEM, replace(ITEM, namespace_type="agnostic", name="Two"))
    with database.write() as connection:
        for one in (LIST, agnostic):
            assert not exceptions.put_list(connection, one, NOW)
        for item in items:
            assert not exceptions.put_item(connection, item, NOW)
        assert [one.key for one in exceptions.all_lists(connection)] == [agnostic.key, LIST.key]
        assert exceptions.list_of(connection, LIST.key) == LIST
        assert exceptions.item_of(connection, ITEM.key) == ITEM
        assert exceptions.items_of(connection, [LIST.key]) == (ITEM,)
        assert exceptions.items_of(connection, [LIST.key, agnostic.key, ("none", "single")]) == items[::-1]
        assert exceptions.items_of(connection, []) == ()
        assert exceptions.put_item(connection, replace(ITEM, name="Other"), NOW)
        assert [item.name for item in exceptions.all_items(connection)] == ["Two", "Other"]
        exceptions.remove_list(connection, LIST.key)
        assert exceptions.all_items(connection) == items[1:]
        exceptions.remove_item(connection, items[1].key)
        assert exceptions.all_items(connection) == ()


def test_an_item_needs_its_list(database: Database) -> None:
    def put() -> None:
        with database.write() as connection:
            exceptions.put_item(connection, ITEM, NOW)

    with pytest.raises(StoreError):
        put()


def test_the_version_changes_with_every_change(database: Database) -> None:
    seen = set()
    for change in (
        lambda connection: exceptions.put_list(connection, LIST, NOW),
        lambda connection: exceptions.put_item(connection, ITEM, NOW),
        lambda connection: value_lists.put_value_list(connection, "v", "ip", "V", ["192.0.2.1"], NOW),
        lambda connection: value_lists.remove_value_list(connection, "v"),
        lambda connection: exceptions.remove_item(connection, ITEM.key),
        lambda connection: exceptions.remove_list(connection, LIST.key),
    ):
        with database.write() as connection:
            change(connection)
        with database.read() as connection:
            seen.add(exceptions.version(connection))
            assert exceptions.version(connection) == max(seen)
    assert len(seen) == 6


def test_values_are_kept_once_and_added_or_replaced(database: Database) -> None:
    def put(*values: str, keep: bool = False) -> tuple[str, ...]:
        with database.write() as connection:
            value_lists.put_value_list(connection, "v", "keyword", HOSTILE, values, NOW, keep=keep)
            return value_lists.values_of(connection, "v")

    assert set(put("b", "a", "b", HOSTILE)) == {"a", "b", HOSTILE}
    assert set(put("c", "a", keep=True)) == {"a", "b", "c", HOSTILE}
    assert put("z") == ("z",)
    assert len(put(*map(str, range(11_000)))) == 11_000
    with database.read() as connection:
        [head] = value_lists.value_list_heads(connection).values()
        assert (head.id, head.type, head.name, head.size, head.updated_at) == ("v", "keyword", HOSTILE, 11_000, NOW)
        assert value_lists.value_list_heads(connection, ["none"]) == {}
        assert value_lists.values_of(connection, "none") == ()


def test_people_who_decide_about_a_rule_first_at_the_same_time_do_not_fail(
    url: str, open_database: Callable[[str], Database]
) -> None:
    def decide(enabled: bool) -> None:
        with open_database(url).write() as connection:
            rule_states.put_choice(connection, "r", Choice(enabled=enabled))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decide, [True, False] * 4))
    with open_database(url).read() as connection:
        assert rule_states.choices(connection)["r"].enabled in (True, False)


def test_people_who_add_to_one_list_at_the_same_time_lose_nothing(
    url: str, open_database: Callable[[str], Database]
) -> None:
    def add(number: int) -> None:
        with open_database(url).write() as connection:
            exceptions.put_list(connection, LIST, NOW)
            exceptions.put_item(connection, replace(ITEM, item_id=f"i{number}"), NOW)
            value_lists.put_value_list(connection, "v", "keyword", "V", [str(number), "0"], NOW, keep=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(8)))
    with open_database(url).read() as connection:
        assert {item.item_id for item in exceptions.all_items(connection)} == {f"i{number}" for number in range(8)}
        assert set(value_lists.values_of(connection, "v")) == {str(number) for number in range(8)}
