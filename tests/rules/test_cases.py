"""Rule files and what comes of them: a file in cases/ beside NAME.expected.json.

The expectation has `errors` and `notes` as text, in order; `rules` in order, each with some members of its API form
(null: the member is absent; a case of one whole rule says all of them); `exception_lists` and `exception_items`
likewise; `unsupported` by rule_id.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keytrail.rules import load

CASES = Path(__file__).parent / "cases"
FILES = sorted(path for path in CASES.iterdir() if not path.name.endswith(".expected.json"))
WHOLE = {"complete.toml", "smallest.json"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_gives_rules_errors_and_notes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    expected = json.loads(path.with_name(f"{path.stem}.expected.json").read_text())
    result = load([path.name])
    rules = [rule.to_dict() for rule in result.rules]
    assert [str(error) for error in result.errors] == expected.get("errors", [])
    assert list(result.notes) == expected.get("notes", [])
    assert [rule["rule_id"] for rule in rules] == [rule["rule_id"] for rule in expected.get("rules", [])]
    for rule, wanted in zip(rules, expected.get("rules", []), strict=True):
        seen = rule if path.name in WHOLE else {name: rule.get(name) for name in wanted}
        assert seen == wanted
    for name in ("exception_lists", "exception_items"):
        told = [one.to_dict() for one in getattr(result, name)]
        for one, wanted in zip(told, expected.get(name, []), strict=True):
            assert {member: one.get(member) for member in wanted} == wanted
    reasons = {rule.rule_id: rule.unsupported_reason for rule in result.rules if not rule.supported}
    assert reasons == expected.get("unsupported", {})


def test_every_expectation_has_its_file() -> None:
    stems = {path.stem for path in FILES}
    assert {path.name.removesuffix(".expected.json") for path in CASES.glob("*.expected.json")} == stems
    assert len(stems) == len(FILES)
