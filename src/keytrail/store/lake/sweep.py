"""The events that answer a question: in the order of their times within bounded memory, or as the segments come.

A sweep takes the stretches of rows (segments, then groups or chosen rows of them) that begin first in the order of
time, and gives what it found as soon as nothing of what is left can come before. What has to wait is bounded: when it
is too much, the half that comes last is let go, and another sweep finds it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, nsmallest
from itertools import count
from typing import TypeAlias

import numpy as np

from keytrail.cloudtrail import event_time
from keytrail.search import Match
from keytrail.store.answers import name_of
from keytrail.store.lake.members import micros_of
from keytrail.store.lake.question import Question
from keytrail.store.lake.read import TIMELESS, Block, Group, LakeReader, Piece, span_of
from keytrail.store.lake.segment import ROW_GROUP_ROWS

# Rows that are fetched one by one, together.
_FETCHED = 2_000
# What an entry takes in memory beside its record, in bytes.
_ENTRY_BYTES = 500

Key: TypeAlias = tuple[int, str, bytes]


@dataclass(frozen=True, slots=True)
class Hit:
    """An event that was found: its time in microseconds since 1970 (TIMELESS for none), and its position.

    `name` is short for its identity; deliveries of one event have the same.
    """

    micros: int
    event_id: str
    name: bytes
    position: int
    match: Match

    @property
    def key(self) -> Key:
        """What hits are ordered by."""
        return self.micros, self.event_id, self.name

    @property
    def raw(self) -> bytes:
        """The record as stored."""
        return self.match.raw


@dataclass(frozen=True, slots=True, eq=False)
class _Chosen:
    """Rows of a piece that columns have chosen, ascending by number; times as of a Group."""

    piece: Piece
    numbers: np.ndarray[tuple[int], np.dtype[np.int64]]
    low: int
    high: int


_Stretch: TypeAlias = Piece | Group | _Chosen


def in_order(reader: LakeReader, question: Question, *, newest: bool = False) -> Iterator[Hit]:
    """The events that answer a question, each once, by time and then by id; the `newest` first in the very reverse.

    Raises StoreError.
    """
    last: Key | None = None
    while True:
        sweep = _Sweep(reader, question, newest, last)
        try:
            for hit in sweep.run():
                last = hit.key
                yield hit
        finally:
            sweep.close()
        if not sweep.let_go:
            return


def as_they_come(reader: LakeReader, question: Question, pieces: Iterable[Piece]) -> Iterator[Hit]:
    """The events of pieces that answer a question, in any order, maybe more than once. Raises StoreError."""
    with _Ahead(reader) as ahead:
        waiting = list(pieces)[::-1]
        while waiting:
            piece = waiting.pop()
            try:
                stretches = _stretches(reader, question, piece)
                for number, one in enumerate(stretches):
                    ahead.want(stretches[number + 1 : number + 1 + ahead.threads])
                    yield from _hits(question, piece, ahead.take(one))
            except FileNotFoundError:
                ahead.forget()
                waiting += reader.replaced(piece)[::-1]


class _Sweep:
    def __init__(self, reader: LakeReader, question: Question, newest: bool, start: Key | None) -> None:
        self._reader = reader
        self._question = question
        self._newest = newest
        # Keys behind which all is new to whoever listens, and beyond which all is left to another sweep.
        self._start = start
        self._bound: Key | None = None
        self.let_go = False
        self._pending: list[Hit] = []
        self._pending_bytes = 0
        self._heap: list[tuple[int, int, _Stretch]] = []
        self._numbers = count()
        self._ahead = _Ahead(reader)

    def close(self) -> None:
        self._ahead.close()

    def run(self) -> Iterator[Hit]:
        window = self._question.window
        if self._question.narrowing.never:
            return
        self._push(self._reader.pieces(window))
        while self._heap:
            _, _, stretch = heappop(self._heap)
            edge = self._edge(stretch)
            if self._bound is not None and self._is_before(self._bound[0], edge):
                self._ahead.drop(stretch)
                continue
            yield from self._ready(edge)
            try:
                if isinstance(stretch, Piece):
                    self._push(_stretches(self._reader, self._question, stretch))
                else:
                    self._ahead.want([one for _, _, one in nsmallest(self._ahead.threads, self._heap)])
                    self._take(_hits(self._question, stretch.piece, self._ahead.take(stretch)))
            except FileNotFoundError:
                self._replace(stretch if isinstance(stretch, Piece) else stretch.piece)
        yield from self._ready(None)

    def _is_before(self, one: int, other: int) -> bool:
        return one > other if self._newest else one < other

    def _edge(self, stretch: _Stretch) -> int:
        """The time of the first event that may come out of a stretch."""
        if isinstance(stretch, Piece):
            span = span_of(stretch.segment, self._question.window)
            assert span is not None
            return span[self._newest]
        return stretch.high if self._newest else stretch.low

    def _push(self, stretches: Iterable[_Stretch]) -> None:
        for one in stretches:
            if self._start is not None and self._is_before(self._far(one), self._start[0]):
                continue
            edge = self._edge(one)
            heappush(self._heap, (-edge if self._newest else edge, next(self._numbers), one))

    def _far(self, stretch: _Stretch) -> int:
        """The time of the last event that may come out of a stretch."""
        if isinstance(stretch, Piece):
            span = span_of(stretch.segment, self._question.window)
            assert span is not None
            return span[not self._newest]
        return stretch.low if self._newest else stretch.high

    def _replace(self, piece: Piece) -> None:
        """Go on with the rows of a piece where they are now: what was given of them is not given again."""
        left: list[tuple[int, int, _Stretch]] = []
        for one in self._heap:
            if isinstance(one[2], Piece) or one[2].piece != piece:
                left.append(one)
            else:
                self._ahead.drop(one[2])
        self._heap = left
        heapify(self._heap)
        window = self._question.window
        self._push(one for one in self._reader.replaced(piece) if span_of(one.segment, window) is not None)

    def _take(self, hits: Iterable[Hit]) -> None:
        for hit in hits:
            key = hit.key
            if self._start is not None and not self._comes_before(self._start, key):
                continue
            if self._bound is not None and self._comes_before(self._bound, key):
                continue
            self._pending.append(hit)
            self._pending_bytes += _size(hit)
            if self._pending_bytes > self._reader.limits.pending_bytes:
                self._let_go()

    def _comes_before(self, one: Key, other: Key) -> bool:
        return one > other if self._newest else one < other

    def _let_go(self) -> None:
        """Leave the later half of what waits to another sweep."""
        self._sort()
        if self._pending[0].key == self._pending[-1].key:
            # Deliveries of one event, which come out as one.
            del self._pending[1:]
        else:
            middle = self._pending[(len(self._pending) - 1) // 2].key
            self._bound = middle
            self._pending = [hit for hit in self._pending if not self._comes_before(middle, hit.key)]
            self.let_go = True
        self._pending_bytes = sum(map(_size, self._pending))

    def _sort(self) -> None:
        self._pending.sort(key=lambda hit: (hit.key, hit.position), reverse=self._newest)

    def _ready(self, edge: int | None) -> Iterator[Hit]:
        """What waits and comes before `edge`, each event once; all that waits for None."""
        if not self._pending:
            return
        self._sort()
        end = 0
        for hit in self._pending:
            if edge is not None and not self._is_before(hit.micros, edge):
                break
            end += 1
        ready, self._pending = self._pending[:end], self._pending[end:]
        self._pending_bytes -= sum(map(_size, ready))
        for hit in ready:
            # Deliveries of one event follow each other, for they have the same key.
            if self._start is None or hit.key != self._start:
                self._start = hit.key
                yield hit


class _Ahead:
    """Reads the records of groups in threads, before they are asked for."""

    def __init__(self, reader: LakeReader) -> None:
        self._reader = reader
        self.threads = reader.limits.threads
        self._threads: ThreadPoolExecutor | None = None
        self._reading: dict[Group, Future[list[Block]]] = {}

    def __enter__(self) -> _Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.forget()
        if self._threads is not None:
            self._threads.shutdown(wait=True)

    def forget(self) -> None:
        for future in self._reading.values():
            future.cancel()
        self._reading.clear()

    def want(self, stretches: Iterable[_Stretch]) -> None:
        """Begin to read what will be taken next."""
        for one in stretches:
            if isinstance(one, Group) and one not in self._reading:
                if self._threads is None:
                    self._threads = ThreadPoolExecutor(self.threads, thread_name_prefix="lake")
                self._reading[one] = self._threads.submit(self._reader.blocks, one)

    def drop(self, stretch: _Stretch) -> None:
        """Nobody will take it."""
        if isinstance(stretch, Group) and (future := self._reading.pop(stretch, None)) is not None:
            future.cancel()

    def take(self, stretch: Group | _Chosen) -> list[Block]:
        """The records of a stretch. Raises StoreError, FileNotFoundError."""
        if isinstance(stretch, _Chosen):
            return self._reader.fetch(stretch.piece, stretch.numbers)
        future = self._reading.pop(stretch, None)
        return self._reader.blocks(stretch) if future is None else future.result()


def _stretches(reader: LakeReader, question: Question, piece: Piece) -> Sequence[Group | _Chosen]:
    """The groups of a piece to search, or the rows of it that its columns choose."""
    if question.narrowing.never:
        return ()
    if not question.narrowing.sql:
        return reader.groups(piece, question.window)
    numbers, times = reader.chosen(piece, question.narrowing, question.window)
    order = np.lexsort((numbers, times))
    found = []
    touched = 0
    for at in range(0, len(order), _FETCHED):
        some = order[at : at + _FETCHED]
        found.append(_Chosen(piece, np.sort(numbers[some]), int(times[some[0]]), int(times[some[-1]])))
        touched += len(np.unique(numbers[some] // ROW_GROUP_ROWS))
    # A fetch unpacks much of each group that it takes a row of, so no group should be taken apart more than once.
    if touched > (piece.end - piece.start) // ROW_GROUP_ROWS + 1:
        return reader.groups(piece, question.window)
    return found


def _hits(question: Question, piece: Piece, blocks: Iterable[Block]) -> Iterator[Hit]:
    segment = piece.segment
    for block in blocks:
        for one in question.judge(block, segment.file.path):
            match = one.match
            moment = micros_of(event_time({"eventTime": match.time}))
            micros = TIMELESS if moment is None else moment
            yield Hit(micros, match.event_id, name_of(match), segment.first_sequence + one.row, match)


def _size(hit: Hit) -> int:
    return len(hit.raw) + len(hit.match.document) + _ENTRY_BYTES


__all__ = ["Hit", "as_they_come", "in_order"]
