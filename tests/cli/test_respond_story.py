"""The whole story, as a team lives it: attack, alert, investigation, plan, apply, and the next look finds it repaired.

The simulator's archive up to the night of the attack is what the trail says; the key, its policy and its grants are in
moto, under the ids that moto gave them. What is applied is written into the trail as CloudTrail would.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keytrail.aws import AwsSettings, client
from keytrail.policy import KeyPolicy, compare
from keytrail.respond.model import plan_of
from keytrail.simulation import simulate
from keytrail.simulation.applied import AppliedCall, records_of

Json = dict[str, Any]
# The fixture of conftest.py: runs commands.
Keytrail = Any
ATTACK, MORNING = "2026-03-06T22:27:30Z", "2026-03-07T00:00:00Z"
ROLE = "keytrail-respond"
RESPONDER_SESSION = "keytrail"


@dataclass(frozen=True)
class Story:
    trail: Path
    lake: Path
    accounts: Path
    account: str
    region: str
    key: str
    good: str
    grant: str
    endpoint: str

    @property
    def place(self) -> tuple[str, ...]:
        return ("--lake", str(self.lake), "--accounts", str(self.accounts))

    @property
    def kms(self) -> Any:
        return client("kms", acting_in(self.account, self.endpoint), self.region)


def acting_in(account: str, endpoint: str) -> AwsSettings:
    role = f"arn:aws:iam::{account}:role/{ROLE}"
    return AwsSettings(region="us-east-1", endpoint_url=endpoint, role_arn=role, max_attempts=1)


def records_below(folder: Path) -> Iterator[Json]:
    for path in sorted(folder.rglob("*.json.gz")):
        for record in json.loads(gzip.decompress(path.read_bytes())).get("Records", []):
            if "eventName" in record:  # an insight's record has none
                yield record


def write(path: Path, records: list[Json]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps({"Records": records}).encode()))


@pytest.fixture(autouse=True)
def _role(aws_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The role that is assumed in the account of the key."""
    monkeypatch.setenv("KEYTRAIL_RESPOND__ROLE_NAME", ROLE)


@pytest.fixture
def story(_role: None, endpoint: str, tmp_path: Path) -> Story:
    place = tmp_path
    simulate(place / "simulated", events=4000, seed=7)
    # Some objects are delivered twice.
    told = {one["eventID"]: one for one in records_below(place / "simulated")}.values()
    night = [one for one in told if one["eventTime"] < MORNING]
    [attack] = [one for one in night if one["eventName"] == "PutKeyPolicy" and one["eventTime"] == ATTACK]
    key = attack["resources"][0]["ARN"]
    _, _, _, region, account, _ = key.split(":")
    [*_, good] = [
        one["requestParameters"]["policy"]
        for one in sorted(night, key=lambda one: str(one["eventTime"]))
        if one["eventName"] in ("CreateKey", "PutKeyPolicy") and one["eventTime"] < ATTACK and of(one, key)
        and "errorCode" not in one
    ]  # fmt: skip
    [granted] = [
        one for one in night if one["eventName"] == "CreateGrant" and of(one, key) and one["eventTime"] > ATTACK
        and one["userIdentity"].get("accountId") == account
    ]  # fmt: skip
    kms = client("kms", acting_in(account, endpoint), region)
    live = kms.create_key(Policy=attack["requestParameters"]["policy"])["KeyMetadata"]
    grant = kms.create_grant(
        KeyId=live["KeyId"],
        GranteePrincipal=granted["requestParameters"]["granteePrincipal"],
        Operations=granted["requestParameters"]["operations"],
    )
    text = json.dumps(night)
    text = text.replace(key.rpartition("/")[2], live["KeyId"])
    text = text.replace(granted["responseElements"]["grantId"], grant["GrantId"])
    write(place / "trail" / "night.json.gz", json.loads(text))
    return Story(
        place / "trail",
        place / "lake",
        place / "simulated" / "accounts.toml",
        account,
        region,
        live["Arn"],
        good,
        grant["GrantId"],
        endpoint,
    )


def of(record: Mapping[str, Any], key: str) -> bool:
    return any(one.get("ARN") == key for one in record.get("resources") or [])


