"""What the tests of the command line share: records as AWS writes them, small archives, and ways to run keytrail."""

from __future__ import annotations

import copy
import fcntl
import gzip
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from keytrail.cli import app

KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

# What an attacker can write into a record: terminal control, a title, bidi, hidden text, formulas, markup.
HOSTILE = (
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b31m",
    '=HYPERLINK("http://x","y")',
    "@SUM(1+1)",
    "\u202egnp.exe",
    "zero\u200bwidth",
    "<script>alert(1)</script>",
    "line\r\nerror: forged",
    "half \ud800",
    "%s{0}[bold]x[/bold]",
)

RECORD: dict[str, Any] = {
    "eventVersion": "1.11",
    "userIdentity": {
        "type": "AssumedRole",
        "principalId": "AROAEXAMPLE:mallory",
        "arn": "arn:aws:sts::111122223333:assumed-role/Admin/mallory",
        "accountId": "111122223333",
        "accessKeyId": "ASIAEXAMPLE",
        "sessionContext": {"sessionIssuer": {"type": "Role", "userName": "Admin", "accountId": "111122223333"}},
    },
    "eventTime": "2026-03-01T08:00:12Z",
    "eventSource": "kms.amazonaws.com",
    "eventName": "PutKeyPolicy",
    "awsRegion": "eu-west-1",
    "sourceIPAddress": "203.0.113.7",
    "userAgent": "aws-cli/2.15.0",
    "requestParameters": {"keyId": KEY, "policyName": "default", "policy": "{}"},
    "responseElements": None,
    "requestID": "5b2ad3a1-0000-4000-8000-000000000000",
    "eventID": "c4b1b6e2-0000-4000-8000-000000000000",
    "readOnly": False,
    "resources": [{"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": KEY}],
    "eventType": "AwsApiCall",
    "managementEvent": True,
    "recipientAccountId": "111122223333",
    "eventCategory": "Management",
}


def record(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A PutKeyPolicy record with an id of its own; `changes` replace its fields, None removes one."""
    made = copy.deepcopy(RECORD) | {"eventID": f"c4b1b6e2-0000-4000-8000-{number:012d}"} | changes
    return {name: value for name, value in made.items() if value is not None}


def write_archive(path: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    """Write records as one delivered object; gzip if the name says so."""
    data = json.dumps({"Records": list(records)}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but the test's own: an empty current folder, no file in the home, no variables."""
    for name in list(os.environ):
        if name.startswith("KEYTRAIL_") and name != "KEYTRAIL_REQUIRE":
            monkeypatch.delenv(name)
    monkeypatch.delenv("NO_COLOR", raising=False)
    surroundings = tmp_path_factory.mktemp("surroundings")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(surroundings / "no-config"))
    monkeypatch.chdir(surroundings)


@pytest.fixture(autouse=True, scope="session")
def _one_tree_of_commands() -> Iterator[None]:
    """typer makes all commands anew for each run in a test; once is enough, for they hold nothing between runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", cache(get_command))
        yield


class Shown(NamedTuple):
    """What a run left on a terminal, and its exit code."""

    text: str
    code: int


class Keytrail:
    """Runs command lines and makes what they run on. Called, it runs one in this process, where stdout is a pipe."""

    key = KEY
    hostile = HOSTILE

    def __call__(
        self, *arguments: str | Path, stdin: bytes | None = None, env: Mapping[str, str] | None = None
    ) -> Result:
        return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, env=env, prog_name="keytrail")

    record = staticmethod(record)
    archive = staticmethod(write_archive)

    @staticmethod
    def command(*arguments: str | Path) -> list[str]:
        """The command line of a process of its own."""
        return [sys.executable, "-c", "from keytrail.cli import main; main()", *map(str, arguments)]

    @classmethod
    def terminal(cls, *arguments: str | Path, columns: int = 100, env: Mapping[str, str] | None = None) -> Shown:
        """Run a command with stdout and stderr on a pseudo-terminal of the given width."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", **(env or {})}
        environment.pop("COLUMNS", None)
        process = subprocess.Popen(
            cls.command(*arguments), stdin=subprocess.DEVNULL, stdout=follower, stderr=follower, env=environment
        )
        os.close(follower)
        chunks: list[bytes] = []

        def read() -> None:
            while True:
                try:
                    chunk = os.read(leader, 65536)
                except OSError:  # EIO: the other side is closed
                    return
                chunks.append(chunk)

        reader = threading.Thread(target=read)
        reader.start()
        code = process.wait(timeout=60)
        reader.join(timeout=60)
        os.close(leader)
        return Shown(b"".join(chunks).decode().replace("\r\n", "\n"), code)


@pytest.fixture
def keytrail() -> Keytrail:
    """keytrail as its users meet it."""
    return Keytrail()
