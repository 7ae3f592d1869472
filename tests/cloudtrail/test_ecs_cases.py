"""Records and the ECS fields expected of them: our own pairs in ecs/, and the published ones where they are present.

To add a case, put a file into ecs/: {"about", "record", "expect": dotted field -> value, "absent": [dotted field]}.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from keytrail.cloudtrail import Document, normalize

OWN = sorted((Path(__file__).parent / "ecs").glob("*.json"))
PUBLISHED_FOLDER = Path(__file__).parents[2] / "../shared/data/ecs-cases"
PUBLISHED = sorted(PUBLISHED_FOLDER.glob("*.json"))
MISSING = object()
# What the data stream's mapping and keytrail add to what the pipeline writes.
ADDED = {
    "ecs.version",
    "event.dataset",
    "event.module",
    "event.ingested",
    "data_stream.type",
    "data_stream.dataset",
    "data_stream.namespace",
}


def value_of(document: dict, field: str) -> object:
    value: object = document
    for key in field.split("."):
        if not isinstance(value, dict) or key not in value:
            return MISSING
        value = value[key]
    return value


def leaf_names(document: dict, parent: str = "") -> set[str]:
    names: set[str] = set()
    for key, value in document.items():
        name = parent + key
        is_leaf = not isinstance(value, dict) or name.rpartition(".")[0] == "aws.cloudtrail.flattened"
        names |= {name} if is_leaf else leaf_names(value, f"{name}.")
    return names


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_own_case(path: Path) -> None:
    case = json.loads(path.read_text())
    before = copy.deepcopy(case["record"])
    document = normalize(case["record"])
    for field, expected in case["expect"].items():
        assert value_of(document, field) == expected, field
    for field in case["absent"]:
        assert value_of(document, field) is MISSING, field
        assert Document(case["record"]).values(field) == (), field
    assert case["record"] == before


@pytest.mark.skipif(not PUBLISHED, reason=f"no published cases in {PUBLISHED_FOLDER}")
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_case(path: Path) -> None:
    case = json.loads(path.read_text())
    document = normalize(case["record"])
    for field, expected in case["expect"].items():
        assert value_of(document, field) == expected, field
    assert leaf_names(document) - ADDED == set(case["expect"])
