"""The mapping as a list of parts: which function fills which fields. Order is the order of the document."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from keytrail.cloudtrail.actor import ACTOR_FIELDS, actor_fields
from keytrail.cloudtrail.categories import category_fields, outcome
from keytrail.cloudtrail.contents import (
    BLOBS,
    CONSOLE_LOGIN_FIELDS,
    blob_object,
    blob_text,
    console_login_fields,
    digest_fields,
    insight_fields,
    resource_fields,
)
from keytrail.cloudtrail.dates import iso_date
from keytrail.cloudtrail.entities import ENTITY_FIELDS, entity_fields
from keytrail.cloudtrail.flat import Flat, Part, scalar
from keytrail.cloudtrail.javatext import java_scalar
from keytrail.cloudtrail.network import TLS_FIELDS, address_fields, related_fields, tls_fields
from keytrail.cloudtrail.records import Json
from keytrail.cloudtrail.scrub import at, text_at
from keytrail.cloudtrail.useragent import USER_AGENT_FIELDS, user_agent_fields

_SESSION = "aws.cloudtrail.user_identity.session_context."
_AWS = ".amazonaws.com"


def time_fields(record: Json, problems: list[str]) -> Flat:
    """@timestamp: the event's time; of a digest, its end."""
    moment = None
    value = at(record, "eventTime")
    if value is not None:
        moment = iso_date(value)
        if moment is None:
            problems.append("eventTime: not a date in ISO 8601")
    return {"@timestamp": iso_date(at(record, "digestEndTime")) or moment}


def cloud_fields(record: Json, problems: list[str]) -> Flat:
    """The caller's account, else the one that received the event; and the service without its domain."""
    account: object = None
    for path in (("userIdentity", "accountId"), ("recipientAccountId",), ("awsAccountId",)):
        account = scalar(at(record, *path), "cloud.account.id", problems)
        if account is not None:
            break
    return {"cloud.account.id": account}


def service_fields(record: Json, problems: list[str]) -> Flat:
    source = text_at(record, "eventSource")
    return {"cloud.service.name": source[: -len(_AWS)] if source.endswith(_AWS) else None}


def session_fields(record: Json, problems: list[str]) -> Flat:
    value = at(record, "userIdentity", "sessionContext", "attributes", "creationDate")
    created = iso_date(value, basic=True)
    if value is not None and created is None:
        problems.append("userIdentity.sessionContext.attributes.creationDate: not a date in ISO 8601")
    return {f"{_SESSION}creation_date": created}


def federation_fields(record: Json, problems: list[str]) -> Flat:
    """The attributes of a web identity, named by its provider and so kept whole."""
    field = f"{_SESSION}web_id_federation_data.attributes"
    value = at(record, "userIdentity", "sessionContext", "webIdFederationData", "attributes")
    if value is not None and not isinstance(value, dict):
        problems.append(f"{field}: the record has no object there")
        return {}
    return {field: value}


def shared_id_fields(record: Json, problems: list[str]) -> Flat:
    """Documented as sharedEventID; sharedEventId is read as well."""
    field = "aws.cloudtrail.shared_event_id"
    value = scalar(at(record, "sharedEventID"), field, problems)
    return {field: scalar(at(record, "sharedEventId"), field, problems) if value is None else value}


def management_fields(record: Json, problems: list[str]) -> Flat:
    """A keyword, and text in the document too: "true" or "false"."""
    field = "aws.cloudtrail.management_event"
    value = scalar(at(record, "managementEvent"), field, problems)
    return {field: None if value is None else java_scalar(value)}


def _single(field: str, record: Json, problems: list[str]) -> Flat:
    return {field: SINGLE[field](record)}


def _object(name: str, record: Json, problems: list[str]) -> Flat:
    return {f"aws.cloudtrail.flattened.{name}": blob_object(record, name, problems)}


SINGLE: dict[str, Callable[[Json], str | None]] = {
    "event.outcome": outcome,
    **{f"aws.cloudtrail.{name}": partial(blob_text, name=name) for name in BLOBS},
}
"""Fields that are one text, worked out from the record without a problem to tell."""

PARTS: tuple[tuple[Part, tuple[str, ...]], ...] = (
    (time_fields, ("@timestamp",)),
    *((partial(_single, field), (field,)) for field in SINGLE),
    (category_fields, ("event.category", "event.type")),
    (cloud_fields, ("cloud.account.id",)),
    (service_fields, ("cloud.service.name",)),
    (session_fields, (f"{_SESSION}creation_date",)),
    (federation_fields, (f"{_SESSION}web_id_federation_data.attributes",)),
    (shared_id_fields, ("aws.cloudtrail.shared_event_id",)),
    (management_fields, ("aws.cloudtrail.management_event",)),
    *((partial(_object, name), (f"aws.cloudtrail.flattened.{name}",)) for name in BLOBS),
    (resource_fields, ("aws.cloudtrail.resources",)),
    (console_login_fields, CONSOLE_LOGIN_FIELDS),
    (digest_fields, ("aws.cloudtrail.flattened.digest", "related.hash")),
    (insight_fields, ("aws.cloudtrail.flattened.insight_details",)),
    (actor_fields, ACTOR_FIELDS),
    (address_fields, ("source.ip",)),
    (tls_fields, TLS_FIELDS),
    (related_fields, ("related.ip", "related.hosts")),
    (user_agent_fields, USER_AGENT_FIELDS),
    (entity_fields, ENTITY_FIELDS),
)
"""Every part that the record alone decides, with the fields it can fill."""

PART_OF: dict[str, Part] = {field: part for part, fields in PARTS for field in fields}
"""Field -> the part that fills it."""
