"""What is known besides events, and the changes of key policies among the alerts of a scan. Loads the prover."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields

from keytrail.detect import alert_id
from keytrail.investigate import (
    POLICY_EVENTS,
    Event,
    Inventory,
    Knowledge,
    Limits,
    PolicyChange,
    change_of,
    investigate,
)
from keytrail.rules import Rule
from keytrail.service.inventory import read_inventory
from keytrail.service.requests import Json
from keytrail.service.snapshots import read_snapshots
from keytrail.settings import Accounts, Settings
from keytrail.store import EventStore


def knowledge(settings: Settings, accounts: Accounts) -> Knowledge:
    """What the settings name besides events: inventory, snapshots, limits. Raises UsageError."""
    asked = settings.investigate
    return Knowledge(
        accounts=accounts,
        inventory=read_inventory(str(asked.inventory)) if asked.inventory is not None else Inventory(),
        snapshots=tuple(one for path in asked.snapshots for one in read_snapshots(str(path))),
        limits=Limits(**{one.name: getattr(asked, one.name) for one in fields(Limits)}),
    )


def investigate_alerts(
    store: EventStore, known: Knowledge, alerts: Callable[[str], bool], rules: Sequence[Rule]
) -> Iterator[tuple[tuple[str, ...], bytes, Json]]:
    """Investigate every change of a key policy for which one of the rules raised an alert; `alerts` tells, by its id.

    Yields the ids of a change's alerts, its record, and the document of the investigation.
    """
    changes: list[PolicyChange] = []
    found: dict[tuple[str, str, str], tuple[tuple[str, ...], bytes]] = {}
    for record in store.find(POLICY_EVENTS):
        event = Event.of(record.data)
        change = None if event is None else change_of(event)
        if change is None:
            continue
        ids = tuple(id for rule in rules if alerts(id := alert_id(rule.rule_id, record.data)))
        if ids:
            changes.append(change)
            found[_name(change)] = (ids, record.raw)
    for change, investigation in investigate(changes, store, known):
        yield *found[_name(change)], investigation.to_dict()


def _name(change: PolicyChange) -> tuple[str, str, str]:
    return change.event.account, change.event.region, change.event.id
