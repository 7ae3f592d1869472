"""What the service says while it runs: one line a record on stderr, for people or for machines, safe in both."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import TextIO

from keytrail.text import for_json, for_terminal, shorten

FORMS = ("json", "text")
"""The forms that `set_up` takes: for machines, and for people."""

LEVELS = ("debug", "info", "warning", "error")
"""The levels that `set_up` takes, from talkative to silent."""

# A record of a trail may be megabytes long, and stand in an error.
_MOST_CHARACTERS = 4_096
_MOST_DEPTH = 4
# Its warnings tell URLs, whose path or query may be a secret.
_SILENT = "urllib3"


def set_up(form: str, level: str, stream: TextIO | None = None) -> None:
    """Write what is logged to `stream` (stderr) in one of FORMS: ours from a level of LEVELS on, warnings of libraries.

    Our code hands over values as `extra={"fields": {...}}`. Called again, it takes the place of what was before.
    """
    handler = _Handler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("keytrail").setLevel(level.upper())
    logging.getLogger(_SILENT).setLevel(logging.ERROR)
    logging.captureWarnings(True)
    threading.excepthook = _thread_ended


class JsonLines(logging.Formatter):
    """A JSON object: time, level, logger, message; fields and traceback where there are any. ASCII only."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": shorten(record.getMessage(), _MOST_CHARACTERS),
        }
        if fields := _fields(record):
            line["fields"] = fields
        if told := _traceback(record):
            line["traceback"] = told
        return for_json(line)


class TextLines(logging.Formatter):
    """A line for people, with the fields behind the message; a traceback stands indented on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        words = [_time(record), record.levelname, record.getMessage()]
        words += [f"{name}={_word(value)}" for name, value in _fields(record).items()]
        line = for_terminal(shorten(" ".join(words), 2 * _MOST_CHARACTERS))
        told = [f"  {for_terminal(one)}" for one in _traceback(record).splitlines()]
        return "\n".join([line, *told])


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing: a log that nobody takes any more must not stop the service, nor be written about."""


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None:
        told = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        name = ended.thread.name if ended.thread is not None else ""
        logging.getLogger("keytrail").critical("a thread ended", exc_info=told, extra={"fields": {"thread": name}})


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found = getattr(record, "fields", None)
    return {str(name): _plain(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _plain(value: object, depth: int = 0) -> object:
    """The value as JSON has it, bounded; what JSON has no word for is told as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth < _MOST_DEPTH and isinstance(value, dict):
        return {str(name): _plain(one, depth + 1) for name, one in value.items()}
    if depth < _MOST_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_plain(one, depth + 1) for one in value]
    return shorten(value if isinstance(value, str) else str(value), _MOST_CHARACTERS)


def _word(value: object) -> str:
    """A field's value as one word, in quotes where it would not be one."""
    if isinstance(value, str) and value and not any(one.isspace() or one in "\"'=" for one in value):
        return value
    return for_json(value)


def _traceback(record: logging.LogRecord) -> str:
    """The traceback, the end of it whole: there stands what happened."""
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
    over = len(text) - 4 * _MOST_CHARACTERS
    return text if over <= 0 else f"…{text[over:]}"
