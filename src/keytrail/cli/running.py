"""How every command ends: an error becomes a message on stderr and the exit code that stands for it."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_group

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
    """The root of the commands. `invoke` is where errors of all of them arrive.

    The commands of `groups` are made when one of them is asked for: making all takes longer than `--help` may.
    """

    groups: ClassVar[dict[str, typer.Typer]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, group in self.groups.items():
            self.add_command(_Group(name, group), name)

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


class _Group(TyperGroup):
    """A group of commands, which are made when they are asked for."""

    def __init__(self, name: str, group: typer.Typer) -> None:
        self._made: Any = None
        self._group = group
        super().__init__(
            name=name,
            help=group.info.help,
            epilog=group.info.epilog,
            no_args_is_help=True,
            rich_markup_mode=None,
        )

    @property
    def commands(self) -> Any:  # by name; the class of a command is Typer's or its base's, by version
        if self._made is None:
            self._made = get_group(self._group).commands
        return self._made

    @commands.setter
    def commands(self, _: object) -> None:
        """The base gives it none."""


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
