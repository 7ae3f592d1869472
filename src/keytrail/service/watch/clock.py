"""The clock of the service: the one place that asks what time it is, so that everything else is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""What time it is: aware, in UTC. It may step back or forth, as clocks of machines do."""


def system_clock() -> datetime:
    """What this machine thinks."""
    return datetime.now(UTC)


monotonic_seconds = time.monotonic
"""For durations, and for pauses within one process: never steps."""
