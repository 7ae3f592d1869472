"""From the stored bytes of one object to the records in it, exactly as they stand there, and what of them is no record.

Two ways, as in `search.examine`, which find the same: the fast one holds the inflated object and cuts it; where that is
not certain to be right, and for an object too large to hold that has not one record a line, `read_items` reads it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain

import msgspec

from keytrail.cloudtrail import Aside, ReadLimits, Record, inflate, read_items
from keytrail.cloudtrail.inflate import inflate_whole
from keytrail.errors import InputError, ObjectError, Place
from keytrail.search.cut import Cut, cut, is_lines, needs_slow_reader, whole_lines
from keytrail.store.lake.members import Members, Values, members_of, values_of

# Bytes of raw records that are handed on together: what is held beside the object itself is a few times as much. Larger
# pieces are slower, for the processor's caches do not hold them.
_PIECE_BYTES = 2 * 1024**2
# Inflated bytes of a streamed object that are cut at a time.
_BLOCK_BYTES = 8 * 1024**2


@dataclass(frozen=True, slots=True)
class Rows:
    """Records of one object, in their order; what cannot be read, and the number of what is no event (`asides`).

    `data` are the exact bytes of all records, one behind the other, `lengths` those of each. `members` and `odd` are
    what `columns` needs: the members of plain records by their place, and the values of those that are not plain.
    """

    data: bytes = field(default=b"", repr=False)
    lengths: Sequence[int] = field(default=(), repr=False)
    errors: Sequence[InputError] = ()
    asides: int = 0
    members: Sequence[Members] = field(default=(), repr=False)
    odd: Mapping[int, Values] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        """The number of records."""
        return len(self.lengths)

    @property
    def raws(self) -> list[bytes]:
        """The exact bytes of each record."""
        ends = accumulate(self.lengths)
        return [self.data[end - length : end] for end, length in zip(ends, self.lengths, strict=True)]


def read_rows(chunks: Iterable[bytes], name: str, limits: ReadLimits) -> Iterator[Rows]:
    """The records of the object `name`, whose bytes as stored are `chunks`: some megabytes of them at a time.

    Together they are what `read_items` gives of the inflated object. Raises SourceError or ObjectError where reading
    the chunks does; what was given before then is right.
    """
    held, rest, whole = _hold(chunks, limits.hold_bytes)
    if whole:
        buffer = inflate_whole(held, limits)
        if buffer is not None:
            del held  # As large as it gets: one copy of the object, inflated.
            found = _cut(buffer)
            if found is None:
                size = limits.chunk_bytes
                yield from _slow((buffer[at : at + size] for at in range(0, len(buffer), size)), name, limits)
            else:
                yield from _fast(buffer, found, name, limits)
            return
    stream = inflate(chain([held], rest), name, limits)
    yield from _slow(stream, name, limits) if whole else _lines(stream, name, limits)


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


def _cut(buffer: bytes) -> Cut | None:
    return None if needs_slow_reader(buffer) else cut(buffer)


def _lines(stream: Iterator[bytes], name: str, limits: ReadLimits) -> Iterator[Rows]:
    """A stream in blocks of whole lines; from the first block that is not plainly records, the slow way."""
    blocks = whole_lines(stream, _BLOCK_BYTES, limits.max_record_bytes)
    line = 1
    try:
        for block in blocks:
            found = _cut(block) if is_lines(block) else None
            if found is None:
                yield from _slow(chain([block], blocks), name, limits, line)
                return
            yield from _fast(block, found, name, limits, line)
            line += block.count(b"\n")
    except ObjectError as error:
        yield Rows(errors=(error,))


def _around(buffer: bytes, found: Cut) -> tuple[bytes, bytes]:
    """What stands around the records of a buffer, so that each of them can be read alone and mean the same."""
    if found.lines is not None:
        return b"", b""
    return (b"[", b"]") if buffer.lstrip()[:1] == b"[" else (b'{"Records":[', b"]}")


def _fast(buffer: bytes, found: Cut, name: str, limits: ReadLimits, first_line: int = 1) -> Iterator[Rows]:
    raws, starts, lines = found.raws, found.starts, found.lines
    before, behind = _around(buffer, found)
    ascii_only = buffer.isascii()
    begin = 0
    while begin < len(starts):
        end = bisect_left(starts, starts[begin] + _PIECE_BYTES)
        made = _Making()
        for index, raw, start in zip(range(begin, end), raws[begin:end], starts[begin:end], strict=True):
            members = members_of(raw, buffer, start, limits) if ascii_only or _is_utf8(raw) else None
            if members is not None:
                made.add(raw, members)
                continue
            place = Place(name, record=index) if lines is None else Place(name, line=lines[index] + first_line - 1)
            for item in read_items((before, bytes(raw), behind), name, limits):
                if isinstance(item, InputError):
                    item.place = place
                made.take(item)
        if made:
            yield made.rows()
        begin = end


def _slow(chunks: Iterable[bytes], name: str, limits: ReadLimits, first_line: int = 1) -> Iterator[Rows]:
    made = _Making()
    size = 0
    for item in read_items(chunks, name, limits):
        if isinstance(item, InputError) and item.place is not None and item.place.line is not None:
            item.place = replace(item.place, line=item.place.line + first_line - 1)
        made.take(item)
        size += len(item.raw) if isinstance(item, Record) else 0
        if size >= _PIECE_BYTES:
            yield made.rows()
            made, size = _Making(), 0
    if made:
        yield made.rows()


def _is_utf8(raw: msgspec.Raw) -> bool:
    # The fast reader does not look at members that it passes over.
    try:
        str(raw, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


_PLAIN = Members()


class _Making:
    """Rows that are being made."""

    def __init__(self) -> None:
        self.raws: list[bytes | msgspec.Raw] = []
        self.members: list[Members] = []
        self.odd: dict[int, Values] = {}
        self.errors: list[InputError] = []
        self.asides = 0

    def add(self, raw: msgspec.Raw, members: Members) -> None:
        """Add a plain record."""
        self.raws.append(raw)
        self.members.append(members)

    def take(self, item: Record | Aside | InputError) -> None:
        """Add what a careful look has found."""
        if isinstance(item, Record):
            self.odd[len(self.raws)] = values_of(item.data)
            self.raws.append(item.raw)
            self.members.append(_PLAIN)  # only keeps the place
        elif isinstance(item, InputError):
            self.errors.append(item)
        else:
            self.asides += 1

    def __bool__(self) -> bool:
        return bool(self.raws or self.errors or self.asides)

    def rows(self) -> Rows:
        lengths = list(map(len, self.raws))
        return Rows(b"".join(self.raws), lengths, self.errors, self.asides, self.members, self.odd)


__all__ = ["Rows", "read_rows"]
