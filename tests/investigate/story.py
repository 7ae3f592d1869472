"""The story of the simulated archive without the everyday noise around it: its records, its ledger, its changes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from keytrail.investigate.activity import KeyActivity, activity_of
from keytrail.investigate.change import KeyName, PolicyChange, attempt_of, change_of
from keytrail.investigate.compare import compare_change, gained_principals
from keytrail.investigate.events import Event, events_of
from keytrail.investigate.history import history_of
from keytrail.investigate.limits import Limits
from keytrail.investigate.model import ComparedChange
from keytrail.investigate.queries import CHANGES_QUERY, LOGGING_QUERY
from keytrail.settings.trust import Accounts
from keytrail.simulation import DEFAULT_START
from keytrail.simulation.ledger import ledger
from keytrail.simulation.simulate import tell_story
from keytrail.store import MemoryStore, Selector, strings_of

LIMITS = Limits()


@dataclass(frozen=True)
class Scene:
    """One change of the story, with what the ledger says of it and what an investigation knows when it looks on."""

    planted: dict[str, Any]
    change: PolicyChange
    compared: ComparedChange
    gained: tuple[str, ...]
    activity: KeyActivity
    attempts: tuple[Event, ...]
    store: MemoryStore
    accounts: Accounts

    @property
    def step(self) -> str:
        return str(self.planted["step"])


def scenes() -> Iterator[Scene]:
    """Every change of the story, by time."""
    start = int(DEFAULT_START.timestamp())
    planted, keys = tell_story(start, 7)
    objects: dict[str, list[str]] = {one.event_id: [] for one in planted}
    truth = json.loads(ledger(planted, keys, objects, archive={}, counts={}, start=start))
    records = [json.loads(one.text) for one in sorted(planted, key=lambda one: (one.moment, one.event_id))]
    store = MemoryStore(records)
    accounts = Accounts(organisation=truth["organisation"]["id"], names=truth["organisation"]["accounts"])
    of_key: dict[KeyName, list[Event]] = defaultdict(list)
    for event in events_of(store.find(Selector.kql(CHANGES_QUERY))):
        if (attempt := attempt_of(event)) is not None:
            of_key[attempt.key].append(event)
    histories = {key: history_of(key, events) for key, events in of_key.items()}
    logging = tuple(events_of(store.find(Selector.kql(LOGGING_QUERY))))
    by_id = {str(one["eventID"]): one for one in records}
    for one in truth["changes"]:
        event = Event.of(by_id[one["event_id"]])
        assert event is not None
        change = change_of(event)
        assert change is not None
        key = change.key
        compared = compare_change(
            change,
            {other.arn: history for other, history in histories.items() if other.id == key.id},
            accounts=accounts,
            coverage=store.coverage(),
            logging=logging,
            limits=LIMITS,
        )
        about = [
            found
            for found in events_of(store.find(Selector.any_of((key.arn, key.id))))
            if found.region == key.region or key.arn in strings_of(found.data)
        ]
        attempts = tuple(found for found in of_key[key] if found.id in compared.refused_before)
        activity = activity_of(key, about, most_calls=LIMITS.max_calls)
        yield Scene(one, change, compared, gained_principals(compared), activity, attempts, store, accounts)
