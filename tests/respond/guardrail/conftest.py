"""What the tests of guardrails share: guardrails, records of calls, and small readers of what the forms write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from keytrail.investigate import Event
from keytrail.respond.guardrail.model import Guardrail, guardrail
from keytrail.respond.guardrail.statements import groups_but

ACCOUNT = "111122223333"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
BREAK_GLASS = f"arn:aws:iam::{ACCOUNT}:role/BreakGlass"


class Rails:
    """Makes guardrails and the events that they are tried on, and reads patterns as AWS does."""

    account, key, break_glass = ACCOUNT, KEY, BREAK_GLASS

    @staticmethod
    def make(*arns: str, without: tuple[str, ...] = (), **more: Any) -> Guardrail:
        """A guardrail of these break-glass roles, or of the usual one."""
        return guardrail(arns or (BREAK_GLASS,), groups=groups_but(without), **more)

    @staticmethod
    def event(caller: str, action: str = "kms:PutKeyPolicy", number: int = 0, **changes: Any) -> Event:
        """A call by the ARN of a user, role or root; `changes` replace members of the record, None removes one."""
        service, _, name = action.partition(":")
        account = caller.split(":")[4]
        record: dict[str, Any] = {
            "userIdentity": _identity(caller, account),
            "eventTime": f"2026-03-01T08:{number // 60 % 60:02d}:{number % 60:02d}Z",
            "eventSource": f"{service}.amazonaws.com",
            "eventName": name,
            "awsRegion": "eu-west-1",
            "eventID": f"c4b1b6e2-0000-4000-8000-{number:012d}",
            "recipientAccountId": account,
            "eventType": "AwsApiCall",
        }
        if service == "kms":
            record |= {"requestParameters": {"keyId": KEY}, "resources": [{"ARN": KEY, "type": "AWS::KMS::Key"}]}
        event = Event.of({key: value for key, value in (record | changes).items() if value is not None})
        assert event is not None
        return event

    @staticmethod
    def event_matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
        """Whether an event pattern of EventBridge matches, by its documentation; for the operators that we write."""
        return all(_matches(name, wanted, event) for name, wanted in pattern.items())


START = datetime(2026, 3, 1, tzinfo=UTC)
END = datetime(2026, 3, 2, tzinfo=UTC)


def _identity(caller: str, account: str) -> dict[str, Any]:
    if ":role/" not in caller:
        return {"type": "Root" if caller.endswith(":root") else "IAMUser", "arn": caller, "accountId": account}
    name = caller.rpartition("/")[2]
    return {
        "type": "AssumedRole",
        "arn": f"arn:aws:sts::{account}:assumed-role/{name}/session",
        "accountId": account,
        "accessKeyId": "ASIAEXAMPLE",
        "sessionContext": {"sessionIssuer": {"type": "Role", "arn": caller, "accountId": account}},
    }


def _matches(name: str, wanted: Any, event: Mapping[str, Any]) -> bool:
    if name == "$or":
        return any(Rails.event_matches(one, event) for one in wanted)
    value = event.get(name)
    if isinstance(wanted, Mapping):
        return Rails.event_matches(wanted, value if isinstance(value, Mapping) else {})
    values = value if isinstance(value, list) else [] if value is None else [value]
    return any(_one(test, values) for test in wanted)


def _one(test: Any, values: list[Any]) -> bool:
    match test:
        case {"exists": expected}:
            return bool(values) is expected
        case {"anything-but": {"wildcard": patterns}}:
            return any(not any(_glob(pattern, value) for pattern in patterns) for value in values)
        case {"wildcard": pattern}:
            return any(_glob(pattern, value) for value in values)
        case {"prefix": prefix}:
            return any(value.startswith(prefix) for value in values)
        case str():
            return test in values
    raise AssertionError(f"not an operator that EventBridge knows: {test}")


def _glob(pattern: str, value: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value, re.DOTALL) is not None


@pytest.fixture(scope="session")
def rails() -> type[Rails]:
    """Guardrails, events, patterns."""
    return Rails
