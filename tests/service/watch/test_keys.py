"""Looks at keys: made when it is time, told, tried again, and used as evidence."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from keytrail.aws import AwsSettings, client
from keytrail.errors import SourceError
from keytrail.service.watch.clock import Clock
from keytrail.service.watch.drift import RULE_ID
from keytrail.service.watch.keys import Look, last_look
from keytrail.service.watch.loop import watch
from keytrail.service.watch.threads import Stop
from keytrail.store.state.policies import latest_policies, snapshots_of
from tests.investigate import records as made
from tests.service.watch.keys_kit import (
    CLOSED,
    CREATED,
    OPEN,
    WATCH,
    Eyes,
    found,
    later_and_compared,
    later_record,
)
from tests.service.watch.kit import START, Bench, event

MakeBench = Callable[..., Bench]

# -- when keys are looked at ------------------------------------------------------------------------------------------


def test_keys_are_looked_at_every_so_many_hours_whoever_works(bench: MakeBench, eyes: Eyes) -> None:
    one = bench(policies={"every_hours": 6})
    for hours, looks in ((0, 1), (5, 1), (1, 2), (13, 3), (1, 3)):
        one.clock.passes(hours=hours)
        one.restart().look_at_keys("working")
        assert eyes.looks == looks
    one.clock.passes(days=-2)  # a clock that is set back makes nobody wait
    one.service.look_at_keys("working")
    assert eyes.looks == 4


def test_without_hours_keys_are_not_looked_at_and_what_others_found_is_compared(watched: Bench, eyes: Eyes) -> None:
    later_and_compared(watched, OPEN)
    assert eyes.looks == 0
    assert len(watched.alerts()) == 1


def test_a_look_is_told_in_numbers(bench: MakeBench, eyes: Eyes, caplog: pytest.LogCaptureFixture) -> None:
    one = bench(watch=WATCH, policies={"every_hours": 1})
    eyes.problems = ("account 999988887777 was not reached",)
    with caplog.at_level("INFO", "keytrail.watch"):
        one.service.look_at_keys("working")
    look = last_look(one.home.database)
    assert look is not None
    assert (look.keys, look.new, look.problems, look.at) == (1, 1, eyes.problems, START.isoformat())
    said = [(record.getMessage(), record.fields) for record in caplog.records]  # type: ignore[attr-defined]
    assert ("looked at the keys", {"keys": 1, "new": 1}) in said
    assert ("a key could not be looked at as it should", {"problem": eyes.problems[0]}) in said
    registry = one.service.metrics.registry
    names = ("keytrail_keys", "keytrail_policy_snapshots_total", "keytrail_key_problems", "keytrail_keys_drifted")
    assert [registry.get_sample_value(name) for name in names] == [1, 1, 1, 0]


def test_drift_is_counted(bench: MakeBench, eyes: Eyes) -> None:
    one = bench(watch=WATCH, policies={"every_hours": 1})
    one.take("a", [CREATED])
    eyes.shows[made.KEY] = OPEN
    one.service.look_at_keys("working")
    one.clock.passes(hours=2)
    later_record(one)
    one.service.look_at_keys("working")
    look = last_look(one.home.database)
    assert look is not None
    assert (look.drifted, look.unjudged) == (1, 0)
    assert one.service.metrics.registry.get_sample_value("keytrail_keys_drifted") == 1


def test_a_look_that_fails_is_tried_again_and_what_is_known_is_compared(watched: Bench, eyes: Eyes) -> None:
    watched.stop()
    watched.settings = watched.settings.model_copy(
        update={"policies": watched.settings.policies.model_copy(update={"every_hours": 1.0})}
    )
    object.__setattr__(watched.home, "settings", watched.settings)
    watched.run()
    found(watched, OPEN)
    watched.clock.passes(hours=1)
    later_record(watched)
    eyes.fails = [SourceError("no credentials")]
    with pytest.raises(SourceError):
        watched.service.look_at_keys("working")
    assert len(watched.alerts()) == 1
    assert last_look(watched.home.database) is None
    watched.service.look_at_keys("working")
    assert eyes.looks == 2


def test_a_look_is_that_of_policies_snapshot(bench: MakeBench, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With AWS as moto has it; it knows nothing of AWS Config's history of keys."""
    for name, value in (("ACCESS_KEY_ID", "AKIDTESTTESTTEST"), ("SECRET_ACCESS_KEY", "not-a-secret")):
        monkeypatch.setenv(f"AWS_{name}", value)
    aws = {"endpoint_url": endpoint, "region": made.REGION, "max_attempts": 1}
    one = bench(watch=WATCH, aws=aws, policies={"every_hours": 1, "regions": [made.REGION]})
    kms = client("kms", AwsSettings(region=made.REGION, endpoint_url=endpoint))
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    recorded = {
        "configurationItemCaptureTime": START - timedelta(days=1),
        "supplementaryConfiguration": {"Policy": json.dumps(CLOSED)},
    }
    monkeypatch.setattr("keytrail.respond.config_history._items", lambda *_: ([recorded], True))
    one.service.look_at_keys("working")
    look = last_look(one.home.database)
    assert look is not None
    assert look.keys >= 1
    with one.home.database.read() as connection:
        assert [found.source for found in snapshots_of(connection, arn)] == ["config", "kms"]
    kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=json.dumps(OPEN))
    one.clock.passes(hours=1)
    one.service.look_at_keys("working")
    look = last_look(one.home.database)
    assert look is not None
    assert look.new == 1


