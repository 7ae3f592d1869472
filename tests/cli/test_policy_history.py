"""`keytrail policies history`: a line for each version, marks, what is not certain below, and every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keytrail.cli.commands.policy_history import COLUMNS
from keytrail.service.installation import installation
from keytrail.settings import Settings
from keytrail.store.state.database import Database
from keytrail.store.state.policies import mark_good, put_document, put_snapshot
from tests.cli.conftest import HOSTILE, Keytrail
from tests.investigate import records as made
from tests.service.watch.kit import stored_bytes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OWN = made.allow({"AWS": made.root_arn(made.OWNER)})
CLOSED = made.policy(OWN)
OPEN = made.policy(OWN, made.allow(made.root_arn(made.OUTSIDE)))


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The state of the working directory."""
    monkeypatch.chdir(tmp_path)
    with installation(Settings(), set_up=True) as home:
        yield home.database


@pytest.fixture
def archive(tmp_path: Path) -> str:
    folder = tmp_path / "AWSLogs"
    folder.mkdir()
    records = [made.create_key("09:00", made.user(), CLOSED), made.put_policy("10:00", made.user("mallory"), OPEN)]
    (folder / "a.json.gz").write_bytes(stored_bytes(records))
    return str(folder)


def found(database: Database, document: made.Json, **facts: object) -> None:
    with database.write() as connection:
        put_snapshot(
            connection, key_arn=made.KEY, account=made.OWNER, region=made.REGION, source="kms",
            texts={"default": json.dumps(document)}, facts=facts, at=NOON,
        )  # fmt: skip


@pytest.mark.usefixtures("database")
def test_the_table_has_a_line_for_each_version_and_what_is_not_certain_below(
    keytrail: Keytrail, archive: str, database: Database
) -> None:
    found(database, CLOSED)
    with database.write() as connection:
        mark_good(connection, made.KEY, put_document(connection, json.dumps(CLOSED)), at=NOON, who="ada", note="")
    result = keytrail("policies", "history", made.KEY, "--source", archive, "--format", "table")
    assert result.exit_code == 0
    head, first, second, third, blank, doubt = result.stdout.splitlines()
    assert head.startswith("SINCE (UTC)")
    assert "2026-03-02 09:00:00" in first
    assert "good" in first
    assert "mallory" in second
    assert "high" in second
    assert "live good" in third
    assert "(a look)" in third
    assert (blank, doubt.startswith("2026-03-02 12:00:00  No record gave it to the key")) == ("", True)


@pytest.mark.usefixtures("database")
def test_formats_for_machines(keytrail: Keytrail, archive: str) -> None:
    arguments = ("policies", "history", made.KEY, "--source", archive)
    lines = [json.loads(line) for line in keytrail(*arguments).stdout.splitlines()]
    assert json.loads(keytrail(*arguments, "--format", "json").stdout) == lines
    assert [line["document"] for line in lines] == [CLOSED, OPEN]
    rows = list(csv.reader(io.StringIO(keytrail(*arguments, "--format", "csv").stdout)))
    assert tuple(rows[0]) == COLUMNS
    assert [row[COLUMNS.index("event_name")] for row in rows[1:]] == ["CreateKey", "PutKeyPolicy"]


def test_a_key_by_its_alias_and_nobody_by_another(keytrail: Keytrail, database: Database) -> None:
    found(database, OPEN, aliases=["alias/orders"])
    result = keytrail("policies", "history", "orders")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["in_force"] == "seen"
    assert "note: no record tells of a change" in result.stderr
    assert keytrail("policies", "history", "orders", "--quiet").stderr == ""
    assert keytrail("policies", "history", "invoices").exit_code == 2


def test_without_a_state_and_sources_it_cannot_be_told(
    keytrail: Keytrail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert keytrail("policies", "history", made.KEY).exit_code == 4
    assert keytrail("policies", "history", made.KEY, "--source", str(tmp_path / "nothing")).exit_code == 4


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("text", [one for one in HOSTILE if "\ud800" not in one])
def test_what_records_say_does_nothing_to_a_terminal(keytrail: Keytrail, tmp_path: Path, text: str) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    who = made.user() | {"arn": f"arn:aws:iam::{made.OWNER}:user/{text}"}
    document = made.policy(OWN, made.allow(made.root_arn(made.OUTSIDE), Sid=text))
    records = [
        made.put_policy("10:00", who, document, eventID=text),
        made.record("cloudtrail:StopLogging", "10:30", made.user(), {"name": text}),
        made.refused(made.put_policy("10:40", who, CLOSED)),
        made.put_policy("11:00", who, CLOSED),
    ]
    (folder / "a.json.gz").write_bytes(stored_bytes(records))
    for form in ("table", "json", "ndjson", "csv"):
        result = keytrail("policies", "history", made.KEY, "--source", str(folder), "--format", form)
        assert result.exit_code == 0
        for stream in (result.stdout, result.stderr):
            assert all(one.isprintable() or one in "\r\n" for one in stream)
