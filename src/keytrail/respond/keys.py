"""The customer managed keys of an account and Region as KMS shows them: policies, grants, aliases, tags, state.

What is read of a key besides its policies are its facts, JSON values by name:

* `state`, `description`, `created_at`, `deletion_at`, `spec`, `usage`, `origin`, `rotation` (None where there is none),
  `rotation_days`, `multi_region` (None, or `{"type", "primary", "replicas"}`);
* `aliases`, `tags` and `grants`, None where they may not be read. A grant has `grant_id`, `name`, `grantee`,
  `retiring`, `issued_by`, `operations`, `constraints`, `created_at`; of more than MOST_GRANTS only that many are kept,
  and `grants_total` counts all;
* `unread`, what AWS denied: the error code by part (`policies`, `policy names`, `aliases`, `tags`, `grants`,
  `rotation`).

What AWS denies is a fact and kept. Any other failure tells nothing about a key, so the key is left as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from keytrail.aws import AwsSettings, client
from keytrail.aws.answers import paged, whole
from keytrail.aws.failures import DENIED, error_code
from keytrail.errors import InputError, Place, PolicyError, SourceError
from keytrail.policy.digest import digest_of_text

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

Json = dict[str, object]
Facts = Mapping[str, object]
_T = TypeVar("_T")

MOST_GRANTS = 1000
"""Grants of one key that are kept. KMS allows 50,000, and services make and retire them all the time."""

DELETED = "Deleted"
"""The state of a key that AWS lists no longer; the others are those of KMS (`Enabled`, `PendingDeletion`, …)."""

ACTIONS_TO_LIST = ("kms:ListKeys", "kms:ListAliases")
ACTIONS_TO_READ = (
    "kms:DescribeKey",
    "kms:ListKeyPolicies",
    "kms:GetKeyPolicy",
    "kms:ListGrants",
    "kms:ListResourceTags",
    "kms:GetKeyRotationStatus",
)

_PAGE_KEYS, _PAGE_ALIASES, _PAGE_GRANTS, _PAGE_TAGS = 1000, 100, 100, 50
_PATIENT_ATTEMPTS = 8
_GONE = {"NotFoundException"}
# Keys of other kinds and states have no rotation that could be asked for.
_WITHOUT_ROTATION = {"UnsupportedOperationException", "KMSInvalidStateException"}
_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Listed:
    """The keys of an account and Region, AWS managed ones among them, and their aliases by the id of the key.

    Where the aliases are denied they are None, and `denied` has the error code.
    """

    account: str
    region: str
    keys: tuple[str, ...]
    aliases: Mapping[str, tuple[str, ...]] | None
    denied: str = ""
    problems: tuple[InputError, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyRead:
    """A customer managed key as it was at a time (UTC). `texts` are its policies by name, as KMS gave them.

    `problems` say what could not be read of it.
    """

    key_arn: str
    account: str
    region: str
    at: datetime
    texts: Mapping[str, str]
    facts: Facts
    problems: tuple[InputError, ...] = ()

    @property
    def digests(self) -> Mapping[str, str]:
        """The digest of each policy by name; without `default` that could not be read."""
        return {name: digest_of_text(text) for name, text in self.texts.items()}


@dataclass(frozen=True, slots=True)
class NotRead:
    """A key of which too little could be read to say how it is."""

    key_arn: str
    problem: InputError


def patient(aws: AwsSettings) -> AwsSettings:
    """The same way to AWS, slower where KMS throttles: many keys share one quota with all that uses keys."""
    return replace(aws, retry_mode="adaptive", max_attempts=max(aws.max_attempts, _PATIENT_ATTEMPTS))


def list_keys(account: str, region: str, aws: AwsSettings) -> Listed:
    """The ARNs of all keys there, in order, with their aliases. Raises SourceError where the keys cannot be listed."""
    kms = client("kms", aws, region)
    where = f"{account} {region}"
    keys = [
        _text(one, "KeyArn")
        for one in paged(kms, "list_keys", "Keys", resource=where, Limit=_PAGE_KEYS)
        if one.get("KeyArn")
    ]
    try:
        found: dict[str, list[str]] = {}
        for one in paged(kms, "list_aliases", "Aliases", resource=where, Limit=_PAGE_ALIASES):
            if target := _text(one, "TargetKeyId"):
                found.setdefault(target, []).append(_text(one, "AliasName"))
    except SourceError as error:
        if error_code(error) not in DENIED:
            raise
        return Listed(account, region, tuple(sorted(keys)), None, error_code(error), (_problem(error, where),))
    aliases = {target: tuple(sorted(names)) for target, names in found.items()}
    return Listed(account, region, tuple(sorted(keys)), aliases)


def read_keys(
    listed: Listed, aws: AwsSettings, threads: Executor, clock: Callable[[], datetime]
) -> Iterator[KeyRead | NotRead | None]:
    """Each key of a list in its order, read by several threads: None for one of AWS's own, or that is gone by now."""

    def read(key_arn: str) -> KeyRead | NotRead | None:
        try:
            return read_key(key_arn, listed, aws, clock)
        except SourceError as error:
            return NotRead(key_arn, _problem(error, key_arn))

    yield from threads.map(read, listed.keys)


