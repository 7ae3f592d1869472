"""Who acted and upon which user or group: service.name, user.*, group.*, related.user."""

from __future__ import annotations

import re

from keytrail.cloudtrail.flat import SCALARS, Flat, scalar, scalars
from keytrail.cloudtrail.javatext import java_scalar
from keytrail.cloudtrail.records import Json
from keytrail.cloudtrail.scrub import at, text_at

_ISSUER = ("userIdentity", "sessionContext", "sessionIssuer")
_ROLE_TYPES = frozenset({"AssumedRole", "FederatedUser"})
_SESSION_TYPES = _ROLE_TYPES | {"IdentityCenterUser"}
_SESSION_ARN = re.compile(r"arn:[a-z0-9-]+:sts:.*/(.*)")
_SERVICE_ROLE = ":role/aws-service-role/"
# Fields that a request's own parameters fill, so that the scalar rule of the envelope does not hold for them.
_PARAMETERS = {
    "group.id": ("responseElements", "group", "groupId"),
    "group.name": ("requestParameters", "groupName"),
    "user.target.id": ("responseElements", "user", "userId"),
    "user.target.name": ("requestParameters", "userName"),
    "user.changes.name": ("requestParameters", "newUserName"),
}

ACTOR_FIELDS = ("service.name", "user.name", "user.id", "user.email", "related.user", *_PARAMETERS)


def actor_fields(record: Json, problems: list[str]) -> Flat:
    """Source: spec, section 5 with the changes of section 14."""
    fields: Flat = {"service.name": service_actor(record)}
    fields["user.name"] = scalar(_user_name(record), "user.name", problems)
    fields["user.id"] = scalar(_user_id(record), "user.id", problems)
    for field, path in _PARAMETERS.items():
        fields[field] = scalars(at(record, *path), field, problems)

    session = _session_name(record, problems)
    prefix, is_email, _ = session.partition("@")
    name = fields["user.name"]
    if is_email:
        fields["user.email"] = session
    elif isinstance(name, str) and name.find("@") > 0:
        fields["user.email"] = name

    related: dict[str, None] = {}
    for value in (
        session,
        prefix if is_email else None,
        fields["user.target.name"],
        fields["user.changes.name"],
        fields["user.target.id"],
        fields["user.id"],
        name,
        fields["user.changes.name"],
        at(record, "userIdentity", "onBehalfOf", "userId"),
    ):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, SCALARS) and item != "":
                related[java_scalar(item)] = None
    fields["related.user"] = list(related)
    return fields


def service_actor(record: Json) -> str | None:
    """The AWS service that acted, None for people and for roles that people use; such an actor is no user.

    >>> service_actor({"userIdentity": {"type": "AWSService", "invokedBy": "config.amazonaws.com"}})
    'config.amazonaws.com'
    """
    kind = text_at(record, "userIdentity", "type")
    if kind == "AWSService":
        return text_at(record, "userIdentity", "invokedBy") or None
    if kind == "AssumedRole":
        _, marker, rest = text_at(record, *_ISSUER, "arn").partition(_SERVICE_ROLE)
        if marker:
            service, slash, _ = rest.partition("/")
            return text_at(record, "userIdentity", "invokedBy") or (service if slash else "") or None
    return None


def takes_user_name(record: Json) -> bool:
    """Whether the mapping moves additionalEventData.UserName to user.name, out of the texts."""
    return (
        text_at(record, "eventName") == "UserAuthentication"
        and at(record, "additionalEventData", "UserName") is not None
        and _identity_name(record) is None
    )


def _user_name(record: Json) -> object:
    name = _identity_name(record)
    if name is None and takes_user_name(record):
        return at(record, "additionalEventData", "UserName")
    return name


def _identity_name(record: Json) -> object:
    if service_actor(record):
        return None
    if text_at(record, "userIdentity", "type") in _ROLE_TYPES:
        issuer = at(record, *_ISSUER, "userName")
        if issuer is not None:
            return issuer
    return at(record, "userIdentity", "userName")


def _user_id(record: Json) -> object:
    user_id = None if service_actor(record) else at(record, "userIdentity", "principalId")
    if user_id is None and text_at(record, "userIdentity", "type") == "IdentityCenterUser":
        return at(record, "userIdentity", "onBehalfOf", "userId")
    return user_id


def _session_name(record: Json, problems: list[str]) -> str:
    arn = text_at(record, "userIdentity", "arn")
    if ":sts:" not in arn or "/" not in arn or text_at(record, "userIdentity", "type") not in _SESSION_TYPES:
        return ""
    match = _SESSION_ARN.fullmatch(arn)
    if match is None:
        problems.append("userIdentity.arn: no session name can be read from it")
        return ""
    return match[1]
