"""A cursor over JSON text that is decoded from chunks as it is needed: values, places, the end of a broken value.

It holds the text from the cursor on and no more than a record and a chunk of it. Offsets count from the cursor, so that
they stay true when more is read.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator

from keytrail.cloudtrail.records import ReadLimits, too_large, unreadable
from keytrail.errors import InputError, Place, RecordError

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
# What decides where a value ends: brackets, outside of strings. A string holds no control character.
_STRING = r'"(?:[^"\\\x00-\x1f]++|\\.)*+'
_TOKEN = re.compile(rf'[^"{{}}\[\]]++|{_STRING}"|[{{}}\[\]]')
_CUT_STRING = re.compile(rf"{_STRING}\\?\Z")
_CLOSES = {"{": ord("}"), "[": ord("]")}
# An error this close to the end of the text may be a token cut in two: -Infinity, \u escapes, numbers.
_LONGEST_TOKEN = 64
# Bytes of one object that may be looked at again after damage. It bounds the time that a hostile object takes; a
# damaged one that is not hostile uses a few records' worth.
_SECOND_LOOKS = 8 * 1024 * 1024
_SECOND_LOOK = 1024 * 1024  # of them, for the end of one value; AWS writes no record of more than 256 KiB


class Broken(Exception):
    """The value at the cursor cannot be read.

    `at` is a character, from the cursor, that the damage lies at or before. `cut` says that nothing is wrong with
    what is there: the text ends, or the limit is reached, before the value does.
    """

    def __init__(self, error: RecordError, at: int, *, cut: bool = False) -> None:
        super().__init__(error.what)
        self.error = error
        self.at = at
        self.cut = cut


class Cursor:
    """Text, and the position `at` of the next character in it.

    `damage` is the error with which the chunks ended, if they did: what could be read comes before it.
    """

    def __init__(self, chunks: Iterable[bytes], name: str, limits: ReadLimits) -> None:
        self.text = ""
        self.at = 0
        self.ended = False
        self.damage: InputError | None = None
        self._pieces = _pieces(chunks, limits.chunk_bytes)
        # A byte that is not UTF-8 becomes a surrogate, which costs its record and not the object, and encodes back.
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._name = name
        self._limits = limits
        self._second_looks = _SECOND_LOOKS
        # Of `_counted`, a character at or before the cursor: its line, and where that line starts in `text`.
        self._counted = 0
        self._line = 1
        self._line_start = 0

    def more(self, wanted: int = 1) -> bool:
        """Read on until there are `wanted` more characters, or the end; False if there is nothing more."""
        self._count_lines()
        parts = [self.text[self.at :]]
        added = 0
        while added < wanted and not self.ended:
            try:
                piece = next(self._pieces, None)
            except InputError as error:
                self.damage = error
                piece = None
            self.ended = piece is None
            part = self._decoder.decode(piece or b"", self.ended)
            added += len(part)
            parts.append(part)
        self.text = "".join(parts)
        self._line_start -= self.at
        self._counted = self.at = 0
        return added > 0

    def place(self, record: int | None = None, offset: int = 0) -> Place:
        """The place of a character, at or behind the cursor."""
        self._count_lines()
        at = self.at + offset
        lines = self.text.count("\n", self.at, at) if offset else 0
        start = self.text.rindex("\n", self.at, at) + 1 if lines else self._line_start
        return Place(self._name, record, self._line + lines, at - start + 1)

    def _count_lines(self) -> None:
        lines = self.text.count("\n", self._counted, self.at)
        if lines:
            self._line += lines
            self._line_start = self.text.rindex("\n", self._counted, self.at) + 1
        self._counted = self.at

    def peek(self) -> str:
        """Move to the next character that is not a space and return it, or "" at the end."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def peek_from(self, offset: int) -> tuple[str, int]:
        """The next character from `offset` that is not a space, and its offset; the cursor stays. Raises Broken."""
        while True:
            found = _SPACE.match(self.text, self.at + offset)
            offset = found.end() - self.at if found else offset
            if self.at + offset < len(self.text):
                return self.text[self.at + offset], offset
            if self.ended:
                raise self._cut_off(offset)
            self._read_on(offset)

    def value(self, record: int | None, offset: int = 0) -> tuple[object, int]:
        """The JSON value at `offset` and the offset of its end; the cursor stays. Raises Broken."""
        while True:
            start = self.at + offset
            try:
                value, end = _DECODER.raw_decode(self.text, start)
            except (ValueError, RecursionError) as error:
                if isinstance(error, json.JSONDecodeError):
                    # The parser reports an unterminated string where it starts, however much of it is there.
                    open_string = error.msg.startswith("Unterminated string")
                    if open_string or error.pos >= len(self.text) - _LONGEST_TOKEN:
                        if not self.ended:
                            self._read_on(error.pos - self.at, record)
                            continue
                        if open_string or error.pos >= len(self.text):
                            raise self._cut_off(error.pos - self.at, record) from error
                    at = error.pos - self.at
                else:
                    # The parser does not say how far it came. To nest too deep for it takes hundreds of characters.
                    at = offset + (500 if isinstance(error, RecursionError) else 1)
                place = self.place(record, offset)
                raise Broken(unreadable(error, place, self.text, self._limits, start), at) from error
            # A number near the end may go on in the next chunk: 1 is the beginning of 1e+6.
            if self.text[start] in '{["' or self.ended or end < len(self.text) - _LONGEST_TOKEN:
                return value, end - self.at
            self._read_on(end - self.at, record)

    def whole_value(self) -> tuple[object, int] | None:
        """The JSON value at the cursor and its length if all of it has been read already and nothing is wrong."""
        try:
            value, end = _DECODER.raw_decode(self.text, self.at)
        except (ValueError, RecursionError):
            return None
        return value, end - self.at

    def _read_on(self, damaged: int, record: int | None = None) -> None:
        """Read as much again as there is, so that looking at it again costs no more than looking once.

        Raises Broken where that would be more than a record may have.
        """
        there = len(self.text) - self.at
        if there > self._limits.max_record_bytes:
            raise Broken(too_large(self.place(record), self._limits), damaged, cut=True)
        self.more(max(there, 1))

    def _cut_off(self, damaged: int, record: int | None = None) -> Broken:
        error = RecordError(
            "the text ends in the middle of a record",
            place=self.place(record),
            advice="The object is not complete; what came before was read.",
        )
        return Broken(error, damaged, cut=True)

    @property
    def hopeless(self) -> bool:
        """Whether so much had to be looked at again that the object must be hostile, or damaged all over."""
        return self._second_looks <= 0

    def end_of_broken(self, stop: int | None) -> int | None:
        """The offset, up to `stop`, where the brackets of the value at the cursor close, whatever is wrong in it."""
        offset = 0
        open_: bytearray = bytearray()
        limit = min(self._limits.max_record_bytes, self._second_looks, _SECOND_LOOK if stop is None else stop)
        while offset < limit:
            found = _TOKEN.match(self.text, self.at + offset)
            if found is None:
                if self.at + offset < len(self.text) and not _CUT_STRING.match(self.text, self.at + offset):
                    break  # a string with a control character in it
                if not self.more(max(len(self.text) - self.at, 1)):
                    break
                continue
            offset = found.end() - self.at
            token = found[0]
            if token in _CLOSES:
                open_.append(_CLOSES[token])
            elif token in ("}", "]"):
                if not open_ or open_.pop() != ord(token):
                    break
                if not open_:
                    return offset
        self._second_looks -= offset
        return None

    def search(self, pattern: re.Pattern[str], broken_at: int) -> bool:
        """Move behind the first match of `pattern` after the cursor; False, and at the end, if there is none.

        The value at the cursor is known to be damaged at `broken_at` or before it. What lies between the two is
        searched as well, as long as that has not been done too often.
        """
        start = 1 if self._second_looks > 0 else max(1, broken_at - 256)
        self.at = min(self.at + start, len(self.text))
        broken_at -= start
        while True:
            found = pattern.search(self.text, self.at)
            if found is not None:
                self._second_looks -= max(0, broken_at - (found.end() - self.at))
                self.at = found.end()
                return True
            skipped = max(0, len(self.text) - self.at - 256)  # the rest may hold the beginning of a match
            self.at += skipped
            broken_at -= skipped
            if not self.more():
                self.at = len(self.text)
                return False


def _pieces(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        if len(chunk) <= size:
            yield chunk
        else:
            for start in range(0, len(chunk), size):
                yield chunk[start : start + size]
