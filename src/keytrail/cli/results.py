"""Writes alerts and events in the format that was asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from keytrail.cli.colour import paint
from keytrail.cli.facts import (
    ALERT_COLUMNS,
    ALERT_TABLE,
    EVENT_COLUMNS,
    EVENT_TABLE,
    Facts,
    Json,
    alert_facts,
    event_facts,
)
from keytrail.cli.output import (
    AlertFormat,
    Format,
    PageFormat,
    terminal_width,
    write_csv,
    write_json,
    write_ndjson,
    write_table,
)
from keytrail.cli.table import Column, cut, lines
from keytrail.text import for_json, for_terminal, raw_json

if TYPE_CHECKING:
    from keytrail.service.investigate import Investigated
    from keytrail.service.requests import Found, ScanResult

_NARROW = 100  # Cells; in fewer the address gives way to what is more telling.
_INDENT = " " * 21  # Below the rule and what follows: behind the time.


def write_alerts(
    alerts: Iterable[Json], form: AlertFormat, out: TextIO, *, colour: bool = False, investigated: bool = True
) -> None:
    """Write alert documents; JSON has them whole, tables and CSV their facts. For reports see `keytrail.report`.

    The table has the verdicts of investigations, and below each alert that has one what it found, in one line.
    """
    if form is AlertFormat.TABLE:
        available = terminal_width(out)
        left_out = {"" if investigated else "verdict", "origin" if available and available < _NARROW else ""}
        columns = [column for column in ALERT_TABLE if column.key not in left_out]
        for line in _alert_lines(map(alert_facts, alerts), columns, available, colour=colour):
            out.write(line + "\n")
    elif form is AlertFormat.CSV:
        write_csv(map(alert_facts, alerts), ALERT_COLUMNS, out)
    else:
        (write_json if form is AlertFormat.JSON else write_ndjson)(map(for_json, alerts), out)


def _alert_lines(
    facts: Iterable[Facts], columns: Sequence[Column], available: int | None, *, colour: bool
) -> Iterator[str]:
    summaries: deque[str] = deque()

    def rows() -> Iterator[Facts]:
        for row in facts:
            # Who did what to which key stands in the columns above; what it means comes behind the colon.
            summaries.append(row["summary"].partition(": ")[2] or row["summary"])
            yield row

    for number, line in enumerate(lines(columns, rows(), available=available, colour=colour)):
        yield line
        if number and (text := for_terminal(summaries.popleft())):
            text = _INDENT + text
            yield paint(text if available is None else cut(text, available), "dim", on=colour)


def write_events(found: Iterable[Found], form: Format, out: TextIO, *, raw: bool = False, colour: bool = False) -> None:
    """Write events as they come: their ECS documents, or with `raw` the records as they were stored (JSON only)."""
    if raw:
        _write_texts((raw_json(item.raw.decode("utf-8", "replace")) for item in found), form, out)
    elif form is Format.TABLE:
        write_table((event_facts(item.document) for item in found), EVENT_TABLE, out, colour=colour, known=False)
    elif form is Format.CSV:
        write_csv((event_facts(item.document) for item in found), EVENT_COLUMNS, out)
    else:
        _write_texts((item.text for item in found), form, out)


def _write_texts(texts: Iterable[str], form: Format, out: TextIO) -> None:
    (write_json if form is Format.JSON else write_ndjson)(texts, out)


def write_report(result: ScanResult, form: AlertFormat, out: TextIO) -> None:
    """Write the alerts of a scan as one report."""
    from keytrail.report import ReportItem, html_report, markdown_report

    items = [ReportItem(alert, result.raw(str(alert.get("kibana.alert.uuid")))) for alert in result.alerts]
    write = html_report if form is AlertFormat.HTML else markdown_report
    out.write(write(items, title="CloudTrail alerts", generated=_now(), notes=result.notes))


def investigation_report(found: Investigated, form: PageFormat) -> str:
    """Return one investigation as a report."""
    from keytrail.report import ReportItem, html_report, markdown_report

    write = html_report if form is PageFormat.HTML else markdown_report
    item = ReportItem(found.alert, found.raw)
    return write([item], title="Investigation of a key policy", generated=_now(), notes=found.notes)


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
