"""The words of sentences about events: names from the record, verbs in the past, names of events in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from keytrail.cloudtrail import Json, text_of
from keytrail.investigate.change import KeyName
from keytrail.investigate.events import Event, member
from keytrail.text import shorten

Slot = Callable[[Event], str]

LONGEST = 200
"""How many characters of one name of a record a sentence shows."""

_SLOT = re.compile(r"\{(\w+)\}")
_WORDS = re.compile(r"[A-Z]+s?(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_DATED = re.compile(r"(?<=[A-Za-z])20\d{6}(v\d+)?$")  # Lambda has the date of its API in the names of events.

# Verbs whose past is not made by the rule in `_past`.
_PAST: Mapping[str, str] = {
    "begin": "began", "bring": "brought", "cancel": "cancelled", "give": "gave", "leave": "left", "let": "let",
    "make": "made", "put": "put", "read": "read", "reset": "reset", "run": "ran", "send": "sent", "set": "set",
    "stop": "stopped", "submit": "submitted", "swap": "swapped", "tag": "tagged", "take": "took",
    "transfer": "transferred", "untag": "untagged", "write": "wrote",
}  # fmt: skip

# The verbs that names of events begin with, said plainly.
_ORDERS: Mapping[str, str] = {
    **{
        verb: verb
        for verb in (
            *_PAST, "accept", "activate", "add", "allocate", "apply", "archive", "assign", "associate", "attach",
            "authorize", "change", "check", "complete", "confirm", "connect", "copy", "create", "deactivate", "delete",
            "deploy", "deregister", "detach", "disable", "disassociate", "enable", "execute", "export", "filter",
            "generate", "import", "initiate", "install", "invoke", "link", "list", "modify", "move", "open", "poll",
            "provision", "publish", "purge", "query", "reboot", "receive", "register", "reject", "release", "remove",
            "renew", "replace", "replicate", "report", "request", "resolve", "restore", "resume", "retrieve", "revoke",
            "rotate", "scan", "schedule", "search", "select", "share", "start", "subscribe", "suspend", "terminate",
            "test", "unassign", "unsubscribe", "update", "upgrade", "upload", "validate", "verify",
        )
    },
    "describe": "look at", "get": "read", "head": "look at", "lookup": "look up",
}  # fmt: skip


def told(doing: str, failure: str | None = None) -> str:
    """The sentence of an act from what was done, in the infinitive; `failure` is why it failed, None if it did not.

    >>> told("attach AdministratorAccess to the user bob")
    'attached AdministratorAccess to the user bob'
    >>> told("delete a trail", "AccessDenied")
    'tried to delete a trail: AccessDenied'
    """
    if failure is not None:
        return f"tried to {doing}: {failure or 'it failed'}"
    verb, blank, rest = doing.partition(" ")
    return f"{_past(verb)}{blank}{rest}"


def undated(name: str) -> str:
    """The name of an event without the date of an API.

    >>> undated("ListFunctions20150331")
    'ListFunctions'
    """
    return _DATED.sub("", name)


def plain_words(name: str) -> str:
    """What the name of an event says, in the infinitive.

    >>> plain_words("DescribeDBInstances"), plain_words("PasswordRecoveryRequested")
    ('look at DB instances', 'cause the event PasswordRecoveryRequested')
    """
    words = _WORDS.findall(name)
    if name.startswith("Batch"):
        words = words[1:]
    if "".join(words) != name.removeprefix("Batch") or not words or words[0].lower() not in _ORDERS:
        return f"cause the event {shortened(name)}"
    rest = (word if word[1:2].isupper() else word.lower() for word in words[1:])
    return shortened(" ".join((_ORDERS[words[0].lower()], *rest)))


def phrase(template: str, event: Event) -> str:
    """The template with its slots filled from the event."""
    return _SLOT.sub(lambda slot: SLOTS[slot[1]](event), template)


def shortened(name: str) -> str:
    """A name of a record, cut where it is a monster."""
    return shorten(name, LONGEST)


def _past(verb: str) -> str:
    if verb in _PAST:
        return _PAST[verb]
    if verb.endswith("e"):
        return f"{verb}d"
    return f"{verb[:-1]}ied" if verb[-1] == "y" and verb[-2] not in "aeou" else f"{verb}ed"


# Names from the record ----------------------------------------------------------------------------------------------


def _values(data: Json, paths: Iterable[str]) -> tuple[str, ...]:
    """The texts at the first of some dotted paths that has any; a list gives each of its texts."""
    for path in paths:
        *parents, last = path.split(".")
        holder = data
        for step in parents:
            holder = member(holder, step)
        value = holder.get(last)
        found = tuple(one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one)
        if found:
            return found
    return ()


def _short(name: str) -> str:
    """The name in an ARN, or the name that is no ARN.

    >>> _short("arn:aws:iam::aws:policy/AdministratorAccess")
    'AdministratorAccess'
    >>> _short("arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-a1B2c3"), _short("arn:aws:s3:::bucket/a")
    ('prod/db-a1B2c3', 'bucket/a')
    """
    if not name.startswith("arn:") or name.count(":") < 5:
        return name
    service, resource = name.split(":")[2], name.split(":", 5)[5]
    if service == "iam":
        return resource.rpartition("/")[2]
    kind, colon, rest = resource.partition(":")
    if colon and "/" not in kind:
        return rest
    return resource if service == "s3" else resource.partition("/")[2] or resource


def _named(known: str, unknown: str, *paths: str) -> Slot:
    """A slot that says `known` with the name at one of the paths in its {}, or `unknown` when there is none."""

    def slot(event: Event) -> str:
        found = _values(event.data, paths)
        if not found:
            return unknown
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return known.replace("{}", shortened(_short(found[0])) + more)

    return slot


def _asked(known: str, unknown: str, *names: str) -> Slot:
    return _named(known, unknown, *(f"requestParameters.{name}" for name in names))


def _listed(event: Event, *path: str) -> tuple[str, ...]:
    """The texts of EC2's form of a list in the parameters, `{"items": [{"userId": …}]}`."""
    holder = event.parameters
    for step in path:
        holder = member(holder, step)
    items = holder.get("items")
    return tuple(
        value
        for item in (items if isinstance(items, list) else [])
        if isinstance(item, dict)
        for value in item.values()
        if isinstance(value, str) and value
    )


