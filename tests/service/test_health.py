"""The health of the service: what is judged from what was seen, and that what is seen is what the state holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from keytrail.service.health import Bounds, Finding, Health, health_of
from keytrail.service.health_state import (
    SILENT_SECONDS,
    Holder,
    Room,
    RuleProgress,
    Seen,
    SinkProgress,
    behind,
    heard_from,
    look,
)
from keytrail.service.installation import Installation, installation
from keytrail.service.watch.keys import Look
from keytrail.service.watch.status import FeedLine, Status, TroubleLine, put_status
from keytrail.settings import Settings
from keytrail.store.state.alerts import add_alerts
from keytrail.store.state.cases import open_cases
from keytrail.store.state.catalog import add_segment
from keytrail.store.state.lease import acquire
from keytrail.store.state.migrate import newest
from keytrail.store.state.objects import DamagedObject, set_damage
from keytrail.store.state.outbox import Letter, cross_off, post, put_off, waiting
from keytrail.store.state.rule_states import RuleState, put_state
from tests.store.state.made import HOSTILE, NOW, alert, case, segment_file

MINUTE = timedelta(minutes=1)
BOUNDS = Bounds(lag_seconds=900, digest_seconds=600, sinks=frozenset({"ops"}))
FEED = FeedLine("s3://trail", None, "", None, 4.0, None, 0, ())
STATUS = Status(
    at=NOW.isoformat(),
    started_at=(NOW - timedelta(hours=3)).isoformat(),
    running=True,
    holder="keytrail on host, process 7",
    head=100,
    feeds=(FEED,),
    rules=(),
    sinks=(),
    troubles=(),
    rule_errors=(),
)
FULL = TroubleLine("take in", "the disk is full", "Make room.", (NOW - MINUTE * 5).isoformat())
RULE = RuleState("rule-1", "Key opened", "f" * 64, cursor=100, last_run=NOW, status="succeeded")
WELL = Seen(
    database="sqlite:////lake/state.db",
    version="0001",
    status=STATUS,
    holder=Holder(STATUS.holder, NOW - timedelta(seconds=4), released=False),
    rules=(RuleProgress(RULE, 0, None),),
    sinks=(SinkProgress("ops", 0, None, 0, ""),),
    due_at=NOW + MINUTE,
    damaged=(),
    segments=3,
    records=100,
    stored_bytes=1_000,
    rooms=(Room(Path("/lake"), 50 * 1024**3),),
)


def judged(seen: Seen, bounds: Bounds = BOUNDS) -> Health:
    return health_of(seen, bounds, NOW)


def test_looks_at_keys_that_are_not_made_or_see_too_little_are_a_warning() -> None:
    daily = replace(BOUNDS, look_hours=24)
    at = NOW - timedelta(hours=5)
    seen = replace(WELL, look=Look(at.isoformat(), keys=12, new=0))
    assert judged(seen, daily).findings == ()
    # Two hours are over twice the time that should be between looks, and none was made.
    assert "were not looked at since" in only(seen, replace(BOUNDS, look_hours=2)).what
    assert "not looked at yet" in only(WELL, replace(BOUNDS, look_hours=1)).what
    assert judged(WELL).findings == ()
    found = only(replace(WELL, look=Look(at.isoformat(), 12, 0, problems=("account 1 was denied", "b"))), daily)
    assert (found.severity, found.kind) == ("warning", "keys")
    assert "2 problems" in found.what
    assert "account 1 was denied" in found.what
    # A look that fails is told as such, once.
    failing = replace(STATUS, troubles=(replace(FULL, part="keys"),))
    assert "fails to look at keys" in only(replace(seen, status=failing), replace(BOUNDS, look_hours=1)).what
    assert judged(seen).to_dict()["keys"] == {
        "at": at.isoformat(), "keys": 12, "new": 0, "problems": (), "drifted": 0, "unjudged": 0,
    }  # fmt: skip


def only(seen: Seen, bounds: Bounds = BOUNDS) -> Finding:
    """The one finding that there is; all of them advise something."""
    [found] = judged(seen, bounds).findings
    assert found.what
    assert found.advice
    return found


def of_feed(**changes: object) -> Seen:
    return replace(WELL, status=replace(STATUS, feeds=(replace(FEED, **changes),)))  # type: ignore[arg-type]


def of_rule(behind: int = 0, since: timedelta | None = None, **changes: object) -> Seen:
    state = replace(RULE, **changes)  # type: ignore[arg-type]
    return replace(WELL, rules=(RuleProgress(state, behind, None if since is None else NOW - since),))


# -- judging ----------------------------------------------------------------------------------------------------------


def test_a_service_that_does_its_work_is_well() -> None:
    health = judged(WELL)
    assert (health.well, health.running, health.findings) == (True, True, ())


HELD = WELL.holder
assert HELD is not None


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (replace(WELL, holder=None, status=None), "no service has run"),
        (replace(WELL, holder=replace(HELD, released=True)), "no service is running"),
        (
            replace(WELL, holder=replace(HELD, heard_at=NOW - timedelta(seconds=SILENT_SECONDS + 1))),
            "nothing was heard",
        ),
        # The clock of this machine, or of the other one, was set: a time to come is no sign of life.
        (replace(WELL, holder=replace(HELD, heard_at=NOW + timedelta(hours=1))), "nothing was heard"),
        (replace(WELL, status=None), "no service has told how it is"),
        (replace(WELL, status=replace(STATUS, at=(NOW - timedelta(hours=1)).isoformat())), "no service has told"),
    ],
)
def test_a_service_that_is_not_at_work_is_the_only_news(seen: Seen, said: str) -> None:
    # What it would have to catch up with follows from it.
    seen = replace(seen, rules=(RuleProgress(RULE, 9, NOW - timedelta(days=1)),), due_at=NOW - timedelta(days=1))
    found = only(seen)
    assert (found.severity, found.kind) == ("error", "service")
    assert said in found.what
    health = judged(seen)
    assert (health.well, health.running) == (False, False)


@pytest.mark.parametrize(
    ("seen", "severity", "kind", "said"),
    [
        (of_feed(problem="AWS denies s3:ListBucket", advice="allow it"), "error", "feed", "AWS denies"),
        (of_feed(problem="cut", since=(NOW - 2 * MINUTE).isoformat()), "error", "feed", "cut (since 2026-03-01 07:58"),
        (of_feed(problem="cut", since=(NOW - timedelta(seconds=30)).isoformat()), "warning", "feed", "cut"),
        (of_feed(lag_seconds=901.0), "error", "feed lag", "15 minutes behind"),
        (replace(WELL, status=replace(STATUS, troubles=(FULL,))), "error", "failing", "take in records: the disk"),
        (
            replace(WELL, status=replace(STATUS, troubles=(replace(FULL, since=NOW.isoformat()),))),
            "warning",
            "failing",
            "take in records",
        ),
        (of_feed(set_aside=2, notes=("set aside: x: broken", "other")), "warning", "set aside", "2 deliveries"),
        (of_rule(9, timedelta(minutes=16)), "error", "rule lag", "1 rule behind, 'Key opened' by 9 records"),
        (of_rule(9, timedelta(hours=1), status="failed", message="boom"), "error", "rule", "'Key opened' fails: boom"),
        (of_rule(status="warning", message="101 matches"), "warning", "rule", "101 matches"),
        (
            replace(WELL, status=replace(STATUS, rule_errors=("a.toml:3: no such field", "b"))),
            "error", "rule file", "2 rules cannot be read, and so not run: a.toml:3",
        ),
        (replace(WELL, due_at=NOW - timedelta(minutes=16)), "error", "investigation lag", "due since 2026-03-01 07:44"),
        (
            replace(WELL, sinks=(SinkProgress("ops", 3, NOW - timedelta(minutes=21), 0, "it answers 500"),)),
            "error", "sink", "3 messages for ops since 2026-03-01 07:39:12 UTC: it answers 500",
        ),
        (replace(WELL, sinks=(SinkProgress("old", 1, NOW, 0, ""),)), "warning", "unknown sink", "1 message for old"),
        (replace(WELL, sinks=(SinkProgress("ops", 0, None, 2, "no"),)), "warning", "refused", "refused 2 messages"),
        (replace(WELL, damaged=(("s3://b/k", "cut off"), ("x", "y"))), "warning", "damage", "2 objects"),
        (replace(WELL, rooms=(Room(Path("/lake"), 2 * 1024**3),)), "warning", "disk", "2.1 GB left"),
        (replace(WELL, rooms=(Room(Path("/lake"), 1024**3 - 1),)), "error", "disk", "1.1 GB left"),
        (replace(WELL, rooms=(Room(Path("/lake"), None),)), "warning", "disk", "cannot be looked into"),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_is_told(seen: Seen, severity: str, kind: str, said: str) -> None:
    found = only(seen)
    assert (found.severity, found.kind) == (severity, kind)
    assert said in found.what
    assert judged(seen).well is (severity == "warning")


@pytest.mark.parametrize(
    "seen",
    [
        of_feed(lag_seconds=899.0),
        of_feed(lag_seconds=None),
        of_rule(1_000_000, timedelta(minutes=14)),
        replace(WELL, due_at=None),
        replace(WELL, due_at=NOW - timedelta(minutes=14)),
        # Waiting for the next digest.
        replace(WELL, sinks=(SinkProgress("ops", 300, NOW - timedelta(minutes=19), 0, ""),)),
    ],
)
def test_what_is_within_its_bounds_is_no_finding(seen: Seen) -> None:
    assert judged(seen).findings == ()


def test_rules_that_wait_for_their_interval_are_not_late() -> None:
    assert judged(of_rule(9, timedelta(hours=3)), replace(BOUNDS, eager=False)).findings == ()


def test_errors_come_first_and_many_failing_rules_are_counted() -> None:
    failing = tuple(
        RuleProgress(replace(RULE, rule_id=f"r{n}", name=f"R{n}", status="failed", message="boom"), 0, None)
        for n in range(7)
    )
    found = judged(replace(WELL, rules=failing, damaged=(("a", "b"),), rooms=(Room(Path("/lake"), 0),))).findings
    assert [one.severity for one in found] == ["error"] * 7 + ["warning"]
    assert [one.kind for one in found] == ["rule"] * 6 + ["disk", "damage"]
    assert found[5].what == "2 more rules failing"


# -- seeing -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Installation]:
    settings = Settings.model_validate({"lake": {"folder": tmp_path / "lake"}})
    with installation(settings, set_up=True) as made:
        yield made


def test_a_new_state_is_seen_as_one(home: Installation) -> None:
    seen = look(home, NOW)
    assert (seen.status, seen.holder, seen.rules, seen.sinks, seen.damaged, seen.due_at) == (
        None,
        None,
        (),
        (),
        (),
        None,
    )
    assert (seen.segments, seen.records, seen.version) == (0, 0, newest())
    [room] = seen.rooms
    assert room.folder == home.folder
    assert room.free_bytes
    assert health_of(seen, BOUNDS, NOW).well is False


def test_what_is_seen_is_what_the_state_holds(home: Installation) -> None:
    lease = acquire(home.database, STATUS.holder, NOW - MINUTE)
    with home.database.write() as connection:
        put_status(connection, STATUS)
        add_segment(connection, segment_file(1, 10), ingested=NOW - timedelta(hours=2))
        add_segment(connection, segment_file(2, 5), ingested=NOW - timedelta(hours=1), history=True)
        add_segment(connection, segment_file(3, 20), ingested=NOW)
        put_state(connection, replace(RULE, cursor=4))
        put_state(connection, replace(RULE, rule_id="rule-2", cursor=12, name=HOSTILE))
        put_state(connection, replace(RULE, rule_id="rule-3", running=False))
        add_alerts(connection, [alert(1)], NOW)
        sinks = ("ops", "ops", "ops", "siem")
        letters = [Letter(sink, f"m{n}", alert(1).id, "new", NOW) for n, sink in enumerate(sinks)]
        for n, letter in enumerate(letters):
            post(connection, [letter], NOW - n * MINUTE)
        first, second, _ = waiting(connection, "ops", NOW, 10)
        cross_off(connection, [first], "refused", NOW - timedelta(days=2), "long ago")
        cross_off(connection, [second], "refused", NOW - timedelta(hours=1), HOSTILE)
        put_off(connection, waiting(connection, "siem", NOW, 10), NOW + MINUTE, "it answers 503")
        open_cases(connection, [case(1, due_at=NOW - MINUTE)])
        set_damage(connection, {"s3://b/k": DamagedObject("cut off")}, NOW)
    lease.renew(home.database, NOW)
    seen = look(home, NOW)
    assert (seen.status, seen.holder) == (STATUS, Holder(STATUS.holder, NOW, released=False))
    assert [(one.state.rule_id, one.behind, one.since) for one in seen.rules] == [
        ("rule-1", 26, NOW - timedelta(hours=2)),
        ("rule-2", 20, NOW),  # what lies between is history
    ]
    ops, siem = seen.sinks
    assert (ops.name, ops.waiting, ops.oldest, ops.refused) == ("ops", 1, NOW - 2 * MINUTE, 1)
    assert (siem.name, siem.waiting, siem.oldest, siem.refused) == ("siem", 1, NOW - 3 * MINUTE, 0)
    assert siem.message == "it answers 503"
    assert (seen.due_at, seen.damaged) == (NOW - MINUTE, (("s3://b/k", "cut off"),))
    assert (seen.segments, seen.records, seen.stored_bytes) == (3, 35, 3500)
    lease.release(home.database)
    after = look(home, NOW).holder
    assert after is not None
    assert after.released


def test_a_rule_is_behind_by_what_it_has_to_examine(home: Installation) -> None:
    with home.database.write() as connection:
        for n, ingested in enumerate((NOW, NOW + MINUTE)):
            add_segment(connection, segment_file(n, 10), ingested=ingested)
    arrived = home.catalog.arrived()
    assert [behind(cursor, arrived) for cursor in (0, 9, 10, 20, 25)] == [
        (20, NOW), (11, NOW), (10, NOW + MINUTE), (0, None), (0, None),
    ]  # fmt: skip


def test_a_service_is_heard_from_while_it_renews_its_lease(home: Installation, tmp_path: Path) -> None:
    assert not heard_from(home.database, NOW)
    acquire(home.database, "a service", NOW)
    assert heard_from(home.database, NOW + MINUTE)
    assert not heard_from(home.database, NOW + timedelta(seconds=SILENT_SECONDS + 1))
    # A database that cannot be read is not mended by starting the service anew.
    path = home.database.path
    assert path is not None
    home.database.close()
    for file in path.parent.glob("state.db*"):
        file.unlink()
    path.mkdir()
    assert heard_from(home.database, NOW + timedelta(days=1))
