"""Small builders of CloudTrail records, in the shapes of spec/key-policy.md 3.2 and 3.3.

Times are "hh:mm" or "hh:mm:ss" of one day, 2026-03-02, or whole RFC 3339 texts. Every builder takes further members of
the record by name. An event's id is a digest of what is in the record, so that one built twice is the same event.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from keytrail.investigate.activity import KeyActivity, activity_of
from keytrail.investigate.change import KeyName, PolicyChange, change_of
from keytrail.investigate.events import Event, events_of
from keytrail.investigate.queries import IDENTITIES_QUERY
from keytrail.investigate.related import IdentityEvents
from keytrail.store import EventStore, Selector

Json = dict[str, object]

OWNER = "111122223333"
OUTSIDE = "999988887777"
REGION = "eu-west-1"
KEY = f"arn:aws:kms:{REGION}:{OWNER}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DAY = "2026-03-02"


# Who ----------------------------------------------------------------------------------------------------------------


def user(name: str = "alice", account: str = OWNER, *, access_key: str = "AKIAEXAMPLEALICE0001") -> Json:
    """An IAM user with a long-term access key."""
    return {
        "type": "IAMUser",
        "principalId": "AIDAEXAMPLE" + name.upper(),
        "arn": f"arn:aws:iam::{account}:user/{name}",
        "accountId": account,
        "accessKeyId": access_key,
        "userName": name.rpartition("/")[2],
    }


def session(
    role: str = "App",
    account: str = OWNER,
    *,
    name: str = "i-1",
    access_key: str = "ASIAEXAMPLESESSION01",
    created: str = "00:30",
    mfa: bool = False,
) -> Json:
    """A session of a role; `role` may have a path."""
    short = role.rpartition("/")[2]
    role_id = "AROAEXAMPLE" + short.upper()
    return {
        "type": "AssumedRole",
        "principalId": f"{role_id}:{name}",
        "arn": f"arn:aws:sts::{account}:assumed-role/{short}/{name}",
        "accountId": account,
        "accessKeyId": access_key,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": role_id,
                "arn": f"arn:aws:iam::{account}:role/{role}",
                "accountId": account,
                "userName": short,
            },
            "attributes": {"creationDate": time(created), "mfaAuthenticated": str(mfa).lower()},
        },
    }


def service(name: str = "backup.amazonaws.com") -> Json:
    """An AWS service with its own identity."""
    return {"type": "AWSService", "invokedBy": name}


def outsider(account: str = OUTSIDE, principal_id: str = "AROAEXAMPLEOUTSIDE:job") -> Json:
    """A caller of another account, as the owner of the key sees it: no name, only an id."""
    return {"type": "AWSAccount", "principalId": principal_id, "accountId": account}


def role_arn(name: str, account: str = OWNER) -> str:
    """The ARN of a role."""
    return f"arn:aws:iam::{account}:role/{name}"


def root_arn(account: str) -> str:
    """The principal that stands for an account."""
    return f"arn:aws:iam::{account}:root"


# What ---------------------------------------------------------------------------------------------------------------


def record(call: str, when: str, who: Json, request: Mapping[str, object] | None = None, **more: object) -> Json:
    """A record of any call, `service:EventName`; `more` are members of the record that differ from the usual ones."""
    provider, name = call.split(":")
    built: Json = {
        "eventVersion": "1.11",
        "userIdentity": who,
        "eventTime": time(when),
        "eventSource": f"{provider}.amazonaws.com",
        "eventName": name,
        "awsRegion": REGION,
        "sourceIPAddress": who.get("invokedBy", "192.0.2.10"),
        "userAgent": who.get("invokedBy", "aws-cli/2.17.12"),
        "requestParameters": None if request is None else dict(request),
        "responseElements": None,
        "readOnly": name.startswith(("Get", "List", "Describe")),
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": OWNER,
        "eventCategory": "Management",
        **more,
    }
    built.setdefault("eventID", hashlib.sha256(json.dumps(built, sort_keys=True).encode()).hexdigest()[:32])
    return built


def refused(built: Json, code: str = "AccessDenied") -> Json:
    """The same call, refused: another event."""
    failed = {name: value for name, value in built.items() if name != "eventID"}
    failed |= {"errorCode": code, "errorMessage": "refused", "responseElements": None}
    failed["eventID"] = hashlib.sha256(json.dumps(failed, sort_keys=True).encode()).hexdigest()[:32]
    return failed


def key_resources(*arns: str) -> list[Json]:
    """`resources` that name keys (or aliases, which CloudTrail types as keys too)."""
    return [{"accountId": arn.split(":")[4], "type": "AWS::KMS::Key", "ARN": arn} for arn in arns]


def policy(*statements: Json) -> Json:
    """A key policy."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(principal: object, actions: object = "kms:*", condition: Json | None = None, **more: object) -> Json:
    """An Allow statement; a text that is no "*" is an AWS principal."""
    named = {"AWS": principal} if isinstance(principal, str) and principal != "*" else principal
    statement: Json = {"Effect": "Allow", "Principal": named, "Action": actions, "Resource": "*", **more}
    return statement | ({"Condition": condition} if condition else {})


