"""Times in which a key's policy may have been changed unseen: logging off, objects damaged, nothing there yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from keytrail.cloudtrail import text_of
from keytrail.investigate.change import KeyName
from keytrail.investigate.events import Event
from keytrail.investigate.model import JsonObject
from keytrail.investigate.queries import CHANGES, CLOUDTRAIL, KMS, LOGGING
from keytrail.store import Coverage

BEGINNING = datetime.min.replace(tzinfo=UTC)

_WIDE = ("isMultiRegionTrail", "isOrganizationTrail")
_WORDS: Mapping[str, str] = {
    "CreateTrail": "was created anew, narrower or sent elsewhere,",
    "DeleteTrail": "was deleted",
    "PutEventSelectors": "was told to leave changes of keys out",
    "StopLogging": "was stopped",
    "UpdateTrail": "was narrowed or sent elsewhere",
}


@dataclass(frozen=True, slots=True)
class Unseen:
    """A time in which the policy may have been changed without an event in the store. `until` None: to the end."""

    since: datetime
    until: datetime | None
    reason: str

    def meets(self, since: datetime, until: datetime) -> bool:
        """Whether some of it lies between two moments."""
        return self.since < until and (self.until is None or self.until > since)


def unseen_of(
    key: KeyName,
    logging: Iterable[Event],
    coverage: Coverage,
    *,
    logged: Iterable[datetime] = (),
    organisation: Collection[str] = (),
) -> tuple[Unseen, ...]:
    """Every time in which a change of the key may have gone unseen; see `logging_gaps` for what counts there."""
    proofs = tuple(logged)
    gaps = logging_gaps(logging, key.account, logged=proofs, organisation=organisation)
    return (*gaps, *_damaged(coverage, key), *_uncovered(coverage, key, proofs))


def logging_gaps(
    events: Iterable[Event], account: str, *, logged: Iterable[datetime] = (), organisation: Collection[str] = ()
) -> tuple[Unseen, ...]:
    """The times in which a trail was stopped, deleted or narrowed, or left the changes of KMS out (3.2).

    `events` are those of LOGGING_QUERY. A trail of another account counts when it may be the organisation's: when
    nothing says that it is not, and the account is one of `organisation`, if that is known. A change of the key that
    was logged ends a gap; `logged` are their times.
    """
    trails: dict[tuple[str, str], list[Event]] = {}
    for event in sorted(events, key=lambda one: (one.time, one.id)):
        if event.provider == CLOUDTRAIL and event.name in LOGGING and event.succeeded:
            trails.setdefault(_trail(event), []).append(event)
    proofs = sorted(logged)
    found: list[tuple[Event, Unseen]] = []
    for (owner, name), told in trails.items():
        own = owner == account
        if not own and (not _may_serve_all(told) or (organisation and owner not in organisation)):
            continue
        of = "" if own else f" of account {owner}, which may log for the whole organisation,"
        for start, end in _off(told, own=own):
            proof = next((moment for moment in proofs if moment > start.time), None)
            until = min((moment for moment in (end, proof) if moment is not None), default=None)
            back = "" if end is None else f" until {shown(end)}"
            reason = f"the trail {name}{of} {_WORDS[start.name]} at {shown(start.time)}{back} (event {start.id})"
            found.append((start, Unseen(start.time, until, reason)))
    return tuple(gap for start, gap in sorted(found, key=lambda each: (each[0].time, each[0].id)))


def shown(moment: datetime) -> str:
    """A time as reasons and notes show it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _off(events: Sequence[Event], *, own: bool) -> Iterator[tuple[Event, datetime | None]]:
    """From which event to when one trail did not log changes of the key, each cause on its own."""
    since: dict[str, Event] = {}
    reach = _Reach(own)
    for event in events:
        match event.name:
            case "StopLogging" | "DeleteTrail":
                cause, off = "logging", True
            case "StartLogging":
                cause, off = "logging", False
            case "PutEventSelectors":
                cause, off = "selectors", not _selects_changes(event.parameters)
            case _:
                cause, off = "reach", reach.is_less_after(event)
        if off:
            since.setdefault(cause, event)
        elif cause in since:
            yield since.pop(cause), event.time
    for start in since.values():
        yield start, None


