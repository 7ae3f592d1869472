"""Every construct of KQL on every field type: pairs of query and document in cases/*.toml, which anyone can extend.

A `[[case]]` has a `document`, the queries that it `matches` and those that it `misses`; `strict = true` asks in strict
mode, else the case holds in fixed mode; `both = true` asks in both. Dates are relative to 2026-03-04T12:30:00Z, a
Wednesday. The fields and their types are those of conftest.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keytrail import query as kql
from keytrail.errors import QueryError

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
CASES = Path(__file__).parent / "cases"


def _cases() -> Iterator[object]:
    for path in sorted(CASES.glob("*.toml")):
        for case in tomllib.loads(path.read_text("utf-8")).get("case", []):
            assert set(case) <= {"document", "matches", "misses", "strict", "both"}, case
            for expected, key in ((True, "matches"), (False, "misses")):
                for query in case.get(key, []):
                    for strict in (False, True) if case.get("both") else (case.get("strict", False),):
                        mode = "strict" if strict else "fixed"
                        yield pytest.param(
                            query, case["document"], expected, strict, id=f"{path.stem}-{mode}-{key}-{query}"
                        )


@pytest.mark.parametrize(("query", "document", "expected", "strict"), list(_cases()))
def test_match(query, document, expected, strict, schema, fields):
    compiled = kql.compile(query, schema, now=NOW, strict=strict)
    document = fields(document)
    assert compiled.matches(document) is expected
    if expected:
        for clause in compiled.necessary:
            assert any(text in document.values(field) for field, text in clause)
    # The canonical text means the same.
    again = kql.compile(kql.to_text(compiled.node), schema, now=NOW, strict=strict)
    assert again.node == compiled.node
    assert again.matches(document) is expected
    if not query.strip():
        return  # Nothing stands in no parentheses.
    negated = kql.compile(f"not ({query})", schema, now=NOW, strict=strict)
    assert negated.matches(document) is not expected


def _errors() -> Iterator[object]:
    for path in sorted(CASES.glob("*.toml")):
        for error in tomllib.loads(path.read_text("utf-8")).get("error", []):
            yield pytest.param(
                error["query"], error["shown"], error.get("strict", False), id=f"{path.stem}-{error['query']}"
            )


@pytest.mark.parametrize(("query", "shown", "strict"), list(_errors()))
def test_error(query, shown, strict, schema):
    with pytest.raises(QueryError) as caught:
        kql.compile(query, schema, now=NOW, strict=strict)
    assert str(caught.value) == shown.rstrip("\n")