def adding(document: Json, *statements: Json) -> Json:
    """A policy with further statements."""
    known = document["Statement"]
    assert isinstance(known, list)
    return {**document, "Statement": [*known, *statements]}


DEFAULT = policy(allow(root_arn(OWNER)))
"""What AWS gives a key that is created without a policy, but for the Id."""


def put_policy(when: str, who: Json, document: Json | str, *, key: str = KEY, **more: object) -> Json:
    """PutKeyPolicy."""
    request: Json = {
        "keyId": key.rpartition("/")[2],
        "policyName": "default",
        "policy": document if isinstance(document, str) else json.dumps(document, indent=2),
        "bypassPolicyLockoutSafetyCheck": False,
    }
    return record("kms:PutKeyPolicy", when, who, request, **(_of(key) | more))


def put_omitted(when: str, who: Json, *, key: str = KEY) -> Json:
    """PutKeyPolicy whose parameters were too large to be logged."""
    request: Json = {"omitted": True, "originalSize": 104211, "reason": "requestParameters too large"}
    return record("kms:PutKeyPolicy", when, who, request, **_of(key))


def create_key(when: str, who: Json, document: Json | None = None, *, key: str = KEY, **more: object) -> Json:
    """CreateKey, without a policy unless one is given."""
    request: Json = {"keySpec": "SYMMETRIC_DEFAULT", "keyUsage": "ENCRYPT_DECRYPT", "origin": "AWS_KMS"}
    if document is not None:
        request["policy"] = json.dumps(document)
    answer: Json = {"keyMetadata": key_metadata(key)}
    return record("kms:CreateKey", when, who, request, **(_of(key) | {"responseElements": answer} | more))


def replicate_key(when: str, who: Json, document: Json, *, primary: str, replica: str, **more: object) -> Json:
    """ReplicateKey, as it is told in the primary's Region."""
    request: Json = {"keyId": primary, "replicaRegion": replica.split(":")[3], "policy": json.dumps(document)}
    answer: Json = {"replicaKeyMetadata": key_metadata(replica), "replicaPolicy": json.dumps(document)}
    return record("kms:ReplicateKey", when, who, request, **(_of(primary) | {"responseElements": answer} | more))


def key_metadata(key: str = KEY) -> Json:
    """`keyMetadata` as CreateKey answers it."""
    key_id = key.rpartition("/")[2]
    return {
        "aWSAccountId": key.split(":")[4],
        "keyId": key_id,
        "arn": key,
        "description": "",
        "enabled": True,
        "keyManager": "CUSTOMER",
        "keySpec": "SYMMETRIC_DEFAULT",
        "keyState": "Enabled",
        "keyUsage": "ENCRYPT_DECRYPT",
        "origin": "AWS_KMS",
        "multiRegion": key_id.startswith("mrk-"),
    }


def alias(call: str, when: str, who: Json, name: str, *, key: str = KEY) -> Json:
    """CreateAlias, UpdateAlias or DeleteAlias (`call`) of an alias of the key."""
    arn = f"{key.rpartition(':')[0]}:{name}"
    request: Json = {"aliasName": name}
    if call != "DeleteAlias":
        request["targetKeyId"] = key.rpartition("/")[2]
    return record(f"kms:{call}", when, who, request, **(_of(key) | {"resources": key_resources(arn, key)}))


def key_call(
    call: str, when: str, who: Json, request: Mapping[str, object] | None = None, *, key: str = KEY, **more: object
) -> Json:
    """Any other call of KMS on the key: DisableKey, ScheduleKeyDeletion, GetKeyPolicy…"""
    return record(f"kms:{call}", when, who, {"keyId": key, **(request or {})}, **(_of(key) | more))


