"""Runs an examination over many objects: in this process when they are few, in worker processes when they are many.

A worker is told once what to search (`Plan`) and then handed batches of object keys. Results come back in the order of
the objects, so that a run's answer does not depend on the number of processes. A worker that dies (memory, a crash in
native code) costs nothing but time: the batches it may have held are run again object by object, and the one that kills
again is named in an error.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice
from multiprocessing import resource_tracker
from queue import Empty, Queue

from keytrail.cloudtrail import open_geo
from keytrail.errors import InputError, ObjectError, Place, SourceError
from keytrail.search.examine import Counts, Examiner, Options, Result
from keytrail.search.orphans import end_with_parent
from keytrail.search.patterns import Pattern, dispatch
from keytrail.search.values import Sighting
from keytrail.sources import Source, SourceObject, TimeWindow

# Batches listed before they are asked for. In memory they are names: some 20 MB at the most.
_MOST_AHEAD = 2000
# How long one process works by itself before it is worth starting others, which takes about as long.
_ALONE_SECONDS = 0.15
# Stored bytes from which objects are left to workers from the first on.
_LARGE_BYTES = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a process needs to examine objects. Pickled once for each worker."""

    patterns: tuple[Pattern, ...]
    now: datetime
    sources: tuple[Source, ...]
    options: Options = field(default_factory=Options)
    narrow: bool = True
    geo_paths: tuple[str, ...] = ()
    sightings: tuple[Sighting, ...] = ()


@dataclass(frozen=True, slots=True)
class Sizes:
    """How work is cut up. `jobs` is a number of processes, 0 for one per core."""

    jobs: int = 0
    batch_objects: int = 256
    batch_bytes: int = 8 * 1024**2


@dataclass(slots=True)
class Listing:
    """What has been listed so far, read while it is written; `complete` when no object is to come."""

    objects: int = 0
    stored_bytes: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True)
class _Batch:
    source: int
    keys: tuple[str, ...] = ()
    stored_bytes: int = 0
    failure: SourceError | None = None


def run(
    plan: Plan,
    sizes: Sizes | None = None,
    pool: Pool | None = None,
    listing: Listing | None = None,
    crew: Crew | None = None,
) -> Iterator[Result]:
    """Examine every object of the plan's sources; results in the order of the objects, `listing` told what is to come.

    With a `pool` (of this plan) the work goes to it, however little. Without one this process begins by itself, and
    starts workers when that takes longer than starting them would; those of a `crew` go on to its next run.

    Raises QueryError for a pattern that does not compile. A source that cannot be listed, or fails on an object, gives
    a Result with its `failure`; the other sources and objects go on.
    """
    sizes = sizes or Sizes()
    jobs = sizes.jobs or available_cores()
    window = TimeWindow(plan.options.since, plan.options.until)
    examiner = _examiner(plan)  # Here too: a query that does not compile is told before anything is read.
    batches = _batches(plan.sources, window, sizes, listing or Listing())
    if all(source.parallel for source in plan.sources):
        batches = _ahead(batches)
    if pool is not None:
        yield from _run_pool(plan, examiner, batches, pool)
    elif jobs == 1:
        for batch in batches:
            yield from _run_here(plan, examiner, batch)
    elif crew is not None:
        yield from _run_growing(plan, examiner, batches, jobs, crew)
    else:
        with Crew() as own:
            yield from _run_growing(plan, examiner, batches, jobs, own)


def _run_growing(plan: Plan, examiner: Examiner, batches: Iterator[_Batch], jobs: int, crew: Crew) -> Iterator[Result]:
    """Begin in this process, unless there are workers; go on in workers from when they are up.

    Unless objects are so large that this process would keep much memory from them: then it waits for the workers.
    """
    started = time.monotonic()
    first = list(islice(batches, 2))
    large = len(first) == 2 and first[0].stored_bytes >= _LARGE_BYTES * len(first[0].keys)
    stream = chain(first, batches)
    pool = crew.pool(plan)
    for batch in stream:
        if pool is None and (large or time.monotonic() - started > _ALONE_SECONDS):
            pool = crew.start(plan, jobs)
            if large:
                pool.ready()
        if pool is not None and pool.is_up:
            yield from _run_pool(plan, examiner, chain([batch], stream), pool)
            return
        yield from _run_here(plan, examiner, batch)


