"""What the tests of applying share: keys and grants in moto, and plans as they are made for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from keytrail.aws import AwsSettings, client
from keytrail.policy.digest import digest_of_text
from keytrail.respond.apply import Applied, Applying, Step, apply_plan
from keytrail.respond.calls import AwsCalls
from keytrail.respond.model import Basis, Call, Kind, Plan
from tests.servers.proxy import Answer, Fault, Proxy, Request

ACCOUNT, REGION = "123456789012", "eu-west-1"
NOW = datetime(2026, 3, 7, 3, tzinfo=UTC)


def policy(*principals: str, **more: Any) -> str:
    """A key policy that lets these principals do everything."""
    statements = [
        {"Sid": f"s{number}", "Effect": "Allow", "Principal": {"AWS": one}, "Action": "kms:*", "Resource": "*"}
        for number, one in enumerate(principals)
    ]
    return json.dumps({"Version": "2012-10-17", **more, "Statement": statements}, indent=2)


GOOD = policy(f"arn:aws:iam::{ACCOUNT}:root")
ROGUE = policy(f"arn:aws:iam::{ACCOUNT}:root", "arn:aws:iam::999988887777:root")
FOREIGN = policy(f"arn:aws:iam::{ACCOUNT}:root", "arn:aws:iam::444455556666:root")


def aws_at(url: str, *, attempts: int = 1) -> AwsSettings:
    return AwsSettings(region=REGION, endpoint_url=url, max_attempts=attempts, read_timeout_seconds=5.0)


def kms(url: str) -> Any:
    return client("kms", aws_at(url))


def iam(url: str) -> Any:
    return client("iam", aws_at(url))


def make_key(url: str, text: str = ROGUE) -> str:
    """A key with a policy; returns its ARN."""
    return str(kms(url).create_key(Policy=text)["KeyMetadata"]["Arn"])


def live_policy(url: str, key: str) -> str:
    return str(kms(url).get_key_policy(KeyId=key, PolicyName="default")["Policy"])


def make_plan(
    kind: Kind, key: str, *calls: Call, before: str | None = None, after: str | None = None, **more: Any
) -> Plan:
    digest = digest_of_text(before) if before is not None else ""
    return Plan(
        kind=kind,
        alert_id=more.pop("alert_id", "a" * 64),
        key_arn=key,
        subject=more.pop("subject", key),
        title=more.pop("title", f"a plan to {kind}"),
        why="as the test wants it",
        basis=Basis(digest, NOW, "live"),
        calls=calls,
        before=before,
        after=after,
        **more,
    )


def put_policy(key: str, text: str, account: str = ACCOUNT, **more: Any) -> Call:
    parameters = {"KeyId": key, "PolicyName": "default", "Policy": text} | more
    return Call("kms", "PutKeyPolicy", parameters, account, REGION, key, undo="put the policy before it back")


def revoke(key: str, grant: str) -> Call:
    return Call("kms", "RevokeGrant", {"KeyId": key, "GrantId": grant}, ACCOUNT, REGION, key)


def disable(key: str) -> Call:
    return Call("kms", "DisableKey", {"KeyId": key}, ACCOUNT, REGION, key)


def deny(kind: str, name: str, text: str, policy_name: str = "keytrail-quarantine") -> Call:
    """An inline policy on a Role or a User."""
    parameters = {f"{kind}Name": name, "PolicyName": policy_name, "PolicyDocument": text}
    return Call("iam", f"Put{kind}Policy", parameters, ACCOUNT, "", f"arn:aws:iam::{ACCOUNT}:{kind.lower()}/{name}")


def restore(key: str, before: str = ROGUE, after: str = GOOD, **more: Any) -> Plan:
    return make_plan("restore", key, put_policy(key, after), before=before, after=after, **more)


DENY_ALL = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}, indent=1
)


@dataclass(slots=True)
class Clock:
    """A clock that moves only when somebody waits for it, and then by as much."""

    time: datetime = NOW
    pauses: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.time

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += timedelta(seconds=seconds)


def applied(
    plan: Plan, url: str, *, clock: Clock | None = None, record: Callable[[Step], None] | None = None, attempts: int = 1
) -> Applied:
    """Apply a plan to what answers at a URL."""
    clock = clock or Clock()
    aws = AwsCalls(lambda account, partition: aws_at(url, attempts=attempts))
    return apply_plan(plan, Applying(aws, record or (lambda step: None), clock.now, clock.pause, 60.0))


def moves(result: Applied) -> list[tuple[int, str]]:
    return [(one.step, one.state) for one in result.steps]


# -- the proxy -----------------------------------------------------------------------------------------------------


def policy_answer(text: str) -> Fault:
    """An answer of GetKeyPolicy with this policy."""

    def fault(request: Request, ask: Callable[[], Answer]) -> Answer:
        return Answer(200, (("Content-Type", "application/x-amz-json-1.1"),), json.dumps({"Policy": text}).encode())

    return fault


def lost_answer(request: Request, ask: Callable[[], Answer]) -> Answer:
    """The server does what is asked, and the answer is a fault of something in between."""
    ask()
    return Answer(502, (("Content-Type", "text/plain"),), b"bad gateway")


def key_by_id(request: Request, ask: Callable[[], Answer]) -> Answer:
    """DisableKey of an ARN, which moto does not understand and KMS does."""
    key = json.loads(request.body)["KeyId"].rpartition("/")[2]
    upstream = _UPSTREAM[0]
    kms(upstream).disable_key(KeyId=key)
    return Answer(200, (("Content-Type", "application/x-amz-json-1.1"),), b"{}")


_UPSTREAM: list[str] = []


@contextmanager
def understanding_arns(proxy: Proxy) -> Iterator[None]:
    """Let DisableKey through in the way of moto."""
    _UPSTREAM[:] = [proxy.upstream]
    proxy.plan("DisableKey", key_by_id, 100)
    yield


def assert_no_bypass(proxy: Proxy) -> None:
    """Nothing that went over the wire asked for the lock-out check to be left out."""
    assert proxy.requests
    for request in proxy.requests:
        assert b"bypass" not in request.body.lower(), request


__all__ = [name for name in dir() if not name.startswith("_") and name != "pytest"]
