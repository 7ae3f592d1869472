"""Everything a store holds about one key, read once: what changed something in full, calls that did not in brief."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeVar, cast

from keytrail.errors import PolicyError
from keytrail.investigate.change import KeyName, change_of
from keytrail.investigate.events import USES, Event
from keytrail.investigate.queries import KMS
from keytrail.policy import Caller, KeyPolicy

T = TypeVar("T")

_FLOODED = 50  # One principal's calls of one name have at least this part of the room, whatever came before them.


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


@dataclass(frozen=True)
class KeyActivity:
    """The events about one key, by time: `events` that may have changed something (of any service), and `calls`.

    When there are too many calls between two changes of the policy, `calls` holds the first ones, and of those after
    them the first of each principal and name, so that a flood by one does not hide another. `calls_total` counts all.
    """

    key: KeyName
    events: tuple[Event, ...]
    calls: tuple[Call, ...]
    calls_total: int

    @cached_property
    def policies(self) -> tuple[tuple[Event, KeyPolicy | None], ...]:
        """The changes of the key's policy by time, each with its policy; None for one that is not known."""
        made = ((event, change_of(event)) for event in self.events)
        return tuple((event, _parsed(one.policy)) for event, one in made if one is not None and one.key == self.key)


def _parsed(policy: str | None) -> KeyPolicy | None:
    try:
        return None if policy is None else KeyPolicy.parse(policy)
    except PolicyError:
        return None


def activity_of(key: KeyName, events: Iterable[Event], *, most_calls: int) -> KeyActivity:
    """Sort the events about `key`, which come by time."""
    most_of_one = max(1, most_calls // _FLOODED)
    kept: list[Event] = []
    calls: list[Call] = []
    interned: dict[object, object] = {}
    total = stretch = 0
    of_one: Counter[tuple[str, str]] = Counter()
    for event in events:
        if event.provider != KMS or not (event.name in USES or event.data.get("readOnly") is True):
            kept.append(event)
            if _changes_policy(event, key):
                stretch = 0
                of_one.clear()
            continue
        total += 1
        stretch += 1
        one = (event.principal, event.name)
        of_one[one] += 1
        if stretch <= most_calls or of_one[one] <= most_of_one:
            calls.append(_call(event, interned))
    return KeyActivity(key, tuple(kept), tuple(calls), total)


def _changes_policy(event: Event, key: KeyName) -> bool:
    made = change_of(event)
    return made is not None and made.key == key


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
