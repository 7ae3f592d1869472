"""The sources of a run as an event store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from keytrail.search import Crew, Result
from keytrail.service.requests import Observe, Progress
from keytrail.service.running import read_limits, sizes_of
from keytrail.settings import Settings
from keytrail.sources import ReplaySource, Source
from keytrail.store import ArchiveStore


def archive_store(
    sources: Iterable[Source],
    settings: Settings,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    jobs: int = 0,
    observe: Observe | None = None,
    crew: Crew | None = None,
) -> ArchiveStore:
    """The event store over sources; those that can be read once are copied as they are read."""
    return ArchiveStore(
        tuple(again(source) for source in sources),
        limits=read_limits(settings),
        sizes=sizes_of(settings, jobs),
        since=since,
        until=until,
        observe=_observer(observe),
        crew=crew,
    )


def again(source: Source) -> Source:
    """A source that can be read more than once."""
    return source if source.parallel or isinstance(source, ReplaySource) else ReplaySource(source)


def _observer(observe: Observe | None) -> Callable[[Result], None] | None:
    if observe is None:
        return None
    done = Progress(phase="looking again")

    def on(result: Result) -> None:
        nonlocal done
        done = replace(
            done,
            objects_done=done.objects_done + result.counts.objects,
            bytes_done=done.bytes_done + result.counts.stored_bytes,
            current=result.last,
        )
        observe(done)

    return on
