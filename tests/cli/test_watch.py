"""`keytrail watch --once`: what it says at its end, and what is there afterwards for the other commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any


def test_once_says_what_it_took_in_and_where_the_alerts_are(keytrail: Keytrail, tmp_path: Path) -> None:
    keytrail.archive(tmp_path / "trail" / "a.json", [keytrail.record(0), keytrail.record(1)])
    (tmp_path / "trail" / "broken.json.gz").write_bytes(b"\x1f\x8b\x08\x00")
    where = ("--lake", tmp_path / "lake")
    first = keytrail("watch", tmp_path / "trail", "--once", *where)
    assert first.exit_code == 0
    assert first.stderr.endswith(
        "2 new records, 1 input unreadable, 2 new alerts\n`keytrail alerts list` shows them.\n"
    )
    again = keytrail("watch", tmp_path / "trail", "--once", *where)
    assert again.stderr.splitlines()[-1].startswith("0 new records, ")
    listed = keytrail("alerts", "list", *where, "--format", "ndjson")
    assert len([json.loads(line) for line in listed.stdout.splitlines()]) == 2


def test_it_does_not_begin_with_keys_that_cannot_be_looked_at(keytrail: Keytrail, tmp_path: Path) -> None:
    Path("keytrail.toml").write_text('[policies]\naccounts = ["1111"]\nevery_hours = 6\n')
    result = keytrail("watch", str(tmp_path), "--once")
    assert (result.exit_code, "'1111' is no account id" in result.stderr) == (2, True)
