"""Actor and target entities: who acted on what, each as an id, sorted by what kind of thing it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from keytrail.cloudtrail import entity_paths as paths
from keytrail.cloudtrail.flat import Flat
from keytrail.cloudtrail.javatext import java_scalar
from keytrail.cloudtrail.records import Json
from keytrail.cloudtrail.scrub import PLACEHOLDERS, items_at, text_at

_ISSUER_ARN = ("userIdentity", "sessionContext", "sessionIssuer", "arn")
_AWS = ".amazonaws.com"
_ACCESS_KEY_LENGTH = 20

ENTITY_FIELDS = (
    "related.entity",
    "actor.entity.id",
    "user.entity.id",
    "service.entity.id",
    "host.entity.id",
    "entity.id",
    "target.entity.id",
    "user.target.entity.id",
    "host.target.entity.id",
    "host.target.id",
    "service.target.entity.id",
    "entity.target.id",
)


def entity_fields(record: Json, problems: list[str]) -> Flat:
    """Source: spec, sections 9 and 14. A value that is not text where an id belongs is passed over."""
    event = text_at(record, "eventName")
    if not event:
        return {}
    source = text_at(record, "eventSource")
    service = source[: -len(_AWS)] if source.endswith(_AWS) else ""
    targets = set(_targets(record, service, event))
    fields = _actor_fields(record, service, event) | _target_fields(targets)
    fields["related.entity"] = _sorted(_related(record, service) | targets)
    return fields


# -- who acted --------------------------------------------------------------------------------------------------------


def _actor_fields(record: Json, service: str, event: str) -> Flat:
    actor = _actor(record, service, event)
    if not actor:
        return {}
    return {"actor.entity.id": [actor], **_classified_actor(record, actor)}


def _actor(record: Json, service: str, event: str) -> str:
    arn = text_at(record, "userIdentity", "arn")
    if service == "sts" and event == "AssumeRole":
        kind = text_at(record, "userIdentity", "type")
        if kind == "AWSService":
            return text_at(record, "userIdentity", "invokedBy")
        return text_at(record, *_ISSUER_ARN) if kind == "AssumedRole" else arn
    if service == "sts" and event == "GetCallerIdentity":
        return arn
    return arn or text_at(record, "userIdentity", "onBehalfOf", "userId")


def _classified_actor(record: Json, actor: str) -> Flat:
    kind = text_at(record, "userIdentity", "type")
    if kind == "AWSService" or _is_service_role(actor):
        return {"service.entity.id": [actor]}
    # Every session of a role is one user: the role.
    user = (text_at(record, *_ISSUER_ARN) if kind == "AssumedRole" else "") or actor
    resource = _resource_word(actor)
    if kind in paths.ACTING_USERS or resource in paths.ACTING_RESOURCES:
        return {"user.entity.id": [user]}
    if resource in paths.HOST_RESOURCES or actor.startswith(paths.HOST_PREFIXES):
        return {"host.entity.id": [actor]}
    return {"entity.id": [actor]}


# -- on what ----------------------------------------------------------------------------------------------------------


def _targets(record: Json, service: str, event: str) -> Iterator[str]:
    if service == "lambda":
        for part, found in paths.LAMBDA_TARGETS:
            if part in event:
                yield from _all(record, found)
                return
    elif (service, event) == ("ssm", "SendCommand"):
        yield from _command_targets(record)
    else:
        yield from _all(record, paths.TARGETS.get((service, event), ()))


def _command_targets(record: Json) -> Iterator[str]:
    """The instances a command is sent to; a lone * is every instance of the account."""
    ids = items_at(record, "requestParameters", "instanceIds")
    if not ids:
        ids = list(_walk(record, "requestParameters.targets[].values[]"))
    if ids == ["*"]:
        ids = [text_at(record, "recipientAccountId")]
    known: set[str] = set()
    _add_until_known(known, ids)
    yield from known


def _target_fields(targets: set[str]) -> Flat:
    if not targets:
        return {}
    kinds: dict[str, set[str]] = {"user": set(), "host": set(), "service": set(), "": set()}
    for target in targets:
        kinds[_target_kind(target)].add(target)
    return {
        "target.entity.id": _sorted(targets),
        "user.target.entity.id": _sorted(kinds["user"]),
        "host.target.entity.id": _sorted(kinds["host"]),
        "host.target.id": _sorted(_instance_ids(kinds["host"])),
        "service.target.entity.id": _sorted(kinds["service"]),
        "entity.target.id": _sorted(kinds[""]),
    }


def _target_kind(target: str) -> str:
    if target.startswith("arn:"):
        resource = _resource_word(target)
        if resource is None:
            return ""
        if _is_service_role(target):
            return "service"
        if resource in paths.USER_RESOURCES:
            return "user"
        if resource in paths.HOST_RESOURCES:
            return "host"
        return "service" if resource in paths.SERVICE_RESOURCES or target.split(":", 3)[2] == "s3" else ""
    if len(target) == _ACCESS_KEY_LENGTH and target.startswith("AKIA"):
        return "user"
    if target.startswith(paths.HOST_PREFIXES):
        return "host"
    return "service" if target.startswith(paths.SERVICE_PREFIXES) else ""


def _instance_ids(hosts: Iterable[str]) -> set[str]:
    ids = set()
    for host in hosts:
        if host.startswith("arn:"):
            parts = host.split(":")
            host = parts[5].removeprefix("instance/") if parts[2] == "ec2" and parts[5].startswith("instance/") else ""
        if host.startswith("i-"):
            ids.add(host)
    return ids


# -- what else --------------------------------------------------------------------------------------------------------


def _related(record: Json, service: str) -> set[str]:
    related = set(_all(record, paths.IDENTITY))
    if text_at(record, "userIdentity", "type") == "IdentityCenterUser":
        related.update(_all(record, ("userIdentity.onBehalfOf.identityStoreArn",)))
    related.update(_all(record, ("resources[].ARN",)))
    related.update(_all(record, paths.RELATED.get(service, ())))
    for owner, names in paths.RELATED_GROUPS.get(service, ()):
        for item in _walk(record, owner):
            if isinstance(item, dict):
                _add_until_known(related, (value for name in names for value in _walk(item, name, missing=True)))
    return related


def _add_until_known(known: set[str], values: Iterable[object]) -> None:
    """Add values up to the first that is missing or known already: the published mapping stops there, so do we."""
    for value in values:
        if not isinstance(value, str) or value in PLACEHOLDERS or value in known:
            return
        known.add(value)


# -- reading ----------------------------------------------------------------------------------------------------------


def _all(record: Json, found: Iterable[str]) -> Iterator[str]:
    for path in found:
        for value in _walk(record, path):
            if isinstance(value, str):
                if value not in PLACEHOLDERS:
                    yield value
            elif isinstance(value, int | float) and path.endswith("ruleNumber"):
                yield java_scalar(value)


def _walk(value: object, path: str, *, missing: bool = False) -> Iterator[object]:
    """Every value at a path of `entity_paths`; with `missing`, None where the last step finds nothing."""
    values = [value]
    for key, is_list in _steps(path):
        values = [item.get(key) for item in values if isinstance(item, dict)]
        if is_list:
            items = [item for listed in values if isinstance(listed, list) for item in listed]
            values = [
                item for item in items if item is not None and not (isinstance(item, str) and item in PLACEHOLDERS)
            ]
    if missing:
        return iter(values or (None,))
    return (item for item in values if item is not None)


@cache
def _steps(path: str) -> tuple[tuple[str, bool], ...]:
    return tuple((step.removesuffix("[]"), step.endswith("[]")) for step in path.split("."))


def _resource_word(arn: str) -> str | None:
    """The kind of thing an ARN names, as in …:role/name; None when it is no ARN."""
    parts = arn.split(":")
    if parts[0] != "arn" or len(parts) < 6:
        return None
    word, slash, _ = parts[5].partition("/")
    return word if word or not slash else parts[5]


def _is_service_role(arn: str) -> bool:
    return "/AWSServiceRoleFor" in arn or "/aws-service-role/" in arn


def _sorted(values: Iterable[str]) -> list[str]:
    # Java compares strings by UTF-16 units, which differs from Python beyond the basic plane.
    return sorted(values, key=lambda text: text.encode("utf-16-be", "surrogatepass"))
