"""What keytrail's exit status means: the one table that the help, the documentation and the code share."""

from __future__ import annotations

from enum import IntEnum

from keytrail.errors import InputError, KeytrailError, SourceError


class ExitCode(IntEnum):
    """The exit status of every command, each with its meaning.

    A run that cannot start or go on ends with what stopped it (2, 4, 70, 130, 141), whatever it had found. A run that
    came to its end answers the question of `--fail-on` first: an alert (1) is told before a source that could not be
    reached (4), and that before unreadable input (3). Whatever the code, all of them are on stderr.
    """

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    DONE = 0, "done"
    ALERT = 1, "finished, with an alert at or above --fail-on"
    USAGE = 2, "a wrong command line, setting, rule or query, or an output that cannot be written"
    UNREADABLE = 3, "finished, but some input could not be read; the rest was"
    SOURCE = 4, "a source cannot be reached, or holds nothing of what was asked for"
    INTERNAL = 70, "a defect of keytrail; please report it"
    INTERRUPTED = 130, "interrupted (Ctrl-C)"
    PIPE_CLOSED = 141, "the reader of the output closed it early, such as `| head`"


def code_of(error: KeytrailError) -> ExitCode:
    """Return the code of a run that `error` ended.

    >>> code_of(SourceError("no such bucket")).value
    4
    """
    if isinstance(error, SourceError):
        return ExitCode.SOURCE
    return ExitCode.UNREADABLE if isinstance(error, InputError) else ExitCode.USAGE


def finished(*, alert: bool = False, unreached: bool = False, unreadable: bool = False) -> ExitCode:
    """Return the code of a run that came to its end.

    >>> finished(alert=True, unreached=True, unreadable=True).name, finished(unreadable=True).name
    ('ALERT', 'UNREADABLE')
    """
    if alert:
        return ExitCode.ALERT
    if unreached:
        return ExitCode.SOURCE
    return ExitCode.UNREADABLE if unreadable else ExitCode.DONE


def table() -> str:
    r"""Return the codes as lines for a help text; `\b` keeps the line breaks there."""
    lines = [f"  {code.value:>3}  {code.meaning}" for code in ExitCode]
    return "\n".join(["\b", "Exit codes:", *lines])
