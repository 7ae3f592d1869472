"""What keytrail's exit status means: the one table that the help, the documentation and the code share."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Self

from keytrail.errors import InputError, KeytrailError, SourceError, StoreError


class _Status(IntEnum):
    """An exit status with its meaning."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code


class ExitCode(_Status):
    """The exit status of every command, each with its meaning.

    A run that cannot start or go on ends with what stopped it (2, 4, 70, 130, 141), whatever it had found. A run that
    came to its end answers the question of `--fail-on` first: an alert (1) is told before a source that could not be
    reached (4), and that before unreadable input (3). Whatever the code, all of them are on stderr.
    """

    DONE = 0, "done"
    ALERT = 1, "finished, with an alert at or above --fail-on"
    USAGE = 2, "a wrong command line, setting, rule or query, or an output that cannot be written"
    UNREADABLE = 3, "finished, but some input could not be read; the rest was"
    SOURCE = 4, "a source or the service's state cannot be reached, or holds nothing of what was asked for"
    INTERNAL = 70, "a defect of keytrail; please report it"
    INTERRUPTED = 130, "interrupted (Ctrl-C)"
    PIPE_CLOSED = 141, "the reader of the output closed it early, such as `| head`"


class PolicyExit(_Status):
    """The exit status of the commands of `keytrail policy` where it says more than ExitCode, with its meanings."""

    NO = 0, "diff: proved that nobody gained access; simulate: allowed; lint: nothing, or notes only"
    YES = 1, "diff: somebody gained access, with an example; simulate: not allowed; lint: an error or a warning"
    BAD = 2, "a policy that cannot be read or is not legal, or a wrong command line"
    UNDECIDED = 3, "diff: not proved; simulate: it hangs on something that AWS does not document"

    @classmethod
    def of(cls, answer: str) -> PolicyExit:
        """Return the code for the answer of a comparison.

        >>> PolicyExit.of("new access").value, PolicyExit.of("not proved").value
        (1, 3)
        """
        return {"no new access": cls.NO, "new access": cls.YES}.get(answer, cls.UNDECIDED)


class HealthExit(_Status):
    """The exit status of `keytrail health` where it says more than ExitCode, with its meanings."""

    WELL = 0, "the service runs and does its work; there may be warnings"
    UNWELL = 1, "it does not run, or not as it should"
    BAD = 2, "a wrong command line or setting"
    UNKNOWN = 4, "it cannot be told: there is no state, or it cannot be reached"


class RespondExit(_Status):
    """The exit status of `keytrail respond` where it says more than ExitCode, with its meanings."""

    DONE = 0, "plans were shown; with --apply: all were applied, and AWS shows the result"
    NOT_DONE = 1, "--apply: a call failed, AWS does not show the result, or somebody came between; see what is said"
    REFUSED = 2, "a wrong command line, no plan that may be applied, or a policy that has changed; nothing was changed"
    UNREACHED = 4, "the state, a source or AWS cannot be reached, or AWS denies what is read first; nothing was changed"


def code_of(error: KeytrailError) -> ExitCode:
    """Return the code of a run that `error` ended.

    >>> code_of(SourceError("no such bucket")).value
    4
    """
    if isinstance(error, SourceError | StoreError):
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
    return _lines(
        ExitCode,
        "Exit codes:",
        "  keytrail policy answers with 0, 1 and 3 of its own, keytrail health with 0, 1 and 4,",
        "  keytrail respond with 0, 1, 2 and 4: see their --help",
    )


def policy_table() -> str:
    """Return the codes of `keytrail policy` in the same way."""
    return _lines(PolicyExit, "Exit codes of these commands; all others are those of keytrail --help:")


def health_table() -> str:
    """Return the codes of `keytrail health` in the same way."""
    return _lines(HealthExit, "Exit codes; all others are those of keytrail --help:")


def respond_table() -> str:
    """Return the codes of `keytrail respond` in the same way."""
    return _lines(RespondExit, "Exit codes; all others are those of keytrail --help:")


def _lines(codes: Iterable[_Status], title: str, *more: str) -> str:
    return "\n".join(["\b", title, *(f"  {code.value:>3}  {code.meaning}" for code in codes), *more])
