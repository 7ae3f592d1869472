"""The sources of a run as an event store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from keytrail.search import Crew, Result
from keytrail.service.requests import Observe, Progress
from keytrail.service.running import open_sources, read_limits, sizes_of
from keytrail.settings import Settings
from keytrail.sources import ReplaySource, Source
from keytrail.store import ArchiveStore, EventStore

if TYPE_CHECKING:
    from keytrail.service.installation import Installation


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


@contextmanager
def records_of(
    texts: Sequence[str],
    home: Installation | None,
    settings: Settings,
    now: datetime,
    *,
    jobs: int = 0,
    observe: Observe | None = None,
) -> Iterator[EventStore]:
    """The records of the sources that are named, else those of the lake, which `home` then has to have.

    `now` is what relative dates in queries on the lake count from. Raises UsageError for what is no source.
    """
    if texts or home is None:
        yield archive_store(open_sources(texts, settings), settings, jobs=jobs, observe=observe)
        return
    from keytrail.service.lake_store import lake_store

    with lake_store(home, now) as store:
        yield store


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
