"""Writes alerts and events in the format that was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

from keytrail.cli.facts import (
    ALERT_COLUMNS,
    ALERT_TABLE,
    EVENT_COLUMNS,
    EVENT_TABLE,
    Json,
    alert_facts,
    event_facts,
)
from keytrail.cli.output import Format, write_csv, write_json, write_ndjson, write_table
from keytrail.text import for_json, raw_json

if TYPE_CHECKING:
    from keytrail.service.requests import Found


def write_alerts(alerts: Iterable[Json], form: Format, out: TextIO, *, colour: bool = False) -> None:
    """Write alert documents; JSON has them whole, tables and CSV their facts."""
    if form is Format.TABLE:
        write_table(map(alert_facts, alerts), ALERT_TABLE, out, colour=colour)
    elif form is Format.CSV:
        write_csv(map(alert_facts, alerts), ALERT_COLUMNS, out)
    else:
        _write_texts(map(for_json, alerts), form, out)


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
