"""Many objects in many processes: the same results in the same order, whatever dies on the way."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keytrail.errors import ObjectError, QuerySyntaxError, SourceError
from keytrail.search import Crew, Pattern, Plan, Pool, Result, Sizes, run, workers
from keytrail.sources import Skipped, SourceObject, TimeWindow

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(name: str, number: int) -> dict[str, object]:
    return {"eventName": name, "eventID": f"{name}-{number}", "eventTime": "2026-01-01T00:00:00Z", "awsRegion": "r"}


@dataclass
class Numbered:
    """A source of `count` objects with one matching event each; some objects do what attackers and disks do."""

    count: int
    deadly: frozenset[str] = frozenset()
    unreachable: frozenset[str] = frozenset()
    label: str = "numbered"
    parallel: bool = True
    read_ahead: int = 1
    fails_after: int | None = None
    slow_listing: float = 0.0
    problems: list[ObjectError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: Skipped = field(default_factory=Skipped)
    parent: int = field(default_factory=os.getpid)

    def objects(self, window: TimeWindow) -> Iterator[SourceObject]:
        for number in range(self.count):
            if number == self.fails_after:
                raise SourceError("the listing stops here")
            time.sleep(self.slow_listing)
            yield SourceObject(str(number), 100)

    def read(self, key: str) -> Iterator[bytes]:
        if key in self.deadly and os.getpid() != self.parent:
            os._exit(1)
        if key in self.unreachable:
            raise SourceError(f"cannot reach {key}")
        yield json.dumps({"Records": [record("Hit", int(key)), record("Miss", int(key))]}).encode()

    def name(self, key: str) -> str:
        return f"numbered/{key}"


def plan(*sources: Numbered) -> Plan:
    return Plan(patterns=(Pattern("p", "event.action: Hit"),), now=NOW, sources=sources)


def ids(results: list[Result]) -> list[str]:
    return [json.loads(match.document)["event"]["id"] for result in results for match in result.matches]


SMALL = Sizes(jobs=2, batch_objects=3)


def pooled(one: Plan) -> list[Result]:
    with Pool(one, 2) as pool:
        return list(run(one, SMALL, pool))


def test_processes_give_what_one_process_gives_in_the_same_order() -> None:
    alone = list(run(plan(Numbered(20)), Sizes(jobs=1)))
    many = pooled(plan(Numbered(20)))
    assert ids(many) == ids(alone) == [f"Hit-{n}" for n in range(20)]
    assert sum(r.counts.objects for r in many) == 20


def test_the_object_that_kills_its_worker_is_named_and_all_others_are_read() -> None:
    results = pooled(plan(Numbered(20, deadly=frozenset({"7", "13"}))))
    assert ids(results) == [f"Hit-{n}" for n in range(20) if n not in (7, 13)]
    errors = [error for result in results for error in result.errors]
    assert [error.place.file for error in errors if error.place] == ["numbered/7", "numbered/13"]
    assert sum(r.counts.objects for r in results) == 20


def test_workers_that_die_between_two_batches_are_replaced() -> None:
    one = plan(Numbered(20))
    with Pool(one, 2) as pool:
        pool.ready()
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
        assert ids(list(run(one, SMALL, pool))) == [f"Hit-{n}" for n in range(20)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_defect_costs_one_object_and_is_told(jobs: int) -> None:
    class Broken(Numbered):
        def read(self, key: str) -> Iterator[bytes]:
            yield from super().read(key)
            if key == "3":
                raise ZeroDivisionError("by zero")

    results = list(run(plan(Broken(6)), Sizes(jobs=jobs)))
    assert ids(results) == [f"Hit-{n}" for n in range(6) if n != 3]
    errors = [error for result in results for error in result.errors]
    assert ["ZeroDivisionError: by zero" in str(error) for error in errors] == [True]


def test_a_source_that_fails_does_not_stop_the_others() -> None:
    broken = Numbered(9, fails_after=4)
    results = pooled(plan(broken, Numbered(3)))
    assert ids(results) == ["Hit-0", "Hit-1", "Hit-2", "Hit-3", "Hit-0", "Hit-1", "Hit-2"]
    assert [str(result.failure) for result in results if result.failure] == ["the listing stops here"]


@pytest.mark.parametrize("how", [pooled, lambda one: list(run(one, Sizes(jobs=1)))])
def test_an_object_that_cannot_be_reached_is_a_failure_and_the_rest_goes_on(
    how: Callable[[Plan], list[Result]],
) -> None:
    results = how(plan(Numbered(9, unreachable=frozenset({"4"}))))
    assert ids(results) == [f"Hit-{n}" for n in range(9) if n != 4]
    assert [str(result.failure) for result in results if result.failure] == ["cannot reach 4"]


def test_what_one_process_alone_can_read_is_read_by_that_one() -> None:
    every = frozenset(map(str, range(9)))
    results = pooled(plan(Numbered(9, parallel=False, deadly=every), Numbered(6)))
    assert ids(results) == [f"Hit-{n}" for n in (*range(9), *range(6))]


def test_fetching_ahead_keeps_objects_and_their_failures_apart() -> None:
    results = pooled(plan(Numbered(20, read_ahead=4, unreachable=frozenset({"4"}))))
    assert ids(results) == [f"Hit-{n}" for n in range(20) if n != 4]
    assert [str(result.failure) for result in results if result.failure] == ["cannot reach 4"]


def test_a_pool_can_serve_several_runs() -> None:
    one = plan(Numbered(4))
    with Pool(one, 2) as pool:
        pool.ready()
        assert ids(list(run(one, SMALL, pool))) == ids(list(run(one, SMALL, pool)))


def test_a_crew_serves_other_plans_and_replaces_who_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_ALONE_SECONDS", 0.0)
    misses = replace(plan(Numbered(20)), patterns=(Pattern("p", "event.action: Miss"),))
    with Crew() as crew:
        assert crew.pool(misses) is None
        crew.start(plan(Numbered(1)), 2).ready()
        first = multiprocessing.active_children()
        assert ids(list(run(plan(Numbered(20)), SMALL, crew=crew))) == [f"Hit-{n}" for n in range(20)]
        assert ids(list(run(misses, SMALL, crew=crew))) == [f"Miss-{n}" for n in range(20)]
        assert multiprocessing.active_children() == first
        for child in first:
            child.kill()
            child.join()
        assert ids(list(run(misses, SMALL, crew=crew))) == [f"Miss-{n}" for n in range(20)]


def test_a_run_that_was_left_does_not_keep_a_crew_from_the_next_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_ALONE_SECONDS", 0.0)
    misses = replace(plan(Numbered(20)), patterns=(Pattern("p", "event.action: Miss"),))
    with Crew() as crew:
        crew.start(plan(Numbered(1)), 2).ready()
        for _ in range(2):
            left = run(plan(Numbered(500)), Sizes(jobs=2, batch_objects=50), crew=crew)
            next(left)
            left.close()  # type: ignore[attr-defined]
            assert ids(list(run(misses, SMALL, crew=crew))) == [f"Miss-{n}" for n in range(20)]


def test_a_query_that_does_not_compile_is_told_before_anything_is_read() -> None:
    bad = Plan(patterns=(Pattern("p", "event.action: ("),), now=NOW, sources=(Numbered(1, deadly=frozenset({"0"})),))
    with pytest.raises(QuerySyntaxError):
        next(iter(run(bad, SMALL)))


@pytest.mark.parametrize("alone", [0.0, 0.02, 60.0])
def test_a_run_that_grows_from_one_process_to_several_loses_nothing(
    alone: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_ALONE_SECONDS", alone)
    results = list(run(plan(Numbered(1500, slow_listing=0.001)), SMALL))
    assert ids(results) == [f"Hit-{n}" for n in range(1500)]


def test_leaving_early_stops_the_workers() -> None:
    one = plan(Numbered(500))
    with Pool(one, 2) as pool:
        results = run(one, SMALL, pool)
        next(results)
        results.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


@pytest.mark.skipif(sys.platform != "linux", reason="only there are workers forked from a server")
def test_an_interrupt_of_all_processes_does_not_reach_the_server_of_the_workers() -> None:
    with Pool(Plan((), NOW, ()), 1) as pool:
        pool.ready()
        server = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        status = dict(line.split(":", 1) for line in Path(f"/proc/{server}/status").read_text().splitlines())
        assert int(status["SigBlk"], 16) >> (signal.SIGINT - 1) & 1