def test_from_the_attack_to_the_repaired_key(keytrail: Keytrail, story: Story) -> None:
    aws = ("--endpoint-url", story.endpoint, "--region", "us-east-1")

    # The service takes in the night, and raises the alarm.
    watched = keytrail("watch", story.trail, "--once", *story.place)
    assert watched.exit_code == 0, watched.stderr
    alert = alert_of(keytrail, story, ATTACK)
    assert alert["keytrail.investigation"]["verdict"] == "malicious"

    # What can be done: the policy before the change, and the thief's grant.
    proposed = respond(keytrail, story, alert, *aws)
    plans = {plan["kind"]: plan_of(plan) for plan in proposed["plans"]}
    restore, revoke = plans["restore"], plans["revoke-grants"]
    assert restore.basis.read_at is not None
    assert {claim.code: claim.answer for claim in restore.claims} | {"services_keep": "proved"} == {
        "equals": "proved", "rogue_gone": "proved", "owner_manages": "proved", "services_keep": "proved"
    }  # fmt: skip
    assert story.grant in {call.parameters["GrantId"] for call in revoke.calls}

    # Nothing was changed by looking.
    before = live_policy(story)
    assert not same(before, story.good, story.account)
    ids = [one for plan in (restore, revoke) for one in ("--apply", plan.id)]
    applied = keytrail("respond", alert["kibana.alert.uuid"], *ids, "--yes", "--accept-open", *story.place, *aws)
    assert applied.exit_code == 0, applied.stderr
    assert same(live_policy(story), story.good, story.account)
    assert story.grant not in {one["GrantId"] for one in story.kms.list_grants(KeyId=story.key)["Grants"]}

    # Again is harmless.
    again = keytrail("respond", alert["kibana.alert.uuid"], *ids, "--yes", "--accept-open", *story.place, *aws)
    assert again.exit_code == 0, again.stderr

    # CloudTrail tells of it, and the next look finds the key repaired.
    caller = f"arn:aws:sts::{story.account}:assumed-role/{ROLE}/{RESPONDER_SESSION}"
    calls = [
        AppliedCall(one.service, one.operation, one.parameters, one.account, one.region, one.resource)
        for plan in (restore, revoke)
        for one in plan.calls
        if one.parameters.get("GrantId", story.grant) == story.grant
    ]
    at = datetime(2026, 3, 7, 2, tzinfo=UTC)
    write(story.trail / "repair.json.gz", records_of(calls, caller=caller, address="198.51.100.20", at=at))
    assert keytrail("watch", story.trail, "--once", *story.place).exit_code == 0
    repair = alert_of(keytrail, story, "2026-03-07T02:00:00Z")["keytrail.investigation"]
    assert repair["verdict"] != "malicious"
    assert repair["comparison"]["external_accounts"] == []
    latest = alert_of(keytrail, story, ATTACK)["keytrail.investigation"]
    assert latest["revision"] > 1
    assert story.grant not in {one["grant_id"] for one in latest["related_activity"]["surviving_grants"]}
    left = respond(keytrail, story, alert, *aws)
    assert {"restore", "remove", "recondition"} <= {one["kind"] for one in left["without"]}

    # A scan of the same trail says the same.
    scanned = keytrail("scan", story.trail, "--accounts", story.accounts, "--format", "ndjson")
    found = [json.loads(line) for line in scanned.stdout.splitlines()]
    of_repair = [one for one in found if one["kibana.alert.original_time"].startswith("2026-03-07T02:00:00")]
    assert [investigation(one)["verdict"] for one in of_repair] == [repair["verdict"]]

    history = keytrail("policies", "history", story.key, *story.place[:2], "--format", "ndjson")
    assert history.exit_code == 0, history.stderr
    versions = [json.loads(line) for line in history.stdout.splitlines()]
    assert len(versions) >= 3


def respond(keytrail: Keytrail, story: Story, alert: Json, *more: str) -> Json:
    result = keytrail("respond", alert["kibana.alert.uuid"], "--format", "json", *story.place, *more)
    assert result.exit_code == 0, result.stderr
    found: Json = json.loads(result.stdout)
    return found


def alert_of(keytrail: Keytrail, story: Story, time: str) -> Json:
    """The alert of the flagship rule about the change at a time."""
    listed = keytrail("alerts", "list", "--lake", story.lake, "--format", "ndjson", "--all")
    found = [json.loads(line) for line in listed.stdout.splitlines()]
    [alert] = [
        one
        for one in found
        if re.sub(r"\.0+Z$", "Z", one["kibana.alert.original_time"]) == time
        and one["event"]["action"] == "PutKeyPolicy"
        and "via PutKeyPolicy" in one["kibana.alert.rule.name"]
    ]
    return alert | {"keytrail.investigation": investigation(alert)}


def investigation(alert: Json) -> Json:
    found: Json = alert.get("keytrail.investigation") or alert["keytrail"]["investigation"]
    return found


def live_policy(story: Story) -> str:
    return str(story.kms.get_key_policy(KeyId=story.key, PolicyName="default")["Policy"])


def same(one: str, other: str, owner: str) -> bool:
    return compare(KeyPolicy.parse(one), KeyPolicy.parse(other), owner).unchanged
