"""From the stored bytes of one object to the events in it that match.

Two ways through an object, which find the same. The slow one reads every record. The fast one holds the inflated object,
searches it for literals, and reads only the records that hold one; an object without any is done after the search. An
object too large to hold goes the slow way, unless it has one record a line: then it goes the fast way block by block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

import msgspec

from keytrail.cloudtrail import Document, Kind, ReadLimits, Record, classify, event_time, inflate, read_items
from keytrail.cloudtrail.geo import GeoLookup
from keytrail.cloudtrail.inflate import inflate_whole
from keytrail.cloudtrail.records import record_from_slice
from keytrail.detect.alerts import alert_id
from keytrail.detect.cut import Cut, cut, escapes, is_lines, needs_slow_reader, whole_lines
from keytrail.detect.literals import finder
from keytrail.detect.patterns import Dispatch
from keytrail.errors import InputError, ObjectError, Place
from keytrail.text import for_json

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Match:
    """An event that a pattern matched. `time` is the event's own, `document` safe JSON (ASCII), `raw` the stored record."""

    pattern: int
    id: str
    time: str
    document: bytes
    raw: bytes = b""


@dataclass(slots=True)
class Counts:
    """What was read; sizes in bytes. `records` counts the records that were read, not those passed over."""

    objects: int = 0
    stored_bytes: int = 0
    inflated_bytes: int = 0
    records: int = 0
    asides: int = 0

    def add(self, other: Counts) -> None:
        self.objects += other.objects
        self.stored_bytes += other.stored_bytes
        self.inflated_bytes += other.inflated_bytes
        self.records += other.records
        self.asides += other.asides


@dataclass(frozen=True, slots=True)
class Options:
    """How to read. Times are event times, `until` exclusive; `check` reads every record of every object."""

    limits: ReadLimits = field(default_factory=ReadLimits)
    since: datetime | None = None
    until: datetime | None = None
    check: bool = False
    keep_raw: bool = False


# The fast reader of one record. Where it accepts a text, it agrees with the standard library (tested); it
# refuses more (NaN, lone surrogates, numbers out of range), and what it refuses goes to `record_from_slice`.
_decode = msgspec.json.Decoder().decode
# Inflated bytes of a streamed object that are searched at a time.
_BLOCK_BYTES = 8 * 1024**2
# Keys of objects that wrap a record, or are no event; with one of them `record_from_slice` judges.
_NOT_PLAIN = frozenset({"CloudTrailEvent", "eventJson", "detail", "insightDetails"})


