"""The event that gave a key its policy: which key, which policy, as far as the record tells."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from keytrail.cloudtrail import text_of
from keytrail.investigate.events import Event
from keytrail.investigate.queries import CHANGES, KMS

_KEY_ARN = re.compile(r"arn:(aws[a-z-]*):kms:([a-z0-9-]+):(\d{12}):key/([A-Za-z0-9-]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyName:
    """A KMS key, by the parts of its ARN."""

    partition: str
    region: str
    account: str
    id: str

    @classmethod
    def parse(cls, arn: str) -> KeyName | None:
        """Read the ARN of a key, None for anything else.

        >>> KeyName.parse("arn:aws:kms:eu-west-1:111122223333:key/mrk-1").is_multi_region
        True
        """
        found = _KEY_ARN.fullmatch(arn)
        return None if found is None else cls(*found.groups())

    @property
    def arn(self) -> str:
        """The key's ARN."""
        return f"arn:{self.partition}:kms:{self.region}:{self.account}:key/{self.id}"

    @property
    def is_multi_region(self) -> bool:
        """Whether the key's id says that there may be replicas of it."""
        return self.id.startswith("mrk-")


ArnSource = Literal["resources", "response", "request"]


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A successful PutKeyPolicy, CreateKey or ReplicateKey, and the key whose policy it set.

    `arn_source` says where the ARN comes from; "request" is put together from the id in the request, the account and
    the region. `policy` is the document as it was sent, None when the record does not hold one; `omitted` tells that
    CloudTrail left the parameters out, so that nobody knows.
    """

    event: Event
    key: KeyName
    arn_source: ArnSource
    policy: str | None
    omitted: bool

    @property
    def creates(self) -> bool:
        """Whether there was no key, and so no policy, before."""
        return self.event.name != "PutKeyPolicy"

    @property
    def by_kms(self) -> bool:
        """Whether this is the trace in a replica's Region of a ReplicateKey, which is told in the primary's."""
        kind = text_of(self.event.response, "keyMetadata", "multiRegionConfiguration", "multiRegionKeyType")
        return self.event.name == "CreateKey" and (self.event.invoked_by == KMS or kind == "REPLICA")

    @property
    def bypassed_lockout_check(self) -> bool:
        """Whether the caller asked KMS not to check that it can still manage the key."""
        return self.event.parameters.get("bypassPolicyLockoutSafetyCheck") in (True, "true")


def change_of(event: Event) -> PolicyChange | None:
    """The change that an event made, None when it made none."""
    if event.provider != KMS or event.name not in CHANGES or not event.succeeded:
        return None
    return attempt_of(event) if sets_the_policy(event) else None


def sets_the_policy(event: Event) -> bool:
    """Whether an event is about the policy of the name "default", the only one that can be set and what none means."""
    return text_of(event.parameters, "policyName") in ("", "default")


@lru_cache(2_048)
def attempt_of(event: Event) -> PolicyChange | None:
    """The change that an event made or tried to make, None when it does not tell of which key."""
    parameters, response = event.parameters, event.response
    policy = text_of(parameters, "policy") or None
    if event.name == "ReplicateKey":
        policy = text_of(response, "replicaPolicy") or policy
    found = _key(event)
    if found is None:
        return None
    is_told = parameters and "omitted" not in parameters and parameters.get("policy") in (None, "")
    omitted = policy is None and (not is_told or event.name == "PutKeyPolicy")
    return PolicyChange(event, *found, policy, omitted)


def _replica(event: Event) -> tuple[KeyName, ArnSource] | None:
    """The replica that a ReplicateKey asked for: the primary's id in another Region."""
    named = (*event.resources, text_of(event.parameters, "keyId"))
    primary = next((key for arn in named if (key := KeyName.parse(arn)) is not None), None)
    if primary is None:
        return None
    key = KeyName.parse(replace(primary, region=text_of(event.parameters, "replicaRegion")).arn)
    return None if key is None else (key, "request")


def _key(event: Event) -> tuple[KeyName, ArnSource] | None:
    answered = {"CreateKey": "keyMetadata", "ReplicateKey": "replicaKeyMetadata"}.get(event.name)
    if answered is not None:
        key = KeyName.parse(text_of(event.response, answered, "arn"))
        if key is not None:
            return key, "response"
        if event.name == "ReplicateKey":
            return _replica(event)  # `resources` names the primary there.
    for arn in event.resources:
        if (key := KeyName.parse(arn)) is not None:
            return key, "resources"
    sent = text_of(event.parameters, "keyId")
    key = KeyName.parse(sent) or KeyName.parse(f"arn:aws:kms:{event.region}:{event.account}:key/{sent}")
    return None if key is None else (key, "request")
