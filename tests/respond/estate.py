"""Accounts with keys in moto, each test its own, and answers of KMS that moto does not give by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from keytrail.aws import AwsSettings, client
from tests.servers.proxy import Answer, Fault, Proxy, Request

REGION = "eu-west-1"
ROLE = "keytrail-reader"
_JSON = (("Content-Type", "application/x-amz-json-1.1"),)
_numbers = count(1)


def new_account() -> str:
    """An account that no other test uses."""
    return f"7{next(_numbers):011d}"


def role_of(account: str, name: str = ROLE) -> str:
    return f"arn:aws:iam::{account}:role/{name}"


def aws_in(url: str, account: str, *, attempts: int = 1) -> AwsSettings:
    """Credentials of an account: those of a role in it."""
    return AwsSettings(region=REGION, role_arn=role_of(account), endpoint_url=url, max_attempts=attempts)


def in_account(url: str, account: str, service: str = "kms", region: str = REGION) -> Any:
    return client(service, aws_in(url, account), region)


def policy(*principals: str, owner: str = "", **more: object) -> str:
    """A key policy by which the owner and these principals can do everything."""
    who = [f"arn:aws:iam::{owner}:root"] if owner else []
    statement = {"Effect": "Allow", "Principal": {"AWS": [*who, *principals]}, "Action": "kms:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "all"} | statement | more]})


def make_key(url: str, account: str, region: str = REGION, *, alias: str = "", text: str = "", **more: object) -> str:
    """A key; returns its ARN."""
    kms = in_account(url, account, "kms", region)
    about = kms.create_key(Policy=text or policy(owner=account), **more)["KeyMetadata"]
    if alias:
        kms.create_alias(AliasName=f"alias/{alias}", TargetKeyId=about["KeyId"])
    return str(about["Arn"])


def key_id(arn: str) -> str:
    return arn.rpartition("/")[2]


# -- faults -----------------------------------------------------------------------------------------------------------


def answered(value: object) -> Fault:
    """This answer."""
    return lambda request, ask: Answer(200, _JSON, json.dumps(value).encode())


def of_key(arn: str, fault: Fault, **parameters: object) -> Fault:
    """The fault for one key only, and only where the request has these parameters."""

    def only(request: Request, ask: Callable[[], Answer]) -> Answer:
        asked = json.loads(request.body)
        meant = asked.get("KeyId") in (arn, key_id(arn)) and parameters.items() <= asked.items()
        return fault(request, ask) if meant else ask()

    return only


def role_denied(request: Request, ask: Callable[[], Answer]) -> Answer:
    """STS refuses to give out a role."""
    error = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    return Answer(403, (("Content-Type", "text/xml"),), f"<ErrorResponse>{error}</ErrorResponse>".encode())


def in_pages(member: str, size: int) -> Fault:
    """The real answer, so many elements of its list at a time."""

    def paged(request: Request, ask: Callable[[], Answer]) -> Answer:
        whole = ask()
        if whole.status != 200:
            return whole
        start = int(json.loads(request.body).get("Marker", "0"))
        answer = json.loads(whole.body)
        more = len(answer[member]) > start + size
        answer |= {member: answer[member][start : start + size], "Truncated": more}
        answer["NextMarker"] = str(start + size) if more else None
        return Answer(200, _JSON, json.dumps(answer).encode())

    return paged


def with_member(name: str, **members: object) -> Fault:
    """The real answer, with other members in the object of this name."""

    def changed(request: Request, ask: Callable[[], Answer]) -> Answer:
        answer = json.loads(ask().body)
        answer[name] |= members
        return Answer(200, _JSON, json.dumps(answer).encode())

    return changed


def bodies(proxy: Proxy, operation: str) -> Sequence[dict[str, Any]]:
    """The parameters of the requests for an operation."""
    return [json.loads(one.body) for one in proxy.requests if one.operation == operation]
