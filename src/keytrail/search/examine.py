"""From the stored bytes of one object to the events in it that match.

Two ways through an object, which find the same. The slow one reads every record. The fast one holds the inflated
object, searches it for what a match must hold, and reads only the records that hold it; an object without any is done
after the search. An object too large to hold goes the slow way, unless it has one record a line: then it goes the
fast way block by block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

import msgspec
from stringzilla import count

from keytrail.cloudtrail import (
    Aside,
    Document,
    Identity,
    Kind,
    ReadLimits,
    Record,
    classify,
    event_time,
    identity,
    inflate,
    parse_json,
    read_items,
)
from keytrail.cloudtrail.geo import GeoLookup
from keytrail.cloudtrail.inflate import inflate_whole
from keytrail.cloudtrail.records import record_from_slice
from keytrail.errors import InputError, ObjectError, Place, RecordError, SourceError
from keytrail.search.cut import Records, Rows, cut, escapes, is_lines, needs_slow_reader, whole_lines
from keytrail.search.literals import finder
from keytrail.search.patterns import Dispatch
from keytrail.search.sites import Site, Spans, Told, add, sample, site_of, times_in, told_by
from keytrail.search.values import within
from keytrail.text import for_json

Json = dict[str, object]


def match_id(key: str, record: Json) -> str:
    """The id of what the pattern `key` finds in `record`: 64 hex digits from both identities (DESIGN.md, "Alert id").

    >>> match_id("r", {"eventID": "e", "awsRegion": "us-east-1", "recipientAccountId": "1"})[:8]
    'ba297220'
    """
    return _match_id(key, identity(record))


def _match_id(key: str, who: Identity) -> str:
    text = "\0".join(("keytrail/1", key, who.account, who.region, who.event_id))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Match:
    """An event that a pattern matched; `time` is the event's own, `document` safe JSON in ASCII, `raw` as stored.

    `event_id` is that of its identity (`cloudtrail.identity`), `id` that of the match.
    `literals` are those of the pattern that the record holds, of the ones wanted at its time.
    """

    pattern: int
    id: str
    time: str
    document: bytes
    raw: bytes = b""
    literals: tuple[str, ...] = ()
    event_id: str = ""


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
    """How to read. Times are event times, `until` exclusive; `check` reads every record of every object.

    `spans` asks for what the objects tell about the accounts and Regions that they cover.
    """

    limits: ReadLimits = field(default_factory=ReadLimits)
    since: datetime | None = None
    until: datetime | None = None
    check: bool = False
    keep_raw: bool = False
    spans: bool = False


@dataclass(slots=True)
class Result:
    """What came out of one or more objects; `last` is the name of the last, `failure` a source that was lost.

    `seen` are the numbers of the sightings that were answered by these objects, or by others before them.
    """

    matches: list[Match] = field(default_factory=list)
    errors: list[InputError] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    last: str = ""
    failure: SourceError | None = None
    seen: set[int] = field(default_factory=set)
    spans: Spans = field(default_factory=dict)


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
        self._positions = finder(() if dispatch.values.with_queries else dispatch.pairs)
        self._values = dispatch.values
        # Whether the time of an event decides anything: to read it takes as long as a simple query.
        bounds = [(options.since, options.until), *((one.since, one.until) for one in dispatch.given)]
        self._timed = bool(dispatch.values) or any(one != (None, None) for one in bounds)
        self._seen: set[int] = set()
        self._told = Told()
        # Without a literal to look for every record has to be read, and searching is a waste.
        self._narrow = dispatch.narrow and not options.check

    def examine(self, chunks: Iterable[bytes], name: str, result: Result) -> None:
        """Add to `result` what is in one object, matches in the order of its records. `chunks` are its bytes as stored.

        Raises SourceError or ObjectError where reading the chunks does; what was found until then stays.
        """
        counts, limits = result.counts, self._options.limits
        counts.objects += 1
        result.seen |= self._seen
        about = _Object(name, site_of(name) if self._options.spans else None, self._options.spans)
        held, rest, whole = _hold(chunks, limits.hold_bytes)
        counts.stored_bytes += len(held)
        if whole and not self._options.check:
            buffer = inflate_whole(held, limits)
            if buffer is not None:
                del held  # As large as it gets: one copy of the object, inflated.
                counts.inflated_bytes += len(buffer)
                if about.site is not None:
                    about.tell = False
                    if not result.spans:
                        self._told = Told()  # Each result tells all by itself.
                    for moment in times_in(buffer, about.site, self._told):
                        if self._cover(result, (about.site.account, about.site.region, moment)):
                            self._told.add(about.site, moment)
                if not self._fast(buffer, about, result):
                    self._slow(_pieces(buffer, limits.chunk_bytes), about, result)
                return
        stream = _inflated(inflate(_counted([held], rest, counts), name, limits), counts)
        if whole or self._options.check:
            self._slow(stream, about, result)
        else:
            self._lines(stream, about, result)

    def examine_rows(self, rows: Rows, result: Result, name: str = "") -> list[tuple[int, Match]]:
        """The matches in records that are cut and unwrapped already (`Record.raw`), each with its row, in their order.

        To `result` the same matches are added, what else there is to tell, and an error for a row that is no JSON
        object; `name` says in errors where the rows are from. What a pattern's predicate raises goes through: whoever
        has to know which pattern it was examines the rows again, with an Examiner for each pattern by itself.
        """
        result.seen |= self._seen
        positions: list[int] = []
        hits: list[tuple[int, int]] = []
        if self._narrow:
            positions, hits = self._places(rows.buffer)  # type: ignore[arg-type]  # all that is asked of it is a buffer
            if not positions and not hits:
                return []
        found: list[tuple[int, Match]] = []
        for index, raw in self._chosen(rows, positions, hits):
            before = len(result.matches)
            try:
                data = read_row(raw, Place(name, record=index), self._options.limits)
            except RecordError as error:
                result.errors.append(error)
                continue
            result.counts.records += 1
            self._match(data, raw, result)
            found += [(index, match) for match in result.matches[before:]]
        return found

    # -- the slow way ---------------------------------------------------------------------------------------------

    def _slow(self, chunks: Iterable[bytes], about: _Object, result: Result, first_line: int = 1) -> None:
        for item in read_items(chunks, about.name, self._options.limits):
            if isinstance(item, InputError) and item.place is not None and item.place.line is not None:
                item.place = replace(item.place, line=item.place.line + first_line - 1)
            if about.tell and isinstance(item, Record):
                self._cover(result, told_by(item.data, about.site))
            self._take(item, result)

    def _lines(self, stream: Iterator[bytes], about: _Object, result: Result) -> None:
        """A stream in blocks of whole lines; from the first block that is not plainly records, the slow way."""
        blocks = whole_lines(stream, _BLOCK_BYTES, self._options.limits.max_record_bytes)
        line = 1
        try:
            for block in blocks:
                if not is_lines(block) or not self._fast(block, about, result, line):
                    self._slow(chain([block], blocks), about, result, line)
                    return
                line += block.count(b"\n")
        except ObjectError as error:
            result.errors.append(error)

    # -- the fast way ---------------------------------------------------------------------------------------------

    def _fast(self, buffer: bytes, about: _Object, result: Result, first_line: int = 1) -> bool:
        """Do inflated bytes; False, with nothing done, when only the slow way is certain to find all."""
        if needs_slow_reader(buffer):
            return False
        positions: list[int] = []
        hits: list[tuple[int, int]] = []
        if self._narrow:
            positions, hits = self._places(buffer)
            if not positions and not hits and not about.tell:
                return True
        records = cut(buffer)
        if records is None:
            return False
        limits = self._options.limits
        if about.tell:
            for index in sample(len(records.raws)):
                data = _decode_plain(bytes(records.raws[index]), limits)
                if data is not None:
                    self._cover(result, told_by(data, about.site))
        for index, raw in self._chosen(records, positions, hits):
            data = _decode_plain(raw, limits)
            if data is not None:
                result.counts.records += 1
                self._match(data, raw, result)
            elif records.lines is None:
                self._take(record_from_slice(raw, Place(about.name, record=index), limits), result)
            else:
                place = Place(about.name, line=records.lines[index] + first_line - 1)
                self._take(record_from_slice(raw, place, limits), result)
        return True

    def _places(self, buffer: bytes) -> tuple[list[int], list[tuple[int, int]]]:
        """Where in a buffer stands what has to be read, and the hits of values, which may count or not."""
        positions = self._positions(buffer)
        positions += escapes(buffer, slashes=self._values.slashes)
        return positions, self._values.positions(buffer, self._seen)

    def _chosen(
        self, records: Records, positions: list[int], hits: list[tuple[int, int]]
    ) -> Iterator[tuple[int, bytes]]:
        """The records to read, with their index: all, or those at `positions`, and those whose hits can count."""
        if not self._narrow:
            yield from ((index, records.raw(index)) for index in range(len(records)))
            return
        needles: dict[int, set[int]] = {}
        for position, needle in hits:
            if (found := records.at(position)) is not None:
                needles.setdefault(found, set()).add(needle)
        certain = set(records.holding(positions))
        for index in sorted(certain | needles.keys()):
            raw = records.raw(index)
            # What is seen grows while the records are read: a sighting that was answered needs no more of them.
            if index in certain or self._values.may_match(raw, needles[index], self._seen):
                yield index, raw

    def _cover(self, result: Result, told: tuple[str, str, datetime] | None) -> bool:
        """Add what was told, if it lies in the times asked for; whether it does."""
        if told is None or not within(told[2], self._options.since, self._options.until):
            return False
        add(result.spans, *told)
        return True

    # -- both -----------------------------------------------------------------------------------------------------

    def _take(self, item: Record | Aside | InputError, result: Result) -> None:
        if isinstance(item, Record):
            result.counts.records += 1
            self._match(item.data, item.raw, result)
        elif isinstance(item, InputError):
            result.errors.append(item)
        else:
            result.counts.asides += 1

    def _match(self, data: Json, raw: bytes, result: Result) -> None:
        candidates = self._dispatch.candidates(data)
        if not candidates and not self._values:
            return
        moment = None
        if self._timed:
            moment = event_time(data)
            if not within(moment, self._options.since, self._options.until):
                return
            candidates = [one for one in candidates if within(moment, one.pattern.since, one.pattern.until)]
        document = Document(data, geo=self._geo)
        found: list[tuple[int, tuple[str, ...]]] = [
            (one.number, ()) for one in candidates if one.query.matches(document)
        ]
        if self._values:
            result.seen.update(self._values.sighted(data, moment))
            self._seen |= result.seen
            found += self._values.held(data, moment)
            found.sort()
        if not found:
            return
        who = identity(data)
        encoded = b""
        for number, literals in found:
            pattern = self._dispatch.given[number]
            bare = pattern.raw_only or bool(pattern.literals)
            if not bare and not encoded:
                encoded = for_json(document.to_dict()).encode("ascii")
            result.matches.append(
                Match(
                    pattern=number,
                    id=_match_id(pattern.key, who),
                    time=who.time,
                    document=b"" if bare else encoded,
                    raw=raw if bare or self._options.keep_raw else b"",
                    literals=literals,
                    event_id=who.event_id,
                )
            )


@dataclass(slots=True)
class _Object:
    """The object that is read; with `tell` its records are to tell what it covers."""

    name: str
    site: Site | None
    tell: bool


def _decode_plain(raw: bytes, limits: ReadLimits) -> Json | None:
    """The record that `raw` spells if it plainly is one, None where `record_from_slice` has to judge."""
    # What nests too deeply opens that often; bytes.count takes ten times as long.
    if len(raw) > limits.max_record_bytes or count(raw, b"{") + count(raw, b"[") > limits.max_depth:
        return None
    try:
        data = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(data, dict) or not _NOT_PLAIN.isdisjoint(data) or classify(data) is not Kind.EVENT:
        return None
    return data


def read_row(raw: bytes, place: Place, limits: ReadLimits) -> Json:
    """The record that `raw` spells, of which it is known that it is one and stands in no envelope.

    Raises RecordError for anything but a JSON object.
    """
    try:
        data: object = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        data = parse_json(raw, place, limits)
    if not isinstance(data, dict):
        raise RecordError("a row that is not a CloudTrail record", place=place)
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


def _pieces(buffer: bytes, size: int) -> Iterator[bytes]:
    return (buffer[at : at + size] for at in range(0, len(buffer), size))


def _counted(held: Iterable[bytes], rest: Iterator[bytes], counts: Counts) -> Iterator[bytes]:
    yield from held
    for chunk in rest:
        counts.stored_bytes += len(chunk)
        yield chunk


def _inflated(chunks: Iterator[bytes], counts: Counts) -> Iterator[bytes]:
    for chunk in chunks:
        counts.inflated_bytes += len(chunk)
        yield chunk


__all__ = ["Counts", "Examiner", "Match", "Options", "Result", "Rows", "match_id", "read_row"]
