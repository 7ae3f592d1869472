"""What arrives: records with keys being opened among them, and the plan of how their objects come to the feeds."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from keytrail.cloudtrail import Json
from tests.investigate import records as made

# Few alerts at a time, so that most of them wait for a later execution.
RULES: tuple[Json, ...] = tuple(
    {
        "rule_id": id,
        "name": f"Chaos: {id}",
        "description": "For the chaos program.",
        "type": "query",
        "language": "kuery",
        "query": query,
        "severity": "high",
        "risk_score": 73,
        "enabled": True,
        "max_signals": most,
    }
    for id, query, most in (
        ("policies", "event.provider: kms.amazonaws.com and event.action: (PutKeyPolicy or CreateKey)", 2),
        ("probes", "event.action: Probe", 3),
        ("errors", "aws.cloudtrail.error_code: AccessDenied", 100),
    )
)

_OWN = made.allow({"AWS": made.root_arn(made.OWNER)})
_OTHERS = ("Guard", "Eve", "Batch")


@dataclass(frozen=True)
class Arrival:
    """An object as it comes: at once, or first its beginning and the rest later; `again` is one that came before."""

    name: str
    data: bytes
    how: Literal["whole", "slowly", "cut"] = "whole"


def records(chance: random.Random, count: int) -> list[Json]:
    """Records of a day, by time."""
    found: list[Json] = []
    keys = [f"{made.KEY[:-2]}{number:02}" for number in range(3)]
    for key in keys:
        found.append(made.create_key("00:01", made.user(), made.policy(_OWN), key=key))
    for number in range(count - len(keys)):
        minute = 2 + number * (23 * 60) // count
        when = f"{minute // 60:02}:{minute % 60:02}:{number % 60:02}"
        key = chance.choice(keys)
        kind = chance.random()
        id = f"{chance.getrandbits(64):016x}-{number}"
        if kind < 0.03:
            gained = made.allow({"AWS": made.role_arn(chance.choice(_OTHERS))}, "kms:Decrypt")
            found.append(made.put_policy(when, made.user(), made.policy(_OWN, gained), key=key, eventID=id))
        elif kind < 0.15:
            found.append(made.use(when, made.session(chance.choice(_OTHERS)), key=key, eventID=id))
        elif kind < 0.25:
            found.append(made.record("s3:Probe", when, made.user("mallory"), eventID=id))
        elif kind < 0.35:
            found.append(made.refused(made.record("s3:ListBuckets", when, made.user("bob"), eventID=id)))
        else:
            found.append(made.record("s3:GetObject", when, made.user("carol"), eventID=id))
    return found


def stored(some: Sequence[Json]) -> bytes:
    """Records as CloudTrail stores them."""
    return gzip.compress(json.dumps({"Records": list(some)}).encode(), compresslevel=1, mtime=0)


def arrivals(chance: random.Random, every: Sequence[Json]) -> Iterator[Arrival]:
    """Objects with all records, most of them in order; some late, some twice, some with records of others."""
    objects: list[list[Json]] = []
    at = 0
    while at < len(every):
        size = chance.randint(1, 12)
        objects.append(list(every[at : at + size]))
        at += size
    for place in range(0, len(objects) - 1, 5):
        other = chance.randrange(len(objects))
        objects[place], objects[other] = objects[other], objects[place]
    past: list[Arrival] = []
    for number, some in enumerate(objects):
        if past and chance.random() < 0.2:
            some = some + chance.sample(every[: max(at // 2, 1)], k=min(3, at // 2))
        how: Literal["whole", "slowly", "cut"] = "whole"
        if (dice := chance.random()) < 0.15:
            how = "slowly" if dice < 0.07 else "cut"
        one = Arrival(f"object-{number:05}.json.gz", stored(some), how)
        yield one
        past.append(one)
        if chance.random() < 0.15:
            yield Arrival(f"again-{number:05}.json.gz", chance.choice(past).data)