def _key(event: Event) -> str:
    answered = text_of(event.response, "keyMetadata", "arn")
    key = next((key for arn in (*event.resources, answered) if (key := KeyName.parse(arn)) is not None), None)
    if key is None:
        found = _values(event.parameters, ("targetKeyId", "keyId", "destinationKeyId"))
        return f"the key {shortened(_short(found[0]))}" if found else "a key"
    return f"the key {key.id}" + (f" of the account {key.account}" if key.account != event.account else "")


def _data(event: Event) -> str:
    """What was encrypted, as the encryption context names it (spec/key-policy.md 3.5): an ARN, else no account id."""
    pairs = [pair for context in event.contexts for pair in context]
    if not pairs:
        return "data"
    name, value = min(pairs, key=lambda pair: (not pair[1].startswith("arn:"), pair[1].isdigit()))
    return shortened(value if value.startswith("arn:") else f"{name} {value}")


def _operations(event: Event) -> str:
    operations = event.parameters.get("operations")
    named = [one for one in operations if isinstance(one, str)] if isinstance(operations, list) else []
    return f" for {shortened(', '.join(named))}" if named else ""


def _unchecked(event: Event) -> str:
    bypassed = event.parameters.get("bypassPolicyLockoutSafetyCheck") in (True, "true")
    return ", without the check against locking itself out" if bypassed else ""


def _pending_days(event: Event) -> str:
    days = event.parameters.get("pendingWindowInDays")
    return f" in {days} days" if isinstance(days, int) else ""


def _assumed(event: Event) -> str:
    arn, session = text_of(event.parameters, "roleArn"), text_of(event.parameters, "roleSessionName")
    if not arn:
        return "a role"
    account = arn.split(":")[4] if arn.count(":") >= 5 else ""
    elsewhere = f" of the account {account}" if account and event.caller_account not in ("", account) else ""
    within = f" (session {shortened(session)})" if session else ""
    return f"the role {shortened(_short(arn))}{elsewhere}{within}"


def _mfa(event: Event) -> str:
    used = text_of(event.data, "additionalEventData", "MFAUsed")
    return {"Yes": " with MFA", "No": " without MFA"}.get(used, "")


def _switched(event: Event) -> str:
    origin = text_of(event.data, "additionalEventData", "SwitchFrom")
    return f", coming from {shortened(origin)}" if origin else ""


def _shared_with(event: Event) -> tuple[str, ...]:
    for name in ("createVolumePermission", "launchPermission"):
        if found := _listed(event, name, "add"):
            return found
    return _values(event.parameters, ("valuesToAdd",))


