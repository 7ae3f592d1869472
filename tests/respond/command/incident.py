"""A key that was attacked, the records and the alert about it, and ways to ask `keytrail respond` about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from keytrail.store.state.tables import audit
from tests.cli.conftest import Keytrail, record
from tests.cli.service_state import here
from tests.respond.kit import (
    ACCOUNT,
    GOOD,
    REGION,
    ROGUE,
)

PLACEHOLDER = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000000"
MALLORY = f"arn:aws:iam::{ACCOUNT}:role/Admin"
HOSTILE = "\x1b[2J\u202egnp"


def events(key: str) -> Iterator[dict[str, Any]]:
    """The key gets a good policy and is used, then somebody lets another account in."""
    who = record()["userIdentity"] | {
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/{HOSTILE}mallory",
        "accountId": ACCOUNT,
        "sessionContext": {
            "sessionIssuer": {"type": "Role", "userName": "Admin", "accountId": ACCOUNT, "arn": MALLORY}
        },
    }
    common = {
        "userIdentity": who,
        "awsRegion": REGION,
        "recipientAccountId": ACCOUNT,
        "resources": [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": key}],
    }
    for number, (policy, hour) in enumerate([(GOOD, 1), (ROGUE, 8)]):
        asked = {"keyId": key, "policyName": "default", "policy": policy, "bypassPolicyLockoutSafetyCheck": False}
        yield record(number, **common, requestParameters=asked, eventTime=f"2026-03-01T{hour:02}:00:00Z")
    issuer = {"type": "Role", "userName": "Orders", "accountId": ACCOUNT, "arn": f"arn:aws:iam::{ACCOUNT}:role/Orders"}
    user = who | {
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/Orders/i-1",
        "sessionContext": {"sessionIssuer": issuer},
    }
    use = {"eventName": "Decrypt", "readOnly": True, "eventTime": "2026-03-01T02:00:00Z", "requestParameters": None}
    yield record(2, **(common | {"userIdentity": user} | use))


class Incident(NamedTuple):
    """A key in KMS that was attacked, the alert about it as a document, and the archive that it comes from."""

    key: str
    document: dict[str, Any]
    archive: Path

    @property
    def id(self) -> str:
        return str(self.document["kibana.alert.uuid"])


def shown(keytrail: Keytrail, alert: str, *options: str | Path) -> dict[str, Any]:
    result = keytrail("respond", alert, "--format", "json", *options)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def plan_id(keytrail: Keytrail, alert: str, kind: str = "restore", *options: str | Path) -> str:
    found = shown(keytrail, alert, "--source", "trail", *options)["plans"]
    [plan] = [one for one in found if one["kind"] == kind]
    return str(plan["id"])


def audited() -> list[tuple[str, str]]:
    with here() as home, home.database.read() as connection:
        rows = connection.execute(sa.select(audit).where(audit.c.kind == "plan").order_by(audit.c.id))
        return [(row.action, row.who) for row in rows]