def use(
    when: str,
    who: Json,
    context: Mapping[str, object] | None = None,
    *,
    call: str = "Decrypt",
    via: str = "",
    key: str = KEY,
    **more: object,
) -> Json:
    """A use of the key with an encryption context, passed on by the service `via` if one is named."""
    identity = who | {"invokedBy": via} if via else who
    request: Json = {"encryptionAlgorithm": "SYMMETRIC_DEFAULT"}
    if context:
        request["encryptionContext"] = dict(context)
    return record(f"kms:{call}", when, identity, request, **({"readOnly": True} | _of(key) | more))


def grant(
    when: str,
    who: Json,
    grantee: str,
    *,
    grant_id: str,
    operations: Iterable[str] = ("Decrypt",),
    constraints: Json | None = None,
    retiring: str = "",
    key: str = KEY,
    **more: object,
) -> Json:
    """CreateGrant."""
    request: Json = {"keyId": key, "granteePrincipal": grantee, "operations": list(operations)}
    if constraints:
        request["constraints"] = constraints
    if retiring:
        request["retiringPrincipal"] = retiring
    answer: Json = {"grantId": grant_id, "keyId": key}
    return record("kms:CreateGrant", when, who, request, **(_of(key) | {"responseElements": answer} | more))


def revoke_grant(when: str, who: Json, grant_id: str, *, key: str = KEY, **more: object) -> Json:
    """RevokeGrant: the grant's id is in the parameters."""
    return record("kms:RevokeGrant", when, who, {"keyId": key, "grantId": grant_id}, **(_of(key) | more))


def retire_grant(when: str, who: Json, grant_id: str, *, key: str = KEY, **more: object) -> Json:
    """RetireGrant: no parameters, the grant's id is in `additionalEventData`."""
    return record(
        "kms:RetireGrant", when, who, None, **(_of(key) | {"additionalEventData": {"grantId": grant_id}} | more)
    )


def assume_role(
    when: str, who: Json, role: str, *, name: str = "i-1", access_key: str = "ASIAEXAMPLESESSION01", **more: object
) -> Json:
    """AssumeRole into the role with the ARN `role`, for a session with that name and access key."""
    account, short = role.split(":")[4], role.rpartition("/")[2]
    answer: Json = {
        "credentials": {"accessKeyId": access_key, "sessionToken": "IQoJb3JpZ2luX2VjEXAMPLE="},
        "assumedRoleUser": {
            "assumedRoleId": f"AROAEXAMPLE{short.upper()}:{name}",
            "arn": f"arn:aws:sts::{account}:assumed-role/{short}/{name}",
        },
    }
    resources: list[Json] = [{"accountId": account, "type": "AWS::IAM::Role", "ARN": role}]
    usual: Json = {"responseElements": answer, "resources": resources, "readOnly": True, "recipientAccountId": account}
    return record("sts:AssumeRole", when, who, {"roleArn": role, "roleSessionName": name}, **(usual | more))


def iam(
    call: str, when: str, who: Json, request: Mapping[str, object], *, account: str = OWNER, **more: object
) -> Json:
    """A call of IAM, whose events are in us-east-1: CreateRole, AttachRolePolicy, CreateAccessKey…"""
    usual: Json = {"awsRegion": "us-east-1", "recipientAccountId": account}
    return record(f"iam:{call}", when, who, request, **(usual | more))


# Read back ----------------------------------------------------------------------------------------------------------


def time(text: str) -> str:
    """A time of the day, or a whole text, as CloudTrail writes times."""
    if "T" in text:
        return text
    return f"{DAY}T{text}{':00' if text.count(':') == 1 else ''}Z"


def moment(text: str) -> datetime:
    """The same as a value."""
    return datetime.strptime(time(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def event(built: Json) -> Event:
    """The event of a record."""
    found = Event.of(built)
    assert found is not None
    return found


def change(built: Json) -> PolicyChange:
    """The change that the event of a record made."""
    found = change_of(event(built))
    assert found is not None
    return found


def activity(*built: Json, key: str = KEY, most_calls: int = 1000) -> KeyActivity:
    """What these records, in any order, tell of a key."""
    name = KeyName.parse(key)
    assert name is not None
    events = sorted(map(event, built), key=lambda one: (one.time, one.id))
    return activity_of(name, events, most_calls=most_calls)


def _of(key: str) -> Json:
    _, _, _, region, account, _ = key.split(":", 5)
    return {"awsRegion": region, "recipientAccountId": account, "resources": key_resources(key)}


def identities(store: EventStore) -> IdentityEvents:
    """What a store tells of the making of roles and users."""
    return IdentityEvents(events_of(store.find(Selector.kql(IDENTITIES_QUERY))))
