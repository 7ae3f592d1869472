"""From stored bytes to JSON text: gzip recognised by its first bytes, all members of it, bounded.

Both forms go through a decompression object: a one-shot `isal_zlib.decompress` returns the first gzip member only and
says nothing of what lies behind it, and it cannot be told when to stop.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from isal import isal_zlib

from keytrail.cloudtrail.records import ReadLimits
from keytrail.errors import ObjectError, Place

_Damaged: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub says Exception, not type[Exception]
_PADDING = re.compile(rb"\0*")
_MAGIC = b"\x1f\x8b"
_GZIP = 31  # wbits of zlib: a gzip header and trailer around a window of 32 KiB
# Input handed over at a time. What a member leaves unused is copied, so that many tiny members in one large buffer
# would otherwise cost the square of its size.
_SLICE = 32 * 1024
# isal loses count where the optional fields of a gzip header are cut in two, so it gets a header whole.
_HEADER = 4 * 1024


def inflate_whole(stored: bytes, limits: ReadLimits) -> bytes | None:
    """Return what `stored`, a whole object, inflates to, or None when `inflate` has to look at it.

    None means that the object is damaged, or inflates to more than `limits.hold_bytes`; that much is never held.

    >>> inflate_whole(b"plain", ReadLimits())
    b'plain'
    """
    hold = min(limits.hold_bytes, limits.max_inflated_bytes)
    if stored[:2] != _MAGIC:
        return stored if len(stored) <= hold else None
    # The trailer claims the size of the last member. With room for one byte more the usual object is inflated in one
    # go into a buffer of the right size; a false claim costs the time of another go, and never more memory than `hold`.
    room = min(int.from_bytes(stored[-4:], "little"), hold) + 1
    member = isal_zlib.decompressobj(_GZIP)
    try:
        whole = member.decompress(stored, room)
    except _Damaged:
        return None
    if len(whole) > hold:
        return None
    if member.eof and not member.unused_data:
        return whole
    return _all_members(stored, hold, limits)


def _all_members(stored: bytes, hold: int, limits: ReadLimits) -> bytes | None:
    parts: list[bytes] = []
    total = 0
    try:
        for part in _parts(iter((stored,)), "", limits):
            total += len(part)
            if total > hold:
                return None
            parts.append(part)
    except ObjectError:
        return None
    return b"".join(parts)


def inflate(chunks: Iterable[bytes], name: str, limits: ReadLimits) -> Iterator[bytes]:
    """Yield what the object `name`, stored as `chunks`, inflates to, a chunk at a time and in constant memory.

    Bytes that are not gzip are passed on. Raises ObjectError after everything that could be read: for a damaged or
    truncated member, for what is not gzip behind the last member (zero padding is let pass, as `gzip` does), and
    for more than `limits.max_inflated_bytes`.
    """
    left = limits.max_inflated_bytes
    for part in _parts(iter(chunks), name, limits):
        if len(part) > left:
            if left:
                yield part[:left]
            raise ObjectError(
                f"inflates to more than {limits.max_inflated_bytes} bytes",
                place=Place(name),
                advice="It may be a compression bomb. Raise reading.max_inflated_bytes if this object is genuine.",
            )
        left -= len(part)
        yield part


def _parts(chunks: Iterator[bytes], name: str, limits: ReadLimits) -> Iterator[bytes]:
    data = _at_least(_HEADER, b"", chunks)
    if data[:2] != _MAGIC:
        if data:
            yield data
        yield from chunks
        return
    members = 0
    at = 0  # in `data`: what lies before has been used
    while len(data) > at:
        if data[at : at + 2] != _MAGIC:
            raise ObjectError(
                f"something that is not gzip follows gzip member {members}",
                place=Place(name),
                advice="What came before it was read. Is the object two files written into one?",
            )
        member = isal_zlib.decompressobj(_GZIP)
        members += 1
        while not member.eof:
            given = data[at : at + _SLICE]
            try:
                part = member.decompress(given, limits.chunk_bytes)
            except _Damaged as error:
                raise ObjectError(
                    f"damaged gzip in member {members}: {error}",
                    place=Place(name),
                    advice="What came before the damage was read. Fetch the object again if you can.",
                ) from error
            at += len(given) - len(member.unused_data if member.eof else member.unconsumed_tail)
            if part:
                yield part
            # A full part may leave output inside the decompressor even when all input has been taken.
            if at == len(data) and not member.eof and len(part) < limits.chunk_bytes:
                data, at = _at_least(1, b"", chunks), 0
                if not data:
                    raise ObjectError(
                        f"gzip member {members} is cut off",
                        place=Place(name),
                        advice="What came before the cut was read. Fetch the object again if you can.",
                    )
        while (at := _end_of_padding(data, at)) == len(data):
            data, at = _at_least(1, b"", chunks), 0
            if not data:
                return
        if len(data) - at < _HEADER:
            data, at = _at_least(_HEADER, data[at:], chunks), 0


def _at_least(count: int, data: bytes, chunks: Iterator[bytes]) -> bytes:
    """`data` with as many chunks behind it as make `count` bytes, if there are so many."""
    while len(data) < count and (chunk := next(chunks, None)) is not None:
        data += chunk
    return data


def _end_of_padding(data: bytes, at: int) -> int:
    found = _PADDING.match(data, at)
    return found.end() if found else at
