"""Who works on the state, and from when on something holds: what all commands that change it ask."""

from __future__ import annotations

import getpass
import os
import re
from datetime import datetime

from keytrail.errors import UsageError
from keytrail.service.times import parse_time

USER = "KEYTRAIL_USER"
"""The environment variable that names who works."""

_LENGTH = re.compile(r"0*[1-9]\d{0,5}[smhdw]", re.ASCII)


def who_works(name: str | None) -> str:
    """Who is to stand in the audit log: `name` (of --as), else KEYTRAIL_USER, else the system's user.

    It says who worked, and proves nothing: who may write to the state may write any name.
    """
    given = (name if name is not None else os.environ.get(USER, "")).strip()
    if given:
        return given
    if name is not None:
        raise UsageError("--as names nobody")
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"uid {os.getuid()}"


def ends_at(length: str | None, until: str | None, now: datetime) -> datetime:
    """When what begins now is over: --for says how long, --until when. Raises UsageError, also for the past.

    >>> from datetime import UTC
    >>> ends_at("4h", None, datetime(2026, 3, 1, tzinfo=UTC)).isoformat()
    '2026-03-01T04:00:00+00:00'
    """
    if (length is None) is (until is None):
        raise UsageError(
            "say until when: --for or --until" if length is None else "--for and --until exclude each other",
            advice="such as --for 4h, or --until 2026-03-02T08:00:00Z",
        )
    if length is not None:
        if not _LENGTH.fullmatch(length.strip()):
            raise UsageError(f"--for: {length!r} is not a length of time", advice="such as --for 4h, 30m, 7d or 2w")
        return now + (now - parse_time(length, now, name="--for"))
    assert until is not None
    end = parse_time(until, now, name="--until")
    if end <= now:
        raise UsageError(f"--until: {until!r} is past already", advice="such as --until 2027-03-02T08:00:00Z")
    return end