class _Reach:
    """What one trail covers and where its objects go, as the events that create and update it tell."""

    def __init__(self, own: bool) -> None:
        self._members = _WIDE[:1] if own else _WIDE
        self._said: dict[str, object] = {}
        self._less: set[str] = set()

    def is_less_after(self, event: Event) -> bool:
        """Whether the trail covers less after the event than it did at first, or sends its objects elsewhere."""
        for name in (*self._members, "s3BucketName"):
            sent = event.parameters.get(name)
            if sent is None:
                continue
            first = self._said.setdefault(name, sent if event.name == "CreateTrail" or sent is not False else True)
            (self._less.discard if sent in (True, first) else self._less.add)(name)
        return bool(self._less)


def _selects_changes(parameters: Mapping[str, object]) -> bool:
    """Whether event selectors, basic or advanced, keep every change of a key policy."""
    if any(_basic_selects(one) for one in _objects(parameters, "eventSelectors")):
        return True
    advanced = [_objects(one, "fieldSelectors") for one in _objects(parameters, "advancedEventSelectors")]
    return all(any(_advanced_selects(fields, name) for fields in advanced) for name in CHANGES)


def _basic_selects(selector: Mapping[str, object]) -> bool:
    left_out = selector.get("excludeManagementEventSources")
    return (
        selector.get("includeManagementEvents", True) is not False
        and selector.get("readWriteType", "All") != "ReadOnly"
        and not (isinstance(left_out, list) and KMS in left_out)
    )


def _advanced_selects(fields: Sequence[JsonObject], name: str) -> bool:
    """Whether all conditions of one selector hold for a change; one about anything else is taken not to."""
    change = {
        "eventCategory": "Management",
        "eventName": name,
        "eventSource": KMS,
        "eventType": "AwsApiCall",
        "readOnly": "false",
    }
    named = [text_of(one, "field") for one in fields]
    return all(about in change and _accepts(one, change[about]) for about, one in zip(named, fields, strict=True))


def _accepts(field: Mapping[str, object], value: str) -> bool:
    """Whether one condition holds: one of its values for each operator, none of them for a negated one."""
    tests: Mapping[str, Callable[[str], bool]] = {
        "Equals": lambda wanted: value == wanted,
        "StartsWith": value.startswith,
        "EndsWith": value.endswith,
    }

    def some(operator: str, test: Callable[[str], bool]) -> bool | None:
        wanted = field.get(operator)
        return any(test(one) for one in wanted if isinstance(one, str)) if isinstance(wanted, list) else None

    return all(
        some(f"{name[0].lower()}{name[1:]}", test) is not False and some(f"not{name}", test) is not True
        for name, test in tests.items()
    )


def _trail(event: Event) -> tuple[str, str]:
    """The account and name of the trail that an event is about."""
    named = text_of(event.parameters, "trailName" if event.name == "PutEventSelectors" else "name")
    parts = named.split(":", 5)
    if len(parts) == 6 and parts[0] == "arn":
        return parts[4], parts[5].removeprefix("trail/")
    return event.account, named


def _may_serve_all(events: Iterable[Event]) -> bool:
    """Whether a trail may be the organisation's: nothing but an event that changes that says that it is not."""
    name = "isOrganizationTrail"
    said = [one.response.get(name) for one in events if one.name != "UpdateTrail" or name not in one.parameters]
    return True in said or False not in said


def _damaged(coverage: Coverage, key: KeyName) -> Iterator[Unseen]:
    """What could not be read and may have been about the key. An object may hold events of the day before its own."""
    for one in coverage.damage_of(key.account, key.region):
        since, until = BEGINNING, None
        if one.day is not None and 1 < one.day.year < 9999:
            day = datetime.combine(one.day, time(), UTC)
            since, until = day - timedelta(days=1), day + timedelta(days=1)
        yield Unseen(since, until, f"{one.what} could not be read")


def _uncovered(coverage: Coverage, key: KeyName, logged: Iterable[datetime]) -> Iterator[Unseen]:
    """The time before the first event of the account: what a snapshot shows may be older.

    A store may have seen more than it promises: a change of the key that was logged is an event of the account.
    """
    seen = [one.first for one in coverage.seen if one.account == key.account]
    if seen:
        first = min([*seen, *logged])
        yield Unseen(BEGINNING, first, f"there is no event of account {key.account} before {shown(first)}")


def _objects(data: Mapping[str, object], name: str) -> list[JsonObject]:
    value = data.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
