"""Which planted events the built-in rules must report, decided from the story and not by running the rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from keytrail.simulation.story import Planted

FLAGSHIP_RULE = "f6a0b2c3-4d5e-4f7a-8b9c-0d1e2f3a4b5c"

# A parsed record of the story, whose shape is known here.
_Record = dict[str, Any]


def _policy_updated(record: _Record) -> bool:
    return bool(record["eventName"] == "PutKeyPolicy" and record["userIdentity"]["type"] != "AWSService")


def _grant_by_direct_call(record: _Record) -> bool:
    identity = record["userIdentity"]
    return bool(
        record["eventName"] == "CreateGrant"
        and identity["type"] != "AWSService"
        and "invokedBy" not in identity
        and record["requestParameters"]["granteePrincipal"].startswith("arn:")
    )


def _grant_across_accounts(record: _Record) -> bool:
    return record["eventName"] == "CreateGrant" and "sharedEventID" in record


# Rule id of the pack -> what of the successful events it reports.
_SUCCEEDED: dict[str, Callable[[_Record], bool]] = {
    FLAGSHIP_RULE: _policy_updated,
    "86696696-5867-4d95-8e8b-21a5f78bfa93": lambda record: record["eventName"] == "UpdateAlias",
    "266b6030-0dd4-489c-9048-e18f207febd3": _grant_across_accounts,
    "ceb1c82d-92bd-4920-998d-f4d50d03bea1": _grant_by_direct_call,
    "7f7cb5a1-ffae-41ee-b1b8-597b0325b47b": lambda record: record["eventName"] == "DeleteImportedKeyMaterial",
    "5bca119d-7e7b-4ca9-b1d8-1eb58928d62a": lambda record: record["eventName"] in ("DisableKey", "ScheduleKeyDeletion"),
    "32b31ffd-bd82-4f15-9048-af9f571ca349": lambda record: bool(
        (record["requestParameters"] or {}).get("bypassPolicyLockoutSafetyCheck")
    ),
    "350a5c12-3eef-4f2a-b3ed-11d137310c22": lambda record: record["eventName"] == "ReplicateKey",
}
_REFUSED: dict[str, Callable[[_Record], bool]] = {
    "4f18c843-7c70-4086-946d-b6773bce7a95": lambda record: (
        record["eventName"] == "PutKeyPolicy" and record["errorCode"] == "AccessDenied"
    ),
}


def expected_alerts(planted: Iterable[Planted]) -> dict[str, list[str]]:
    """Return rule id -> ids of the planted events that it must report, by time. No rule of the pack is left out."""
    alerts: dict[str, list[str]] = {rule: [] for rule in (*_SUCCEEDED, *_REFUSED)}
    for one in sorted(planted, key=lambda one: (one.moment, one.event_id)):
        record = json.loads(one.text)
        for rule, reports in (_REFUSED if one.error else _SUCCEEDED).items():
            if reports(record):
                alerts[rule].append(one.event_id)
    return alerts
