"""From the stored bytes of deliveries to Arrow tables, in worker processes where that is worth it."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from keytrail.cloudtrail import ReadLimits
from keytrail.errors import InputError, ObjectError, Place
from keytrail.store.lake.columns import table_of
from keytrail.store.lake.rows import read_rows

# More errors of one object say no more than these.
_MOST_ERRORS = 100
# Stored bytes from which on an object is read here, piece by piece: what a worker sends back it holds whole.
_LARGE_BYTES = 4 * 1024**2
# Stored bytes that go to a worker at a time, about: enough that handing them over costs little.
_HANDED_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it arrived: its name and its bytes as stored."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Some records of the object number `of` as a table of the lake's schema; `last` when the object has no more.

    `errors` are what of it could not be read; `asides` counts what is no event.
    """

    of: int
    table: pa.Table
    errors: tuple[InputError, ...]
    asides: int
    last: bool


class Readers:
    """Worker processes that read objects, or with one job this process. A context manager.

    A worker that dies takes nothing with it: what it had is read here, and an object that kills a worker once more is
    told as one that cannot be read.
    """

    def __init__(self, jobs: int, limits: ReadLimits) -> None:
        self._limits = limits
        self._jobs = jobs
        self._pool = self._new() if jobs > 1 else None

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def read(self, objects: Sequence[Stored], ingested: datetime) -> Iterator[Piece]:
        """The records of objects, in their order."""
        if self._pool is None:
            for number, one in enumerate(objects):
                yield from _pieces(number, one, ingested, self._limits)
            return
        under_way: deque[tuple[list[int], Future[bytes] | None]] = deque()
        for numbers in _handed(objects):
            large = len(objects[numbers[0]].data) >= _LARGE_BYTES
            under_way.append((numbers, None if large else self._submit([objects[n] for n in numbers], ingested)))
            while len(under_way) > 2 * self._jobs:
                yield from self._take(*under_way.popleft(), objects, ingested)
        while under_way:
            yield from self._take(*under_way.popleft(), objects, ingested)

    def _take(
        self, numbers: list[int], future: Future[bytes] | None, objects: Sequence[Stored], ingested: datetime
    ) -> Iterator[Piece]:
        if future is None:
            yield from _pieces(numbers[0], objects[numbers[0]], ingested, self._limits)
            return
        try:
            found = _unpacked(future.result())
        except BrokenProcessPool:
            self._pool = self._new()
            for number in numbers:
                yield from self._alone(number, objects[number], ingested)
            return
        for piece in found:
            yield Piece(numbers[piece.of], piece.table, piece.errors, piece.asides, piece.last)

    def _alone(self, number: int, one: Stored, ingested: datetime) -> Iterator[Piece]:
        """An object by itself, after a worker died with it or beside it."""
        try:
            for piece in _unpacked(self._submit([one], ingested).result()):
                yield Piece(number, piece.table, piece.errors, piece.asides, piece.last)
        except BrokenProcessPool:
            self._pool = self._new()
            error = ObjectError(
                "the worker process died while reading this object, twice",
                place=Place(one.name),
                advice="Look for a message of the kernel about memory; `[watch] jobs = 1` reads in one process.",
            )
            yield Piece(number, no_rows(), (error,), 0, last=True)

    def _submit(self, objects: Sequence[Stored], ingested: datetime) -> Future[bytes]:
        assert self._pool is not None
        try:
            return self._pool.submit(_work, objects, ingested, self._limits)
        except BrokenProcessPool as error:
            lost: Future[bytes] = Future()
            lost.set_exception(error)
            return lost

    def _new(self) -> ProcessPoolExecutor:
        # Forking a process that has threads can deadlock; macOS frameworks do not bear a fork at all.
        method = "forkserver" if sys.platform == "linux" else "spawn"
        context = multiprocessing.get_context(method)
        if method == "forkserver":
            context.set_forkserver_preload(["keytrail.service.watch.reading"])
        return ProcessPoolExecutor(self._jobs, mp_context=context, initializer=_begin)


def no_rows() -> pa.Table:
    """A table of the lake's schema without rows."""
    from keytrail.store.lake.schema import SCHEMA

    return SCHEMA.empty_table()


def _handed(objects: Sequence[Stored]) -> Iterator[list[int]]:
    """The numbers of objects that are handed to a worker together; a large one stands alone."""
    held: list[int] = []
    size = 0
    for number, one in enumerate(objects):
        if held and (size + len(one.data) > _HANDED_BYTES or len(one.data) >= _LARGE_BYTES):
            yield held
            held, size = [], 0
        held.append(number)
        size += len(one.data)
        if len(one.data) >= _LARGE_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def pieces_of_stream(chunks: Iterable[bytes], name: str, ingested: datetime, limits: ReadLimits) -> Iterator[Piece]:
    """The records of one object as its bytes come. Raises SourceError or ObjectError where reading the chunks does."""
    for rows in read_rows(chunks, name, limits):
        yield Piece(0, table_of(rows, name, ingested), tuple(rows.errors[:_MOST_ERRORS]), rows.asides, last=False)
    yield Piece(0, no_rows(), (), 0, last=True)


def _pieces(number: int, one: Stored, ingested: datetime, limits: ReadLimits) -> Iterator[Piece]:
    try:
        for rows in read_rows((one.data,), one.name, limits):
            table = table_of(rows, one.name, ingested)
            yield Piece(number, table, tuple(rows.errors[:_MOST_ERRORS]), rows.asides, last=False)
    except InputError as error:
        yield Piece(number, no_rows(), (error,), 0, last=True)
    else:
        yield Piece(number, no_rows(), (), 0, last=True)


# -- in a worker ----------------------------------------------------------------------------------------------------


def _begin() -> None:
    """Set up this worker process. Ctrl-C and a supervisor's stop are for the parent to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _work(objects: Sequence[Stored], ingested: datetime, limits: ReadLimits) -> bytes:
    import pickle

    made = (piece for number, one in enumerate(objects) for piece in _pieces(number, one, ingested, limits))
    return pickle.dumps([(one.of, _packed(one.table), one.errors, one.asides, one.last) for one in _joined(made)])


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """An object's pieces as one."""
    tables: list[pa.Table] = []
    errors: tuple[InputError, ...] = ()
    asides = 0
    for piece in pieces:
        tables.append(piece.table)
        errors += piece.errors
        asides += piece.asides
        if piece.last:
            yield Piece(piece.of, pa.concat_tables(tables), errors[:_MOST_ERRORS], asides, last=True)
            tables, errors, asides = [], (), 0


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.unify_dictionaries().combine_chunks())
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _unpacked(data: bytes) -> list[Piece]:
    import pickle

    return [
        Piece(of, pa.ipc.open_stream(packed).read_all() if packed else no_rows(), errors, asides, last)
        for of, packed, errors, asides, last in pickle.loads(data)  # noqa: S301 - from a process that this one started
    ]
