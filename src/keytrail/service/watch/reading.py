"""From the stored bytes of deliveries to Arrow tables, in worker processes where that is worth it."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa

from keytrail.cloudtrail import ReadLimits
from keytrail.errors import InputError, ObjectError, Place
from keytrail.search.orphans import end_with_parent
from keytrail.store.lake.columns import table_of, table_of_all
from keytrail.store.lake.rows import Rows, read_rows
from keytrail.store.lake.schema import SCHEMA

# More errors of one object say no more than these.
_MOST_ERRORS = 100
# Stored bytes from which on an object is read here, piece by piece: what a worker sends back it holds whole.
_LARGE_BYTES = 4 * 1024**2
# Stored bytes that go to a worker at a time, about: enough that handing them over costs little.
_HANDED_BYTES = 256 * 1024


# A pipe takes little at a time, and the process that reads it has other things to do: what is smaller waits less.
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it arrived: its name and its bytes as stored."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """What a piece holds of the object number `of`: so many records; `last` when the object has no more.

    `errors` are what of it could not be read; `asides` counts what is no event.
    """

    of: int
    records: int
    errors: tuple[InputError, ...] = ()
    asides: int = 0
    last: bool = True


@dataclass(frozen=True, slots=True)
class Piece:
    """Records of one or more objects as a table of the lake's schema, in the order of the parts."""

    table: pa.Table
    parts: tuple[Part, ...]


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
            for numbers in _handed(objects):
                some = [objects[number] for number in numbers]
                if len(some[0].data) >= _LARGE_BYTES:
                    stream = (some[0].data,)
                    yield from pieces_of_stream(stream, some[0].name, ingested, self._limits, of=numbers[0])
                else:
                    yield _numbered(_piece(some, ingested, self._limits), numbers)
            return
        under_way: deque[tuple[list[int], Future[bytes] | None]] = deque()
        for numbers in _handed(objects):
            large = len(objects[numbers[0]].data) >= _LARGE_BYTES
            under_way.append((numbers, None if large else self._submit([objects[n] for n in numbers], ingested)))
            while len(under_way) > 3 * self._jobs:
                yield from self._take(*under_way.popleft(), objects, ingested)
        while under_way:
            yield from self._take(*under_way.popleft(), objects, ingested)

    def _take(
        self, numbers: list[int], future: Future[bytes] | None, objects: Sequence[Stored], ingested: datetime
    ) -> Iterator[Piece]:
        if future is None:
            one = objects[numbers[0]]
            yield from pieces_of_stream((one.data,), one.name, ingested, self._limits, of=numbers[0])
            return
        try:
            yield _numbered(_unpacked(future.result()), numbers)
        except BrokenProcessPool:
            self._pool = self._new()
            for number in numbers:
                yield self._alone(number, objects[number], ingested)

    def _alone(self, number: int, one: Stored, ingested: datetime) -> Piece:
        """An object by itself, after a worker died with it or beside it."""
        try:
            return _numbered(_unpacked(self._submit([one], ingested).result()), [number])
        except BrokenProcessPool:
            self._pool = self._new()
            error = ObjectError(
                "the worker process died while reading this object, twice",
                place=Place(one.name),
                advice="Look for a message of the kernel about memory; `[watch] jobs = 1` reads in one process.",
            )
            return Piece(SCHEMA.empty_table(), (Part(number, 0, (error,)),))

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


def pieces_of_stream(
    chunks: Iterable[bytes], name: str, ingested: datetime, limits: ReadLimits, of: int = 0
) -> Iterator[Piece]:
    """The records of one object as its bytes come. Raises SourceError or ObjectError where reading the chunks does."""
    for rows in read_rows(chunks, name, limits):
        part = Part(of, len(rows), tuple(rows.errors[:_MOST_ERRORS]), rows.asides, last=False)
        yield Piece(table_of(rows, name, ingested), (part,))
    yield Piece(SCHEMA.empty_table(), (Part(of, 0),))


def _piece(objects: Sequence[Stored], ingested: datetime, limits: ReadLimits) -> Piece:
    """Some small objects at once."""
    found: list[tuple[Rows, str]] = []
    parts: list[Part] = []
    for number, one in enumerate(objects):
        records, errors, asides = 0, list[InputError](), 0
        try:
            for rows in read_rows((one.data,), one.name, limits):
                found.append((rows, one.name))
                records += len(rows)
                errors += rows.errors
                asides += rows.asides
        except InputError as error:
            errors.append(error)
        parts.append(Part(number, records, tuple(errors[:_MOST_ERRORS]), asides))
    return Piece(table_of_all(found, ingested), tuple(parts))


def _numbered(piece: Piece, numbers: Sequence[int]) -> Piece:
    """A worker counts what it was handed; here the objects have other numbers."""
    return Piece(piece.table, tuple(replace(part, of=numbers[part.of]) for part in piece.parts))


# -- in a worker ----------------------------------------------------------------------------------------------------


def _begin() -> None:
    """Set up this worker process. Ctrl-C and a supervisor's stop are for the parent to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_parent()
    # What is there from the beginning stays: looking at it again and again costs a tenth of the time.
    gc.freeze()


def _work(objects: Sequence[Stored], ingested: datetime, limits: ReadLimits) -> bytes:
    piece = _piece(objects, ingested, limits)
    return pickle.dumps((_packed(piece.table), piece.parts))


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_COMPRESSED) as writer:
        writer.write_table(table.unify_dictionaries().combine_chunks())
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _unpacked(data: bytes) -> Piece:
    packed, parts = pickle.loads(data)  # noqa: S301 - from a process that this one started
    return Piece(pa.ipc.open_stream(packed).read_all(), parts)
