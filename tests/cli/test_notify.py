"""`keytrail notify test`: what came of each sink, and no secret of any."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any


@pytest.fixture
def web() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The URL of a web server, and what it got; below /gone it takes nothing."""
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(404 if self.path.startswith("/gone") else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", got
    server.shutdown()
    server.server_close()
    thread.join()


def settings(*tables: str) -> None:
    Path("keytrail.toml").write_text("".join(f"[[notify.sinks]]\n{table}\n" for table in tables))


def test_each_sink_is_tried_and_told(
    keytrail: Keytrail, web: tuple[str, list[tuple[str, bytes]]], tmp_path: Path
) -> None:
    url, got = web
    file = tmp_path / "alerts.ndjson"
    settings(
        f'name = "tickets"\nkind = "webhook"\nurl = "{url}/in"', f'name = "siem"\nkind = "ndjson"\npath = "{file}"'
    )
    result = keytrail("notify", "test")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "tickets (webhook): delivered\nsiem (ndjson): delivered\n"
    [(path, body)] = got
    assert path == "/in"
    assert b"test" in body.lower()
    [line] = file.read_text().splitlines()
    assert json.loads(line)["kibana.alert.rule.rule_id"] == "keytrail-test"


def test_only_the_sinks_named_are_tried(keytrail: Keytrail, tmp_path: Path) -> None:
    settings(*(f'name = "{name}"\nkind = "ndjson"\npath = "{tmp_path / name}"' for name in ("a", "b", "c")))
    assert keytrail("notify", "test", "c", "a").stdout == "a (ndjson): delivered\nc (ndjson): delivered\n"
    assert not (tmp_path / "b").exists()


def test_what_failed_is_told_with_what_to_do_and_without_secrets(
    keytrail: Keytrail, web: tuple[str, list[tuple[str, bytes]]], tmp_path: Path
) -> None:
    url, _ = web
    settings(
        f'name = "chat"\nkind = "slack"\nurl = "{url}/gone/SECRET"',
        f'name = "file"\nkind = "ndjson"\npath = "{tmp_path / "no" / "folder"}"',
        'name = "unset"\nkind = "slack"\nurl_env = "NO_SUCH_VARIABLE"',
        f'name = "good"\nkind = "webhook"\nurl = "{url}/in"\nsecret = "SECRET"',
    )
    result = keytrail("notify", "test")
    assert result.exit_code == 4
    assert result.stdout == "good (webhook): delivered\n"
    told = result.stderr.split("error: ")[1:]
    assert [one.split(" ")[0] for one in told] == ["chat", "file", "unset"]
    assert all(len(one.splitlines()) > 1 for one in told)  # what happened, and what to do
    assert "NO_SUCH_VARIABLE" in told[2]
    assert "SECRET" not in result.output


@pytest.mark.parametrize(("names", "said"), [(["b"], "no sink is called b"), (["a", "\x1b[2J"], "no sink is called")])
def test_an_unknown_name_is_an_error_before_anything_is_sent(
    keytrail: Keytrail, tmp_path: Path, names: list[str], said: str
) -> None:
    settings(f'name = "a"\nkind = "ndjson"\npath = "{tmp_path / "a"}"')
    result = keytrail("notify", "test", *names)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert "\x1b" not in result.stderr
    assert not (tmp_path / "a").exists()


def test_without_sinks_there_is_nothing_to_test(keytrail: Keytrail) -> None:
    result = keytrail("notify", "test")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there are no sinks" in result.stderr
