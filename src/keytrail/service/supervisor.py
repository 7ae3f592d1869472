"""systemd told how the service is: that it is ready, that it lives, that it ends. Without systemd nothing happens."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping

_LOG = logging.getLogger("keytrail.watch")


def ready(alive: Callable[[], bool] = lambda: True, environment: Mapping[str, str] = os.environ) -> None:
    """Say that the service has started and, where systemd keeps watch (WatchdogSec), go on saying that it lives.

    That is said by a thread, as long as `alive` says so: silent for the time of the watch, the service is started anew.
    """
    _tell("READY=1", environment)
    if (seconds := watchdog_seconds(environment)) is not None:
        beating = threading.Thread(target=_beat, args=(alive, seconds / 3, environment), daemon=True, name="watchdog")
        beating.start()


def stopping(environment: Mapping[str, str] = os.environ) -> None:
    """Say that the service is about to end."""
    _tell("STOPPING=1", environment)


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """How long systemd lets this process be silent, None where it keeps no watch over it."""
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", ""))
        ours = int(environment.get("WATCHDOG_PID", os.getpid())) == os.getpid()
    except ValueError:
        return None
    return microseconds / 1e6 if ours and microseconds > 0 and environment.get("NOTIFY_SOCKET") else None


def _beat(alive: Callable[[], bool], seconds: float, environment: Mapping[str, str]) -> None:
    pause = threading.Event()
    while True:
        if alive():
            _tell("WATCHDOG=1", environment)
        pause.wait(seconds)


def _tell(message: str, environment: Mapping[str, str]) -> None:
    """Send one datagram, as sd_notify(3) describes it; "@" begins the name of an abstract socket."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)) as notify:
            notify.setblocking(False)
            notify.sendto(message.encode(), f"\0{address[1:]}" if address[0] == "@" else address)
    except OSError as error:
        _LOG.warning("systemd cannot be told", extra={"fields": {"what": message, "error": error.strerror}})
