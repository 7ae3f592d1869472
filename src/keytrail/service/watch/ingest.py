"""Taking in what arrived: read, told apart from what is there, committed as a segment, and only then settled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from keytrail.cloudtrail import ReadLimits
from keytrail.errors import InputError, ObjectError, SourceError
from keytrail.search import site_of
from keytrail.service.installation import Installation
from keytrail.service.watch.committing import committing
from keytrail.service.watch.reading import Piece, Readers, Stored, pieces_of_stream
from keytrail.sources.feeds.model import Delivery
from keytrail.store.lake.dedup import DigestReader, new_rows
from keytrail.store.lake.model import Segment
from keytrail.store.lake.segment import write_segment
from keytrail.store.state.catalog import add_segment
from keytrail.store.state.lease import Lease
from keytrail.store.state.objects import DamagedObject, Taken, add_objects, known_objects, set_damage, set_marks

# Objects that are fetched at a time: a bucket answers slowly and bears many questions.
_FETCHES = 16
# Stored bytes up to which an object is fetched whole; a larger one is read as it comes.
_WHOLE_BYTES = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Commit:
    """What one transaction made safe. `raw` are the records of its segment, None where none were new.

    `lag_seconds` is from the latest event to the commit. `known` counts deliveries that were committed before.
    """

    segment: Segment | None
    raw: pa.ChunkedArray | None
    deliveries: tuple[Delivery, ...]
    new: int
    repeated: int
    lag_seconds: float | None
    errors: tuple[InputError, ...]
    known: int = 0


@dataclass(frozen=True, slots=True)
class HowTaken:
    """How records are taken in: as history (not detected), quietly (not told about), how much at a time."""

    batch_bytes: int
    history: bool = False
    quiet: bool = False


@dataclass(slots=True)
class _Progress:
    """What came of a delivery so far."""

    records: int = 0
    errors: list[InputError] = field(default_factory=list)


@dataclass(slots=True)
class _Batch:
    """What is to be committed together."""

    tables: list[pa.Table] = field(default_factory=list)
    raw_bytes: int = 0
    done: list[tuple[Delivery, _Progress]] = field(default_factory=list)


class Ingest:
    """Takes in deliveries for the holder of a lease. Used by one thread.

    `give_back` is told every delivery that could not be fetched. Raises StoreError where nothing could be committed:
    then nothing of the call is settled, and all may come again.
    """

    def __init__(
        self,
        home: Installation,
        lease: Lease,
        readers: Readers,
        how: HowTaken,
        limits: ReadLimits,
        clock: Callable[[], datetime],
    ) -> None:
        self._home = home
        self._lease = lease
        self._readers = readers
        self._digests = DigestReader(home.files)
        self._how = how
        self._limits = limits
        self._clock = clock

    def take(
        self, deliveries: Sequence[Delivery], give_back: Callable[[Delivery, InputError | SourceError], None]
    ) -> Iterator[Commit]:
        """Take in deliveries; yields each commit when it is safe."""
        known = self._known(deliveries)
        repeated = tuple(one for one in deliveries if one.identity in known)
        if repeated:
            yield Commit(None, None, repeated, 0, 0, None, (), known=len(repeated))
        batch = _Batch()
        progress: dict[int, _Progress] = {}
        for piece, delivered in self._pieces([one for one in deliveries if one.identity not in known], give_back):
            batch.tables.append(piece.table)
            batch.raw_bytes += piece.table["raw"].nbytes
            for part in piece.parts:
                delivery = delivered[part.of]
                so_far = progress.setdefault(id(delivery), _Progress())
                so_far.records += part.records
                so_far.errors += part.errors
                if part.last:
                    batch.done.append((delivery, progress.pop(id(delivery))))
            if batch.raw_bytes >= self._how.batch_bytes:
                yield self._commit(batch)
                batch = _Batch()
        if batch.tables or batch.done:
            yield self._commit(batch)

    def _known(self, deliveries: Sequence[Delivery]) -> frozenset[str]:
        with self._home.database.read() as connection:
            return known_objects(connection, [one.identity for one in deliveries if one.identity])

    # -- reading ----------------------------------------------------------------------------------------------------

    def _pieces(
        self, deliveries: Sequence[Delivery], give_back: Callable[[Delivery, InputError | SourceError], None]
    ) -> Iterator[tuple[Piece, Sequence[Delivery]]]:
        """The records of deliveries, each piece with the deliveries that its parts number."""
        now = self._clock()
        small: list[Delivery] = []
        large: list[Delivery] = []
        for one in deliveries:
            (large if one.size is not None and one.size > _WHOLE_BYTES else small).append(one)
        came: list[Delivery] = []
        stored: list[Stored] = []
        for delivery, data in _fetched(small):
            if isinstance(data, bytes):
                came.append(delivery)
                stored.append(Stored(delivery.name, data))
            else:
                give_back(delivery, data)
        for piece in self._readers.read(stored, now):
            yield piece, came
        for delivery in large:
            try:
                for piece in pieces_of_stream(delivery.read(), delivery.name, now, self._limits):
                    yield piece, (delivery,)
            except (SourceError, ObjectError) as error:
                give_back(delivery, error)

    # -- committing -------------------------------------------------------------------------------------------------

    def _commit(self, batch: _Batch) -> Commit:
        home, now = self._home, self._clock()
        arrived = pa.concat_tables(batch.tables) if batch.tables else None
        table = None if arrived is None else new_rows(arrived, home.catalog.segments(), self._digests)
        written = None
        if table is not None and len(table):
            written = write_segment(home.files, now.date(), [table])
        done = tuple(delivery for delivery, _ in batch.done)
        with committing(home, written) as connection:
            self._lease.check(connection)
            segment = None
            if written is not None:
                segment = add_segment(
                    connection, written, ingested=now, history=self._how.history, quiet=self._how.quiet
                )
            add_objects(connection, [Taken(one.identity, one.name, came.records) for one, came in batch.done], now)
            set_marks(connection, _latest_marks(done))
            set_damage(connection, {one.name: _damage(one.name, came.errors) for one, came in batch.done}, now)
        new = 0 if table is None else len(table)
        return Commit(
            segment,
            table["raw"] if table is not None and new else None,
            done,
            new,
            (0 if arrived is None else len(arrived)) - new,
            None
            if written is None or written.last_time is None
            else max((now - written.last_time).total_seconds(), 0.0),
            tuple(error for _, came in batch.done for error in came.errors),
        )


def _fetched(deliveries: Sequence[Delivery]) -> Iterator[tuple[Delivery, bytes | InputError | SourceError]]:
    """Each delivery with its bytes, or with what stood in the way."""
    if len(deliveries) <= 1:
        yield from ((one, _fetch(one)) for one in deliveries)
        return
    with ThreadPoolExecutor(min(_FETCHES, len(deliveries))) as threads:
        yield from zip(deliveries, threads.map(_fetch, deliveries), strict=True)


def _fetch(delivery: Delivery) -> bytes | InputError | SourceError:
    try:
        return b"".join(delivery.read())
    except (SourceError, ObjectError) as error:
        return error


def _latest_marks(done: Iterable[Delivery]) -> Mapping[str, str]:
    """The marks of deliveries in their order: the last one of a name counts."""
    return {name: value for one in done for name, value in one.marks.items()}


def _damage(name: str, errors: Sequence[InputError]) -> DamagedObject | None:
    """What could not be read of an object, None if all was."""
    if not errors:
        return None
    site = site_of(name)
    where = ("", "", None) if site is None else (site.account, site.region, site.day)
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    first = errors[0]
    return DamagedObject(f"{first.place}: {first.what}{more}" if first.place else f"{first.what}{more}", *where)
