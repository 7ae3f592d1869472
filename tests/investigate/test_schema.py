"""The published schema is that of the documents: it takes every one, and refuses what differs."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from keytrail.investigate.schema import schema
from tests.investigate.scenarios import load

Json = dict[str, Any]

PUBLISHED = Path(__file__).parents[2] / "docs" / "investigation.schema.json"
RENEW = "from keytrail.investigate.schema import schema; import json; print(json.dumps(schema(), indent=1))"

NEVER_FILLED: frozenset[str] = frozenset()
"""Lists and nullable members of the schema that no scenario and no change of the story fills; say why beside each."""


@pytest.fixture(scope="module")
def documents(told: Mapping[str, Json]) -> list[Json]:
    """The documents of all scenarios and of the whole story, as JSON gives them back."""
    return [json.loads(json.dumps(one)) for one in (*map(load.document, load.names()), *told.values())]


def test_the_published_schema_is_that_of_the_code() -> None:
    written = json.dumps(schema(), indent=1) + "\n"

    assert PUBLISHED.read_text(encoding="utf-8") == written, (
        f"the documents have changed: renew the file with\n  python -c '{RENEW}' > docs/{PUBLISHED.name}\n"
        "and raise SCHEMA_VERSION if a reader of the old documents would be misled"
    )


@pytest.mark.parametrize("name", load.names())
def test_the_document_of_a_scenario_is_valid(name: str, valid: Draft202012Validator) -> None:
    found = json.loads(json.dumps(load.document(name)))

    assert not [f"{one.json_path}: {one.message}" for one in valid.iter_errors(found)]


def test_the_documents_of_the_story_are_valid(told: Mapping[str, Json], valid: Draft202012Validator) -> None:
    for found in told.values():
        assert not [f"{one.json_path}: {one.message}" for one in valid.iter_errors(found)]


def test_every_member_is_filled_by_some_document(documents: list[Json]) -> None:
    """A member that no test fills could be of any shape."""
    whole: Json = schema()
    filled: set[str] = set()
    for found in documents:
        filled.update(_filled(found, whole, whole["$defs"], "investigation"))

    assert _members(whole) - filled == NEVER_FILLED


def test_a_document_with_a_member_more_or_less_is_refused(documents: list[Json], valid: Draft202012Validator) -> None:
    """At every object that the schema lists the members of."""
    whole: Json = schema()
    seen: set[str] = set()
    for found in documents:
        for place, name in _objects(found, whole, whole["$defs"], "investigation"):
            if name in seen:
                continue
            seen.add(name)
            more, less = copy.deepcopy(found), copy.deepcopy(found)
            _at(more, place)["unheard_of"] = 1
            assert not valid.is_valid(more), name
            _at(less, place).popitem()
            assert not valid.is_valid(less), name

    assert len(seen) >= len(whole["$defs"])


@pytest.mark.parametrize(
    ("member", "wrong"),
    [("verdict", "harmless"), ("score", 101), ("score", "90"), ("schema_version", 2), ("reverted_at", "10:00")],
)
def test_a_wrong_value_is_refused(member: str, wrong: object, valid: Draft202012Validator) -> None:
    found = load.document("takeover_and_revert")

    assert valid.is_valid(json.loads(json.dumps(found)))
    assert not valid.is_valid(json.loads(json.dumps(found | {member: wrong})))


# The schema, read along a document ------------------------------------------------------------------------------------

Place = tuple[str | int, ...]


def _resolved(part: Json, defs: Mapping[str, Json], name: str) -> tuple[Json, str]:
    """A part of the schema behind a reference or beside null, and what it is called."""
    while True:
        if "anyOf" in part:
            others = [one for one in part["anyOf"] if one != {"type": "null"}]
            if len(others) != 1:
                return part, name
            part = others[0]
        elif "$ref" in part:
            name = part["$ref"].rpartition("/")[2]
            part = defs[name]
        else:
            return part, name


def _objects(value: object, part: Json, defs: Mapping[str, Json], name: str) -> Iterator[tuple[Place, str]]:
    """Every object of a document whose members the schema lists: where it is, and what the schema calls it."""
    part, name = _resolved(part, defs, name)
    if isinstance(value, list) and "items" in part:
        for number, item in enumerate(value):
            for place, found in _objects(item, part["items"], defs, f"{name}[]"):
                yield (number, *place), found
    elif isinstance(value, dict) and "properties" in part:
        yield (), name
        for member, inner in part["properties"].items():
            for place, found in _objects(value[member], inner, defs, f"{name}.{member}"):
                yield (member, *place), found


def _filled(value: object, part: Json, defs: Mapping[str, Json], name: str) -> Iterator[str]:
    """The members, `Type.member`, that hold something: no null, no empty list, object or text."""
    for place, found in _objects(value, part, defs, name):
        for member, inner in _at(value, place).items():
            if inner not in (None, [], {}, ""):
                yield f"{found}.{member}"


def _members(whole: Json) -> set[str]:
    """Every member that the schema lists, `Type.member`, those of objects without a name as `Type.member.member`."""
    found: set[str] = set()

    def walk(part: Json, name: str) -> None:
        part, inner = _resolved(part, whole["$defs"], name)
        if inner != name:
            return  # a type of its own, which is walked from $defs
        if "items" in part:
            walk(part["items"], f"{name}[]")
        for member, of in part.get("properties", {}).items():
            found.add(f"{name}.{member}")
            walk(of, f"{name}.{member}")

    walk({name: value for name, value in whole.items() if name != "$defs"}, "investigation")
    for name, part in whole["$defs"].items():
        walk(part, name)
    return found


def _at(value: Any, place: Place) -> Any:
    for step in place:
        value = value[step]
    return value
