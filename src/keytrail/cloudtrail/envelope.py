"""From the bytes of an object to its records, whatever layout they come in: the slow, exact way.

Layouts: {"Records": [...]} as AWS delivers, a bare array, one record, NDJSON or concatenated JSON, EventBridge envelopes
(`detail`), LookupEvents output (`Events`), CloudTrail Lake rows (`QueryResultRows`, `eventJson`). The object is read as a
stream, so that memory is bounded by the largest record and not by the object.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keytrail.cloudtrail.records import (
    Json,
    Kind,
    ReadLimits,
    Record,
    classify,
    deeper_than,
    parse_json,
    too_deep,
)
from keytrail.errors import InputError, ObjectError, Place, RecordError

# Arrays whose elements are records, by the key that holds them.
_CONTAINERS = frozenset({"Records", "Events", "QueryResultRows"})
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_RESYNC = re.compile(r"\}\s*,\s*\{\s*\"event(?:Version|Name|Time|Source|ID)\"")


@dataclass(frozen=True, slots=True)
class Aside:
    """A JSON object that is part of CloudTrail but not an event: an Insight event or a digest file."""

    kind: Kind
    place: Place


Item = Record | Aside | InputError


def read_items(chunks: Iterable[bytes], name: str, limits: ReadLimits) -> Iterator[Item]:
    """Every record in `chunks` (inflated bytes of the object `name`), with what was not an event or not readable.

    Errors are yielded in place and reading goes on behind them where a next record can be found.
    """
    return _Reader(chunks, name, limits).items()


class _Incomplete(Exception):
    """The value may go on behind the end of what has been read."""


class _Reader:
    """A cursor over text that is decoded from chunks as it is needed."""

    def __init__(self, chunks: Iterable[bytes], name: str, limits: ReadLimits) -> None:
        self._chunks = iter(chunks)
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._name = name
        self._limits = limits
        self._text = ""
        self._at = 0
        self._ended = False
        self._lines_before = 0  # newlines in text already dropped
        self._index = -1  # of the record in its object, from 0

    # -- text ---------------------------------------------------------------------------------------------------

    def _more(self) -> bool:
        """Read on; False at the end. What lies before the cursor is dropped."""
        if self._ended:
            return False
        self._lines_before += self._text.count("\n", 0, self._at)
        chunk = next(self._chunks, None)
        self._ended = chunk is None
        try:
            added = self._decode.decode(chunk or b"", final=self._ended)
        except UnicodeDecodeError as error:
            self._ended = True
            raise ObjectError(
                f"not UTF-8 text: {error.reason}",
                place=self._place(),
                advice="CloudTrail objects are gzip or UTF-8 JSON; is this another kind of file?",
            ) from error
        self._text = self._text[self._at :] + added
        self._at = 0
        return True

    def _place(self, record: int | None = None) -> Place:
        line = self._lines_before + self._text.count("\n", 0, self._at) + 1
        column = self._at - self._text.rfind("\n", 0, self._at)
        return Place(self._name, record=record, line=line, column=column)

    def _peek(self) -> str:
        """The next character that is not a space, or "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _value(self) -> tuple[object, str]:
        """The JSON value at the cursor and its exact text; the cursor moves behind it."""
        wanted = 0
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise too_deep(self._place(), self._limits) from error
            except json.JSONDecodeError as error:
                # Cut off, or wrong? Only the end of the text can tell; read on in doubling steps, up to the limit.
                available = len(self._text) - self._at
                if available > self._limits.max_record_bytes:
                    raise self._too_large() from error
                if self._ended or error.pos < len(self._text) - _LONGEST_TOKEN and not _open_string(error):
                    raise self._bad(error) from error
                wanted = max(2 * available, 1)
            except ValueError as error:
                raise RecordError(f"not readable as JSON: {error}", place=self._place()) from error
            else:
                # A number at the very end of the text may go on in the next chunk.
                if end < len(self._text) or self._ended or self._text[self._at] in '{["':
                    text = self._text[self._at : end]
                    self._at = end
                    return value, text
                wanted = len(self._text) - self._at + 1
            while len(self._text) - self._at < wanted and self._more():
                pass

    def _bad(self, error: json.JSONDecodeError) -> RecordError:
        column = error.pos - self._text.rfind("\n", 0, error.pos)
        line = self._lines_before + self._text.count("\n", 0, error.pos) + 1
        return RecordError(f"not JSON: {error.msg}", place=Place(self._name, line=line, column=column))

    def _too_large(self) -> RecordError:
        return RecordError(
            f"a record is larger than {self._limits.max_record_bytes} bytes",
            place=self._place(),
            advice="Raise reading.max_record_bytes if this object is genuine.",
        )

    # -- structure ----------------------------------------------------------------------------------------------

    def items(self) -> Iterator[Item]:
        try:
            if self._peek() == "\ufeff":
                self._at += 1
            while (start := self._peek()) != "":
                try:
                    if start == "[":
                        yield from self._array()
                    elif start == "{":
                        yield from self._object()
                    else:
                        raise RecordError(
                            "neither an object nor an array of records",
                            place=self._place(),
                            advice="Expected CloudTrail JSON: an object with Records, an array, or one record a line.",
                        )
                except RecordError as error:
                    yield error
                    if not self._skip_line():
                        return
        except ObjectError as error:
            yield error

    def _object(self) -> Iterator[Item]:
        """One object at top level, member by member, so that a large array in it is never held whole."""
        mark = self._place()
        lone = self._try_small()
        if lone is not None:
            value, text = lone
            yield from self._unwrap(value, text, Place(mark.file, line=mark.line))
            return
        self._at += 1
        members: Json = {}
        streamed = False
        while self._peek() not in ("}", ""):
            key, _ = self._value()
            if not isinstance(key, str) or self._peek() != ":":
                raise RecordError("expected a member of an object", place=self._place())
            self._at += 1
            if key in _CONTAINERS and self._peek() == "[":
                streamed = True
                yield from self._array()
            else:
                self._peek()
                members[key], _ = self._value()
            if self._peek() == ",":
                self._at += 1
                self._peek()
            elif self._peek() != "}":
                break
        if self._peek() != "}":
            raise RecordError("the object ends in the middle" if self._ended else "expected , or }", place=self._place())
        self._at += 1
        if not streamed:
            text = json.dumps(members, separators=(",", ":"), ensure_ascii=False)
            yield from self._unwrap(members, text, Place(mark.file, line=mark.line))

    def _try_small(self) -> tuple[object, str] | None:
        """The object at the cursor if it holds no container of records and is all here; nothing moves otherwise."""
        while len(self._text) - self._at < self._limits.chunk_bytes and self._more():
            pass
        try:
            value, end = _DECODER.raw_decode(self._text, self._at)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict) or any(isinstance(value.get(key), list) for key in _CONTAINERS):
            return None
        text = self._text[self._at : end]
        self._at = end
        return value, text

    def _array(self) -> Iterator[Item]:
        self._at += 1
        while self._peek() not in ("]", ""):
            self._index += 1
            try:
                value, text = self._value()
            except RecordError as error:
                place = error.place or self._place()
                error.place = Place(place.file, self._index, place.line, place.column)
                yield error
                if not self._resync():
                    return
                continue
            yield from self._unwrap(value, text, Place(self._name, record=self._index))
            if self._peek() == ",":
                self._at += 1
            elif self._peek() != "]":
                break
        if self._peek() != "]":
            what = "the object ends in the middle of its records" if self._peek() == "" else "expected , or ]"
            raise RecordError(what, place=self._place())
        self._at += 1

    def _resync(self) -> bool:
        """Move to the record behind a broken one, recognised by how CloudTrail records begin; False if none follows."""
        self._at += 1
        while True:
            match = _RESYNC.search(self._text, self._at)
            if match is not None:
                self._at = self._text.index("{", match.start())
                return True
            self._at = max(self._at, len(self._text) - _LONGEST_TOKEN)
            if not self._more():
                self._at = len(self._text)
                return False

    def _skip_line(self) -> bool:
        """Move behind the end of the line; False if the text ends first."""
        while (end := self._text.find("\n", self._at)) < 0:
            self._at = len(self._text)
            if not self._more():
                return False
        self._at = end + 1
        return True

    # -- meaning ------------------------------------------------------------------------------------------------

    def _unwrap(self, value: object, text: str, place: Place) -> Iterator[Item]:
        yield from unwrap(value, text, place, self._limits)