def _no_longer_shared_with(event: Event) -> tuple[str, ...]:
    for name in ("createVolumePermission", "launchPermission"):
        if found := _listed(event, name, "remove"):
            return found
    return _values(event.parameters, ("valuesToRemove",))


def _sharing(event: Event) -> str:
    if _shared_with(event):
        return "share"
    return "stop sharing" if _no_longer_shared_with(event) else "change who may use"


def _sharers(event: Event) -> str:
    found = _shared_with(event) or _no_longer_shared_with(event)
    if not found:
        return ""
    if "all" in found:
        return " with everyone"
    named = (f"the account {one}" if one.isdigit() else one for one in found)
    return shortened(f" with {', '.join(named)}")


def _instance(event: Event) -> str:
    found = _listed(event, "instancesSet") or _values(event.parameters, ("instanceId", "instanceIds", "target"))
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"the instance {shortened(found[0])}{more}" if found else "an instance"


def _object(event: Event) -> str:
    bucket, name = text_of(event.parameters, "bucketName"), text_of(event.parameters, "key")
    return shortened(f"s3://{bucket}/{name}") if bucket and name else "an object"


SLOTS: Mapping[str, Slot] = {
    "access_key": _asked("the access key {}", "an access key", "accessKeyId"),
    "alias": lambda event: shortened(text_of(event.parameters, "aliasName").removeprefix("alias/")) or "of a key",
    "anyone": _asked("{}", "others", "principal"),
    "assumed": _assumed,
    "bucket": _asked("the bucket {}", "a bucket", "bucketName", "s3BucketName"),
    "data": _data,
    "database": _asked("the database {}", "a database", "dBInstanceIdentifier", "dBClusterIdentifier"),
    "db_snapshot": _asked("the snapshot {}", "a snapshot", "dBSnapshotIdentifier", "dBClusterSnapshotIdentifier"),
    "function": _asked("the function {}", "a function", "functionName"),
    "grant": _named(
        "the grant {}",
        "a grant",
        "requestParameters.grantId",
        "additionalEventData.grantId",
        "responseElements.grantId",
    ),
    "grantee": lambda event: shortened(text_of(event.parameters, "granteePrincipal")) or "a principal",
    "group": _asked("the group {}", "a group", "groupName"),
    "image": _asked("the image {}", "an image", "imageId"),
    "inline": _asked("{}", "of unknown name", "policyName"),
    "instance": _instance,
    "key": _key,
    "log_group": _asked("{}", "of unknown name", "logGroupName"),
    "mfa": _mfa,
    "name": _asked("{}", "of unknown name", "name"),
    "object": _object,
    "operations": _operations,
    "own_user": _asked("the user {}", "its own user", "userName"),
    "parameter": _asked("the parameter {}", "a parameter", "name", "names"),
    "path": _asked("{}", "a path", "path"),
    "pending_days": _pending_days,
    "policy": _asked("{}", "a policy", "policyArn"),
    "primary_region": _asked("{}", "another Region", "primaryRegion"),
    "profile": _asked("{}", "of unknown name", "instanceProfileName"),
    "replica_region": _asked("{}", "another Region", "replicaRegion"),
    "role": _asked("the role {}", "a role", "roleName"),
    "secret": _asked("the secret {}", "a secret", "secretId", "name"),
    "sharers": _sharers,
    "sharing": _sharing,
    "snapshot": _named(
        "the snapshot {}", "a snapshot", "requestParameters.snapshotId", "serviceEventDetails.snapshotId"
    ),
    "source_db_snapshot": _asked(
        "the snapshot {}", "a snapshot", "sourceDBSnapshotIdentifier", "sourceDBClusterSnapshotIdentifier"
    ),
    "source_image": _asked("the image {}", "an image", "sourceImageId"),
    "source_snapshot": _asked("the snapshot {}", "a snapshot", "sourceSnapshotId"),
    "status": _asked("{}", "another state", "status"),
    "switched": _switched,
    "table": _asked("the table {}", "a table", "tableName", "tableArn"),
    "target": _asked("the account {}", "an account", "targetPrincipal", "accountId", "targetId"),
    "trail": _asked("the trail {}", "a trail", "name", "trailName"),
    "unchecked": _unchecked,
    "user": _asked("the user {}", "a user", "userName"),
    "volume": _asked("the volume {}", "a volume", "volumeId"),
}
"""What a template of `acts.ACTS` may name: each says it with the record's name, or without one where it has none."""
