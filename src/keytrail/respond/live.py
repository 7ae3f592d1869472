"""What is there now: the policy, the grants and the state of a key, and who asks. What may not be read is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from keytrail.aws import AwsSettings, client
from keytrail.errors import PolicyError, SourceError
from keytrail.investigate import KeyName
from keytrail.policy.digest import digest_of_text
from keytrail.respond.calls import Identity, grants, identity, key_policy, key_state
from keytrail.respond.facts import LiveGrant

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Live:
    """A key as AWS showed it at `read_at`. A part is None where it could not be read; `missing` says why, by its name.

    `text` is the policy with its `digest`, `caller` who asked.
    """

    key_arn: str
    read_at: datetime
    text: str | None = None
    digest: str | None = None
    grants: tuple[LiveGrant, ...] | None = None
    state: str | None = None
    caller: Identity | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def caller_arn(self) -> str | None:
        """The ARN that AWS knows the caller by."""
        return None if self.caller is None else self.caller.arn


def read_live(key: KeyName, settings: AwsSettings, *, now: datetime) -> Live:
    """Read a key in its Region, each part by itself: one that is denied does not keep the others from being read."""
    missing: dict[str, str] = {}

    def part(name: str, read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except SourceError as error:
            missing[name] = error.what
            return None

    caller = part("caller", lambda: identity(settings, key.region))
    if caller is None:
        # Without credentials there is nothing to read, and three more time-outs tell nobody anything.
        return Live(key.arn, now, missing=dict.fromkeys(("caller", "policy", "grants", "state"), missing["caller"]))
    kms = client("kms", settings, key.region)
    text = part("policy", lambda: key_policy(kms, key.arn))
    digest = None
    if text is not None:
        try:
            digest = digest_of_text(text, name=key.arn)
        except PolicyError as error:
            text, missing["policy"] = None, f"what AWS gave is no policy: {error.what}"
    return Live(
        key_arn=key.arn,
        read_at=now,
        text=text,
        digest=digest,
        grants=part("grants", lambda: tuple(grants(kms, key.arn))),
        state=part("state", lambda: key_state(kms, key.arn)),
        caller=caller,
        missing=missing,
    )