_LONGEST_TOKEN = 64  # an error this close to the end of the text may be a token cut in two


def _open_string(error: json.JSONDecodeError) -> bool:
    # The parser reports an unterminated string where it starts, however much of it is there.
    return error.msg.startswith("Unterminated string")


def unwrap(value: object, text: str, place: Place, limits: ReadLimits) -> Iterator[Item]:
    """The records inside one JSON value: itself, an EventBridge `detail`, a `CloudTrailEvent` string, a Lake row."""
    if deeper_than(text, value, limits.max_depth):
        yield too_deep(place, limits)
        return
    if isinstance(value, list):  # a CloudTrail Lake row is a list of one-column objects
        row: Json = {}
        for column in value:
            if isinstance(column, dict):
                row.update(column)
        value = row
    if not isinstance(value, dict):
        yield RecordError(f"not a CloudTrail record but a JSON {_json_type(value)}", place=place)
        return
    embedded = value.get("CloudTrailEvent", value.get("eventJson"))
    if isinstance(embedded, str):
        try:
            inner = parse_json(embedded, place, limits)
        except RecordError as error:
            yield error
            return
        yield from _judge(inner, embedded, place)
        return
    detail = value.get("detail")
    if isinstance(detail, dict) and "detail-type" in value:
        yield from _judge(detail, json.dumps(detail, separators=(",", ":"), ensure_ascii=False), place)
        return
    yield from _judge(value, text, place)


def _judge(value: object, text: str, place: Place) -> Iterator[Item]:
    if not isinstance(value, dict):
        yield RecordError(f"not a CloudTrail record but a JSON {_json_type(value)}", place=place)
        return
    kind = classify(value)
    if kind is Kind.EVENT:
        # A lone surrogate has no UTF-8 form; it is kept as its JSON escape.
        yield Record(text.encode("utf-8", "backslashreplace"), value, place)
    elif kind is Kind.UNKNOWN:
        yield RecordError("not a CloudTrail record: it has no eventName, eventSource or eventID", place=place)
    else:
        yield Aside(kind, place)


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return {int: "number", float: "number", str: "string", list: "array"}.get(type(value), "value")
