"""`keytrail exceptions`: what is excepted, for which rules, who said so, and what it would have kept quiet."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keytrail.cli.commands.exceptions import Operator
from keytrail.cloudtrail import Document
from keytrail.detect import compile_exceptions
from keytrail.rules import builtin
from keytrail.service.alert_events import AlertEvent
from keytrail.service.exception_entries import OPERATORS
from keytrail.service.exceptions import exceptions_for
from keytrail.store.state.exceptions import version
from keytrail.store.state.triage import history
from tests.cli.service_state import add, alert_of, here

Keytrail = Any
RULE = builtin().rules[0]
OTHER = builtin().rules[1]


@pytest.fixture(autouse=True)
def _state() -> None:
    with here():
        pass


def added(keytrail: Keytrail, *arguments: str) -> str:
    """The id of an exception that was added."""
    result = keytrail("exceptions", "add", *arguments)
    assert result.exit_code == 0, result.stderr
    return str(result.stdout.strip())


def shown(keytrail: Keytrail, id: str) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(keytrail("exceptions", "show", id, "--format", "json").stdout)
    return item


def ids(keytrail: Keytrail, *options: str) -> list[str]:
    result = keytrail("exceptions", "list", "--format", "ndjson", *options)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line)["item_id"] for line in result.stdout.splitlines()]


def test_the_operators_are_those_of_the_service() -> None:
    assert tuple(Operator) == OPERATORS


# -- one item ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "entries"),
    [
        (
            ("--field", "user.name", "--value", "ada"),
            [{"field": "user.name", "type": "match", "value": "ada", "operator": "included"}],
        ),
        (
            ("--field", "user.name", "--value", "ada", "--value", "grace", "--operator", "is_not"),
            [{"field": "user.name", "type": "match_any", "value": ["ada", "grace"], "operator": "excluded"}],
        ),
        (
            ("--field", "user.name", "--value", "ada", "--operator", "one_of"),
            [{"field": "user.name", "type": "match_any", "value": ["ada"], "operator": "included"}],
        ),
        (
            ("--field", "user.name", "--operator", "not_exists"),
            [{"field": "user.name", "type": "exists", "operator": "excluded"}],
        ),
        (
            ("--field", "user.name", "--operator", "matches", "--value", "ad*"),
            [{"field": "user.name", "type": "wildcard", "value": "ad*", "operator": "included"}],
        ),
        (
            ("--field", "a", "--field", "b", "--field", "c", "--operator", "is", "--operator", "exists", "--operator",
             "is_not", "--value", "1", "--value", "3"),
            [
                {"field": "a", "type": "match", "value": "1", "operator": "included"},
                {"field": "b", "type": "exists", "operator": "included"},
                {"field": "c", "type": "match", "value": "3", "operator": "excluded"},
            ],
        ),
    ],
)  # fmt: skip
def test_the_simple_cases_become_items(
    keytrail: Keytrail, arguments: tuple[str, ...], entries: list[dict[str, Any]]
) -> None:
    id = added(keytrail, RULE.rule_id, *arguments)
    item = shown(keytrail, id)
    assert item["entries"] == entries
    assert (item["list_id"], item["namespace_type"]) == (f"keytrail-rule-{RULE.rule_id}", "single")
    assert "expire_time" not in item


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("RULE",),
        ("RULE", "--field", "a"),
        ("RULE", "--field", "a", "--value", ""),
        ("RULE", "--field", " ", "--value", "x"),
        ("RULE", "--field", "a", "--field", "b", "--value", "x"),
        ("RULE", "--field", "a", "--field", "b", "--value", "x", "--value", "y", "--value", "z"),
        ("RULE", "--field", "a", "--operator", "exists", "--value", "x"),
        ("RULE", "--field", "a", "--operator", "matches", "--value", "x", "--value", "y"),
        ("RULE", "--field", "a", "--operator", "in_list", "--value", "no-such"),
        ("RULE", "--field", "a", "--operator", "is", "--operator", "is", "--value", "x"),
        ("RULE", "--field", "a", "--value", "x", "--list", "shared"),
        ("RULE", "--field", "a", "--value", "x", "--expires", "2020-01-01"),
        ("no-such-rule", "--field", "a", "--value", "x"),
        ("--list", "no-such", "--field", "a", "--value", "x"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_told_and_adds_nothing(keytrail: Keytrail, arguments: tuple[str, ...]) -> None:
    result = keytrail("exceptions", "add", *(RULE.rule_id if one == "RULE" else one for one in arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert keytrail("exceptions", "list", "--format", "json").stdout == "[]\n"


def test_an_exception_counts_for_its_rule_and_no_other(keytrail: Keytrail) -> None:
    id = added(keytrail, RULE.rule_id[:8], "--field", "user.name", "--value", "Admin", "--comment", "the pipeline")
    with here() as state, state.database.read() as connection:
        items, lists = exceptions_for(connection, RULE)
        assert [item.item_id for item in items] == [id]
        assert exceptions_for(connection, OTHER) == ((), {})
    assert ids(keytrail, "--rule", RULE.rule_id) == [id]
    assert ids(keytrail, "--rule", OTHER.rule_id) == []
    excepted = compile_exceptions(items, lists, now=datetime.now(UTC))
    assert excepted(Document(keytrail.record()))
    assert not excepted(Document(keytrail.record(userIdentity={"type": "Root"})))


def test_what_is_edited_expired_and_removed_is_in_the_audit_log(keytrail: Keytrail) -> None:
    id = added(keytrail, RULE.rule_id, "--field", "user.name", "--value", "ada", "--as", "ada")
    with here() as state, state.database.read() as connection:
        first = version(connection)
    keytrail("exceptions", "edit", id, "--name", "Ada's", "--expires", "30d", "--comment", "asked", "--as", "grace")
    keytrail("exceptions", "edit", id, "--field", "user.name", "--value", "grace", "--no-expiry", "--as", "grace")
    item = shown(keytrail, id)
    assert (item["name"], item["entries"][0]["value"]) == ("Ada's", "grace")
    assert [(one["comment"], one["created_by"]) for one in item["comments"]] == [("asked", "grace")]
    assert "expire_time" not in item
    result = keytrail("exceptions", "expire", id, "--as", "ada")
    assert result.stderr == "note: ended: 1 exception\n"
    assert keytrail("exceptions", "expire", id).stderr == "note: ended: 0 exceptions\n"
    with here() as state, state.database.read() as connection:
        [found], _ = exceptions_for(connection, RULE)
        assert found.expired(datetime.now(UTC))
    assert "ended" in keytrail("exceptions", "list", "--format", "table").stdout
    keytrail("exceptions", "remove", id, "--as", "linus")
    assert ids(keytrail) == []
    with here() as state, state.database.read() as connection:
        lines = history(connection, "exception", id)
        assert version(connection) > first
    assert [(line.who, line.action) for line in lines] == [
        ("ada", "add"),
        ("grace", "edit"),
        ("grace", "edit"),
        ("ada", "edit"),
        ("linus", "remove"),
    ]
    assert lines[-1].detail["before"]["name"] == "Ada's"  # type: ignore[index]


@pytest.mark.parametrize("command", ["show", "edit", "remove", "expire", "test"])
def test_an_exception_that_is_not_there_is_told(keytrail: Keytrail, command: str) -> None:
    result = keytrail("exceptions", command, "no\x1bsuch")
    assert result.exit_code == 2
    assert "no exception has the id" in result.stderr
    assert "\x1b" not in result.stderr


def test_a_field_that_no_event_has_is_a_warning(keytrail: Keytrail) -> None:
    result = keytrail("exceptions", "add", RULE.rule_id, "--field", "usr.name", "--value", "ada")
    assert result.exit_code == 0
    assert "warning: " in result.stderr
    assert "usr.name" in result.stderr


# -- what it would have kept quiet ------------------------------------------------------------------------------------


@pytest.fixture
def alerts(keytrail: Keytrail) -> list[str]:
    """Alerts of the rule by two people, and one of another rule."""
    by_ada = {"userIdentity": {"type": "IAMUser", "userName": "ada", "accountId": "111122223333"}}
    return add(
        [
            alert_of(keytrail.record(1), RULE),
            alert_of(keytrail.record(2, **by_ada), RULE),
            alert_of(keytrail.record(3, **by_ada), OTHER),
        ]
    )


def test_before_adding_it_shows_what_it_would_have_kept_quiet(keytrail: Keytrail, alerts: list[str]) -> None:
    asked = ("exceptions", "add", RULE.rule_id, "--field", "user.name", "--value", "ada")
    result = keytrail(*asked, "--dry-run", "--format", "ndjson")
    assert [json.loads(line)["kibana.alert.uuid"] for line in result.stdout.splitlines()] == [alerts[1]]
    assert "1 stored alert of 1 rule would not have been made" in result.stderr
    assert ids(keytrail) == []
    result = keytrail(*asked)
    assert "1 stored alert would not have been made" in result.stderr
    tried = keytrail("exceptions", "test", result.stdout.strip(), "--format", "ndjson")
    assert [json.loads(line)["kibana.alert.uuid"] for line in tried.stdout.splitlines()] == [alerts[1]]
    assert len(keytrail("alerts", "list").stdout.splitlines()) == 3  # those that there are stay


def test_a_stored_alert_is_judged_as_its_event_is(keytrail: Keytrail) -> None:
    record = keytrail.record(7, errorCode="AccessDenied", userAgent="Boto3/1.34 (Linux)")
    document = Document(record)
    event = AlertEvent(alert_of(record, RULE).document)
    names = set(document.fields())
    assert names <= set(event.fields())
    for name in sorted(names | {"aws.cloudtrail.flattened.request_parameters", "no.such.field"}):
        assert sorted(map(str, event.values(name))) == sorted(map(str, document.values(name))), name


# -- lists and files --------------------------------------------------------------------------------------------------

LIST = {"list_id": "shared", "type": "detection", "name": "Shared", "description": "d", "namespace_type": "agnostic"}
ITEM = {
    "item_id": "i1",
    "list_id": "shared",
    "name": "Ada",
    "type": "simple",
    "namespace_type": "agnostic",
    "entries": [{"field": "user.name", "type": "match", "value": "ada", "operator": "included"}],
}


def ndjson(name: str, *lines: object) -> Path:
    path = Path(name)
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines))
    return path


def test_lists_and_items_come_from_files_and_go_back_into_them(keytrail: Keytrail) -> None:
    result = keytrail("exceptions", "import", ndjson("in.ndjson", ITEM, LIST))
    assert (result.exit_code, result.stderr) == (0, "note: imported 1 list and 1 exception\n")
    own = added(keytrail, "--list", "shared", "--field", "user.name", "--value", "grace", "--value", "linus")
    assert shown(keytrail, own)["namespace_type"] == "agnostic"
    assert set(ids(keytrail, "--list", "shared")) == {"i1", own}
    assert keytrail("exceptions", "export", "-o", "out.ndjson").exit_code == 0
    assert keytrail("exceptions", "remove", "--list", "shared").stderr == "note: removed: 2 exceptions\n"
    assert keytrail("exceptions", "list", "--lists", "--format", "json").stdout == "[]\n"
    assert keytrail("exceptions", "import", "out.ndjson").exit_code == 0
    assert set(ids(keytrail)) == {"i1", own}
    assert keytrail("exceptions", "export").stdout == Path("out.ndjson").read_text()
    details = json.loads(Path("out.ndjson").read_text().splitlines()[-1])
    assert (details["exported_exception_list_count"], details["exported_exception_list_item_count"]) == (1, 2)


def test_what_is_there_is_kept_unless_it_is_to_be_replaced(keytrail: Keytrail) -> None:
    keytrail("exceptions", "import", ndjson("in.ndjson", LIST, ITEM))
    path = ndjson("again.ndjson", LIST, ITEM | {"name": "Other"}, ITEM | {"item_id": "i2"}, "{not json", {"entries": 1})
    result = keytrail("exceptions", "import", path)
    assert result.exit_code == 2
    assert result.stderr.count("is there already") == 2
    for line in (1, 2, 4, 5):
        assert f"again.ndjson:{line}" in result.stderr
    assert "imported 0 lists and 1 exception; " in result.stderr
    assert shown(keytrail, "i1")["name"] == "Ada"
    assert keytrail("exceptions", "import", path, "--overwrite").exit_code == 2
    assert shown(keytrail, "i1")["name"] == "Other"


def test_an_item_of_no_list_is_an_error(keytrail: Keytrail) -> None:
    result = keytrail("exceptions", "import", ndjson("in.ndjson", ITEM))
    assert result.exit_code == 2
    assert "there is no exception list 'shared'" in result.stderr
    # Nor does one of the other namespace do.
    keytrail("exceptions", "import", ndjson("list.ndjson", LIST | {"namespace_type": "single"}))
    assert keytrail("exceptions", "import", "in.ndjson").exit_code == 2


def test_hostile_items_harm_nobody(keytrail: Keytrail) -> None:
    for text in keytrail.hostile:
        if "\ud800" in text:
            continue  # refused: see below
        id = added(keytrail, RULE.rule_id, "--field", "user.name", "--value", text, "--comment", text, "--as", text)
        out = keytrail("exceptions", "show", id).stdout
        assert not {"\x1b", "\x9b", "\u202e", "\u200b"} & set(out)
        assert shown(keytrail, id)["entries"][0]["value"] == text
    for form in ("table", "csv"):
        out = keytrail("exceptions", "list", "--format", form).stdout
        assert not {"\x1b", "\x9b", "\u202e", "\u200b"} & set(out)


@pytest.mark.parametrize("arguments", [("--name", "two\nlines"), ("--comment", "half \ud800"), ("--field", "a\nb")])
def test_what_could_not_be_read_again_is_not_stored(keytrail: Keytrail, arguments: tuple[str, str]) -> None:
    option, text = arguments
    field = () if option == "--field" else ("--field", "user.name")
    result = keytrail("exceptions", "add", RULE.rule_id, *field, "--value", "ada", option, text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert ids(keytrail) == []


def test_csv_has_a_row_for_each(keytrail: Keytrail) -> None:
    id = added(keytrail, RULE.rule_id, "--field", "user.name", "--value", "=ada", "--expires", "2099-12-31")
    rows = list(csv.DictReader(io.StringIO(keytrail("exceptions", "list", "--format", "csv").stdout)))
    assert [(row["item_id"], row["state"], row["what"]) for row in rows] == [(id, "active", "user.name is =ada")]
    assert rows[0]["expires"].startswith("2100-01-01")  # the last day counts whole


# -- value lists ------------------------------------------------------------------------------------------------------


def test_a_value_list_is_what_its_file_says(keytrail: Keytrail) -> None:
    Path("offices.txt").write_text("192.0.2.0/24\n203.0.113.7\n\n203.0.113.7\n")
    result = keytrail("exceptions", "value-lists", "import", "offices.txt", "--type", "ip_range")
    assert result.stderr == "note: the value list 'offices' has 2 values\n"
    id = added(keytrail, RULE.rule_id, "--field", "source.ip", "--operator", "in_list", "--value", "offices")
    with here() as state, state.database.read() as connection:
        items, lists = exceptions_for(connection, RULE)
    excepted = compile_exceptions(items, lists, now=datetime.now(UTC))
    assert excepted.problems == ()
    assert excepted(Document(keytrail.record(sourceIPAddress="203.0.113.7")))
    assert not excepted(Document(keytrail.record(sourceIPAddress="198.51.100.1")))
    keytrail("exceptions", "value-lists", "import", "-", "--type", "ip_range", "--id", "offices", "--append",
             stdin=b"198.51.100.0/30\n192.0.2.0/24\n")  # fmt: skip
    shown_values = keytrail("exceptions", "value-lists", "show", "offices").stdout.splitlines()
    assert shown_values == ["192.0.2.0/24", "198.51.100.0/30", "203.0.113.7"]
    [row] = [json.loads(line) for line in keytrail("exceptions", "value-lists", "list").stdout.splitlines()]
    assert (row["id"], row["type"], row["size"]) == ("offices", "ip_range", "3")
    result = keytrail("exceptions", "value-lists", "remove", "offices")
    assert result.exit_code == 2
    assert "is named by" in result.stderr
    assert keytrail("exceptions", "value-lists", "remove", "offices", "--force").exit_code == 0
    assert "it takes no part" in keytrail("exceptions", "edit", id, "--name", "x").stderr
    with here() as state, state.database.read() as connection:
        assert [line.action for line in history(connection, "value list", "offices")] == ["add", "append", "remove"]


def test_a_line_that_does_not_fit_changes_nothing(keytrail: Keytrail) -> None:
    keytrail("exceptions", "value-lists", "import", "-", "--type", "ip", "--id", "a", stdin=b"192.0.2.1\n")
    result = keytrail(
        "exceptions", "value-lists", "import", "-", "--type", "ip", "--id", "a", stdin=b"192.0.2.2\nhome\n"
    )
    assert result.exit_code == 2
    assert "-:2" in result.stderr
    assert keytrail("exceptions", "value-lists", "show", "a").stdout == "192.0.2.1\n"
    for arguments in (
        ("import", "-", "--type", "ip"),
        ("import", "no-such-file", "--type", "ip"),
        ("import", ".", "--type", "ip"),
        ("import", "-", "--type", "nonsense", "--id", "a"),
        ("import", "-", "--type", "keyword", "--id", "a", "--append"),
        ("show", "no-such"),
        ("remove", "no-such"),
    ):
        assert keytrail("exceptions", "value-lists", *arguments, stdin=b"x\n").exit_code == 2, arguments


def test_a_long_value_list_is_kept_whole(keytrail: Keytrail) -> None:
    values = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(12_000)]
    keytrail("exceptions", "value-lists", "import", "-", "--type", "ip", "--id", "many",
             stdin="\n".join(values).encode())  # fmt: skip
    assert set(keytrail("exceptions", "value-lists", "show", "many").stdout.splitlines()) == set(values)


def test_an_end_is_the_last_day_or_a_length(keytrail: Keytrail) -> None:
    id = added(keytrail, RULE.rule_id, "--field", "user.name", "--value", "a", "--expires", "2d")
    end = datetime.fromisoformat(shown(keytrail, id)["expire_time"])
    assert timedelta(days=2) < end - datetime.now(UTC) <= timedelta(days=3)
