"""From the bytes of an object to its records, whatever layout they come in: the slow, exact way.

Layouts: {"Records": [...]} as AWS delivers, a bare array, one record, NDJSON or concatenated JSON, EventBridge
envelopes (`detail`), LookupEvents output (`Events`), CloudTrail Lake rows (`QueryResultRows`, `eventJson`). The object
is read as a stream, so that memory is bounded by the largest record and not by the object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

from keytrail.cloudtrail.cursor import Broken, Cursor
from keytrail.cloudtrail.records import Aside, ReadLimits, Record, judge
from keytrail.errors import InputError, ObjectError, RecordError

__all__ = ["Aside", "Item", "read_items"]

Item = Record | Aside | InputError

# Arrays whose elements are records, by the key that holds them.
_CONTAINERS = ("Records", "Events", "QueryResultRows")
_CONTAINER = re.compile(rf'\{{\s*"(?:{"|".join(_CONTAINERS)})"\s*:\s*\[')

_LOOK_AHEAD = 64  # characters, enough for such a beginning

# How a record begins, to find the next one behind damage. The first key of the last good record is added to these.
_BEGINNINGS = (
    r'\{\s{0,64}"(?:eventVersion|eventTime|eventSource|eventName|eventID|EventId|additionalEventData)"',
    r'\{\s{0,64}"version"\s{0,64}:\s{0,64}"0"',
    r'\{\s{0,64}"Records"\s{0,64}:\s{0,64}\[',
)
_BEGINNING = re.compile(r'((?:[\[{]\s*)+)("[^"\\\x00-\x1f]{1,64}")')

# Values in a row that cannot be read before the object is given up; well-formed JSON that is no record counts less.
_GIVE_UP = 1_000
_OF_OTHER_KIND = 100

_UTF16 = ("\udcff\udcfe", "\udcfe\udcff")
_EXPECTED = "Expected CloudTrail JSON: an object with Records, an array of records, or one record a line."


def read_items(chunks: Iterable[bytes], name: str, limits: ReadLimits) -> Iterator[Item]:
    """Every record in `chunks` (inflated bytes of the object `name`), with what was not an event or not readable.

    Errors are yielded in place and reading goes on behind them where a next record can be found; an InputError that
    `chunks` raises is yielded after what came before it. Never raises for anything that the bytes hold.

    Of repeated keys that hold arrays of records, such as two `Records` in one object, all are read.
    """
    return _Reader(chunks, name, limits).items()


class _Reader:
    """The structure around the records of one object."""

    def __init__(self, chunks: Iterable[bytes], name: str, limits: ReadLimits) -> None:
        self._cursor = Cursor(chunks, name, limits)
        self._limits = limits
        self._index = -1  # of the last value in the object, from 0
        self._last_good = ""  # how the last record that could be read begins
        self._in_a_row = 0  # values that could not be read, in hundredths of one
        self._restart = False  # leave the array, what follows stands at top level

    def items(self) -> Iterator[Item]:
        """All items, until the end or until too many in a row cannot be read."""
        for item in self._values():
            if not isinstance(item, InputError) and not self._cursor.hopeless:
                self._in_a_row = 0
            yield item
            if self._in_a_row >= _GIVE_UP * _OF_OTHER_KIND:
                yield ObjectError(
                    "given up: too many values in a row are not readable",
                    place=self._cursor.place(),
                    advice=_EXPECTED,
                )
                break
        if self._cursor.damage is not None:
            yield self._cursor.damage

    def _values(self) -> Iterator[Item]:
        """The values at top level, one after the other."""
        cursor = self._cursor
        cursor.more(2)
        if cursor.text.startswith(_UTF16):
            yield ObjectError("UTF-16 text", place=cursor.place(), advice="Convert the file to UTF-8.")
            return
        while (start := cursor.peek()) != "":
            self._restart = False
            if start == "{":
                yield from self._object()
            elif start == "[":
                yield from self._array(containers=True)
            elif start == "\ufeff":  # files with a byte order mark, written one after the other
                cursor.at += 1
            else:
                yield from self._garbage()

    def _garbage(self) -> Iterator[Item]:
        """Something at top level that is neither an object nor an array."""
        what = "neither an object nor an array of records"
        place = self._cursor.place()
        self._in_a_row += _OF_OTHER_KIND
        if self._cursor.text[self._cursor.at] == ",":
            yield RecordError(what, place=place)
            self._cursor.at += 1
        elif self._last_good:  # among lines of records each bad line is one
            yield RecordError(what, place=place)
            self._cursor.search(_compiled(_NEXT_LINE, self._last_good), 0)
        else:
            yield ObjectError(what, place=place, advice=_EXPECTED)
            self._cursor.search(_compiled(_AT_TOP, ""), 0)

    def _object(self) -> Iterator[Item]:
        """One object at top level: a record, or members of which some hold arrays of records."""
        cursor = self._cursor
        if _CONTAINER.match(cursor.text, cursor.at) is None:
            there = cursor.whole_value()
            if there is not None and not _holds_records(there[0]):
                self._index += 1
                yield self._judged(*there)
                return
        streamed = False
        offset = 1
        try:
            found, offset = cursor.peek_from(offset)
            while found != "}":
                key, offset = cursor.value(None, offset)
                found, offset = cursor.peek_from(offset)
                if not isinstance(key, str) or found != ":":
                    raise self._unexpected(offset, 'a member of an object, "key": value')
                found, offset = cursor.peek_from(offset + 1)
                if found == "[" and key in _CONTAINERS:
                    cursor.at += offset
                    offset = 0
                    streamed = True
                    yield from self._array()
                    if self._restart:
                        return
                else:
                    _, offset = cursor.value(None, offset)
                if streamed:  # what has been read need not be kept
                    cursor.at += offset
                    offset = 0
                found, offset = cursor.peek_from(offset)
                if found == ",":
                    found, offset = cursor.peek_from(offset + 1)
                    if found == "}":
                        raise self._unexpected(offset, "another member of the object")
                elif found != "}":
                    raise self._unexpected(offset, ", or }")
            if streamed:
                cursor.at += offset + 1
            else:
                self._index += 1
                yield self._judged(*cursor.value(self._index))
        except Broken as broken:
            self._index += not streamed
            yield from self._report(broken, None if streamed else self._index, _AT_TOP)
            self._recover(broken, _AT_TOP, "{[,")

    def _array(self, *, containers: bool = False) -> Iterator[Item]:
        """The records of an array; with `containers` also of objects in it that hold arrays of records."""
        cursor = self._cursor
        cursor.at += 1
        if cursor.peek() == "]":
            cursor.at += 1
            return
        while True:
            if containers and len(cursor.text) - cursor.at < _LOOK_AHEAD:
                cursor.more(_LOOK_AHEAD)
            if containers and _CONTAINER.match(cursor.text, cursor.at):
                yield from self._object()
                if self._restart:
                    return
            else:
                self._index += 1
                try:
                    value, end = cursor.value(self._index)
                except Broken as broken:
                    yield from self._report(broken, self._index, _IN_ARRAY)
                    if self._recover(broken, _IN_ARRAY, ",]"):
                        continue
                    if self._restart:
                        return
                else:
                    yield self._judged(value, end)
            # Between two elements.
            found = cursor.peek()
            if found == ",":
                cursor.at += 1
                if cursor.peek() != "]":
                    continue
                yield from self._report(self._unexpected(0, "another record"), None)
            if found != "" and cursor.text[cursor.at] == "]":
                cursor.at += 1
                return
            unexpected = self._unexpected(0, ", or ]")
            yield from self._report(unexpected, None)
            if found in ("{", "["):  # only the comma is missing
                continue
            if not self._recover(unexpected, _IN_ARRAY, ""):
                self._restart = True
            if self._restart:
                return

    def _judged(self, value: object, end: int) -> Item:
        """What the value at the cursor is; the cursor moves behind it."""
        cursor = self._cursor
        text = cursor.text[cursor.at : cursor.at + end]
        item = judge(value, text, cursor.place(self._index), self._limits)
        cursor.at += end
        if isinstance(item, InputError):
            self._in_a_row += 1
        else:
            self._last_good = text[:200]
        return item

    # -- damage -------------------------------------------------------------------------------------------------

    def _unexpected(self, offset: int, expected: str) -> Broken:
        cursor = self._cursor
        if cursor.at + offset >= len(cursor.text):
            error = RecordError(
                "the text ends in the middle of the records",
                place=cursor.place(None, offset),
                advice="The object is not complete; what came before was read.",
            )
            return Broken(error, offset, cut=True)
        return Broken(RecordError(f"not JSON: expected {expected}", place=cursor.place(None, offset)), offset)

    def _report(self, broken: Broken, record: int | None, pattern: str = "") -> Iterator[InputError]:
        self._in_a_row += _OF_OTHER_KIND
        cursor = self._cursor
        if cursor.damage is not None and cursor.ended and cursor.at + broken.at + 64 >= len(cursor.text):
            return  # the text ends here because the chunks did, and `damage` says why
        place = broken.error.place
        if pattern and place is not None:
            # Where the parser stumbled over the beginning of a later record, this one is to blame.
            later = _compiled(pattern, self._last_good).search(cursor.text, cursor.at + 1, cursor.at + broken.at + 80)
            if later is not None and later.end() <= cursor.at + broken.at:
                place = cursor.place(record)
            elif place.record is None:
                place = replace(place, record=record)
            broken.error.place = place
        yield broken.error

    def _recover(self, broken: Broken, pattern: str, follows: str) -> bool:
        """Move behind a broken value; True if a record begins there, False if it is where the value ended.

        Where the brackets of the value close sensibly that is its end. Otherwise the next record is looked for, by
        how records begin; without one the cursor is at the end. Sets `_restart` if what comes next is no element of
        the array that the value was in.
        """
        cursor = self._cursor
        next_record = _compiled(pattern, self._last_good)
        if not broken.cut and follows:
            following = next_record.search(cursor.text, cursor.at + 1)
            end = cursor.end_of_broken(following.end() - cursor.at if following else None)
            if end is not None and next_record.search(cursor.text, cursor.at + 1, cursor.at + end) is None:
                try:
                    found, _ = cursor.peek_from(end)
                except Broken:
                    found = ""
                if found == "" or found in follows:
                    cursor.at += end
                    return False
        if not cursor.search(next_record, broken.at):
            self._restart = True
            return False
        self._restart = _CONTAINER.match(cursor.text, cursor.at) is not None
        return not self._restart


# What stands before a record: at top level a line of its own will do, in an array it takes more to be sure.
_IN_ARRAY = r"[,}\]\n][ \t\r]{0,64}(?=BEGINNING)"
_AT_TOP = rf"\n(?=[{{\[])|{_IN_ARRAY}"
_NEXT_LINE = rf"\n|{_IN_ARRAY}"


@lru_cache(maxsize=64)
def _compiled(pattern: str, last_good: str) -> re.Pattern[str]:
    """`pattern` with the ways in which a record begins, that of the last good one among them."""
    beginnings = list(_BEGINNINGS)
    if found := _BEGINNING.match(last_good):
        tokens = [*(re.escape(c) for c in found[1] if c in "[{"), re.escape(found[2])]
        beginnings.append(r"\s{0,64}".join(tokens))
    return re.compile(pattern.replace("BEGINNING", "|".join(beginnings)))


def _holds_records(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(value.get(key), list) for key in _CONTAINERS)
