"""Errors point to the character they are about, in every way of writing a string and a key."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.errors import QuerySyntaxError
from keytrail.rules import Rule, load
from keytrail.rules.places import Lines
from keytrail.rules.toml_places import TomlIndex

HEAD = '[rule]\nrule_id = "r"\nname = "n"\ndescription = "d"\ntype = "query"\nseverity = "low"\nrisk_score = 1\n'
FIELDS = {"rule_id": "r", "name": "n", "description": "d", "type": "query", "severity": "low", "risk_score": 1}


def only_rule(path: Path) -> Rule:
    result = load([path])
    assert not result.errors
    return result.rules[0]


# The mark § is where the query is wrong; it stands in the file's text only.
TOML_QUERIES = {
    "literal": "query = 'a: §)'",
    "literal with quotes": "query = 'a: \"b\" and §)'",
    "basic": 'query = "a: §)"',
    "basic with escapes before": r'query = "a: \"b\" \\ \u00e9 \U0001f511 §)"',
    "basic with an escape after": r'query = "a: §) \"b\""',
    "many lines, literal": "query = '''\na: b\n  and §)\n'''",
    "many lines, literal, begun at once": "query = '''a: b\n  and c: d\n  and §)'''",
    "many lines, literal, wrong on the first": "query = '''a: §)\n  and c: d'''",
    "many lines, basic": 'query = """\na: b\n\tand \\"c\\" §)\n"""',
    "many lines, basic, continued": 'query = """\\\n   a: b \\\n\n   and c: d and §)"""',
    "many lines, quotes at the end": 'query = """a: §)"x""""',
    "quoted key": "'query' = 'a: §)'",
    "dotted key with comment": "other.x.y = 1 # query = 'no'\nquery   =   'a: §)' # here",
}
OTHER_QUERIES = "[rule.meta]\nquery = 'no'\n[other]\nquery = 'no'\n[rule.\"quo.ted\"]\nquery='no'"


@pytest.mark.parametrize("text", TOML_QUERIES.values(), ids=TOML_QUERIES)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_query_error_in_toml(text: str, line_end: str, tmp_path: Path) -> None:
    marked = HEAD + text + "\n"
    offset = marked.index("§")
    line, column = marked.count("\n", 0, offset) + 1, offset - marked.rfind("\n", 0, offset)
    path = tmp_path / "r.toml"
    path.write_bytes(marked.replace("§", "").replace("\n", line_end).encode())
    rule = only_rule(path)
    error = rule.query_error(QuerySyntaxError("a value", text=rule.query, offset=rule.query.index(")")))
    assert str(error.place) == f"{path}:{line}:{column}"
    shown = str(error)
    assert "query of rule 'n': a value" in shown
    assert shown.endswith("^")


def test_query_of_the_rule_is_found_among_others(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f"query = 'no'\n{HEAD}query = 'yes'\n{OTHER_QUERIES}")
    assert str(only_rule(path).query_place) == f"{path}:9:10"


def test_query_error_in_ndjson(tmp_path: Path) -> None:
    path = tmp_path / "r.ndjson"
    query = 'a: "\u2028b"\nand \U0001f511 )'
    other = json.dumps({**FIELDS, "rule_id": "other", "query": ""})
    line = json.dumps({"meta": {"query": "no"}, **FIELDS, "query": query, "note": "after"})
    path.write_text(f"{other}\n\n{line}\n")
    rule = load([path]).rules[1]
    error = rule.query_error(QuerySyntaxError("a value", text=query, offset=query.index(")")))
    assert str(error.place) == f"{path}:3:{line.index(')') + 1}"


def test_query_error_in_indented_json_with_raw_text(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    text = json.dumps([{**FIELDS, "query": "é: 🔑 )"}], indent=2, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    rule = only_rule(path)
    offset = text.index(")")
    place = rule.query_error(QuerySyntaxError("a value", text=rule.query, offset=rule.query.index(")"))).place
    assert place is not None
    assert (place.line, place.column) == (text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def test_rule_without_a_query_is_placed_itself(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(
        json.dumps({**FIELDS, "type": "machine_learning", "anomaly_threshold": 1, "machine_learning_job_id": "j"})
    )
    assert str(only_rule(path).query_place) == f"{path}:1"


# Values that TOML and Python both have, and text with every character that means something in TOML.
KEYS = st.text(st.sampled_from("ab.\"'#[]={} \\\té🔑"), min_size=1, max_size=4)
STRINGS = st.text(st.sampled_from("ab\n\"'#[]={},\\ \té🔑"), max_size=12)
VALUES = st.recursive(
    st.integers(-5, 5) | st.booleans() | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def spelled_string(text: str, draw: st.DrawFn) -> str:
    """Spell `text` in one of the ways TOML has for it."""
    ways = ["basic", "lines"]
    if "'" not in text and "\n" not in text:
        ways.append("literal")
    if "''" not in text and not text.endswith("'"):
        ways.append("literal lines")
    way = draw(st.sampled_from(ways))
    start = draw(st.sampled_from(["", "\n"])) if not text.startswith("\n") else "\n"
    if way == "literal":
        return f"'{text}'"
    if way == "literal lines":
        return f"'''{start}{text}'''"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if way == "basic":
        return '"' + escaped.replace("\n", "\\n").replace("é", draw(st.sampled_from(["é", "\\u00e9"]))) + '"'
    return f'"""{start}{escaped}{draw(st.sampled_from(["", chr(92) + chr(10) + "  "]))}"""'


def spelled(value: object, draw: st.DrawFn) -> str:
    blank = draw(st.sampled_from(["", " "]))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return spelled_string(value, draw)
    if isinstance(value, list):
        gap = draw(st.sampled_from([",", ", ", " # ]'\"\n , \n"]))
        return f"[{blank}{gap.join(spelled(one, draw) for one in value)}{blank}]"
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{spelled_key(key, draw)}{blank}= {spelled(one, draw)}" for key, one in value.items())
            + "}"
        )
    return str(value)


def spelled_key(key: str, draw: st.DrawFn) -> str:
    if "'" not in key and "\t" not in key and draw(st.booleans()):
        return f"'{key}'"
    return json.dumps(key, ensure_ascii=draw(st.booleans()) and key.isascii())


@st.composite
def toml_texts(draw: st.DrawFn) -> str:
    lines = []
    for number in range(draw(st.integers(1, 3))):
        lines.append(
            draw(st.sampled_from(["# comment ' \"", "", f"[t{number}]", "[[list]]", f"[[list]]\n[list.'t.{number}']"]))
        )
        for key, value in draw(st.dictionaries(KEYS, VALUES, max_size=3)).items():
            lines.append(
                f"{spelled_key(f'{number}{key}', draw)} = {spelled(value, draw)}{draw(st.sampled_from(['', ' # c']))}"
            )
    return "\n".join(lines) + draw(st.sampled_from(["", "\n"]))


def leaves(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], object]]:
    if isinstance(value, dict):
        return [one for key, inner in value.items() for one in leaves(inner, (*path, key))]
    if isinstance(value, list):
        return [one for number, inner in enumerate(value) for one in leaves(inner, (*path, number))]
    return [(path, value)]


@settings(max_examples=150, deadline=None)
@given(toml_texts())
def test_every_value_of_a_toml_text_is_placed_where_it_stands(text: str) -> None:
    """The places come from a reader of our own; tomllib is the judge of what stands there."""
    index = TomlIndex(Lines(text, "x"))
    for path, value in leaves(tomllib.loads(text)):
        assert path in index.keys
        start = index.values[path]
        if not isinstance(value, str):
            assert text.startswith(str(value).lower(), start)
            continue
        place = index.string(start)
        assert place is not None
        lines = text.split("\n")
        for offset, character in enumerate(value):
            at = place.at(offset)
            assert at.line is not None
            assert at.column is not None
            there = (lines[at.line - 1] + "\n")[at.column - 1]
            assert there in (character, "\\")
