"""A state as `keytrail watch` leaves it, with alerts in it: from records, or from the simulated archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from keytrail.cloudtrail import Document
from keytrail.detect import Execution, alert_id, build_alert
from keytrail.rules import Rule
from keytrail.service.installation import Installation, installation
from keytrail.settings import load_settings
from keytrail.store.state.alerts import NewAlert, add_alerts, set_verdict
from keytrail.store.state.cases import Case, Revision, add_revision, open_cases

FIELD = "keytrail.investigation"
NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


@contextmanager
def here() -> Iterator[Installation]:
    """The state of the current folder, made if it is not there."""
    with installation(load_settings(config=None, overrides={}), set_up=True) as made:
        yield made


def alert_of(record: dict[str, Any], rule: Rule, **changes: Any) -> NewAlert:
    """The alert of a rule for a record."""
    id = alert_id(rule.rule_id, record)
    document = build_alert(rule, Document(record).to_dict(), id=id, execution=Execution("run", NOW))
    return new_alert(document, **changes)


def new_alert(document: Mapping[str, Any], **changes: Any) -> NewAlert:
    """The alert of a document."""
    event = document["event"]["id"]
    values: dict[str, Any] = {
        "id": document["kibana.alert.uuid"],
        "rule_id": document["kibana.alert.rule.rule_id"],
        "rule_name": document["kibana.alert.rule.name"],
        "event": event.encode("utf-8", "backslashreplace").hex()[:64],
        "event_id": event,
        "event_time": NOW,
        "position": 0,
        "severity": document["kibana.alert.severity"],
        "risk_score": document["kibana.alert.risk_score"],
        "account": "111122223333",
        "region": "eu-west-1",
        "building_block": False,
        "quiet": False,
        "document": {name: value for name, value in document.items() if name != FIELD},
    }
    return NewAlert(**(values | changes))


def add(alerts: Sequence[NewAlert], now: datetime = NOW) -> list[str]:
    """Put alerts into the state of the current folder; returns their ids."""
    with here() as state, state.database.write() as connection:
        add_alerts(connection, alerts, now)
    return [one.id for one in alerts]


def add_investigated(document: Mapping[str, Any], raw: bytes = b"{}") -> str:
    """Put the alert of a scan into the state, with its investigation as revision 1; returns its id."""
    made, found = new_alert(document), document[FIELD]
    with here() as state, state.database.write() as connection:
        add_alerts(connection, [made], NOW)
        open_cases(connection, [Case(made.event, made.event_id, NOW, raw, NOW, revision=1)])
        add_revision(connection, Revision(made.event, 1, 7, NOW, found["verdict"], found["score"], dict(found)))
        told = {"verdict": found["verdict"], "score": found["score"], "summary": found["summary"]}
        set_verdict(connection, made.event, **told, now=NOW)
    return made.id
