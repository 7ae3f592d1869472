"""Errors and warnings: what, where, how it looks there, what to do; and nothing that acts on the terminal."""

from __future__ import annotations

import pytest

from keytrail.cli import messages
from keytrail.errors import (
    InputError,
    KeytrailError,
    ObjectError,
    Place,
    QueryError,
    RuleError,
    SourceError,
    UsageError,
)


def told(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_an_error_says_what_where_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    messages.error(RuleError("severity is missing", place=Place("r.toml", line=3, column=5), advice="add it\nor not"))
    assert told(capsys) == "error: severity is missing\n  at r.toml:3:5\n  add it\n  or not\n"


@pytest.mark.parametrize(
    ("text", "offset", "excerpt"),
    [
        ("a: b and", 8, "  a: b and\n          ^\n"),
        ("a: b or\n\tc: (d", 13, "  \tc: (d\n  \t    ^\n"),
        ("a: 鍵 )", 5, "  a: 鍵 )\n        ^\n"),
        ("a: \x1b )", 5, "  a: \\x1b )\n          ^\n"),
        ("", 0, "  \n  ^\n"),
    ],
)
def test_a_query_is_shown_with_a_caret_below_the_place(
    capsys: pytest.CaptureFixture[str], text: str, offset: int, excerpt: str
) -> None:
    messages.error(QueryError("expected a value", text=text, offset=offset))
    assert told(capsys) == f"error: expected a value\n{excerpt}"


def test_a_query_in_a_rule_keeps_its_caret(capsys: pytest.CaptureFixture[str]) -> None:
    messages.error(RuleError("query of rule 'x': no\na: (\n   ^", place=Place("r.toml", line=7)))
    assert told(capsys) == "error: query of rule 'x': no\n  at r.toml:7\n  a: (\n     ^\n"


def test_nothing_of_an_error_acts_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    nasty = "\x1b[2J\u202e\x07\r"
    messages.error(UsageError(nasty, place=Place(nasty), advice=nasty))
    messages.warning(nasty)
    messages.note(nasty)
    text = told(capsys)
    assert text.replace("\n", "").isprintable()
    assert text.count("\\x1b[2J\\u202e\\x07\\r") == 5


def test_text_of_an_attacker_cannot_look_like_another_message(capsys: pytest.CaptureFixture[str]) -> None:
    messages.error(UsageError("bad rule\nerror: all is well"))
    messages.warning("a.json\nwarning: forged")
    assert [line for line in told(capsys).splitlines() if line.startswith(("error: all", "warning: forged"))] == []


def test_unreadable_inputs_are_listed_up_to_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    problems = messages.Problems()
    for number in range(14):
        problems.add(ObjectError("damaged gzip", place=Place(f"{number}.json.gz"), advice="fetch it again"))
    problems.tell()
    lines = told(capsys).splitlines()
    assert lines[0] == "warning: 0.json.gz: damaged gzip (fetch it again)"
    assert len(lines) == messages.LISTED + 1
    assert lines[-1] == "warning: and 4 more unreadable inputs"
    assert problems.unreadable == 14


def test_a_source_that_cannot_be_reached_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    problems = messages.Problems()
    problems.add(InputError("not JSON", place=Place("a.json", record=3)))
    problems.add(SourceError("no such bucket", advice="check the name"))
    problems.tell()
    assert told(capsys) == ("warning: a.json record 3: not JSON\nerror: no such bucket\n  check the name\n")
    assert (problems.unreadable, len(problems.unreached)) == (1, 1)


def test_nothing_to_tell_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    messages.Problems().tell()
    assert told(capsys) == ""


def test_an_error_without_more_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    messages.error(KeytrailError("interrupted"))
    assert told(capsys) == "error: interrupted\n"
