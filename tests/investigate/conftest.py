"""The story of a small simulated archive, told by a scan of it: made once for all tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from keytrail.service.investigate import FIELD
from keytrail.service.requests import ScanRequest
from keytrail.service.scan import scan
from keytrail.settings import Settings
from keytrail.simulation import simulate

Json = dict[str, Any]

RULE = """
[rule]
rule_id = "0d5f0c0a-6f0e-4b0f-9a58-2f2f5b6a7c11"
name = "A key got a policy"
description = "Every event that gives a key a policy: a rule of a team's own, investigated like the built-in one."
risk_score = 21
severity = "low"
type = "query"
language = "kuery"
query = '''
event.provider: kms.amazonaws.com and event.outcome: success and
event.action: (PutKeyPolicy or CreateKey or ReplicateKey)
'''
"""


@dataclass(frozen=True)
class Archive:
    """An archive on disk, the ledger of what was planted in it, and how to scan it."""

    logs: Path
    rule: Path
    ledger: Json
    settings: Settings

    def scan(self, *, jobs: int, builtin: bool = False) -> Iterator[Json]:
        """The alerts of the rule for every change, or of the built-in rules."""
        rules = () if builtin else (str(self.rule),)
        request = ScanRequest((str(self.logs),), rule_paths=rules, builtin=builtin, jobs=jobs, settings=self.settings)
        result = scan(request)
        assert not result.errors
        assert not result.failures
        yield from result.alerts


def investigations(alerts: Iterator[Json]) -> Mapping[str, Json]:
    """The documents of the alerts that have one, by event id."""
    return {alert[FIELD]["event_id"]: alert[FIELD] for alert in alerts if FIELD in alert}


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    out = tmp_path_factory.mktemp("archive")
    made = simulate(out / "example", events=5000, seed=7)
    ledger: Json = json.loads(made.ledger.read_bytes())
    rule, accounts = out / "rule.toml", out / "accounts.toml"
    rule.write_text(RULE)
    accounts.write_text(_accounts(ledger["organisation"]))
    return Archive(made.logs, rule, ledger, Settings(accounts={"file": accounts}))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def told(archive: Archive) -> Mapping[str, Json]:
    """The investigation of every change in the archive, by event id, as a scan finds it."""
    return investigations(archive.scan(jobs=1))


def _accounts(organisation: Json) -> str:
    """accounts.toml with what the ledger says."""
    lines = [f'organisation = "{organisation["id"]}"', "[accounts]"]
    lines += [f'{account} = "{name}"' for account, name in organisation["accounts"].items()]
    for one in organisation["approved_accounts"]:
        assert datetime.fromisoformat(one["expires"]).tzinfo is not None
        lines += ["[[approved]]", f'account = "{one["account"]}"', f'reason = "{one["reason"]}"']
        lines.append(f"expires = {one['expires']}")
    return "\n".join(lines)
