"""The log of the service: one safe line a record, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keytrail.service.logs import set_up

HOSTILE = "\x1b[2J\x9b31m \u202egnp.exe\r\n2026-01-01T00:00:00Z ERROR forged \ud800 \x7f %s {0}"

LOG = logging.getLogger("keytrail.watch")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Logging is of the whole process: leave it as it was."""
    loggers = [logging.getLogger(name) for name in (None, "keytrail", "urllib3")]
    handlers, levels = loggers[0].handlers[:], [one.level for one in loggers]
    hook = threading.excepthook
    yield
    logging.captureWarnings(False)
    threading.excepthook = hook
    loggers[0].handlers[:] = handlers
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)


def logged(form: str, act: Callable[[], None], level: str = "info") -> list[str]:
    """The lines that are written while something acts."""
    stream = io.StringIO()
    set_up(form, level, stream)
    act()
    return stream.getvalue().splitlines()


def one_json(act: Callable[[], None]) -> dict[str, Any]:
    [line] = logged("json", act)
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_of_json_has_what_was_said_and_its_fields() -> None:
    before = datetime.now(UTC)
    line = one_json(lambda: LOG.warning("a rule %s", "warns", extra={"fields": {"rule": "r-1", "n": 3, "none": None}}))
    assert (
        before.timestamp() - 1 <= datetime.fromisoformat(line.pop("time")).timestamp() <= datetime.now(UTC).timestamp()
    )
    assert line == {
        "level": "warning",
        "logger": "keytrail.watch",
        "message": "a rule warns",
        "fields": {"rule": "r-1", "n": 3, "none": None},
    }


def test_values_that_json_does_not_have_are_told_as_text() -> None:
    fields = {
        "path": Path("/x"),
        "at": datetime(2026, 3, 1, tzinfo=UTC),
        "set": {1},
        "deep": [[[[[1]]]]],
        5: float("nan"),
    }
    assert one_json(lambda: LOG.info("x", extra={"fields": fields}))["fields"] == {
        "path": "/x", "at": "2026-03-01 00:00:00+00:00", "set": [1], "deep": [[[["[1]"]]]], "5": "NaN",
    }  # fmt: skip


@pytest.mark.parametrize("form", ["json", "text"])
def test_whatever_a_record_holds_is_one_safe_line(form: str) -> None:
    [line] = logged(form, lambda: LOG.error(HOSTILE, extra={"fields": {"error": HOSTILE, HOSTILE: "x"}}))
    assert line.isprintable()
    assert "\u202e" not in line
    assert "forged" in line


def test_what_is_too_long_is_cut() -> None:
    [line] = logged(
        "json", lambda: LOG.error("x" * 10**6, extra={"fields": {"error": "y" * 10**6, "more": ["z" * 10**6]}})
    )
    assert len(line) < 20_000
    [line] = logged("text", lambda: LOG.error("x", extra={"fields": {f"f{n}": "y" * 10**6 for n in range(50)}}))
    assert len(line) < 10_000


def fails() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        LOG.exception("a feed failed", extra={"fields": {"feed": "f"}})


def test_a_traceback_is_one_field() -> None:
    line = one_json(fails)
    assert (line["level"], line["message"], line["fields"]) == ("error", "a feed failed", {"feed": "f"})
    assert line["traceback"].startswith("Traceback (most recent call last):\n")
    assert "ValueError" in line["traceback"]


def test_for_people_a_traceback_is_indented() -> None:
    first, *rest = logged("text", fails)
    assert first.endswith("ERROR a feed failed feed=f")
    assert rest
    assert all(line.startswith("  ") and line.isprintable() for line in rest)


def test_the_end_of_a_long_traceback_stays() -> None:
    def fails_at_length() -> None:
        try:
            raise ValueError("x" * 10**6 + "the end")
        except ValueError:
            LOG.exception("failed")

    assert one_json(fails_at_length)["traceback"].endswith("the end")


def test_fields_for_people_are_words() -> None:
    [line] = logged(
        "text", lambda: LOG.warning("told", extra={"fields": {"a": "b", "c": "d e", "f": 1, "g": "", "h": [1]}})
    )
    assert line.endswith('WARNING told a=b c="d e" f=1 g="" h=[1]')


def test_libraries_are_heard_from_warnings_on_and_urls_never() -> None:
    def all_speak() -> None:
        LOG.debug("ours, too much")
        LOG.info("ours")
        logging.getLogger("botocore.auth").info("credentials")
        logging.getLogger("botocore.auth").warning("heard")
        # It tells the paths of webhooks, which are secrets.
        logging.getLogger("urllib3.connectionpool").warning("Retrying: /services/T000/B000/SECRET")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("of Python", UserWarning, stacklevel=1)

    lines = [json.loads(line) for line in logged("json", all_speak)]
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("keytrail.watch", "info"),
        ("botocore.auth", "warning"),
        ("py.warnings", "warning"),
    ]
    assert len(logged("text", lambda: LOG.info("quiet"), level="warning")) == 0


def test_a_thread_that_ends_by_an_error_is_logged() -> None:
    def act() -> None:
        thread = threading.Thread(target=lambda: 1 // 0, name="keytrail-tell")
        thread.start()
        thread.join()

    line = one_json(act)
    assert (line["level"], line["fields"]) == ("critical", {"thread": "keytrail-tell"})
    assert "ZeroDivisionError" in line["traceback"]


def test_a_log_that_nobody_takes_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    set_up("json", "info", stream)
    stream.close()
    LOG.error("x")
    LOG.error("%d", "no number")
    assert capsys.readouterr() == ("", "")


def test_set_up_again_takes_the_place_of_what_was_before() -> None:
    first = io.StringIO()
    set_up("json", "info", first)
    assert len(logged("text", lambda: LOG.info("once"))) == 1
    assert first.getvalue() == ""
