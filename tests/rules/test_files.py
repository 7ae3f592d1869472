"""What is read of files and folders, what is passed over and said, and that nothing in them stops the rest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keytrail.rules import LoadLimits, load
from keytrail.rules.checks import MAX_DEPTH

MINIMAL = {"name": "n", "description": "d", "type": "query", "severity": "low", "risk_score": 1, "query": "a: b"}


def rule_json(rule_id: str, **fields: object) -> str:
    return json.dumps({"rule_id": rule_id, **MINIMAL, **fields})


def put(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def ids(*paths: Path, limits: LoadLimits | None = None) -> list[str]:
    result = load(paths, limits=limits) if limits else load(paths)
    assert not result.errors
    return [rule.rule_id for rule in result.rules]


def test_folders_are_read_in_order_of_names(tmp_path: Path) -> None:
    for name in ("b/2.json", "b/10.json", "a.ndjson", "c.JSON"):
        put(tmp_path / name, rule_json(name))
    put(tmp_path / "README.md", "no rules")
    assert ids(tmp_path) == ["a.ndjson", "b/10.json", "b/2.json", "c.JSON"]


def test_hidden_and_deprecated_are_passed_over_and_said(tmp_path: Path) -> None:
    put(tmp_path / "a.json", rule_json("a"))
    hidden = put(tmp_path / ".b.json", rule_json("b"))
    put(tmp_path / ".git" / "c.json", rule_json("c"))
    deprecated = put(tmp_path / "_deprecated" / "d.json", rule_json("d")).parent
    result = load([tmp_path])
    assert [rule.rule_id for rule in result.rules] == ["a"]
    assert result.notes == (
        f"passed over hidden files (1): {hidden}",
        f"passed over folders of deprecated rules (1): {deprecated}",
    )
    assert ids(hidden, deprecated, tmp_path / ".git") == ["b", "d", "c"]


def test_other_files_in_a_folder_are_a_note_and_named_ones_an_error(tmp_path: Path) -> None:
    put(tmp_path / "a.json", rule_json("a"))
    foreign = [
        put(tmp_path / "package.json", '{"name": "x", "version": "1"}'),
        put(tmp_path / "pyproject.toml", "[project]\nname = 'x'\n"),
        put(tmp_path / "z.ndjson", ""),
    ]
    result = load([tmp_path])
    assert not result.errors
    assert result.notes == ("passed over files without rules (3): " + ", ".join(map(str, foreign)),)
    for path in foreign:
        assert load([path]).errors


def test_a_slip_in_a_header_is_an_error_in_a_folder_too(tmp_path: Path) -> None:
    put(tmp_path / "a.toml", "[metadata]\n[rules]\n")
    assert "holds no [rule] table" in str(load([tmp_path]).errors[0])


def test_links_are_followed_and_loops_are_entered_once(tmp_path: Path) -> None:
    put(tmp_path / "rules" / "a.json", rule_json("a"))
    put(tmp_path / "elsewhere" / "b.json", rule_json("b"))
    (tmp_path / "rules" / "loop").symlink_to(tmp_path / "rules")
    (tmp_path / "rules" / "there").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "rules")
    (tmp_path / "rules" / "same.json").symlink_to(tmp_path / "rules" / "a.json")
    assert ids(tmp_path / "rules") == ["a", "b"]
    assert ids(tmp_path / "rules", tmp_path / "rules", tmp_path / "elsewhere" / "b.json") == ["a", "b"]


def test_link_to_nothing_is_an_error(tmp_path: Path) -> None:
    put(tmp_path / "a.json", rule_json("a"))
    (tmp_path / "gone.toml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    result = load([tmp_path])
    assert [rule.rule_id for rule in result.rules] == ["a"]
    assert [str(error.place) for error in result.errors] == [str(tmp_path / "gone.toml")]


def test_same_rule_id_in_two_files_names_both_places(tmp_path: Path) -> None:
    first = put(tmp_path / "a.json", rule_json("same"))
    second = put(tmp_path / "b.toml", "[rule]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in MINIMAL.items()))
    with second.open("a") as stream:
        stream.write('rule_id = "same"\n')
    result = load([tmp_path])
    assert len(result.rules) == 1
    assert str(result.errors[0]).startswith(f"{second}:8:1: rule 'n': its rule_id is that of rule 'n' at {first}:1\n")


@pytest.mark.parametrize("name", ["nowhere", "nul\0name.json", "folder", "rules.txt", "fifo.json"])
def test_paths_that_hold_nothing_are_errors(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    put(tmp_path / "rules.txt", "")
    os.mkfifo(tmp_path / "fifo.json")
    errors = load([f"{tmp_path}/{name}"]).errors
    assert len(errors) == 1
    assert errors[0].advice
    assert errors[0].place is not None


def test_limits_are_errors_and_the_rest_is_read(tmp_path: Path) -> None:
    put(tmp_path / "a.json", rule_json("a", note="x" * 1000))
    put(tmp_path / "b.json", rule_json("b"))
    put(tmp_path / "c.toml", "# " + "x" * 1000)
    result = load([tmp_path], limits=LoadLimits(max_json_bytes=500, max_toml_bytes=500))
    assert [rule.rule_id for rule in result.rules] == ["b"]
    assert [error.place.file for error in result.errors if error.place] == [
        str(tmp_path / "a.json"),
        str(tmp_path / "c.toml"),
    ]
    assert "is larger than 500 bytes" in str(result.errors[0])


def test_number_of_files_and_depth_of_folders_are_bounded(tmp_path: Path) -> None:
    for name in ("a.json", "b.json", "c.json", "d/e/f/g.json"):
        put(tmp_path / name, rule_json(name))
    few = load([tmp_path], limits=LoadLimits(max_files=2))
    assert [rule.rule_id for rule in few.rules] == ["a.json", "b.json"]
    assert "no more are read" in str(few.errors[0])
    flat = load([tmp_path], limits=LoadLimits(max_folder_depth=2))
    assert len(flat.rules) == 3
    assert "deeper than 2 folders" in str(flat.errors[0])


def test_errors_of_one_file_are_bounded(tmp_path: Path) -> None:
    path = put(tmp_path / "a.ndjson", "\n".join(["{}", *["{"] * 500, rule_json("a")]))
    result = load([path], limits=LoadLimits(max_errors_per_file=10))
    assert len(result.errors) == 11
    assert "more errors" in str(result.errors[-1])
    assert [rule.rule_id for rule in result.rules] == ["a"]


def test_kibana_export_under_any_suffix_and_with_any_line_end(tmp_path: Path) -> None:
    text = rule_json("a") + "\r\n" + rule_json("b", note="\u2028") + "\r\n"
    assert ids(put(tmp_path / "x.json", b"\xef\xbb\xbf" + text.encode())) == ["a", "b"]
    assert ids(put(tmp_path / "x.ndjson", json.dumps([json.loads(rule_json("c"))], indent=1))) == ["c"]
    assert ids(put(tmp_path / "y.ndjson", json.dumps(json.loads(rule_json("d")), indent=1))) == ["d"]


HOSTILE = {
    "deep.json": b"[" * 200_000,
    "deep_object.json": b'{"rule_id":' * 100_000,
    "deep_line.ndjson": b"{}\n" + b'{"meta":' * 100_000 + b"1" + b"}" * 100_000,
    "deep.toml": b"[rule]\nx = " + b"[" * 100_000,
    "deep_closed.toml": b"[rule]\nx = " + b"[" * 5_000 + b"]" * 5_000,
    "dotted.toml": b"[rule]\n" + b".".join([b"a"] * 200_000) + b" = 1",
    "dotted_header.toml": b"[" + b".".join([b"a"] * 200_000) + b"]",
    "dotted_quoted.toml": b"[rule]\nx = {" + b" . ".join([b'"a"', b"'b'"] * 20_000) + b" = 1}",
    "nul.toml": b"[rule]\nname = '\x00'",
    "nul.json": b'{"rule_id": "\x00"}',
    "binary.toml": bytes(range(256)),
    "utf16.json": '{"rule_id": "a"}'.encode("utf-16"),
    "latin1.toml": "[rule]\nname = 'Schlüssel'".encode("latin-1"),
    "big_integer.json": b'{"rule_id": "a", "risk_score": ' + b"9" * 5_000 + b"}",
    "big_integer.toml": b"[rule]\nrisk_score = " + b"9" * 5_000,
    "big_hexadecimal.toml": b"[rule]\nrisk_score = 0x" + b"f" * 5_000,
    "infinite.toml": b"[rule]\nrisk_score = inf\nseverity = nan",
    "infinite.json": b'{"rule_id": "a", "risk_score": Infinity, "x": NaN}',
    "surrogate.json": b'{"rule_id": "\\ud800", "name": "n"}',
    "escape_in_name.json": rule_json("a", name="\x1b]0;owned\x07").encode(),
    "newline_in_id.json": rule_json("a\nb").encode(),
    "nul_in_id.json": rule_json("a\0b").encode(),
    "dates.toml": b"[rule]\nname = 1979-05-27\nrule_id = 07:32:00\nquery = 1979-05-27T07:32:00Z",
    "types.json": b'{"rule_id": [], "name": {}, "type": [], "threat": [[]], "filters": {}, "tags": [[[]]], "index": 1}',
    "list_of_types.json": b'[null, true, 1, "x", [], {"rule_id": null}]',
    "unfolding.toml": b"[rule]\nthreat = [1, 'x', {}]\nnew_terms = {history_window_start = [{}]}\ntype = 'new_terms'",
    "rule_is_text.toml": b"rule = 'text'",
    "rule_is_list.toml": b"rule = []",
    "bad_date.toml": b"[rule]\nx = 1979-13-27",
    "wide.json": b'{"rule_id": "a", "tags": [' + b"1," * 500_000 + b"1]}",
    "many_keys.json": b"{" + b",".join(b'"%d": 1' % n for n in range(200_000)) + b', "rule_id": 1}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_an_error_with_its_place_and_stops_no_other(name: str, tmp_path: Path) -> None:
    path = put(tmp_path / name, HOSTILE[name])
    good = put(tmp_path / "zz.json", rule_json("good"))
    result = load([path, good])
    assert [rule.rule_id for rule in result.rules] == ["good"]
    assert result.errors
    for error in result.errors:
        assert error.place is not None
        assert error.place.file == str(path)
        assert len(str(error)) < 1000


def test_deep_but_legal_nesting_is_told_with_its_field(tmp_path: Path) -> None:
    deep: object = 1
    for _ in range(MAX_DEPTH + 1):
        deep = {"a": deep}
    error = load([put(tmp_path / "a.json", rule_json("a", meta=deep))]).errors[0]
    assert f"meta.a: is nested deeper than {MAX_DEPTH} levels" in str(error)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELD_NAMES = st.sampled_from(
    [*MINIMAL, "rule_id", "threat", "filters", "new_terms_fields", "threshold", "alert_suppression", "severity_mapping",
     "investigation_fields", "from", "history_window_start", "exceptions_list", "index", "enabled", "language"]
)  # fmt: skip
TYPES = st.sampled_from(["query", "eql", "threshold", "new_terms", "threat_match", "machine_learning", "esql"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(FIELD_NAMES, JSON_VALUES, max_size=5), TYPES)
def test_any_json_rule_is_a_rule_or_an_error(tmp_path: Path, fields: dict[str, object], kind: str) -> None:
    path = put(tmp_path / "a.json", json.dumps({"rule_id": "a", **MINIMAL, "type": kind, **fields}))
    result = load([path])
    assert bool(result.rules) != bool(result.errors)
    for rule in result.rules:
        json.dumps(rule.to_dict(), allow_nan=False).encode()
        rule.rule_id.encode()


TOKENS = st.sampled_from(
    ["[", "]", "[[", "]]", "rule", "metadata", ".", "=", '"', "'", '"""', "'''", "\\", "\n", "#", ",", "{", "}", " ",
     "1", "a", "true", "inf", "1979-05-27", "\x00", "é", ":", "null", '"rule_id"', "[rule]\n", '{"rule_id": ']
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.lists(TOKENS, max_size=25).map("".join), suffix=st.sampled_from([".toml", ".json", ".ndjson"]))
@example(text="[rule]\nx = 'a", suffix=".toml")
def test_any_text_is_read_without_a_traceback(tmp_path: Path, text: str, suffix: str) -> None:
    result = load([put(tmp_path / f"a{suffix}", text)])
    assert result.rules or result.errors or result.notes
    for error in result.errors:
        assert error.place is not None
