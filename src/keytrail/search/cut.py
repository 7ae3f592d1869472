"""Cut a buffer into its records without building them: exact where it answers, silent where it is not sure.

Three layouts are cut here, at some 2 GB/s: {"Records": [...]}, a bare array, and one record a line. Everything else,
and everything damaged, gets None and goes to the slow reader (`cloudtrail.read_items`), which knows all layouts and
says what is wrong. Where both answer they give the same records; a differential test holds that.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import msgspec
import stringzilla

from keytrail.errors import ObjectError
from keytrail.search.literals import occurrences

# Text that makes a buffer a matter for the slow reader: records inside strings, where literals stand escaped.
_WRAPPED = (b'"CloudTrailEvent"', b'"eventJson"')
_RECORDS = b'"Records"'
# Members that hold many records, which a line or an element may be; the reader knows where they count.
_CONTAINERS = (_RECORDS, b'"Events"', b'"QueryResultRows"')
_ESCAPE = b"\\u00"
_SLASH = b"\\/"
_HEAD = re.compile(rb'\s*(?:(\{\s*"Records"\s*:)|(\[)|(\{))')


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    Records: list[msgspec.Raw]


_envelope = msgspec.json.Decoder(_Envelope)
_array = msgspec.json.Decoder(list[msgspec.Raw])
_lines = msgspec.json.Decoder(msgspec.Raw)


class Records(ABC):
    """The records of a buffer, by their indexes."""

    __slots__ = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def raw(self, index: int) -> bytes:
        """The bytes of a record."""

    @abstractmethod
    def at(self, position: int) -> int | None:
        """The index of the record in which a position of the buffer lies, None outside of all."""

    def holding(self, positions: Iterable[int]) -> list[int]:
        """The indexes of the records in which `positions` of the buffer lie, ascending."""
        return sorted({index for position in positions if (index := self.at(position)) is not None})


@dataclass(frozen=True, slots=True)
class Cut(Records):
    """The records of a buffer, in order, as slices of it; `lines` when each stands on a line of its own."""

    raws: Sequence[msgspec.Raw]
    starts: Sequence[int]
    lines: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.raws)

    def raw(self, index: int) -> bytes:
        return bytes(self.raws[index])

    def at(self, position: int) -> int | None:
        index = bisect_right(self.starts, position) - 1
        return index if index >= 0 and position < self.starts[index] + len(self.raws[index]) else None


@dataclass(frozen=True, slots=True)
class Rows(Records):
    """Records that lie one behind the other, as in a column of Arrow: row n from offset n to offset n + 1.

    Offsets may count from the beginning of a larger buffer; `buffer` is what lies from the first to the last.

    >>> rows = Rows(b"abcd", (7, 10, 10, 11))
    >>> [rows.raw(index) for index in range(len(rows))], rows.at(2), rows.at(3), rows.at(4)
    ([b'abc', b'', b'd'], 0, 2, None)
    """

    buffer: bytes | memoryview
    offsets: Sequence[int]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def raw(self, index: int) -> bytes:
        first = self.offsets[0]
        return bytes(self.buffer[self.offsets[index] - first : self.offsets[index + 1] - first])

    def at(self, position: int) -> int | None:
        index = bisect_right(self.offsets, position + self.offsets[0]) - 1
        return index if 0 <= index < len(self) else None


def needs_slow_reader(buffer: bytes) -> bool:
    """Whether literals may stand in `buffer` in a form that a search for their bytes does not see."""
    find = stringzilla.find
    return any(find(buffer, text) >= 0 for text in _WRAPPED)


def escapes(buffer: bytes, *, slashes: bool = False) -> list[int]:
    """Where an ASCII character is written as an escape, so that a literal may hide: such a record is always read.

    With `slashes` also where a slash is: for literals that hold one.
    """
    found = occurrences(buffer, _ESCAPE)
    return found + occurrences(buffer, _SLASH) if slashes else found


def is_lines(buffer: bytes) -> bool:
    """Whether `buffer` begins like one record a line. Cheap; `cut` tells for certain."""
    head = _HEAD.match(buffer)
    if head is None or head[3] is None:
        return False
    end = buffer.find(b"\n", head.start(3))
    return end > 0 and buffer[:end].rstrip(b" \t\r").endswith(b"}")


def whole_lines(chunks: Iterable[bytes], size: int, longest: int) -> Iterator[bytes]:
    """The bytes of `chunks` in blocks of about `size` bytes that end with a line, but for the last.

    A block grows beyond `size` by the rest of its last line, but not by more than `longest` bytes: then it ends where
    it does. An error in `chunks` is raised after what came before it.

    >>> list(whole_lines([b"a\\nb", b"b\\nc"], 2, 9))
    [b'a\\n', b'bb\\n', b'c']
    """
    parts: list[bytes] = []
    held = 0
    failure: ObjectError | None = None
    stream = iter(chunks)
    while True:
        try:
            chunk = next(stream, None)
        except ObjectError as error:
            failure = error
            break
        if chunk is None:
            break
        held += len(chunk)
        end = chunk.rfind(b"\n") + 1 if held >= size else 0
        if end or held > size + longest:
            end = end or len(chunk)
            yield b"".join([*parts, chunk[:end]])
            parts, held = [chunk[end:]], len(chunk) - end
        else:
            parts.append(chunk)
    if rest := b"".join(parts):
        yield rest
    if failure is not None:
        raise failure


def cut(buffer: bytes) -> Cut | None:
    """The records in `buffer`, or None when it is not certain that these are all, and exactly, its records."""
    head = _HEAD.match(buffer)
    if head is None:
        return None
    # Behind the one that it begins with: one inside a record, or one that the parser would prefer.
    start = head.end() if head[1] else 0
    if any(stringzilla.find(buffer, name, start) >= 0 for name in _CONTAINERS):
        return None
    try:
        if head[1]:
            return _of_elements(buffer, _envelope.decode(buffer).Records, head.end())
        if head[2]:
            return _of_elements(buffer, _array.decode(buffer), head.end() - 1)
        return _of_lines(buffer)
    except (msgspec.MsgspecError, RecursionError):
        return None


def _of_elements(buffer: bytes, raws: list[msgspec.Raw], before: int) -> Cut:
    """`before` is an offset in front of the first element's array."""
    lengths = list(map(len, raws))
    # AWS writes {"Records":[a,b]} without blanks; then the sum of the lengths alone says where each record begins.
    tail = 2 if buffer[:1] == b"{" else 1
    first = before + 1
    if first + sum(lengths) + len(raws) - 1 + tail == len(buffer) and raws:
        return Cut(raws, list(accumulate(map((1).__add__, lengths[:-1]), initial=first)))
    starts, at = [], before
    for raw in raws:
        # Between records stand only blanks and commas, so the first place where its bytes stand is its own.
        at = buffer.index(bytes(raw), at)
        starts.append(at)
        at += len(raw)
    return Cut(raws, starts)


def _of_lines(buffer: bytes) -> Cut | None:
    raws, starts, lines = [], [], []
    at = 0
    decode = _lines.decode
    for number, line in enumerate(buffer.split(b"\n"), start=1):
        text = line.strip(b" \t\r")
        if text:
            if text[:1] != b"{":
                return None
            raws.append(decode(text))
            starts.append(at)
            lines.append(number)
        at += len(line) + 1
    return Cut(raws, starts, lines)
