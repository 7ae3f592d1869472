"""What a record carries: parameters and answers as text and as objects, resources, digest and Insight contents."""

from __future__ import annotations

from keytrail.cloudtrail.actor import takes_user_name
from keytrail.cloudtrail.dates import iso_date
from keytrail.cloudtrail.flat import SCALARS, Flat, scalar
from keytrail.cloudtrail.javatext import hash_order, java_scalar, java_text
from keytrail.cloudtrail.records import Json
from keytrail.cloudtrail.scrub import at, scrub, text_at

BLOBS = {
    "request_parameters": "requestParameters",
    "response_elements": "responseElements",
    "additional_eventdata": "additionalEventData",
    "service_event_details": "serviceEventDetails",
}
"""Last part of the field's name -> key in the record."""

TEXT_LIMIT = 32766
"""UTF-16 units from which on a text has no flattened form beside it: Lucene's longest term."""

_CONSOLE_LOGIN = "aws.cloudtrail.console_login.additional_eventdata."
CONSOLE_LOGIN_FIELDS = tuple(f"{_CONSOLE_LOGIN}{name}" for name in ("mobile_version", "login_to", "mfa_used"))

_DIGEST_DATES = {
    "start_time": "digestStartTime",
    "end_time": "digestEndTime",
    "newest_event_time": "newestEventTime",
    "oldest_event_time": "oldestEventTime",
}
_DIGEST_VALUES = {
    "log_files": "logFiles",
    "s3_bucket": "digestS3Bucket",
    "previous_s3_bucket": "previousDigestS3Bucket",
    "previous_s3_object": "previousDigestS3Object",
    "previous_signature": "previousDigestSignature",
    "previous_hash_value": "previousDigestHashValue",
    "previous_hash_algorithm": "previousDigestHashAlgorithm",
    "signature_algorithm": "digestSignatureAlgorithm",
}


def _blob(record: Json, key: str) -> object:
    """The value of a blob before the scrub; what the mapping moved away is null, for it still counts as a key."""
    value = record.get(key)
    if key == "additionalEventData" and isinstance(value, dict) and takes_user_name(record):
        return {**value, "UserName": None}
    return value


def blob_text(record: Json, name: str) -> str | None:
    """The Java text of a blob, whatever its length."""
    value = _blob(record, BLOBS[name])
    text = java_text(value)
    if text is None and name == "additional_eventdata" and takes_user_name(record):
        return "{}"  # emptied by the move, which comes after the scrub
    return text


def blob_object(record: Json, name: str, problems: list[str]) -> Json | None:
    """The object of a blob for its flattened field; None where the text is too long, or there is no object."""
    raw = _blob(record, BLOBS[name])
    value = scrub(raw)
    if not isinstance(value, dict):
        return None
    # Python's text of a value is at least half as long as Java's, and ready in a moment.
    if 2 * len(repr(value)) >= TEXT_LIMIT and _utf16_length(java_text(raw) or "") >= TEXT_LIMIT:
        return None
    return value


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def resources(record: Json) -> list[Json] | Json | None:
    """The resources of a record, without repetitions, in the order in which Java lists them.

    A list of objects becomes one; a lone object stays what it is. Source: spec, section 7.
    """
    value = at(record, "resources")
    if isinstance(value, dict):
        return value
    if not isinstance(value, list):
        return None
    unique: dict[str, Json] = {}
    for entry in value:
        if not isinstance(entry, dict):
            continue
        resource = dict(entry)
        for old, new in (("ARN", "arn"), ("accountId", "account_id")):
            if old in resource:
                resource[new] = resource.pop(old)
        unique["_".join(_part(resource.get(key)) for key in ("arn", "account_id", "type"))] = resource
    return [unique[key] for key in hash_order(dict.fromkeys(unique))]


def _part(value: object) -> str:
    return "" if value is None else java_text(value) or ""


def resource_fields(record: Json, problems: list[str]) -> Flat:
    value = at(record, "resources")
    if value is not None and not isinstance(value, list | dict):
        problems.append("aws.cloudtrail.resources: the record has a single value where a list of resources belongs")
    return {"aws.cloudtrail.resources": resources(record)}


def console_login_fields(record: Json, problems: list[str]) -> Flat:
    """How a person signed in to the console. Source: spec, section 7."""
    if text_at(record, "eventName") != "ConsoleLogin":
        return {}
    mobile = at(record, "additionalEventData", "MobileVersion")
    mfa = at(record, "additionalEventData", "MFAUsed")
    login_to = f"{_CONSOLE_LOGIN}login_to"
    return {
        f"{_CONSOLE_LOGIN}mobile_version": None if mobile is None else mobile != "No",
        login_to: scalar(at(record, "additionalEventData", "LoginTo"), login_to, problems),
        f"{_CONSOLE_LOGIN}mfa_used": None if mfa is None else mfa != "No",
    }


def digest_fields(record: Json, problems: list[str]) -> Flat:
    """The content of a digest file, which is one document. Source: spec, sections 10 and 14."""
    digest: Json = {name: at(record, key) for name, key in _DIGEST_VALUES.items()}
    fingerprint = at(record, "digestPublicKeyFingerprint")
    digest["public_key_fingerprint"] = at(record, "publicKeyFingerprint") if fingerprint is None else fingerprint
    for name, key in _DIGEST_DATES.items():
        value = at(record, key)
        if value is not None:
            digest[name] = iso_date(value)
            if digest[name] is None:
                problems.append(f"{key}: not a date in ISO 8601")
    fields: Flat = {"aws.cloudtrail.flattened.digest": {k: v for k, v in digest.items() if v is not None}}
    value = digest["previous_hash_value"]
    if isinstance(value, SCALARS):
        fields["related.hash"] = [java_scalar(value)]
    return fields


def insight_fields(record: Json, problems: list[str]) -> Flat:
    """What CloudTrail Insights saw, unchanged; an event it speaks of is not lifted out of it."""
    value = at(record, "insightDetails")
    if value is not None and not isinstance(value, dict):
        problems.append("aws.cloudtrail.flattened.insight_details: the record has no object there")
        return {}
    return {"aws.cloudtrail.flattened.insight_details": value}
