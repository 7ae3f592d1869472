"""Values that tests of the state are made of."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from keytrail.store.lake.model import SegmentFile, SiteSpan
from keytrail.store.state.alerts import NewAlert
from keytrail.store.state.cases import Case, Revision

NOW = datetime(2026, 3, 1, 8, 0, 12, 345678, UTC)
HOSTILE = "\x1b[2J nul \0 half \ud800 \u202e鍵"


def alert(number: int = 0, **changes: Any) -> NewAlert:
    """An alert with an id of its own."""
    values: dict[str, Any] = {
        "id": f"{number:08x}" + "0" * 56,
        "rule_id": "rule-1",
        "rule_name": "Key opened",
        "event": f"{number:064x}",
        "event_id": f"event-{number}",
        "event_time": NOW - timedelta(minutes=5),
        "position": number,
        "severity": "high",
        "risk_score": 73.0,
        "account": "111122223333",
        "region": "eu-west-1",
        "building_block": False,
        "quiet": False,
        "document": {"kibana.alert.uuid": f"{number:08x}" + "0" * 56, "kibana.alert.workflow_status": "open"},
    }
    return NewAlert(**(values | changes))


def case(number: int = 0, **changes: Any) -> Case:
    """A case for the event of alert `number`."""
    values: dict[str, Any] = {
        "event": f"{number:064x}",
        "event_id": f"event-{number}",
        "event_time": NOW,
        "raw": b'{"eventID": "\xff"}',
        "opened_at": NOW,
        "due_at": NOW,
    }
    return Case(**(values | changes))


def revision(number: int = 0, revision: int = 1, **changes: Any) -> Revision:
    """An investigation of the event of alert `number`."""
    values: dict[str, Any] = {
        "event": f"{number:064x}",
        "revision": revision,
        "as_of": 10,
        "made_at": NOW,
        "verdict": "malicious",
        "score": 90,
        "document": {"verdict": "malicious", "score": 90, "summary": HOSTILE, "revision": revision},
    }
    return Revision(**(values | changes))


def segment_file(number: int, rows: int, **changes: Any) -> SegmentFile:
    """A segment that was written."""
    values: dict[str, Any] = {
        "path": f"2026-03-01/{number}.parquet",
        "rows": rows,
        "size": rows * 100,
        "checksum": f"{number:064x}",
        "ingest_day": date(2026, 3, 1),
        "first_time": NOW - timedelta(hours=1),
        "last_time": NOW,
        "timeless": 1,
        "sites": (SiteSpan("111122223333", "eu-west-1", NOW - timedelta(hours=1), NOW),),
    }
    return SegmentFile(**(values | changes))
