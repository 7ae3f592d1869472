"""What each entry of an exception item means: entries and documents in cases/*.toml, which anyone can extend.

A `[[case]]` has a `document`, value `lists`, and the entries of items that cover it (`excepts`) and that do not
(`passes`); an entry without `operator` is included. A `[[problem]]` is an item that cannot be evaluated, with what is
`shown` of it. Dates are relative to 2026-03-04T12:30:00Z. Fields and types are those of tests/query/conftest.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keytrail.detect import ValueList, compile_exceptions
from keytrail.errors import Place
from keytrail.rules import ExceptionItem, item_from_dict
from tests.query.conftest import DictFields, TypedSchema

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
CASES = Path(__file__).parent / "cases"


def item(entries: list[Any]) -> ExceptionItem:
    data = {"item_id": "case", "list_id": "l", "entries": [_entry(entry) for entry in entries]}
    return item_from_dict(data, Place("case"))


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    if entry["type"] == "nested":
        return {**entry, "entries": [_entry(inner) for inner in entry["entries"]]}
    return {"operator": "included", **entry}


def _lists(case: Mapping[str, Any]) -> dict[str, ValueList]:
    return {one["id"]: ValueList(one["id"], one["type"], "", tuple(one["values"])) for one in case.get("lists", [])}


def _cases() -> Iterator[Any]:
    for path in sorted(CASES.glob("*.toml")):
        for case in tomllib.loads(path.read_text("utf-8")).get("case", []):
            assert set(case) <= {"document", "lists", "excepts", "passes"}, case
            for expected, key in ((True, "excepts"), (False, "passes")):
                for number, entries in enumerate(case.get(key, [])):
                    yield pytest.param(case, entries, expected, id=f"{path.stem}-{key}-{number}-{entries[0]['field']}")


@pytest.mark.parametrize(("case", "entries", "expected"), list(_cases()))
def test_item(case: dict[str, Any], entries: list[Any], expected: bool) -> None:
    exceptions = compile_exceptions([item(entries)], _lists(case), TypedSchema(), now=NOW)
    assert exceptions.problems == ()
    assert exceptions(DictFields(case["document"])) is expected
    if len(entries) == 1 and entries[0]["type"] != "nested":
        was = entries[0].get("operator", "included")
        turned = entries[0] | {"operator": "excluded" if was == "included" else "included"}
        again = compile_exceptions([item([turned])], _lists(case), TypedSchema(), now=NOW)
        assert again(DictFields(case["document"])) is not expected


def _problems() -> Iterator[Any]:
    for path in sorted(CASES.glob("*.toml")):
        for case in tomllib.loads(path.read_text("utf-8")).get("problem", []):
            yield pytest.param(case, id=f"{path.stem}-{case['shown'][40:90]}")


@pytest.mark.parametrize("case", list(_problems()))
def test_what_cannot_be_evaluated_excepts_nothing_and_is_told(case: dict[str, Any]) -> None:
    exceptions = compile_exceptions([item(case["entries"])], _lists(case), TypedSchema(), now=NOW)
    assert [error.what for error in exceptions.problems] == [case["shown"]]
    assert not exceptions(DictFields({"user": {"name": "x"}, "geo": {"location": "1,2"}}))
