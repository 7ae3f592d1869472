"""The CloudTrail records of calls that were made on purpose: what a trail says of a remedy that was applied."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from keytrail.simulation.organisation import iso

Json = dict[str, object]

_VERSION = "1.08"
_NAMESPACE = uuid.UUID("0b8f0f0e-6f0e-5d1c-9a1b-6b6579747261")


@dataclass(frozen=True, slots=True)
class AppliedCall:
    """A call that succeeded: `service` and `operation` as boto3 and AWS name them, `parameters` as boto3 takes them."""

    service: str
    operation: str
    parameters: Mapping[str, object]
    account: str
    region: str  # "" for IAM, which CloudTrail reports in us-east-1
    resource: str  # the ARN of what was changed


def records_of(calls: Sequence[AppliedCall], *, caller: str, address: str, at: datetime) -> list[Json]:
    """The records of calls by `caller` (an ARN of STS or IAM) that were made a second after each other, from `at` on.

    The same calls at the same time have the same records, ids and all.
    """
    identity = identity_of(caller, at)
    return [_record(call, identity, caller, address, at + timedelta(seconds=n)) for n, call in enumerate(calls)]


def identity_of(caller: str, at: datetime) -> Json:
    """The userIdentity of a caller as a record has it. Raises ValueError for an ARN that is none."""
    parts = caller.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        raise ValueError(f"{caller!r} is no ARN")
    _, partition, _, _, account, name = parts
    kind, _, rest = name.partition("/")
    if kind == "root":
        return {"type": "Root", "principalId": account, "arn": caller, "accountId": account}
    if kind == "user":
        user = rest.rpartition("/")[2]
        return {
            "type": "IAMUser",
            "principalId": f"AIDA{_hex(caller)}",
            "arn": caller,
            "accountId": account,
            "accessKeyId": f"AKIA{_hex(caller)}",
            "userName": user,
        }
    role, _, session = rest.partition("/")
    role_id = f"AROA{_hex(role)}"
    return {
        "type": "AssumedRole",
        "principalId": f"{role_id}:{session}",
        "arn": caller,
        "accountId": account,
        "accessKeyId": f"ASIA{_hex(caller)}",
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": role_id,
                "arn": f"arn:{partition}:iam::{account}:role/{role}",
                "accountId": account,
                "userName": role,
            },
            "attributes": {"creationDate": _iso(at - timedelta(minutes=5)), "mfaAuthenticated": "true"},
        },
    }


def _record(call: AppliedCall, identity: Json, caller: str, address: str, at: datetime) -> Json:
    text = f"{call.service} {call.operation} {sorted(call.parameters.items())} {caller} {at.isoformat()}"
    resources = {}
    if call.service == "kms":
        key = {"accountId": call.account, "type": "AWS::KMS::Key", "ARN": call.resource}
        resources = {"resources": [key]}
    return {
        "eventVersion": _VERSION,
        "userIdentity": identity,
        "eventTime": _iso(at),
        "eventSource": f"{call.service}.amazonaws.com",
        "eventName": call.operation,
        "awsRegion": call.region or "us-east-1",
        "sourceIPAddress": address,
        "userAgent": "keytrail",
        "requestParameters": {_member(name): value for name, value in call.parameters.items()} | _defaults(call),
        "responseElements": None,
        "requestID": str(uuid.uuid5(_NAMESPACE, f"request {text}")),
        "eventID": str(uuid.uuid5(_NAMESPACE, text)),
        "readOnly": False,
        **resources,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": call.account,
        "eventCategory": "Management",
    }


def _defaults(call: AppliedCall) -> Json:
    """What KMS writes of parameters that were left out (KMS:ct-put-key-policy)."""
    if call.operation != "PutKeyPolicy":
        return {}
    return {
        "policyName": call.parameters.get("PolicyName", "default"),
        "bypassPolicyLockoutSafetyCheck": call.parameters.get("BypassPolicyLockoutSafetyCheck", False),
    }


def _member(name: str) -> str:
    """The name of a parameter as CloudTrail writes it."""
    return name[:1].lower() + name[1:]


def _hex(text: str) -> str:
    """Sixteen characters of a unique id."""
    return uuid.uuid5(_NAMESPACE, text).hex[:16].upper()


def _iso(moment: datetime) -> str:
    return iso(int(moment.timestamp()))
