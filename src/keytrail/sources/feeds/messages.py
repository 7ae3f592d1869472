"""What a queue's message brings: objects that were written, or a record itself. Pure; a message is hostile.

Forms: S3's event notification, EventBridge's "Object Created", CloudTrail's own notification, EventBridge's events "via
CloudTrail"; each straight, or wrapped by SNS.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from urllib.parse import unquote_plus

from keytrail.cloudtrail import Json, Kind, ReadLimits, classify, parse_json
from keytrail.errors import InputError, ObjectError, Place
from keytrail.sources.s3 import is_bucket_name

# SQS takes at most 1 MiB; S3's keys have at most 1,024 bytes.
MAX_MESSAGE_BYTES = 2 << 20
MAX_KEY_BYTES = 1024
MAX_OBJECTS = 1000
_MAX_OBJECT_BYTES = 64 << 40
_WRAPPINGS = 3
_LIMITS = ReadLimits(max_record_bytes=MAX_MESSAGE_BYTES)

_CREATED = re.compile(r"(?:s3:)?Object(?:Created:|Restore:Completed)")
_CREATED_DETAIL = frozenset({"Object Created", "Object Restore Completed"})
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}", re.ASCII)
_ETAG = re.compile(r"[0-9A-Za-z-]{1,128}", re.ASCII)
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_VALIDATION = "CloudTrail validation message."

_ADVICE = (
    "expected S3's event notifications, CloudTrail's own, or EventBridge's (Object Created, … via CloudTrail), also "
    "through SNS; point nothing else at this queue"
)


@dataclass(frozen=True, slots=True)
class Announced:
    """An object that was written. `etag` without quotes; `etag` and `region` are "", `size` None, if nobody told."""

    bucket: str
    key: str
    etag: str = ""
    size: int | None = None
    region: str = ""


@dataclass(frozen=True, slots=True)
class Brought:
    """What a message brings; nothing of either for a test event, a deletion and the like."""

    objects: tuple[Announced, ...] = ()
    record: bytes | None = None


_NOTHING = Brought()


def read_message(body: str, name: str) -> Brought:
    """What the message `name` (for errors) brings. Raises ObjectError when it has no known form.

    >>> read_message('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "trail"}', "m1")
    Brought(objects=(), record=None)
    >>> read_message('{"s3Bucket": "trail", "s3ObjectKey": ["a.json.gz"]}', "m1").objects[0].key
    'a.json.gz'
    """
    place = Place(name)
    if len(body) > MAX_MESSAGE_BYTES:
        raise _unknown(f"more than {MAX_MESSAGE_BYTES} bytes", place)
    for _ in range(_WRAPPINGS):
        if body.strip() == _VALIDATION:
            return _NOTHING
        try:
            data = parse_json(body, place, _LIMITS)
        except InputError as error:
            raise _unknown(error.what, place) from None
        if not isinstance(data, dict):
            raise _unknown(f"a JSON {type(data).__name__}, no object", place)
        inner = data.get("Message")
        if not isinstance(inner, str) or data.get("Type") not in (None, "Notification"):
            return _unwrapped(data, place)
        body = inner
    raise _unknown("wrapped too often", place)


def _unwrapped(data: Json, place: Place) -> Brought:
    detail, kind = data.get("detail"), data.get("detail-type")
    if isinstance(kind, str) and isinstance(detail, dict):
        if kind.endswith("via CloudTrail"):
            return _record(detail)
        if data.get("source") == "aws.s3":
            return _from_event(detail, data.get("region"), place) if kind in _CREATED_DETAIL else _NOTHING
    if data.get("Event") == "s3:TestEvent":
        return _NOTHING
    if "s3Bucket" in data:
        return _from_trail(data, place)
    records = data.get("Records")
    if isinstance(records, list) and records and all(isinstance(one, dict) and "s3" in one for one in records):
        if len(records) > MAX_OBJECTS:
            raise _unknown(f"more than {MAX_OBJECTS} objects", place)
        found = [_from_s3(one, place) for one in records if _CREATED.match(str(one.get("eventName", "")))]
        return Brought(tuple(found))
    if classify(data) is Kind.EVENT and isinstance(data.get("eventID"), str):
        # EventBridge with an input path of $.detail sends the record bare.
        return _record(data)
    raise _unknown("no known form", place)


def _record(detail: Json) -> Brought:
    if classify(detail) is Kind.INSIGHT:
        return _NOTHING
    # As the standard library spells it: the same value, safe in any encoding, on one line.
    return Brought(record=json.dumps(detail).encode() + b"\n")


def _from_s3(record: Json, place: Place) -> Announced:
    """One entry of S3's event notification; its key is encoded as in a form of a web page."""
    s3 = _object(record, "s3", place)
    item = _object(s3, "object", place)
    key = item.get("key")
    try:
        # Any %XX that is no UTF-8 names no key of S3's.
        key = unquote_plus(key, errors="strict") if isinstance(key, str) else key
    except UnicodeDecodeError:
        raise _unknown("the key is not encoded as S3 does", place) from None
    bucket = _object(s3, "bucket", place).get("name")
    return _announced(bucket, key, item.get("eTag"), item.get("size"), record.get("awsRegion"), place)


def _from_event(detail: Json, region: object, place: Place) -> Brought:
    """EventBridge's event of S3; its key is as it is."""
    item = _object(detail, "object", place)
    bucket = _object(detail, "bucket", place).get("name")
    return Brought((_announced(bucket, item.get("key"), item.get("etag"), item.get("size"), region, place),))


def _from_trail(data: Json, place: Place) -> Brought:
    """CloudTrail's notification of log files, by SNS; it tells neither ETag nor size."""
    keys = data.get("s3ObjectKey")
    keys = [keys] if isinstance(keys, str) else keys
    if not isinstance(keys, list) or len(keys) > MAX_OBJECTS:
        raise _unknown("s3ObjectKey is no list of keys", place)
    return Brought(tuple(_announced(data["s3Bucket"], key, None, None, None, place) for key in keys))


def _announced(bucket: object, key: object, etag: object, size: object, region: object, place: Place) -> Announced:
    if not isinstance(bucket, str) or not is_bucket_name(bucket):
        raise _unknown("it names no bucket", place)
    if not isinstance(key, str) or not _is_key(key):
        raise _unknown("it names no object that S3 could hold", place)
    etag = etag.strip('"') if isinstance(etag, str) else ""
    return Announced(
        bucket,
        key,
        etag if _ETAG.fullmatch(etag) else "",
        size if isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= _MAX_OBJECT_BYTES else None,
        region if isinstance(region, str) and _REGION.fullmatch(region) else "",
    )


def _is_key(key: str) -> bool:
    """Whether it can be asked for: not empty, encodable, no controls, no parts that a server could take for a path."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= MAX_KEY_BYTES and not _CONTROL.search(key) and ".." not in key.split("/")


def _object(data: Json, name: str, place: Place) -> Json:
    value = data.get(name)
    if not isinstance(value, dict):
        raise _unknown(f"{name} is no object", place)
    return value


def _unknown(what: str, place: Place) -> ObjectError:
    return ObjectError(f"the message has no known form: {what}", place=place, advice=_ADVICE)
