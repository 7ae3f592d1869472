"""The loop: feeds, rules, investigations and messages in their threads, until there is nothing left, or it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from keytrail.errors import StoreError
from keytrail.service.watch.loop import Stop, watch
from keytrail.service.watch.status import last_status
from keytrail.store.state.lease import LeaseLost
from keytrail.store.state.tables import leases
from tests.investigate import records as made
from tests.service.watch.kit import Bench, Refused, ids_of, probes, rule

MakeBench = Callable[..., Bench]

QUICK = {"batch_seconds": 0.01, "retry_seconds": 0.01, "longest_retry_seconds": 0.05}
OWN = made.allow({"AWS": made.root_arn(made.OWNER)})
OPENED = made.put_policy("11:55", made.user(), made.policy(OWN, made.allow({"AWS": made.root_arn(made.OUTSIDE)})))
_PATIENCE_SECONDS = 60


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wants to wait for threads that look again every second."""
    for place in ("loop._TELL_SECONDS", "loop._WAIT_SECONDS", "loop._INVESTIGATE_SECONDS", "inbox._WAIT_SECONDS"):
        monkeypatch.setattr(f"keytrail.service.watch.{place}", 0.02)


def run(bench: Bench, stop: Stop | None = None, *, once: bool = True) -> None:
    """Run the service over the bench's feed."""
    watch(bench.home, lambda: (bench.feed,), bench.sinks, bench.clock, stop or Stop(), once=once)


def test_once_deals_with_all_there_is_and_ends(bench: MakeBench) -> None:
    one = bench(rule("policy", "event.action: PutKeyPolicy"), rule(max_signals=2), watch=QUICK)
    for number in range(5):
        one.feed.put(f"o{number}", probes(f"{number}-a", f"{number}-b"))
    one.feed.put("change", [OPENED])
    run(one)
    assert not one.feed.open
    assert one.alert_ids() == ids_of("policy", [OPENED]) | {id for alert in one.alerts("probe") for id in [alert.id]}
    assert len(one.alerts("probe")) == 10
    assert sorted(one.sink.ids) == sorted(one.alert_ids())
    assert one.alerts("policy")[0].verdict
    assert one.sink.closed == 1
    status = last_status(one.home.database)
    assert status is not None
    assert (status.running, status.head) == (False, 11)
    one.check()
    one.check("policy")


def test_it_runs_until_it_is_told_to_stop(bench: MakeBench) -> None:
    one = bench(rule(), watch=QUICK)
    stop = Stop()
    thread = threading.Thread(target=run, args=(one, stop), kwargs={"once": False})
    thread.start()
    try:
        for number in range(2):
            one.feed.put(f"o{number}", probes(number))
            _until(lambda number=number: len(one.sink.messages) == number + 1)  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
    assert one.sink.alert_ids == [alert.id for alert in one.alerts()]
    run(one)
    assert len(one.sink.messages) == 2


def test_a_lost_lease_ends_it(bench: MakeBench) -> None:
    one = bench(rule(), watch=QUICK)
    one.feed.put("a", probes(1))
    one.sink.fails = [Refused()]

    def taken_over(*_: Any) -> None:
        with one.home.database.write() as connection:
            connection.execute(leases.update().values(epoch=leases.c.epoch + 1))

    one.sink.send = taken_over  # type: ignore[method-assign]
    with pytest.raises(LeaseLost):
        run(one, once=False)


def test_a_state_that_fails_for_a_while_is_tried_again(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    from keytrail.service.watch import ingest

    one = bench(rule(), watch=QUICK)
    add = ingest.add_segment
    failures = [StoreError("the disk is full") for _ in range(3)]

    def full(*arguments: Any, **more: Any) -> Any:
        if failures:
            raise failures.pop()
        return add(*arguments, **more)

    monkeypatch.setattr(ingest, "add_segment", full)
    one.feed.put("a", probes(1, 2))
    run(one)
    assert one.alerted() == ["1", "2"]
    assert len(one.sink.messages) == 2


def test_an_object_that_finds_a_defect_holds_up_no_other(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    from keytrail.service.watch import reading

    one = bench(rule(), watch=QUICK)
    read = reading.read_rows

    def defect(chunks: Any, name: str, limits: Any) -> Any:
        if name == "bad" and one.feed.returned == []:
            raise ZeroDivisionError("a defect")
        return read(chunks, name, limits)

    monkeypatch.setattr(reading, "read_rows", defect)
    for name in ("a", "bad", "c"):
        one.feed.put(name, probes(name))
    run(one)
    assert sorted(one.alerted()) == ["a", "bad", "c"]
    [(name, error)] = one.feed.returned
    assert name == "bad"
    assert "a defect of keytrail: ZeroDivisionError" in str(error)


def _until(true: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(_PATIENCE_SECONDS * 100):
        if true():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come about")
