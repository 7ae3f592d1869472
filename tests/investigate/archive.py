"""A small simulated archive with its ledger, and how it is scanned: every change in it investigated."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from keytrail.fields import INVESTIGATION
from keytrail.service.requests import ScanRequest
from keytrail.service.scan import scan
from keytrail.settings import Settings
from keytrail.simulation import simulate

Json = dict[str, Any]
Told = Mapping[str, Json]

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

    def records(self) -> Iterator[Json]:
        """Every record of the archive, as often as it was delivered."""
        for path in sorted(self.logs.rglob("*.json.gz")):
            if not {"CloudTrail-Digest", "CloudTrail-Insight"} & {*path.parts}:
                yield from json.loads(gzip.decompress(path.read_bytes()))["Records"]


def investigations(alerts: Iterable[Json]) -> Told:
    """The documents of the alerts that have one, by event id."""
    return {alert[INVESTIGATION]["event_id"]: alert[INVESTIGATION] for alert in alerts if INVESTIGATION in alert}


def make_archive(out: Path, layout: Literal["delivery", "large"] = "delivery") -> Archive:
    """Write an archive of 5,000 events into a folder; it is the same story whatever the layout."""
    made = simulate(out / "example", events=5000, seed=7, layout=layout)
    rule = out / "rule.toml"
    rule.write_text(RULE)
    settings = Settings(accounts={"file": made.accounts})  # type: ignore[arg-type]
    return Archive(made.logs, rule, json.loads(made.ledger.read_bytes()), settings)
