"""Colour on a terminal: when to use it, and what each severity looks like."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TextIO


class ColourMode(StrEnum):
    """The values of `--color`."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


# SGR parameters. Severity is also written out, so colour never carries meaning alone.
STYLES = {
    "low": "36",
    "medium": "33",
    "high": "31",
    "critical": "1;37;41",
    "failure": "31",
    "malicious": "1;37;41",
    "review": "33",
    "expected": "32",
    "no effect": "2",
    "header": "1",
    "error": "1;31",
    "warning": "1;33",
    "note": "1;36",
    "dim": "2",
}


_mode = ColourMode.AUTO


def use(mode: ColourMode) -> None:
    """Set the mode for all that this process prints; errors that come before it is known are printed with `auto`."""
    global _mode
    _mode = mode


def wanted(stream: TextIO) -> bool:
    """Say whether `stream` gets colour: `auto` means a terminal, without NO_COLOR (no-color.org), not a dumb one."""
    if _mode is not ColourMode.AUTO:
        return _mode is ColourMode.ALWAYS
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, *, on: bool) -> str:
    r"""Return `text`, already made safe, in a style of STYLES; unknown styles leave it as it is.

    >>> paint("high", "high", on=True), paint("high", "high", on=False)
    ('\x1b[31mhigh\x1b[0m', 'high')
    """
    code = STYLES.get(style) if on else None
    return f"\x1b[{code}m{text}\x1b[0m" if code and text else text
