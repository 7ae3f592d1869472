"""What the tests of looks at keys and of drift share: a key, its policies, and what was found of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from keytrail.cloudtrail import Json
from keytrail.service.installation import Installation
from keytrail.service.watch.clock import Clock
from keytrail.service.watch.keys import Look
from keytrail.store.state.policies import put_snapshot
from tests.investigate import records as made
from tests.service.watch.kit import START, Bench, event

OWN = made.allow({"AWS": made.root_arn(made.OWNER)})
STRANGER = made.root_arn(made.OUTSIDE)
EVE = made.role_arn("Eve")
OPEN = made.policy(OWN, made.allow(made.root_arn(made.OUTSIDE)))
CLOSED = made.policy(OWN)
CREATED = made.create_key("11:00", made.user(), CLOSED)
WATCH = {"builtin": True, "rules": []}


def found(bench: Bench, document: Json, *, key: str = made.KEY) -> None:
    """Let a look have found a key with a policy, now."""
    _, _, _, region, account, _ = key.split(":")
    with bench.home.database.write() as connection:
        put_snapshot(
            connection, key_arn=key, account=account, region=region, source="kms",
            texts={"default": json.dumps(document)}, facts={}, at=bench.clock(),
        )  # fmt: skip


def later_record(bench: Bench, **more: Any) -> None:
    """Take in a record of this very time, which nothing matches."""
    minutes = (bench.clock() - START).total_seconds() / 60
    bench.take(f"at {bench.clock()}", [event(f"at {bench.clock()}", minutes=minutes, **more)])


def later_and_compared(bench: Bench, document: Json) -> None:
    bench.service.run_rules()
    bench.clock.passes(hours=1)
    found(bench, document)
    bench.clock.passes(hours=1)
    later_record(bench)
    bench.service.look_at_keys("working")


@dataclass
class Eyes:
    """Looks at keys in place of AWS: `shows` what there is, and counts."""

    shows: dict[str, Json] = field(default_factory=dict)
    fails: list[Exception] = field(default_factory=list)
    problems: tuple[str, ...] = ()
    looks: int = 0

    def __call__(self, home: Installation, clock: Clock, _: object) -> Look:
        self.looks += 1
        if self.fails:
            raise self.fails.pop(0)
        with home.database.write() as connection:
            new = [
                put_snapshot(
                    connection, key_arn=key, account=made.OWNER, region=made.REGION, source="kms",
                    texts={"default": json.dumps(document)}, facts={}, at=clock(),
                )
                for key, document in self.shows.items()
            ]  # fmt: skip
        return Look(clock().isoformat(), len(new), sum(new), self.problems)