def test_a_look_is_broken_off_when_the_service_is_to_end_and_made_again(
    bench: MakeBench, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ACCESS_KEY_ID", "AKIDTESTTESTTEST"), ("SECRET_ACCESS_KEY", "not-a-secret")):
        monkeypatch.setenv(f"AWS_{name}", value)
    aws = {"endpoint_url": endpoint, "region": made.REGION, "max_attempts": 1}
    one = bench(watch=WATCH, aws=aws, policies={"every_hours": 1, "regions": [made.REGION], "config_history": False})
    client("kms", AwsSettings(region=made.REGION, endpoint_url=endpoint)).create_key()
    one.service.look_at_keys("working", lambda: True)
    assert last_look(one.home.database) is None
    one.service.look_at_keys("working", lambda: False)
    assert last_look(one.home.database) is not None


# -- in the loop ------------------------------------------------------------------------------------------------------

QUICK = {"batch_seconds": 0.01, "retry_seconds": 0.01, "longest_retry_seconds": 0.05}


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wants to wait for threads that look again every second."""
    for place in ("loop._TELL_SECONDS", "loop._WAIT_SECONDS", "loop._INVESTIGATE_SECONDS", "inbox._WAIT_SECONDS"):
        monkeypatch.setattr(f"keytrail.service.watch.{place}", 0.02)


def run(bench: Bench, stop: Stop | None = None, *, once: bool = True) -> None:
    watch(bench.home, lambda: (bench.feed,), bench.sinks, bench.clock, stop or Stop(), once=once)


@pytest.mark.usefixtures("_quick")
def test_once_keys_are_looked_at_if_due_when_all_is_taken_in(bench: MakeBench, eyes: Eyes) -> None:
    one = bench(watch=WATCH | QUICK, policies={"every_hours": 24})
    one.feed.put("a", [CREATED])
    run(one)
    assert eyes.looks == 1
    one.clock.passes(hours=2)
    run(one)
    assert eyes.looks == 1
    one.clock.passes(hours=23)
    eyes.shows[made.KEY] = OPEN
    run(one)
    one.clock.passes(hours=1)
    one.feed.put("b", [event("later", minutes=26 * 60)])
    run(one)
    [alert] = one.alerts()
    assert alert.rule_id == RULE_ID
    assert one.sink.alert_ids == [alert.id]


@pytest.mark.usefixtures("_quick")
def test_once_a_look_that_fails_is_told_and_ends_nothing(
    bench: MakeBench, eyes: Eyes, caplog: pytest.LogCaptureFixture
) -> None:
    one = bench(watch=WATCH | QUICK, policies={"every_hours": 24})
    one.feed.put("a", [made.put_policy("11:55", made.user(), OPEN)])
    eyes.fails = [SourceError("no credentials")]
    run(one)
    assert len(one.sink.messages) == 1
    assert {"part": "keys", "error": "no credentials"}.items() <= caplog.records[-1].fields.items() or any(  # type: ignore[attr-defined]
        getattr(record, "fields", {}).get("error") == "no credentials" for record in caplog.records
    )


@pytest.mark.usefixtures("_quick")
def test_a_look_that_takes_long_holds_up_no_detection(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench(watch=WATCH | QUICK, policies={"every_hours": 24})
    stop, looking, go_on = Stop(), threading.Event(), threading.Event()

    def slow(_: object, clock: Clock, __: object) -> Look:
        looking.set()
        assert go_on.wait(60)
        return Look(clock().isoformat(), 0, 0)

    monkeypatch.setattr("keytrail.service.watch.keys.look_at_keys", slow)
    thread = threading.Thread(target=run, args=(one, stop), kwargs={"once": False})
    thread.start()
    try:
        assert looking.wait(60)
        sent, send = threading.Event(), one.sink.send

        def noting(*arguments: Any) -> None:
            send(*arguments)
            sent.set()

        one.sink.send = noting  # type: ignore[assignment, method-assign]
        one.feed.put("a", [made.put_policy("11:55", made.user(), OPEN)])
        assert sent.wait(60)
    finally:
        stop.set()
        go_on.set()
        thread.join()
    assert last_look(one.home.database) is not None


# -- as evidence ------------------------------------------------------------------------------------------------------


def test_an_investigation_knows_what_keys_were_found_with(bench: MakeBench) -> None:
    one = bench(watch=WATCH)
    one.clock.passes(minutes=-20)
    found(one, CLOSED)
    found(one, OPEN, key=made.KEY[:-1] + "9")
    one.clock.passes(minutes=20)
    one.take("a", [event("first", minutes=-120), made.put_policy("11:55", made.user(), OPEN)])
    # What it is found with later is no evidence of what it had before.
    found(one, OPEN)
    one.look()
    [revision] = one.revisions(str(made.put_policy("11:55", made.user(), OPEN)["eventID"]))
    before = revision.document["before"]
    assert isinstance(before, dict)
    assert before["document"] == CLOSED
    assert before["source"]["place"] == "the snapshot of 2026-03-02 11:40:00 UTC"
    with one.home.database.read() as connection:
        assert len(latest_policies(connection)) == 2