def available_cores() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ahead(batches: Iterator[_Batch]) -> Iterator[_Batch]:
    """The same batches, listed by a thread of its own: what there is to do is known soon, and nobody waits for it."""
    listed: Queue[_Batch | BaseException | None] = Queue(_MOST_AHEAD)
    left = threading.Event()

    def give() -> None:
        try:
            for batch in batches:
                listed.put(batch)
                if left.is_set():
                    return
            listed.put(None)
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits for it
            listed.put(error)

    threading.Thread(target=give, daemon=True).start()
    try:
        while (item := listed.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.set()
        with suppress(Empty):  # One that waits for room goes on, and sees that nobody listens.
            listed.get_nowait()


def _batches(sources: Sequence[Source], window: TimeWindow, sizes: Sizes, listing: Listing) -> Iterator[_Batch]:
    for number, source in enumerate(sources):
        keys: list[str] = []
        held = 0
        failure = None
        try:
            for item in source.objects(window):
                size = item.size or 0
                listing.objects += 1
                listing.stored_bytes += size
                if keys and (len(keys) >= sizes.batch_objects or held + size > sizes.batch_bytes):
                    yield _Batch(number, tuple(keys), held)
                    keys, held = [], 0
                keys.append(item.key)
                held += size
                if not source.parallel:
                    # What this process alone can read may arrive slowly; it is examined as it comes.
                    yield _Batch(number, tuple(keys), held)
                    keys, held = [], 0
        except SourceError as error:
            failure = error
        if keys or failure:
            yield _Batch(number, tuple(keys), held, failure)
    listing.complete = True


def _run_here(plan: Plan, examiner: Examiner, batch: _Batch) -> Iterator[Result]:
    """One result for each object, so that a single process shows progress and holds little."""
    for key in batch.keys:
        yield _examine(plan, examiner, _Batch(batch.source, (key,)))
    if batch.failure:
        yield Result(failure=batch.failure)


def _run_pool(plan: Plan, examiner: Examiner, batches: Iterable[_Batch], pool: Pool) -> Iterator[Result]:
    waiting: deque[tuple[_Batch, Future[Result] | None]] = deque()
    try:
        for batch in batches:
            parallel = bool(batch.keys) and plan.sources[batch.source].parallel
            waiting.append((batch, pool.submit(batch) if parallel else None))
            # Enough under way that no worker waits for the next batch, few enough that listing stays ahead by little.
            while len(waiting) > 2 * pool.jobs or (waiting and not parallel):
                yield from _take(plan, examiner, pool, waiting)
        while waiting:
            yield from _take(plan, examiner, pool, waiting)
    finally:  # A run that was left before its end must not keep the workers from the next one.
        for _, future in waiting:
            if future is not None:
                future.cancel()


def _take(
    plan: Plan, examiner: Examiner, pool: Pool, waiting: deque[tuple[_Batch, Future[Result] | None]]
) -> Iterator[Result]:
    batch, future = waiting.popleft()
    if future is None:
        yield from _run_here(plan, examiner, batch)
        return
    try:
        yield future.result()
    except BrokenProcessPool:
        pool.restart()
        yield from _one_by_one(plan, pool, batch)
        # The others that were under way are lost with the pool; hand them out again.
        for index, (other, lost) in enumerate(waiting):
            if lost is not None and (not lost.done() or lost.cancelled() or lost.exception() is not None):
                waiting[index] = (other, pool.submit(other))


def _one_by_one(plan: Plan, pool: Pool, batch: _Batch) -> Iterator[Result]:
    """Run each object of a batch alone, so that one which kills its worker is known by name."""
    if batch.failure:
        yield Result(failure=batch.failure)
    for key in batch.keys:
        try:
            yield pool.submit(_Batch(batch.source, (key,))).result()
        except BrokenProcessPool:
            pool.restart()
            name = plan.sources[batch.source].name(key)
            error = ObjectError(
                "the worker process died while reading this object, twice",
                place=Place(name),
                advice="Look for a message of the kernel about memory; `--jobs 1` reads in one process.",
            )
            yield Result(errors=[error], counts=Counts(objects=1), last=name)


class Pool:
    """Worker processes that hold a plan, and can be replaced when one of them dies. A context manager.

    They start in the background; `is_up` says whether they have compiled the plan's patterns, `ready` waits for it.
    """

    def __init__(self, plan: Plan, jobs: int) -> None:
        self.jobs = jobs
        self._plan = plan
        # A later plan goes with each batch, by its number; who has it already does not look at it again.
        self._number = 0
        self._packed = b""
        self._executor = self._new()
        # Starting a process waits for it, so it is done aside.
        self._starting = threading.Thread(target=self._start, daemon=True)
        self._starting.start()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.ready()
        self._executor.shutdown(wait=True, cancel_futures=True)

    @property
    def is_up(self) -> bool:
        return not self._starting.is_alive()

    def ready(self) -> None:
        self._starting.join()

    def _new(self) -> ProcessPoolExecutor:
        # Forking a process that has threads can deadlock; macOS frameworks do not bear a fork at all.
        method = "forkserver" if sys.platform == "linux" else "spawn"
        context = multiprocessing.get_context(method)
        if method == "forkserver":
            context.set_forkserver_preload(["keytrail.search.preloaded"])
        return ProcessPoolExecutor(self.jobs, mp_context=context, initializer=_begin, initargs=(self._plan,))

    def _start(self) -> None:
        if sys.platform == "linux":
            # Ctrl-C reaches the forkserver too, which would show where it was; it inherits that this thread blocks it.
            # (The resource tracker first: starting that ends the blocking.)
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        # An idle worker would take the next call too; each is held for a moment, so that all are started.
        # A worker that dies is found again, and dealt with, when there is work; the others come with an interrupt.
        with suppress(BrokenProcessPool, CancelledError, EOFError, OSError, RuntimeError):
            for future in [self._executor.submit(time.sleep, 0.02) for _ in range(self.jobs)]:
                future.result()

    def submit(self, batch: _Batch) -> Future[Result]:
        """Hand out a batch; where a worker has died meanwhile the future says so, as it does for earlier batches."""
        try:
            return self._executor.submit(_work, batch, self._number, self._packed)
        except BrokenProcessPool as error:
            lost: Future[Result] = Future()
            lost.set_exception(error)
            return lost

    def load(self, plan: Plan) -> None:
        """Give the workers another plan, for all that is submitted from now on.

        Batches are taken in the order in which they were submitted, so no worker comes back to an earlier plan.
        """
        self._plan = plan
        self._number += 1
        self._packed = pickle.dumps(plan)

    def restart(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = self._new()


class Crew:
    """Worker processes for one run after another: started by the first that is worth it. A context manager."""

    def __init__(self) -> None:
        self._pool: Pool | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *reason: object) -> None:
        if self._pool is not None:
            self._pool.__exit__(*reason)
            self._pool = None

    def pool(self, plan: Plan) -> Pool | None:
        """The workers, if there are any, with `plan`."""
        if self._pool is not None:
            self._pool.load(plan)
        return self._pool

    def start(self, plan: Plan, jobs: int) -> Pool:
        """Start workers with `plan`."""
        self._pool = Pool(plan, jobs)
        return self._pool


# -- in a worker --------------------------------------------------------------------------------------------------

_state: tuple[int, Plan, Examiner] | None = None


def _begin(plan: Plan) -> None:
    """Set up this worker process: compile the patterns once. Ctrl-C is for the parent to handle."""
    global _state
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    _state = (0, plan, _examiner(plan))


def _work(batch: _Batch, number: int, packed: bytes) -> Result:
    """Examine a batch by the plan with this number, which is in `packed` unless it is the first."""
    global _state
    assert _state is not None
    if _state[0] != number:
        plan: Plan = pickle.loads(packed)  # noqa: S301 - from the process that started this one
        _state = (number, plan, _examiner(plan))
    return _examine(*_state[1:], batch)


def _examiner(plan: Plan) -> Examiner:
    geo = open_geo(plan.geo_paths) if plan.geo_paths else None
    compiled = dispatch(plan.patterns, now=plan.now, narrow=plan.narrow, sightings=plan.sightings)
    return Examiner(compiled, plan.options, geo)


def _examine(plan: Plan, examiner: Examiner, batch: _Batch) -> Result:
    source = plan.sources[batch.source]
    result = Result(failure=batch.failure)
    for key, chunks in _reads(source, batch.keys):
        name = source.name(key)
        try:
            examiner.examine(chunks, name, result)
        except SourceError as error:
            result.failure = result.failure or error
        except InputError as error:
            result.errors.append(error)
        except Exception as error:  # noqa: BLE001 - one record that finds a defect must not blind a whole scan
            result.errors.append(
                ObjectError(
                    f"not examined to its end, by a defect of keytrail: {type(error).__name__}: {error}",
                    place=Place(name),
                    advice="The other objects are examined. Please report it, with the object if you may.",
                )
            )
        result.last = name
    return result


def _reads(source: Source, keys: Sequence[str]) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Each key with its chunks; from a source with latency, the next objects are fetched while one is examined."""
    ahead = source.read_ahead
    if ahead <= 1 or len(keys) == 1:
        for key in keys:
            yield key, source.read(key)
        return
    with ThreadPoolExecutor(ahead) as threads:
        fetched: deque[tuple[str, Future[list[bytes]]]] = deque()
        rest = iter(keys)
        for key in islice(rest, ahead):
            fetched.append((key, threads.submit(lambda k: list(source.read(k)), key)))
        while fetched:
            key, future = fetched.popleft()
            yield key, _chunks(future)
            for following in islice(rest, 1):
                fetched.append((following, threads.submit(lambda k: list(source.read(k)), following)))


def _chunks(future: Future[list[bytes]]) -> Iterator[bytes]:
    yield from future.result()


__all__ = ["Crew", "Listing", "Plan", "Pool", "Sizes", "SourceObject", "available_cores", "run"]
