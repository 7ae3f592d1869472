"""One CloudTrail record: its exact bytes, what they mean, and which kind of record it is.

The authority for the meaning of JSON is the standard library's parser, here and nowhere else. Everything faster
may only decide which bytes are not worth showing to it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from keytrail.errors import Place, RecordError

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Bounds on what one object may make us read. Crossing one is an error message, never a crash."""

    max_inflated_bytes: int = 4 * 1024**3
    max_record_bytes: int = 16 * 1024**2
    max_depth: int = 128
    hold_bytes: int = 16 * 1024**2
    chunk_bytes: int = 256 * 1024


DEFAULT_LIMITS = ReadLimits()


class Kind(Enum):
    """What a JSON object in a CloudTrail bucket is."""

    EVENT = "event"
    INSIGHT = "insight"
    DIGEST = "digest"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Record:
    """A CloudTrail event: `raw` as it was stored, `data` as the standard library reads it, `place` where it was."""

    raw: bytes
    data: Json
    place: Place


def classify(data: Json) -> Kind:
    """Say what `data` is, by the keys that AWS documents for events, Insight events and digest files.

    >>> classify({"eventName": "Decrypt", "eventSource": "kms.amazonaws.com"}).value
    'event'
    >>> classify({"digestStartTime": "2026-01-01T00:00:00Z", "awsAccountId": "111122223333"}).value
    'digest'
    """
    if "insightDetails" in data or data.get("eventType") == "AwsCloudTrailInsight":
        return Kind.INSIGHT
    if "eventName" in data or "eventID" in data or "eventSource" in data:
        return Kind.EVENT
    if "digestStartTime" in data or "digestS3Object" in data:
        return Kind.DIGEST
    return Kind.UNKNOWN


def parse_json(raw: bytes | str, place: Place, limits: ReadLimits) -> object:
    """The value that `raw` spells. Raises RecordError for bad JSON, bad UTF-8, or nesting beyond the limit."""
    try:
        text = raw if isinstance(raw, str) else raw.decode()
        value: object = json.loads(text)
    except UnicodeDecodeError as error:
        raise RecordError(f"not UTF-8 at byte {error.start}", place=place) from error
    except json.JSONDecodeError as error:
        raise RecordError(f"not JSON: {error.msg} at character {error.pos}", place=place) from error
    except RecursionError as error:
        raise too_deep(place, limits) from error
    except ValueError as error:  # an integer of more digits than the interpreter converts
        raise RecordError(f"not readable as JSON: {error}", place=place) from error
    if deeper_than(text, value, limits.max_depth):
        raise too_deep(place, limits)
    return value


def too_deep(place: Place, limits: ReadLimits) -> RecordError:
    return RecordError(
        f"nested deeper than {limits.max_depth} levels",
        place=place,
        advice="Raise reading.max_depth if this record is genuine.",
    )


def deeper_than(text: str, value: object, max_depth: int) -> bool:
    """Whether `value`, spelled by `text`, nests deeper than `max_depth`; cheap unless it might."""
    if text.count("{") + text.count("[") <= max_depth:
        return False
    level: list[object] = [value]
    for _ in range(max_depth):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(v for v in item.values() if isinstance(v, dict | list))
            elif isinstance(item, list):
                below.extend(v for v in item if isinstance(v, dict | list))
        if not below:
            return False
        level = below
    return True


def text_of(data: Json, *path: str) -> str:
    """The string at `path`, or "" where there is none.

    >>> text_of({"userIdentity": {"accountId": "1"}}, "userIdentity", "accountId")
    '1'
    """
    value: object = data
    for key in path:
        if not isinstance(value, dict):
            return ""
        value = value.get(key)
    return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes an event the same event wherever it is stored (DESIGN.md, "Alert id" and "Arrival")."""

    account: str
    region: str
    event_id: str
    time: str


def identity(data: Json) -> Identity:
    """The identity of an event; without an eventID, the digest of its canonical JSON stands for it."""
    event_id = text_of(data, "eventID")
    if not event_id:
        canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        event_id = hashlib.sha256(canonical.encode()).hexdigest()
    account = text_of(data, "recipientAccountId") or text_of(data, "userIdentity", "accountId")
    return Identity(account, text_of(data, "awsRegion"), event_id, text_of(data, "eventTime"))


def event_time(data: Json) -> datetime | None:
    """The event's time in UTC, or None where eventTime is missing or not a date."""
    text = text_of(data, "eventTime")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
