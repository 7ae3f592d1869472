"""The lake by itself: records imported as history, exported, checked, merged; and hunts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from keytrail.cloudtrail import open_geo
from keytrail.errors import InputError, SourceError
from keytrail.service.installation import installation
from keytrail.service.lake_store import limits_of
from keytrail.service.requests import Found, Progress
from keytrail.service.running import open_sources
from keytrail.service.watch.clock import Clock, system_clock
from keytrail.service.watch.ingest import HowTaken
from keytrail.service.watch.service import Service
from keytrail.settings import Settings
from keytrail.sources import Source, TimeWindow
from keytrail.sources.feeds import Delivery
from keytrail.store.lake.hunt import Hunt, count, hunt
from keytrail.store.lake.segment import unnamed, verify
from keytrail.store.state.catalog import drop_segments, forget_dropped
from keytrail.text import for_json

# Objects, and stored bytes, that are imported at a time.
_OBJECTS = 2_000
_BYTES = 8 * 1024**2

Report = Callable[[InputError | SourceError], None]


@dataclass(slots=True)
class Imported:
    """What an import came to. `known` objects were imported before, `repeated` records were there already."""

    objects: int = 0
    known: int = 0
    records: int = 0
    repeated: int = 0
    unreadable: int = 0
    alerts: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """Archives to be taken into the lake. With `detect` rules run over them, with `notify` their alerts are told.

    `again` reads objects that were taken in before, too: records that are in the lake stay as they are.
    """

    sources: tuple[str, ...]
    since: datetime | None = None
    until: datetime | None = None
    detect: bool = False
    notify: bool = False
    again: bool = False
    settings: Settings = field(default_factory=Settings)


def import_archives(
    request: ImportRequest,
    *,
    observe: Callable[[Progress], None] | None = None,
    report: Report = lambda _: None,
    clock: Clock = system_clock,
) -> Imported:
    """Take archives into the lake, each object and each record once however often it is asked.

    Raises UsageError and SourceError before anything is read, StoreError when it cannot go on: what was committed
    stays, and the same call goes on from there.
    """
    settings = request.settings
    sources = open_sources(request.sources, settings)
    window = TimeWindow(request.since, request.until)
    how = HowTaken(settings.watch.batch_bytes, history=not request.detect, quiet=not request.notify)
    result = Imported()
    started = clock()
    with installation(settings, set_up=True) as home, Service(home, (), clock, how=how) as service:
        for batch in _batches(sources, window, report, again=request.again):
            taken = service.take(batch, report=report)
            result.objects += len(batch)
            result.known += taken.known
            result.records += taken.new
            result.repeated += taken.repeated
            result.unreadable += taken.unreadable
            result.seconds = (clock() - started).total_seconds()
            if observe is not None:
                observe(Progress(objects_done=result.objects, elapsed_seconds=result.seconds, current=batch[-1].name))
        if request.detect:
            service.run_rules_to_the_end()
            while service.investigate():
                pass
        result.alerts = service.alerts_made
    return result


def _batches(sources: Sequence[Source], window: TimeWindow, report: Report, *, again: bool) -> Iterator[list[Delivery]]:
    batch: list[Delivery] = []
    size = 0
    for source in sources:
        try:
            for item in source.objects(window):
                name = source.name(item.key)
                # What stdin and LookupEvents give has no name of its own: its records are told apart.
                identity = f"{name}\0{item.size}" if source.parallel and not again else ""
                batch.append(Delivery(name, identity, partial(source.read, item.key), item.size))
                size += item.size or 0
                if len(batch) >= _OBJECTS or size >= _BYTES or not source.parallel:
                    yield batch
                    batch, size = [], 0
        except SourceError as error:
            report(error)
        for problem in source.problems:
            report(problem)
    if batch:
        yield batch


# -- checking -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of the lake found: damaged segments with what is wrong, and files that belong to none."""

    segments: int
    rows: int
    size: int
    damaged: tuple[tuple[str, str], ...]
    left_over: tuple[str, ...]


