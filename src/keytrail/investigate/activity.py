"""Everything a store holds about one key, read once: what changed something in full, calls that did not in brief."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

from keytrail.investigate.change import KeyName
from keytrail.investigate.events import USES, Event
from keytrail.investigate.queries import KMS
from keytrail.policy import Caller

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One call on the key that changed nothing: a use of it, or a look at it. A busy key has very many."""

    time: datetime
    event_id: str
    name: str
    principal: str
    caller: Caller | None
    caller_account: str
    contexts: tuple[tuple[tuple[str, str], ...], ...]
    invoked_by: str
    address: str
    agent: str
    error: str

    @property
    def is_use(self) -> bool:
        """Whether the key was used, or tried to be, and not only looked at."""
        return self.name in USES

    @property
    def succeeded(self) -> bool:
        """Whether the call did what it was for."""
        return not self.error


@dataclass(frozen=True, slots=True)
class KeyActivity:
    """The events about one key, by time: `events` that may have changed something (of any service), and `calls`.

    `calls` holds the first ones of each stretch between two changes of the policy when there are too many;
    `calls_total` counts all.
    """

    key: KeyName
    events: tuple[Event, ...]
    calls: tuple[Call, ...]
    calls_total: int


def activity_of(
    key: KeyName, events: Iterable[Event], *, most_calls: int, changes: Iterable[datetime] = ()
) -> KeyActivity:
    """Sort the events about `key`, which come by time. `changes` are the times at which its policy was changed."""
    borders = sorted(changes)
    kept: list[Event] = []
    calls: list[Call] = []
    interned: dict[object, object] = {}
    total = passed = stretch = 0
    for event in events:
        if event.provider != KMS or not (event.name in USES or event.data.get("readOnly") is True):
            kept.append(event)
            continue
        total += 1
        while passed < len(borders) and borders[passed] <= event.time:
            passed, stretch = passed + 1, 0
        stretch += 1
        if stretch <= most_calls:
            calls.append(_call(event, interned))
    return KeyActivity(key, tuple(kept), tuple(calls), total)


def _call(event: Event, interned: dict[object, object]) -> Call:
    def one(value: T) -> T:  # the same value, kept once
        return cast("T", interned.setdefault(value, value))

    return Call(
        event.time,
        event.id,
        one(event.name),
        one(event.principal),
        one(event.caller),
        one(event.caller_account),
        one(event.contexts),
        one(event.invoked_by),
        one(event.address),
        one(event.agent),
        one(event.error),
    )
