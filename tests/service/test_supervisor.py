"""systemd is told that the service is ready, lives and ends: over a real datagram socket."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from keytrail.service.supervisor import ready, stopping, watchdog_seconds


class Systemd:
    """What hears the service, in its place."""

    def __init__(self, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": address}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(20)

    def heard(self) -> str:
        return self._socket.recv(100).decode()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@keytrail-test-{os.getpid()}"
    made = Systemd(address)
    yield made
    made.close()


def test_it_is_told_when_the_service_starts_and_ends(systemd: Systemd) -> None:
    ready(environment=systemd.environment)
    stopping(systemd.environment)
    assert [systemd.heard(), systemd.heard()] == ["READY=1", "STOPPING=1"]


def test_where_it_keeps_watch_it_is_told_of_life_as_long_as_there_is_any(systemd: Systemd) -> None:
    asked = threading.Event()
    answers = iter([True, False, True])
    more = threading.Event()

    def alive() -> bool:
        answer = next(answers, None)
        if answer is None:
            asked.set()
            more.wait(20)  # nothing more is said in this test
            return False
        return answer

    ready(alive, systemd.environment | {"WATCHDOG_USEC": "3000"})
    assert asked.wait(20)
    stopping(systemd.environment)
    more.set()
    assert [systemd.heard() for _ in range(4)] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "300000000"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "300000000"}, 300.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "300000000", "WATCHDOG_PID": str(os.getpid())}, 300.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "300000000", "WATCHDOG_PID": "1"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "often"}, None),
    ],
)
def test_how_long_the_service_may_be_silent(environment: dict[str, str], seconds: float | None) -> None:
    assert watchdog_seconds(environment) == seconds


def test_without_systemd_nothing_happens_and_one_that_is_gone_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ready(environment={})
    ready(environment={"NOTIFY_SOCKET": "vsock:2:1234"})
    assert caplog.records == []
    stopping({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert [record.message for record in caplog.records] == ["systemd cannot be told"]
