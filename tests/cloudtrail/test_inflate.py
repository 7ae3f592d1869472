"""Stored bytes to text: equal to Python's gzip on whatever it accepts, bounded and exact about what it does not."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.cloudtrail.inflate import inflate, inflate_whole
from keytrail.cloudtrail.records import ReadLimits
from keytrail.errors import ObjectError

LIMITS = ReadLimits()
SMALL = ReadLimits(max_inflated_bytes=10_000, hold_bytes=5_000, chunk_bytes=700)
RECORDS = b'{"Records":[' + b",".join(b'{"eventID":"%d"}' % n for n in range(400)) + b"]}"


def read(chunks: list[bytes], limits: ReadLimits = LIMITS) -> tuple[bytes, str]:
    """What came out, and the error behind it or nothing."""
    parts = []
    try:
        for part in inflate(chunks, "a.json.gz", limits):
            parts.append(part)
    except ObjectError as error:
        return b"".join(parts), error.what
    return b"".join(parts), ""


def cut(data: bytes, seed: int) -> list[bytes]:
    """`data` in pieces of random sizes, empty ones among them."""
    rng = random.Random(seed)
    pieces = []
    while data:
        size = rng.choice((0, 1, 2, 3, 7, 100, 5000))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


contents = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=50), st.integers(1, 3000)),
)


@settings(max_examples=150, deadline=None)
@given(
    members=st.lists(st.tuples(contents, st.integers(0, 9), st.integers(0, 40)), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    chunk_bytes=st.integers(1, 3000),
)
def test_both_forms_equal_python_gzip_on_all_members(
    members: list[tuple[bytes, int, int]], seed: int, chunk_bytes: int
) -> None:
    stored = b"".join(gzip.compress(data, level) + b"\0" * padding for data, level, padding in members)
    expected = gzip.decompress(stored)
    assert read(cut(stored, seed), ReadLimits(chunk_bytes=chunk_bytes)) == (expected, "")
    assert inflate_whole(stored, LIMITS) == expected


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=400), seed=st.integers(0, 2**32))
def test_arbitrary_bytes_give_bytes_or_an_object_error(data: bytes, seed: int) -> None:
    for stored in (data, b"\x1f\x8b" + data, b"\x1f\x8b\x08" + data, gzip.compress(b"x" * 50)[:-20] + data):
        out, error = read(cut(stored, seed))
        whole = inflate_whole(stored, LIMITS)
        assert whole == (None if error else out)


@settings(max_examples=100, deadline=None)
@given(position=st.integers(0, len(gzip.compress(RECORDS)) - 1), value=st.integers(1, 255), seed=st.integers(0, 2**32))
def test_one_wrong_byte_is_noticed_or_harmless_and_both_forms_agree(position: int, value: int, seed: int) -> None:
    stored = bytearray(gzip.compress(RECORDS, mtime=0))
    stored[position % len(stored)] ^= value
    out, error = read(cut(bytes(stored), seed))
    whole = inflate_whole(bytes(stored), LIMITS)
    if error:
        assert whole is None
    else:  # a byte of the header, or no gzip any more
        assert whole == out
        assert out in (RECORDS, bytes(stored))


def test_what_is_not_gzip_is_passed_on() -> None:
    for stored in (b"", b"{", b"\x1f", b'{"Records":[]}'):
        assert read([stored]) == (stored, "")
        assert inflate_whole(stored, LIMITS) == stored


def test_a_member_cut_off_anywhere_gives_what_came_before_it() -> None:
    first, second = gzip.compress(RECORDS, mtime=0), gzip.compress(RECORDS, 0, mtime=0)
    for end in range(2, len(second)):
        out, error = read([first, second[:end]])
        assert error == "gzip member 2 is cut off"
        assert (RECORDS * 2).startswith(out)
        assert len(out) >= len(RECORDS) + max(0, end - 60)
        assert inflate_whole(first + second[:end], LIMITS) is None


@pytest.mark.parametrize("garbage", [b"x", b"\x1f", b"{}", b"\0\0\0trailing", b"\x1f\x8c" * 9])
def test_what_follows_the_last_member_is_reported_after_the_data(garbage: bytes) -> None:
    stored = gzip.compress(RECORDS) + garbage
    for chunks in ([stored], [bytes([byte]) for byte in stored]):
        assert read(chunks) == (RECORDS, "something that is not gzip follows gzip member 1")
    assert inflate_whole(stored, LIMITS) is None


def test_a_wrong_checksum_is_damage() -> None:
    stored = gzip.compress(RECORDS)
    for wrong in (stored[:-8] + b"\0\0\0\0" + stored[-4:], stored[:-4] + b"\x01\0\0\0"):
        assert "damaged gzip in member 1" in read([wrong])[1]
        assert inflate_whole(wrong, LIMITS) is None


def test_a_bomb_is_an_error_that_names_the_setting() -> None:
    bomb = gzip.compress(b"0" * 1_000_000)
    with pytest.raises(ObjectError, match=r"more than 10000 bytes") as caught:
        list(inflate([bomb], "bomb.gz", SMALL))
    assert "reading.max_inflated_bytes" in caught.value.advice
    assert read([bomb], SMALL)[0] == b"0" * 10_000
    assert inflate_whole(bomb, SMALL) is None


def test_plain_bytes_are_bounded_as_well() -> None:
    assert read([b"a" * 6000, b"b" * 6000], SMALL) == (
        b"a" * 6000 + b"b" * 4000,
        "inflates to more than 10000 bytes",
    )
    assert inflate_whole(b"a" * 6000, SMALL) is None


@pytest.mark.parametrize("size", [4_999, 5_000, 5_001])
def test_whole_holds_up_to_its_limit(size: int) -> None:
    data = b"a" * size
    halves = gzip.compress(data[:2_500]) + gzip.compress(data[2_500:])
    for stored in (data, gzip.compress(data), halves):
        assert inflate_whole(stored, SMALL) == (data if size <= 5_000 else None)


@pytest.mark.parametrize("claimed", [0, 1, 5_000, 2**32 - 1])
def test_a_trailer_that_lies_about_the_size_takes_no_memory(claimed: int) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    lying = bomb[:-4] + claimed.to_bytes(4, "little")
    limits = ReadLimits(hold_bytes=1_000_000)
    tracemalloc.start()
    try:
        assert inflate_whole(lying, limits) is None
        # A few growing buffers, nothing near the 50 MB that the bomb asks for.
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_streaming_takes_constant_memory() -> None:
    stored = gzip.compress(b"0" * 30_000_000) + gzip.compress(b"1" * 30_000_000)
    tracemalloc.start()
    try:
        assert sum(map(len, inflate([stored], "a", LIMITS))) == 60_000_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_many_tiny_members_take_linear_time() -> None:
    tiny = gzip.compress(b"")
    # The square of these 4 MB would be hours, not the second that pytest hardly notices.
    stored = tiny * (4_000_000 // len(tiny))
    assert read([stored]) == (b"", "")
    assert inflate_whole(stored, LIMITS) == b""


def test_a_header_with_every_optional_field_split_anywhere() -> None:
    deflate = zlib.compressobj(wbits=-15)
    body = deflate.compress(RECORDS) + deflate.flush()
    head = b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff" + b"\x03\0abc" + b"name.json\0" + b"a comment\0"
    head += (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little")
    stored = head + body + zlib.crc32(RECORDS).to_bytes(4, "little") + len(RECORDS).to_bytes(4, "little")
    assert gzip.decompress(stored) == RECORDS
    assert inflate_whole(stored, LIMITS) == RECORDS
    for position in range(1, 45):
        assert read([stored[:position], stored[position:]]) == (RECORDS, "")
