"""`keytrail health`: the answer and its exit code, over a state that the service's own code made."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keytrail.service.installation import Installation, installation
from keytrail.service.watch.status import FeedLine, Status, put_status
from keytrail.settings import Settings
from keytrail.store.state.lease import acquire
from keytrail.store.state.rule_states import RuleState, put_state

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any
FEED = FeedLine("s3://trail", None, "", None, 4.0, None, 0, ())


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Installation]:
    with installation(Settings.model_validate({"lake": {"folder": tmp_path / "lake"}}), set_up=True) as made:
        yield made


def at_work(home: Installation, now: datetime, *feeds: FeedLine) -> None:
    """A service that has just told how it is."""
    acquire(home.database, "keytrail on host, process 7", now)
    started = now - timedelta(hours=2)
    status = Status(now.isoformat(), started.isoformat(), True, "keytrail on host, process 7", 0, feeds, (), (), (), ())
    with home.database.write() as connection:
        put_status(connection, status)


def test_a_service_that_works_is_well(keytrail: Keytrail, home: Installation) -> None:
    at_work(home, datetime.now(UTC), FEED)
    result = keytrail("health", "--lake", home.folder)
    assert (result.exit_code, result.stderr) == (0, "")
    first, *facts = result.stdout.splitlines()
    assert first.startswith("well: keytrail on host, process 7, up for 2 h 0 min, heard from ")
    assert "1 feed" in facts
    found = json.loads(keytrail("health", "--lake", home.folder, "--format", "json").stdout)
    assert (found["well"], found["findings"], found["feeds"][0]["label"]) == (True, [], "s3://trail")
    assert found["service"]["running"] is True
    assert found["state"]["version"]


def test_what_is_wrong_is_told_with_what_to_do_and_safely(keytrail: Keytrail, home: Installation) -> None:
    hostile = "\n".join(keytrail.hostile)
    feed = FeedLine(f"s3://{hostile}", hostile, f"allow {hostile}", None, None, None, 2, (f"set aside: {hostile}",))
    at_work(home, datetime.now(UTC), feed)
    with home.database.write() as connection:
        put_state(connection, RuleState("r", hostile, "f" * 64, 0, status="failed", message=hostile))
    result = keytrail("health", "--lake", home.folder)
    assert result.exit_code == 1
    assert all(line.isprintable() for line in result.stdout.splitlines())
    first, *rest = result.stdout.splitlines()
    assert first.startswith("unwell: ")
    # Lines of ours begin so; lines that others wrote stand below one, indented.
    assert [line.split(":")[0] for line in rest if not line.startswith("  ")][:3] == ["error", "error", "warning"]
    assert "\nerror: forged" not in result.stdout
    as_json = keytrail("health", "--lake", home.folder, "--format", "json")
    assert as_json.exit_code == 1
    assert as_json.stdout.isascii()
    assert [one["kind"] for one in json.loads(as_json.stdout)["findings"]] == ["feed", "rule", "set aside"]


def test_a_service_that_ended_is_unwell(keytrail: Keytrail, home: Installation) -> None:
    at_work(home, datetime.now(UTC) - timedelta(minutes=10))
    result = keytrail("health", "--lake", home.folder)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == "unwell"
    assert "nothing was heard of keytrail on host, process 7 since" in result.stdout


def test_where_there_is_no_state_it_cannot_be_told(keytrail: Keytrail, tmp_path: Path) -> None:
    result = keytrail("health", "--lake", tmp_path / "none")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "is not set up" in result.stderr
    assert not (tmp_path / "none").exists()


def test_a_database_that_cannot_be_reached_cannot_be_told(keytrail: Keytrail) -> None:
    result = keytrail("health", env={"KEYTRAIL_STATE__URL": "postgresql://keytrail:SECRET@127.0.0.1:1/keytrail"})
    assert (result.exit_code, result.stdout) == (4, "")
    assert "SECRET" not in result.stderr


def test_a_wrong_setting_is_told_as_everywhere(keytrail: Keytrail) -> None:
    Path("keytrail.toml").write_text("[watch]\nhealth_lag_seconds = -1\n")
    assert keytrail("health").exit_code == 2


def test_the_service_itself_is_seen_to_run_and_to_end(keytrail: Keytrail, tmp_path: Path) -> None:
    keytrail.archive(tmp_path / "trail" / "a.json", [keytrail.record()])
    lake, log, address = tmp_path / "lake", tmp_path / "log", str(tmp_path / "systemd")
    command = keytrail.command("watch", tmp_path / "trail", "--lake", lake)
    with log.open("wb") as out, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(60)
        service = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | {"NOTIFY_SOCKET": address})
        try:
            assert systemd.recv(100) == b"READY=1", log.read_text()
            # Its first word about itself comes a moment later.
            for _ in range(240):
                if (result := keytrail("health", "--lake", lake)).exit_code == 0:
                    break
                time.sleep(0.25)
            assert result.exit_code == 0, result.output + log.read_text()
        finally:
            service.send_signal(signal.SIGTERM)
            code = service.wait(timeout=60)
        assert code == 0, log.read_text()
        assert systemd.recv(100) == b"STOPPING=1"
    result = keytrail("health", "--lake", lake)
    assert result.exit_code == 1
    assert "no service is running" in result.stdout
