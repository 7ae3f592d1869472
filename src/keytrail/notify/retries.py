"""When what failed is tried again. Pure."""

from __future__ import annotations

from keytrail.notify.model import DeliveryError

_MOST_DOUBLINGS = 40  # more than any pause allows, and still a number that a float holds


def pause_seconds(attempts: int, error: DeliveryError, *, first: float, longest: float) -> float:
    """Seconds until the next attempt after `attempts` that failed, the last with `error`.

    The pause doubles from `first` to `longest`; what the service asked for counts where it is more.

    >>> [pause_seconds(n, DeliveryError("late", retry=True), first=5, longest=60) for n in (1, 2, 3, 4, 5)]
    [5.0, 10.0, 20.0, 40.0, 60.0]
    >>> pause_seconds(1, DeliveryError("too many", retry=True, after_seconds=30), first=5, longest=60)
    30.0
    """
    own = min(first * 2.0 ** min(max(attempts, 1) - 1, _MOST_DOUBLINGS), longest)
    return float(max(own, error.after_seconds or 0.0))