def verify_lake(
    settings: Settings, *, observe: Callable[[Progress], None] | None = None, clock: Clock = system_clock
) -> Verified:
    """Read every segment and compare it with what the catalog says of it. Raises StoreError without a state."""
    with installation(settings) as home:
        arrived = home.catalog.arrived()
        damaged: list[tuple[str, str]] = []
        for number, one in enumerate(arrived, 1):
            problem = verify(home.files, one.segment.file)
            # Merged or dropped meanwhile: then it is no longer one of the lake's.
            if problem is not None and one.segment.id in {other.id for other in home.catalog.segments()}:
                damaged.append((one.segment.file.path, problem))
            if observe is not None:
                observe(Progress(objects_done=number, objects_total=len(arrived), current=one.segment.file.path))
        named = {one.segment.file.path for one in arrived} | {one.file.path for one in home.catalog.segments()}
        return Verified(
            segments=len(arrived),
            rows=sum(one.segment.file.rows for one in arrived),
            size=sum(one.segment.file.size for one in arrived),
            damaged=tuple(damaged),
            left_over=unnamed(home.files, named, clock()),
        )


def drop_damaged(settings: Settings, *, clock: Clock = system_clock) -> Verified:
    """Check the lake and take damaged segments out of it; their files stay, under names that end in `.damaged`.

    Raises StoreError while the service has the lake.
    """
    found = verify_lake(settings, clock=clock)
    with installation(settings) as home, Service(home, (), clock) as service:
        paths = {path for path, _ in found.damaged}
        segments = [one for one in home.catalog.segments() if one.file.path in paths]
        with home.database.write() as connection:
            service.lease.check(connection)
            if segments:
                drop_segments(connection, segments, clock())
                forget_dropped(connection, sorted(paths))
        for one in segments:
            with suppress(FileNotFoundError):
                home.files.rename(one.file.path, one.file.path + ".damaged")
    return found


def compact_lake(settings: Settings, *, clock: Clock = system_clock) -> tuple[int, int]:
    """Merge small segments now, and remove files whose time is over; returns how many of each became fewer.

    Raises StoreError while the service has the lake.
    """
    with installation(settings) as home, Service(home, (), clock) as service:
        return service.upkeep.compact(), service.upkeep.clear()


# -- hunting --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HuntRequest:
    """One KQL query over the lake. `containing` is text that a value of the record holds, beside the query."""

    query: str
    since: datetime | None = None
    until: datetime | None = None
    containing: str = ""
    strict: bool = False
    newest: bool = True
    limit: int | None = None
    settings: Settings = field(default_factory=Settings)


def hunt_lake(request: HuntRequest, *, clock: Clock = system_clock) -> Iterator[Found]:
    """The events that match, by time. Raises QueryError before anything is read, StoreError."""
    with installation(request.settings) as home:
        databases = [str(path) for path in request.settings.geoip.databases]
        geo = open_geo(databases) if databases else None
        found = hunt(
            home.folder,
            home.catalog,
            _hunt(request, clock()),
            newest=request.newest,
            limit=request.limit,
            geo=geo,
            limits=limits_of(home),
        )
        for one in found:
            yield Found(for_json(one.document()), one.raw)


def count_lake(request: HuntRequest, *, clock: Clock = system_clock) -> int:
    """How many events match. Raises as `hunt_lake` does."""
    with installation(request.settings) as home:
        return count(home.folder, home.catalog, _hunt(request, clock()), limits=limits_of(home))


def _hunt(request: HuntRequest, now: datetime) -> Hunt:
    return Hunt(request.query, now, request.since, request.until, request.containing, request.strict)


__all__ = [
    "HuntRequest",
    "ImportRequest",
    "Imported",
    "Verified",
    "compact_lake",
    "count_lake",
    "hunt_lake",
    "import_archives",
    "verify_lake",
]
