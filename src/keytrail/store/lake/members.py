"""What the columns of a segment take of a record: read fast where the record is plain, from its dict where it is not.

Both ways give the same; `values_of` is the definition. A string of a column is that of the record, whatever it is, but
that a lone surrogate, which no UTF-8 can hold, stands there as U+FFFD. So a column with null has no string in the
record, and one with a string has that string but for characters that are not ASCII: a column may be searched for
ASCII, and the raw record decides the rest.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, NamedTuple

import msgspec
from stringzilla import count

from keytrail.cloudtrail import Document, Json, ReadLimits, event_time, identity
from keytrail.cloudtrail.scrub import PLACEHOLDERS
from keytrail.store.lake.digest import digest_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# No integer is both: a record with such a member is refused, and `read_items` judges it.
_Refused = Annotated[int, msgspec.Meta(gt=0, lt=0)]
# What Python reads of an integer; a shorter record holds none that is longer.
_MOST_DIGITS = 4_300
_INSIGHT = "AwsCloudTrailInsight"
_CONSOLE_LOGIN = "ConsoleLogin"


class Issuer(msgspec.Struct, gc=False):
    arn: str | None = None


class Session(msgspec.Struct, gc=False):
    sessionIssuer: Issuer | None = None


class Caller(msgspec.Struct, gc=False):
    type: str | None = None
    arn: str | None = None
    accountId: str | None = None
    accessKeyId: str | None = None
    sessionContext: Session | None = None


class Resource(msgspec.Struct, gc=False):
    ARN: str | None = None


class Members(msgspec.Struct, gc=False):
    """The members of a plain record that columns are made of, by their names there; None for null and for absence."""

    # In the order in which AWS writes them: then msgspec finds each where it looks first.
    userIdentity: Caller | None = None
    eventTime: str | None = None
    eventSource: str | None = None
    eventName: str | None = None
    awsRegion: str | None = None
    sourceIPAddress: str | None = None
    userAgent: str | None = None
    errorCode: str | None = None
    errorMessage: str | None = None
    eventID: str | None = None
    readOnly: bool | None = None
    resources: tuple[Resource, ...] | None = None
    eventType: str | None = None
    managementEvent: bool | None = None
    recipientAccountId: str | None = None
    # Members of objects that hold records, or are no event.
    Records: _Refused | None = None
    Events: _Refused | None = None
    QueryResultRows: _Refused | None = None
    detail: _Refused | None = None
    CloudTrailEvent: _Refused | None = None
    eventJson: _Refused | None = None
    insightDetails: _Refused | msgspec.UnsetType = msgspec.UNSET


class Values(NamedTuple):
    """What the columns of the same names hold for one record; `time` in microseconds since 1970."""

    time: int | None
    event_id: str
    account: str
    region: str
    provider: str | None
    action: str | None
    outcome: str | None
    error_code: str | None
    identity_type: str | None
    identity_arn: str | None
    identity_issuer: str | None
    access_key: str | None
    source_address: str | None
    user_agent: str | None
    resources: list[str] | None
    read_only: bool | None
    management: bool | None
    digest: int


NO_OUTCOME = PLACEHOLDERS | {None}
"""Values of errorCode and errorMessage that tell of no error."""

_decode = msgspec.json.Decoder(Members).decode
_decode_all = msgspec.json.Decoder().decode


def members_of(raw: msgspec.Raw, buffer: bytes, start: int, limits: ReadLimits) -> Members | None:
    """The members of a record that is plain; None where `read_items` has to judge what it is.

    Where it answers, the standard library reads the same, `classify` calls it an event, it has an eventID, and its
    outcome is told by its error alone. `raw` is UTF-8, and stands at `start` of `buffer`.
    """
    size = len(raw)
    # What nests too deeply opens that often; bytes.count takes ten times as long.
    end = start + size
    if count(buffer, b"{", start, end) + count(buffer, b"[", start, end) > limits.max_depth:
        return None
    try:
        if size > limits.max_record_bytes:
            return None
        if size > _MOST_DIGITS:
            _decode_all(raw)  # The members that are passed over are not looked at as closely.
        found = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not found.eventID or found.eventType == _INSIGHT or found.eventName == _CONSOLE_LOGIN:
        return None
    return found


def values_of(data: Json) -> Values:
    """What the columns hold for an event, from its dict: the slow way, for any record."""
    who = identity(data)
    outcomes = Document(data).values("event.outcome")
    return Values(
        time=micros_of(event_time(data)),
        event_id=storable(who.event_id),
        account=storable(who.account),
        region=storable(who.region),
        provider=_text(data, "eventSource"),
        action=_text(data, "eventName"),
        outcome=storable(str(outcomes[0])) if outcomes else None,
        error_code=_text(data, "errorCode"),
        identity_type=_text(data, "userIdentity", "type"),
        identity_arn=_text(data, "userIdentity", "arn"),
        identity_issuer=_text(data, "userIdentity", "sessionContext", "sessionIssuer", "arn"),
        access_key=_text(data, "userIdentity", "accessKeyId"),
        source_address=_text(data, "sourceIPAddress"),
        user_agent=_text(data, "userAgent"),
        resources=_resources(data.get("resources")),
        read_only=_flag(data.get("readOnly")),
        management=_flag(data.get("managementEvent")),
        digest=digest_of(who),
    )


def micros_of(moment: datetime | None) -> int | None:
    """Microseconds since 1970, as the columns hold a time."""
    if moment is None:
        return None
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def storable(text: str) -> str:
    """The text with U+FFFD for each lone surrogate.

    >>> storable("a\\ud800b")
    'a\ufffdb'
    """
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _text(data: Json, *path: str) -> str | None:
    value: object = data
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return storable(value) if isinstance(value, str) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _resources(value: object) -> list[str] | None:
    """The ARNs of a list of resources, or of a single one; None where there is neither."""
    if not isinstance(value, list | dict):
        return None
    some = value if isinstance(value, list) else [value]
    return [storable(one["ARN"]) for one in some if isinstance(one, dict) and isinstance(one.get("ARN"), str)]


__all__ = ["NO_OUTCOME", "Members", "Values", "members_of", "micros_of", "storable", "values_of"]
