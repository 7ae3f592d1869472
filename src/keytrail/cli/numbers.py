"""Sizes and durations as people read them."""

from __future__ import annotations


def size(number: float) -> str:
    """Return a number of bytes in decimal units, as disks and networks are measured.

    >>> size(999), size(1_234_567), size(40_000_000_000)
    ('999 B', '1.2 MB', '40.0 GB')
    """
    if number < 1000:
        return f"{number:.0f} B"
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if number < 999.95:
            return f"{number:.1f} {unit}"
    return f"{number / 1000:,.1f} TB"


def duration(seconds: float) -> str:
    """Return a duration; short ones in seconds.

    >>> duration(0.04), duration(75), duration(7325)
    ('0.04 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"
