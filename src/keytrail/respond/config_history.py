"""What AWS Config recorded of keys: the policies that they had, each with the time at which Config saw it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from keytrail.aws import AwsSettings, client
from keytrail.aws.answers import check_whole
from keytrail.aws.failures import error_code, source_error
from keytrail.errors import PolicyError, SourceError
from keytrail.investigate import KeyName
from keytrail.policy.digest import document_of

ACTION = "config:GetResourceConfigHistory"
"""The IAM action that reading it needs."""

_TYPE = "AWS::KMS::Key"
_ITEMS_PER_PAGE = 100
_MOST_PAGES = 500  # of one key; each tells of a week at most, so years
_NO_RECORDER = "NoAvailableConfigurationRecorderException"
_NOT_RECORDED = "ResourceNotDiscoveredException"


@dataclass(frozen=True, slots=True)
class Recorded:
    """The policy that AWS Config saw a key with, as text, and when (UTC)."""

    key: KeyName
    time: datetime
    policy: str


@dataclass(frozen=True, slots=True)
class ConfigAnswer:
    """What was recorded, of each key the oldest first, and in sentences what could not be had."""

    recorded: tuple[Recorded, ...] = ()
    notes: tuple[str, ...] = ()


def config_history(settings: AwsSettings, keys: Mapping[KeyName, datetime | None]) -> ConfigAnswer:
    """Read what AWS Config recorded of keys of one account and Region, of each from a time on or (None) all.

    Where Config is off or may not be read, that is a note: it is one source of several. Never raises.
    """
    recorded: list[Recorded] = []
    notes: list[str] = []
    for key, since in keys.items():
        place = f"AWS Config of account {key.account} in {key.region}"
        try:
            items, whole = _items(settings, key, since)
        except _Off:
            notes.append(f"{place} records nothing: no recorder is on.")
            break
        except SourceError as error:
            # What stands in the way of one key stands in that of the others.
            notes.append(f"{place} was not read: {error.what}.")
            break
        if not whole:
            notes.append(f"{place} has more items of key {key.id} than are read: the latest were taken.")
        recorded += sorted(_recorded(key, items), key=lambda one: one.time)
    return ConfigAnswer(tuple(recorded), tuple(notes))


# Reading ------------------------------------------------------------------------------------------------------------


class _Off(Exception):
    """Config has no recorder."""


def _items(settings: AwsSettings, key: KeyName, since: datetime | None) -> tuple[list[Mapping[str, object]], bool]:
    """The configuration items of a key, the latest first, and whether these are all. Raises _Off and SourceError."""
    from botocore.exceptions import BotoCoreError, ClientError

    config = client("config", settings, key.region)
    asked: dict[str, object] = {"resourceType": _TYPE, "resourceId": key.id, "limit": _ITEMS_PER_PAGE}
    if since is not None:
        asked["earlierTime"] = since
    found: list[Mapping[str, object]] = []
    for _ in range(_MOST_PAGES):
        try:
            answer = config.get_resource_config_history(**asked)
        except (BotoCoreError, ClientError) as error:
            code = error_code(error)
            if code == _NOT_RECORDED:
                return found, True
            if code == _NO_RECORDER:
                raise _Off from error
            raise source_error(error, action=ACTION, resource=f"the keys of {key.account} in {key.region}") from error
        check_whole(answer, "configurationItems", action=ACTION, resource=key.arn)
        found += answer["configurationItems"]
        # A page tells of some days, and may be empty though others follow.
        if not answer.get("nextToken"):
            return found, True
        asked["nextToken"] = answer["nextToken"]
    return found, False


def _recorded(key: KeyName, items: Iterable[Mapping[str, object]]) -> Iterator[Recorded]:
    for item in items:
        policy, time = _policy(item), item.get("configurationItemCaptureTime")
        if policy is not None and isinstance(time, datetime):
            yield Recorded(key, time.astimezone(UTC), policy)


def _policy(item: Mapping[str, object]) -> str | None:
    """The policy in a configuration item, None where it has none that can be read: of a deleted key, for one."""
    more = item.get("supplementaryConfiguration")
    text = more.get("Policy") if isinstance(more, Mapping) else None
    if not isinstance(text, str):
        return None
    try:
        if text.lstrip().startswith('"'):  # Config quotes the text once more
            text = json.loads(text)
        document_of(text)
    except (ValueError, TypeError, AttributeError, RecursionError, PolicyError):
        return None
    return str(text)


__all__ = ["ACTION", "ConfigAnswer", "Recorded", "config_history"]
