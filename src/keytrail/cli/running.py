"""How every command ends: an error becomes a message on stderr and the exit code that stands for it."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import Any

import typer
from typer.core import TyperGroup

from keytrail.cli import messages
from keytrail.cli.exits import ExitCode, code_of
from keytrail.errors import KeytrailError, OutputError
from keytrail.text import for_terminal

DEBUG = "KEYTRAIL_DEBUG"

# What Typer ends a command with on purpose: `--version`, a wrong option (the bases of BadParameter, whose module has
# moved between versions).
_ENDINGS: tuple[type[BaseException], ...] = (
    typer.Exit,
    typer.Abort,
    *(kind for kind in typer.BadParameter.__mro__ if hasattr(kind, "exit_code")),
)


class Commands(TyperGroup):
    """The root of the commands. `invoke` is where errors of all of them arrive."""

    # The class of `ctx` is typer.Context or its base, by version.
    def invoke(self, ctx: Any) -> object:
        try:
            return super().invoke(ctx)
        except _ENDINGS:
            raise
        except KeytrailError as error:
            messages.error(error)
            _trace()
            if isinstance(error, OutputError):
                _close_stdout()
            raise typer.Exit(code_of(error)) from error
        except BrokenPipeError as error:
            _close_stdout()
            raise typer.Exit(ExitCode.PIPE_CLOSED) from error
        except KeyboardInterrupt as error:
            messages.error(KeytrailError("interrupted"))
            raise typer.Exit(ExitCode.INTERRUPTED) from error
        except Exception as error:
            messages.error(_defect(error))
            _trace()
            raise typer.Exit(ExitCode.INTERNAL) from error


def debug_wanted() -> bool:
    """Whether tracebacks are shown: `--debug`, or KEYTRAIL_DEBUG in the environment."""
    return os.environ.get(DEBUG, "") not in ("", "0")


def _defect(error: Exception) -> KeytrailError:
    advice = "this is a defect of keytrail, not of your data: please report it with the version and what you ran"
    if not debug_wanted():
        advice += f"\nfor the details run it again with {DEBUG}=1"
    return KeytrailError(f"unexpected {type(error).__name__}: {error}", advice=advice)


def _trace() -> None:
    if debug_wanted():
        text = traceback.format_exc()
        print(for_terminal(text, lines=True), end="", file=sys.stderr)  # noqa: T201


def _close_stdout() -> None:
    """Point stdout nowhere, or the interpreter complains about a closed pipe or a full disk when it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
