"""The fixed rule sets that `make bench` runs, and how they were made: `python -m bench.rules` writes them again.

Two files of 1,000 rules each, of which runs take the first N. In each hundred 40 rules name actions that occur in the
simulated archive, 60 actions that do not; the actions that occur make up about 1 % (10 %) of its events. The rules
name provider, action and outcome as the rules of the field do, some with lists, identity types and wildcards.
"""

from __future__ import annotations

import json
import random
import uuid
from pathlib import Path

FOLDER = Path(__file__).parent / "rules"
FILES = {1: FOLDER / "candidates-01-percent.ndjson", 10: FOLDER / "candidates-10-percent.ndjson"}

_OCCURRING_PER_HUNDRED = 40

RESIDUAL = {
    "rule_id": "bench-residual",
    "name": "A rule that no literal narrows",
    "description": "Any event whose request speaks of something that nobody says.",
    "type": "query",
    "severity": "low",
    "risk_score": 1,
    "query": 'aws.cloudtrail.request_parameters: *keytrail-benchmark-never* and not event.outcome: "failure"',
}


def actions(percent: int) -> list[tuple[str, str]]:
    """Actions (name, provider) of the simulation's mix, rarest first, that together are about `percent` of events."""
    from keytrail.simulation import event_mix

    chosen: list[tuple[str, str]] = []
    total = 0.0
    for name, provider, share in sorted(event_mix(), key=lambda one: one[2]):
        if total + share > percent / 100:
            break
        chosen.append((name, provider))
        total += share
    return chosen


def rules(percent: int) -> list[dict[str, object]]:
    """1,000 rules, always the same."""
    chance = random.Random(f"keytrail bench {percent}")
    occurring = actions(percent)
    made = []
    for number in range(1000):
        if number % 100 < _OCCURRING_PER_HUNDRED:
            name, provider = occurring[number % len(occurring)]
        else:
            name, provider = f"Absent{number:04d}Operation", f"absent{number % 90}.amazonaws.com"
        made.append(_rule(percent, number, name, provider, chance))
    return made


def _rule(percent: int, number: int, name: str, provider: str, chance: random.Random) -> dict[str, object]:
    query = f'event.dataset: "aws.cloudtrail" and event.provider: "{provider}" and event.action: '
    query += f'("{name}" or "{name}V2")' if number % 4 == 1 else f'"{name}"'
    query += ' and event.outcome: "failure"'
    if number % 3 == 0:
        query += ' and not aws.cloudtrail.user_identity.type: "AWSService"'
    if number % 5 == 0:
        query += " and source.ip: *"
    if number % 7 == 0:
        query += f" and not user_agent.original: *{chance.choice(['Terraform', 'console', 'Boto3'])}*"
    return {
        "rule_id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "name": f"Benchmark rule {number:04d}: {name} fails",
        "description": "Part of the fixed rule set of keytrail's benchmark.",
        "type": "query",
        "language": "kuery",
        "index": ["logs-aws.cloudtrail-*"],
        "severity": chance.choice(["low", "medium", "high"]),
        "risk_score": chance.choice([21, 47, 73]),
        "enabled": True,
        "query": query,
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for percent, path in FILES.items():
        path.write_text("".join(json.dumps(rule) + "\n" for rule in rules(percent)))
        print(f"{path}: {len(actions(percent))} actions that occur")


if __name__ == "__main__":
    main()