class Examiner:
    """Runs the patterns of a dispatch over objects. Made once in a process, used for many objects."""

    def __init__(self, dispatch: Dispatch, options: Options, geo: GeoLookup | None = None) -> None:
        self._dispatch = dispatch
        self._options = options
        self._geo = geo
        self._positions = finder(dispatch.literals)
        self._window = options.since is not None or options.until is not None
        # Without a literal to look for every record has to be read, and searching is a waste.
        self._narrow = not dispatch.residual and not options.check

    def examine(
        self, chunks: Iterable[bytes], name: str, counts: Counts, errors: list[InputError]
    ) -> Iterator[Match]:
        """The matches in one object, in the order of its records. `chunks` are its bytes as stored.

        Adds to `counts` and `errors`. Raises SourceError where reading the chunks does.
        """
        counts.objects += 1
        limits = self._options.limits
        held, rest, whole = _hold(chunks, limits.hold_bytes)
        if whole:
            counts.stored_bytes += len(held)
            buffer = None if self._options.check else inflate_whole(held, limits)
            if buffer is not None:
                found = self._fast(buffer, name, counts, errors)
                if found is not None:
                    counts.inflated_bytes += len(buffer)
                    yield from found
                    return
                del buffer
        else:
            counts.stored_bytes += len(held)
        stream = _inflated(inflate(_counted([held], rest, counts), name, limits), counts)
        if whole or self._options.check:
            yield from self._slow(stream, name, counts, errors)
        else:
            yield from self._lines(stream, name, counts, errors)

    # -- the slow way ---------------------------------------------------------------------------------------------

    def _slow(
        self, chunks: Iterable[bytes], name: str, counts: Counts, errors: list[InputError], first_line: int = 1
    ) -> Iterator[Match]:
        for item in read_items(chunks, name, self._options.limits):
            if isinstance(item, Record):
                counts.records += 1
                yield from self._matches(item.data, item.raw)
            elif isinstance(item, InputError):
                if item.place is not None and item.place.line is not None:
                    item.place = replace(item.place, line=item.place.line + first_line - 1)
                errors.append(item)
            else:
                counts.asides += 1

    def _lines(
        self, stream: Iterator[bytes], name: str, counts: Counts, errors: list[InputError]
    ) -> Iterator[Match]:
        """A stream in blocks of whole lines; from the first block that is not plainly records, the slow way."""
        blocks = whole_lines(stream, _BLOCK_BYTES, self._options.limits.max_record_bytes)
        line = 1
        try:
            for block in blocks:
                found = self._fast(block, name, counts, errors, line) if is_lines(block) else None
                if found is None:
                    yield from self._slow(chain([block], blocks), name, counts, errors, line)
                    return
                yield from found
                line += block.count(b"\n")
        except ObjectError as error:
            errors.append(error)

    # -- the fast way ---------------------------------------------------------------------------------------------

    def _fast(
        self, buffer: bytes, name: str, counts: Counts, errors: list[InputError], first_line: int = 1
    ) -> Iterator[Match] | None:
        """The matches in inflated bytes; None when only the slow way is certain to find all."""
        if needs_slow_reader(buffer):
            return None
        if not self._narrow:
            records = cut(buffer)
            if records is None:
                return None
            return self._read(records, range(len(records.raws)), name, counts, errors, first_line)
        positions = self._positions(buffer)
        positions.extend(escapes(buffer))
        if not positions:
            return iter(())
        records = cut(buffer)
        if records is None:
            return None
        return self._read(records, records.holding(positions), name, counts, errors, first_line)

    def _read(
        self,
        records: Cut,
        indexes: Iterable[int],
        name: str,
        counts: Counts,
        errors: list[InputError],
        first_line: int,
    ) -> Iterator[Match]:
        limits = self._options.limits
        for index in indexes:
            raw = bytes(records.raws[index])
            data = _decode_plain(raw, limits)
            if data is None:
                place = Place(name, record=index)
                if records.lines is not None:
                    place = Place(name, line=records.lines[index] + first_line - 1)
                item = record_from_slice(raw, place, limits)
                if isinstance(item, InputError):
                    errors.append(item)
                    continue
                if not isinstance(item, Record):
                    counts.asides += 1
                    continue
                raw, data = item.raw, item.data
            counts.records += 1
            yield from self._matches(data, raw)

    # -- both -----------------------------------------------------------------------------------------------------

    def _matches(self, data: Json, raw: bytes) -> Iterator[Match]:
        candidates = self._dispatch.candidates(data)
        if not candidates or (self._window and not self._in_window(data)):
            return
        document = Document(data, geo=self._geo)
        encoded = b""
        for one in candidates:
            if one.query.matches(document):
                if not encoded:
                    encoded = for_json(document.to_dict()).encode("ascii")
                time = data.get("eventTime")
                yield Match(
                    pattern=one.number,
                    id=alert_id(one.pattern.key, data),
                    time=time if isinstance(time, str) else "",
                    document=encoded,
                    raw=raw if self._options.keep_raw else b"",
                )

    def _in_window(self, data: Json) -> bool:
        """Whether the event lies in the window; one without a readable time lies in none."""
        moment = event_time(data)
        if moment is None:
            return False
        since, until = self._options.since, self._options.until
        return (since is None or moment >= since) and (until is None or moment < until)


def _decode_plain(raw: bytes, limits: ReadLimits) -> Json | None:
    """The record that `raw` spells if it plainly is one, None where `record_from_slice` has to judge."""
    if len(raw) > limits.max_record_bytes or raw.count(b"{") + raw.count(b"[") > limits.max_depth:
        return None
    try:
        data = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(data, dict) or not _NOT_PLAIN.isdisjoint(data) or classify(data) is not Kind.EVENT:
        return None
    return data


def _hold(chunks: Iterable[bytes], most: int) -> tuple[bytes, Iterator[bytes], bool]:
    """The beginning of an object, the rest, and whether the beginning is all."""
    stream = iter(chunks)
    parts: list[bytes] = []
    size = 0
    for chunk in stream:
        parts.append(chunk)
        size += len(chunk)
        if size > most:
            return b"".join(parts), stream, False
    return (parts[0] if len(parts) == 1 else b"".join(parts)), stream, True


def _counted(held: Iterable[bytes], rest: Iterator[bytes], counts: Counts) -> Iterator[bytes]:
    yield from held
    for chunk in rest:
        counts.stored_bytes += len(chunk)
        yield chunk


def _inflated(chunks: Iterator[bytes], counts: Counts) -> Iterator[bytes]:
    for chunk in chunks:
        counts.inflated_bytes += len(chunk)
        yield chunk


__all__ = ["Counts", "Examiner", "Match", "Options"]