def read_key(key_arn: str, listed: Listed, aws: AwsSettings, clock: Callable[[], datetime]) -> KeyRead | None:
    """One key, None for one that AWS manages or that is gone. Raises SourceError where too little can be read.

    The time is that before its policy is asked for: the key had this policy then, or took it on right after.
    """
    kms = client("kms", aws, listed.region)
    try:
        about = whole(kms, "describe_key", "KeyMetadata", resource=key_arn, KeyId=_id(key_arn))["KeyMetadata"]
        if about.get("KeyManager") == "AWS":
            return None
        parts = _Parts(kms, key_arn)
        at = clock()
        texts: dict[str, str] = parts.ask("policies", {}, lambda: _policies(kms, key_arn, parts))
        facts = {
            **_described(about),
            "aliases": None if listed.aliases is None else list(listed.aliases.get(_id(key_arn), ())),
            **parts.ask("tags", _NO_TAGS, lambda: _tags(kms, key_arn)),
            **parts.ask("grants", _NO_GRANTS, lambda: _grants(kms, key_arn)),
            **parts.ask("rotation", _NO_ROTATION, lambda: _rotation(kms, key_arn, about)),
            "unread": parts.denied | ({"aliases": listed.denied} if listed.denied else {}),
        }
    except SourceError as error:
        if error_code(error) in _GONE:
            return None
        raise
    return KeyRead(key_arn, listed.account, listed.region, at, texts, facts, tuple(parts.problems))


# -- parts of a key ---------------------------------------------------------------------------------------------------

_NO_TAGS: Json = {"tags": None}
_NO_GRANTS: Json = {"grants": None, "grants_total": None}
_NO_ROTATION: Json = {"rotation": None, "rotation_days": None}


class _Parts:
    """What is asked about one key, part by part; what is denied is noted, and the rest goes on."""

    def __init__(self, kms: KMSClient, key_arn: str) -> None:
        self._key_arn = key_arn
        self.denied: dict[str, str] = {}
        self.problems: list[InputError] = []

    def ask(self, part: str, otherwise: _T, ask: Callable[[], _T]) -> _T:
        try:
            return ask()
        except SourceError as error:
            if (code := error_code(error)) not in DENIED:
                raise
            self.denied[part] = code
            self.problems.append(_problem(error, self._key_arn))
            return otherwise


def _policies(kms: KMSClient, key_arn: str, parts: _Parts) -> dict[str, str]:
    """The texts of the policies by name: `default`, and `AWS_RAM` of a key that is shared by AWS RAM."""
    asked = paged(kms, "list_key_policies", "PolicyNames", resource=key_arn, KeyId=_id(key_arn))
    names = parts.ask("policy names", [_DEFAULT], lambda: list(asked))
    found = {}
    for name in sorted(map(str, names)):
        answer = whole(kms, "get_key_policy", "Policy", resource=key_arn, KeyId=_id(key_arn), PolicyName=name)
        try:
            digest_of_text(answer["Policy"])
        except PolicyError as error:
            raise SourceError(
                f"the policy {name} of {key_arn} is {error.what}",
                advice="What answers as KMS is not KMS: check the endpoint, and proxies on the way.",
            ) from error
        found[name] = answer["Policy"]
    return found


def _described(about: Mapping[str, Any]) -> Json:
    regions = about.get("MultiRegionConfiguration") if about.get("MultiRegion") else None
    return {
        "state": _text(about, "KeyState"),
        "description": _text(about, "Description"),
        "created_at": _moment(about.get("CreationDate")),
        "deletion_at": _moment(about.get("DeletionDate")),
        "spec": _text(about, "KeySpec"),
        "usage": _text(about, "KeyUsage"),
        "origin": _text(about, "Origin"),
        "multi_region": None
        if regions is None
        else {
            "type": _text(regions, "MultiRegionKeyType"),
            "primary": _text(regions.get("PrimaryKey", {}), "Arn"),
            "replicas": sorted(_text(one, "Arn") for one in regions.get("ReplicaKeys", ())),
        },
    }


def _tags(kms: KMSClient, key_arn: str) -> Json:
    pages = paged(kms, "list_resource_tags", "Tags", resource=key_arn, KeyId=_id(key_arn), Limit=_PAGE_TAGS)
    return {"tags": dict(sorted((_text(one, "TagKey"), _text(one, "TagValue")) for one in pages))}


def _grants(kms: KMSClient, key_arn: str) -> Json:
    pages = paged(kms, "list_grants", "Grants", resource=key_arn, KeyId=_id(key_arn), Limit=_PAGE_GRANTS)
    found = sorted((_grant(one) for one in pages), key=lambda one: str(one["grant_id"]))
    return {"grants": found[:MOST_GRANTS], "grants_total": len(found)}


def _grant(one: Mapping[str, Any]) -> Json:
    return {
        "grant_id": _text(one, "GrantId"),
        "name": _text(one, "Name"),
        "grantee": _text(one, "GranteePrincipal"),
        "retiring": _text(one, "RetiringPrincipal"),
        "issued_by": _text(one, "IssuingAccount"),
        "operations": sorted(map(str, one.get("Operations") or ())),
        "constraints": one.get("Constraints") or {},
        "created_at": _moment(one.get("CreationDate")),
    }


def _rotation(kms: KMSClient, key_arn: str, about: Mapping[str, Any]) -> Json:
    if about.get("KeySpec") != "SYMMETRIC_DEFAULT" or about.get("KeyState") == "PendingDeletion":
        return _NO_ROTATION
    try:
        answer = whole(kms, "get_key_rotation_status", "KeyRotationEnabled", resource=key_arn, KeyId=_id(key_arn))
    except SourceError as error:
        if error_code(error) in _WITHOUT_ROTATION:
            return _NO_ROTATION
        raise
    return {"rotation": bool(answer["KeyRotationEnabled"]), "rotation_days": answer.get("RotationPeriodInDays")}


def _problem(error: SourceError, where: str) -> InputError:
    return InputError(error.what, place=Place(where), advice=error.advice)


def _id(key_arn: str) -> str:
    return key_arn.rpartition("/")[2]


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _moment(value: object) -> str | None:
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else None
