"""`make bench`: what investigating the alerts of a scan costs, as a ratio to the same scan without it.

The archive is the simulated one with more changes of key policies added to it: as many as make the asked-for number of
alerts, each on a key that was used, by people who worked before and after, so that what an investigation looks for
lies in about one record of a hundred.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.memory import measure
from keytrail.search import available_cores
from keytrail.simulation import Layout, simulate

DATA = Path("bench-data")
EVENTS = {"large": 500_000, "delivery": 480_000}
ROUNDS = 3
# The flagship rule, for the changes that were added: the people of the simulated story have much more than their
# share of the records.
RULE = """
[rule]
rule_id = "bench"
name = "Policy changed"
description = "The flagship rule, for one administrator."
type = "query"
language = "kuery"
severity = "medium"
risk_score = 47
query = "event.provider: kms.amazonaws.com and event.action: PutKeyPolicy and user.name: KeyAdmin"
"""
ACCOUNT = "444455556666"
REGION = "eu-central-1"
START = datetime(2026, 3, 2, tzinfo=UTC)
# Records that an investigation reads, of all: what the issue asks the cost for.
SHARE = 0.01


def _identity(role: str, key: str, session: str) -> dict[str, object]:
    arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
    return {
        "type": "AssumedRole",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}",
        "principalId": f"AROA{key[-12:]}:{session}",
        "accountId": ACCOUNT,
        "accessKeyId": key,
        "sessionContext": {
            "sessionIssuer": {"type": "Role", "arn": arn, "accountId": ACCOUNT, "userName": role},
            "attributes": {"mfaAuthenticated": "false", "creationDate": "2026-03-02T00:00:00Z"},
        },
    }


def _record(moment: datetime, name: str, who: dict[str, object], arn: str, parameters: object) -> dict[str, object]:
    chance = random.Random(f"{moment} {name} {arn}")
    return {
        "eventVersion": "1.11",
        "userIdentity": who,
        "eventTime": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": REGION,
        "sourceIPAddress": f"2001:db8:be::{arn[-12:-8]}",  # an address that the simulated people do not have
        "userAgent": "aws-sdk-java/2.20",
        "requestParameters": parameters,
        "responseElements": None,
        "eventID": f"{chance.getrandbits(128):032x}",
        "readOnly": name == "Decrypt",
        "resources": [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": arn}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }


def _policy(*statements: tuple[str, str, list[str]]) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": who}, "Action": actions, "Resource": "*"}
                for sid, who, actions in statements
            ],
        }
    )


def changes(number: int, events: int) -> list[dict[str, object]]:
    """The records of `number` keys, each with a policy that is replaced once; SHARE of `events` in all."""
    found: list[dict[str, object]] = []
    for key in range(number):
        chance = random.Random(key)
        arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key:08x}-1234-4abc-8def-{chance.getrandbits(48):012x}"
        admin = _identity("KeyAdmin", f"ASIAADMIN{key:07d}", "ada")
        user = _identity(f"app-{key}", f"ASIAAPP{key:09d}", "i-0123456789abcdef0")
        own = ("Own", f"arn:aws:iam::{ACCOUNT}:root", ["kms:*"])
        use = ("Use", f"arn:aws:iam::{ACCOUNT}:role/app-{key}", ["kms:Decrypt", "kms:GenerateDataKey*"])
        new = ("New", f"arn:aws:iam::{ACCOUNT}:role/batch-{key}", ["kms:Decrypt", "kms:DescribeKey"])
        first, middle = START + timedelta(hours=1, seconds=key), START + timedelta(days=3, minutes=key)
        created = _record(first, "CreateKey", admin, arn, {"policy": _policy(own, use)})
        created["responseElements"] = {"keyMetadata": {"arn": arn, "keyId": arn.rpartition("/")[2]}}
        parameters = {"keyId": arn, "policyName": "default", "policy": _policy(own, use, new)}
        found += [created, _record(middle, "PutKeyPolicy", admin, arn, parameters)]
        for use_number in range(int(events * SHARE) // number - 2):
            moment = START + timedelta(seconds=chance.randrange(7 * 86_400))
            context = {"aws:s3:arn": f"arn:aws:s3:::data-{key}/part-{use_number % 20}"}
            found.append(_record(moment, "Decrypt", user, arn, {"encryptionContext": context}))
    return found


def archive(layout: Layout, events: int, alerts: int) -> Path:
    """The simulated archive with the changes in it, written when it is not there yet."""
    path = DATA / f"investigate-{layout}-{events}-{alerts}"
    if not path.exists():
        print(f"writing {path} …", file=sys.stderr)
        partial = path.with_suffix(".part")
        shutil.rmtree(partial, ignore_errors=True)
        simulate(partial, events=events, seed=1, layout=layout)
        records = sorted(changes(alerts, events), key=lambda one: str(one["eventTime"]))
        size = 5_000 if layout == "large" else 8
        for number in range(0, len(records), size):
            day = str(records[number]["eventTime"])[:10].replace("-", "/")
            folder = partial / "AWSLogs" / ACCOUNT / "CloudTrail" / REGION / day
            folder.mkdir(parents=True, exist_ok=True)
            name = f"{ACCOUNT}_CloudTrail_{REGION}_{day.replace('/', '')}T2355Z_bench{number:08d}.json.gz"
            content = json.dumps({"Records": records[number : number + size]}, separators=(",", ":"))
            (folder / name).write_bytes(gzip.compress(content.encode(), 6))
        partial.rename(path)
    return path


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--layout", choices=["large", "delivery"], action="append")
    arguments.add_argument("--scale", type=float, default=1.0, help="a fraction of the full archives, for a quick look")
    given = arguments.parse_args()
    DATA.mkdir(exist_ok=True)
    print(f"{available_cores()} cores, Python {sys.version.split()[0]}, {datetime.now(UTC):%Y-%m-%d}")
    print(f"{'the whole program, start-up included':48}{'seconds':>9}{'of the scan':>13}{'alerts':>9}{'peak MB':>9}")
    for layout in given.layout or ["large", "delivery"]:
        events = int(EVENTS[layout] * given.scale)
        for alerts in (10, 100):
            _compare(layout, events, alerts)


def _compare(layout: Layout, events: int, alerts: int) -> None:
    path = archive(layout, events, alerts)
    rule = DATA / "investigate-rule.toml"
    rule.write_text(RULE)
    rules = ["--no-builtin", "--rules", str(rule)]
    scan = [sys.executable, "-m", "keytrail", "scan", str(path), *rules, "-q", "--format", "ndjson"]
    rounds = [(measure([*scan, "--no-investigate"]), measure(scan)) for _ in range(ROUNDS)]
    if any(one.exit_code for pair in rounds for one in pair):
        sys.exit("keytrail scan failed")
    plain = min((one for one, _ in rounds), key=lambda one: one.seconds)
    whole = min((one for _, one in rounds), key=lambda one: one.seconds)
    for name, one in (("scan", plain), ("scan with investigations", whole)):
        print(
            f"{f'{layout}: {name}':48}{one.seconds:9.2f}{one.seconds / plain.seconds:13.2f}{alerts:>9}"
            f"{one.peak_bytes / 1e6:9,.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
