"""`keytrail simulate`: the example that the help, the README and the demo use works as they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any


def test_the_two_commands_of_the_help(keytrail: Keytrail) -> None:
    written = keytrail("simulate", "--out", "./example", "--events", "1000")
    assert written.exit_code == 0
    assert "Wrote 1,000 events in " in written.stdout
    assert "story.ledger" in written.stdout
    ledger = next(Path("example").rglob("story.ledger"))
    scanned = keytrail("scan", "./example")
    assert scanned.exit_code == 0
    alerts = [json.loads(line) for line in scanned.stdout.splitlines()]
    flagship = [a for a in alerts if a["event"]["action"] == "PutKeyPolicy" and a["event"]["outcome"] == "success"]
    assert flagship
    assert all(alert["event"]["id"] in ledger.read_text() for alert in flagship)


def test_same_seed_same_bytes_other_seed_others(keytrail: Keytrail) -> None:
    for out, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        assert keytrail("simulate", "--out", out, "--events", "300", "--seed", seed, "--layout", "large").exit_code == 0
    trees = [{p.relative_to(out): p.read_bytes() for p in Path(out).rglob("*.gz")} for out in "abc"]
    assert trees[0] == trees[1]
    assert trees[0] != trees[2]


def test_nothing_is_written_over(keytrail: Keytrail) -> None:
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    result = keytrail("simulate", "--out", "full", "--events", "300")
    assert result.exit_code == 2
    assert [path.name for path in Path("full").iterdir()] == ["mine.txt"]


def test_too_few_events_for_the_story(keytrail: Keytrail) -> None:
    result = keytrail("simulate", "--out", "few", "--events", "1")
    assert result.exit_code == 2
    assert "at least" in result.stderr
    assert not Path("few").exists()
