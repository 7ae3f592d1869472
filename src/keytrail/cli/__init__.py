"""The terminal: commands, tables, progress and exit codes. Every import that costs time waits until it is used."""

from keytrail.cli.app import app, main
from keytrail.cli.exits import ExitCode

__all__ = ["ExitCode", "app", "main"]
