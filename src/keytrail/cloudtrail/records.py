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

from keytrail.errors import InputError, Place, RecordError

Json = dict[str, object]

_SPACE = " \t\r\n"  # all that JSON takes for space
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Bounds on what one object may make us read. Crossing one is an error message, never a crash.

    The same numbers are the defaults of `[reading]` in keytrail.toml, which says what each is for.
    """

    max_inflated_bytes: int = 4 * 1024**3
    max_record_bytes: int = 16 * 1024**2
    max_depth: int = 128
    hold_bytes: int = 64 * 1024**2
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


@dataclass(frozen=True, slots=True)
class Aside:
    """A JSON object that is part of CloudTrail but not an event: an Insight event or a digest file."""

    kind: Kind
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


def record_from_slice(raw: bytes, place: Place, limits: ReadLimits) -> Record | Aside | InputError:
    """What the bytes of one element are: the judgement that `read_items` gives of them inside their object.

    >>> record_from_slice(b'{"eventName": "Decrypt"}', Place("a.json"), DEFAULT_LIMITS).data
    {'eventName': 'Decrypt'}
    """
    if len(raw) > limits.max_record_bytes:
        return too_large(place, limits)
    text = raw.decode("utf-8", "surrogateescape").strip(_SPACE)
    try:
        return judge(parse_json(text, place, limits), text, place, limits)
    except RecordError as error:
        return error


def judge(value: object, text: str, place: Place, limits: ReadLimits) -> Record | Aside | InputError:
    """What `value`, spelled by `text`, is: a record, alone or in its envelope; not an event; or not readable.

    Envelopes are an EventBridge event (`detail`), an event of LookupEvents (`CloudTrailEvent`) and a row of
    CloudTrail Lake (`eventJson`). In `text` a byte that is not UTF-8 stands as its surrogate escape.
    """
    try:
        raw = text.encode()
    except UnicodeEncodeError as error:
        return RecordError("not UTF-8 text", place=inside(place, text, error.start))
    if len(raw) > limits.max_record_bytes:
        return too_large(place, limits)
    if deeper_than(text, value, limits.max_depth):
        return too_deep(place, limits)
    if isinstance(value, list):
        value = _row(value)
        if not isinstance(value.get("eventJson"), str):
            return RecordError(
                "an array that is not a row of CloudTrail Lake with a column eventJson",
                place=place,
                advice="Select eventJson in the Lake query: it holds the whole record, the other columns do not.",
            )
    if not isinstance(value, dict):
        return RecordError(f"not a CloudTrail record but {_json_type(value)}", place=place)
    if isinstance(embedded := value.get("CloudTrailEvent", value.get("eventJson")), str):
        embedded = embedded.strip(_SPACE)
        try:
            value = parse_json(embedded, place, limits)
        except RecordError as error:
            # The position inside the string means nothing outside it.
            return RecordError(f"in the record that it holds as text: {error.what}", place=place, advice=error.advice)
        # A lone surrogate has no UTF-8 form; inside a JSON string its escape says the same.
        raw = embedded.encode("utf-8", "backslashreplace")
    elif "detail-type" in value and isinstance(value.get("detail"), dict):
        value = value["detail"]
        raw = _member(text, "detail").encode()
    if not isinstance(value, dict):
        return RecordError(f"not a CloudTrail record but {_json_type(value)}", place=place)
    kind = classify(value)
    if kind is Kind.EVENT:
        return Record(raw, value, place)
    if kind is Kind.UNKNOWN:
        return RecordError("not a CloudTrail record: it has no eventName, eventSource or eventID", place=place)
    return Aside(kind, place)


def parse_json(raw: bytes | str, place: Place, limits: ReadLimits) -> object:
    """The value that `raw` spells. Raises RecordError for bad JSON, bad UTF-8, or nesting beyond the limit.

    As the standard library has it: the last of repeated keys counts, NaN and Infinity are numbers, and a lone
    surrogate in an escape is kept.
    """
    try:
        text = raw if isinstance(raw, str) else raw.decode()
        value: object = json.loads(text)
    except UnicodeDecodeError as error:
        raise RecordError(f"not UTF-8 text at byte {error.start}", place=place) from error
    except (ValueError, RecursionError) as error:
        raise unreadable(error, place, text, limits) from error
    if deeper_than(text, value, limits.max_depth):
        raise too_deep(place, limits)
    return value


def unreadable(
    error: ValueError | RecursionError, place: Place, text: str, limits: ReadLimits, start: int = 0
) -> RecordError:
    """What the standard library's parser found wrong with the value that begins at `place`, at `start` of `text`."""
    if isinstance(error, RecursionError):
        return too_deep(place, limits)
    if isinstance(error, json.JSONDecodeError):
        return RecordError(f"not JSON: {error.msg}", place=inside(place, text, error.pos, start))
    return RecordError("not readable: a number has too many digits", place=place)


def inside(place: Place, text: str, at: int, start: int = 0) -> Place:
    """The place of the character `at` of `text`, where `place` is that of the character `start`."""
    if place.line is None or place.column is None:
        return place
    lines = text.count("\n", start, at)
    column = at - text.rindex("\n", start, at) if lines else place.column + at - start
    return Place(place.file, place.record, place.line + lines, column)


def too_deep(place: Place, limits: ReadLimits) -> RecordError:
    """The error of a record that nests deeper than allowed."""
    return RecordError(
        f"nested deeper than {limits.max_depth} levels",
        place=place,
        advice="Raise reading.max_depth if this record is genuine.",
    )


def too_large(place: Place, limits: ReadLimits) -> RecordError:
    """The error of a record that is larger than allowed."""
    return RecordError(
        f"a record is larger than {limits.max_record_bytes} bytes",
        place=place,
        advice="Raise reading.max_record_bytes if this record is genuine.",
    )


def _row(columns: list[object]) -> Json:
    """A row of CloudTrail Lake, which comes as a list of objects with one column each."""
    row: Json = {}
    for column in columns:
        if isinstance(column, dict):
            row.update(column)
    return row


def _member(text: str, name: str) -> str:
    """The exact text of the last member `name` of the object that `text` spells."""
    found = ""
    at = _skip_space(text, 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        start = _skip_space(text, _skip_space(text, at) + 1)
        _, at = _DECODER.raw_decode(text, start)
        if key == name:
            found = text[start:at]
        at = _skip_space(text, at)
        if text[at] == ",":
            at = _skip_space(text, at + 1)
    return found


def _skip_space(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "a number"


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
    """The event's time in UTC, or None where eventTime is missing or not a time that exists.

    >>> event_time({"eventTime": "2026-03-01T08:00:00Z"})
    datetime.datetime(2026, 3, 1, 8, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        moment = datetime.fromisoformat(text_of(data, "eventTime"))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
