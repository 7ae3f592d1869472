"""The records of an object are those that the slow reader gives, byte by byte, however the object is read."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.cloudtrail import Aside, ReadLimits, Record, inflate, read_items
from keytrail.errors import InputError, ObjectError
from keytrail.store.lake import rows as module
from keytrail.store.lake.rows import read_rows
from tests.cloudtrail.test_reading_damage import BAD, COMPACT, WHOLE, damage
from tests.store.lake.cloudtrail_records import EXTRAS, LAYOUTS, LIMITS, RECORDS, SPELLINGS, encoded, stored

Found = tuple[list[bytes], list[str], int]


def slow(data: bytes, limits: ReadLimits = LIMITS) -> Found:
    """Records, what is wrong, and the number of asides, as the slow reader gives them."""
    items = list(read_items(inflate([data], "a.json", limits), "a.json", limits))
    return (
        [item.raw for item in items if isinstance(item, Record)],
        [item.what for item in items if isinstance(item, InputError)],
        sum(isinstance(item, Aside) for item in items),
    )


def fast(data: bytes, limits: ReadLimits = LIMITS, size: int = 1 << 20) -> Found:
    raws: list[bytes] = []
    errors: list[str] = []
    asides = 0
    for some in read_rows((data[at : at + size] for at in range(0, len(data), size)), "a.json", limits):
        assert len(some.members) == len(some.raws)
        raws += some.raws
        errors += [error.what for error in some.errors]
        asides += some.asides
    return raws, errors, asides


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and blocks of a few records, so that a small object has many."""
    monkeypatch.setattr(module, "_PIECE_BYTES", 300)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 300)


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    spell = SPELLINGS[draw(st.sampled_from(sorted(SPELLINGS)))]
    some = draw(st.lists(st.builds(lambda one, more: one | more, RECORDS, EXTRAS), max_size=5))
    return encoded(LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))]([spell(one) for one in some]))


@settings(max_examples=300, deadline=None)
@given(data=objects(), cuts=st.lists(st.integers(0, 10_000), max_size=2), size=st.sampled_from([7, 1 << 20]))
def test_whole_objects(data: bytes, cuts: list[int], size: int) -> None:
    assert fast(data) == slow(data)
    assert fast(stored(data, cuts), size=size) == slow(data)


@settings(max_examples=300, deadline=None)
@given(
    data=objects().filter(bool),
    at=st.integers(0, 1 << 16),
    length=st.integers(0, 20),
    instead=st.sampled_from(
        [b"", b"\xff", b"\xed\xa0\x80", b"\\", b"\\ud", b'"', b"{", b"}", b"]", b",", b"\n", b"\0", b"01"]
    ),
)
def test_damaged_objects(data: bytes, at: int, length: int, instead: bytes) -> None:
    at %= len(data)
    data = data[:at] + instead + data[at + length :]
    assert fast(data) == slow(data)


@settings(max_examples=100, deadline=None)
@given(data=objects(), end=st.integers(0, 1 << 16))
def test_truncated_gzip(data: bytes, end: int) -> None:
    whole = stored(data)
    cut = whole[: end % len(whole)]
    assert fast(cut) == slow(cut)


@settings(max_examples=100, deadline=None)
@given(data=objects(), largest=st.integers(50, 600), depth=st.integers(2, 8), most=st.integers(200, 3_000))
def test_limits(data: bytes, largest: int, depth: int, most: int) -> None:
    limits = ReadLimits(max_record_bytes=largest, max_depth=depth, max_inflated_bytes=most)
    raws, errors, asides = fast(data, limits)
    assert (raws, errors, asides) == slow(data, limits)


@pytest.mark.parametrize("layout", ["delivery", "one a line", "array", "lines"])
@pytest.mark.parametrize("bad", sorted(BAD))
@pytest.mark.parametrize("hold_bytes", [1, 1 << 20])
def test_one_bad_record_costs_itself(bad: str, layout: str, hold_bytes: int) -> None:
    data = damage(BAD[bad])[layout].encode()
    raws, errors, asides = fast(data, ReadLimits(hold_bytes=hold_bytes))
    assert raws == [COMPACT[number].encode() for number in (0, 1, 3, 4)]
    assert (len(errors), asides) == (1, 0)
    assert errors == slow(data)[1]


@pytest.mark.parametrize("layout", sorted(WHOLE))
def test_every_layout_gives_its_records(layout: str) -> None:
    raws, errors, _ = fast(WHOLE[layout].encode())
    assert not errors
    assert raws == slow(WHOLE[layout].encode())[0]
    assert len(raws) == 5


NUMBERS = {
    "as many digits as are read": b"1" * 4_300,
    "more digits": b"1" * 4_301,
    "many digits behind the point": b"0." + b"1" * 5_000,
    "out of range": b"1e999",
}


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_numbers_that_are_passed_over_are_judged_all_the_same(name: str) -> None:
    data = b'{"Records":[{"eventName":"a","eventID":"1","x":[' + NUMBERS[name] + b']},{"eventName":"b","eventID":"2"}]}'
    assert fast(data) == slow(data)
    assert len(fast(data)[0]) == (1 if name == "more digits" else 2)


@pytest.mark.usefixtures("small_pieces")
@settings(max_examples=100, deadline=None)
@given(data=objects())
def test_streams_and_pieces(data: bytes) -> None:
    assert fast(data) == slow(data)
    # The limits are those of an object that is too large to hold.
    assert fast(data, ReadLimits(hold_bytes=10)) == slow(data)


@pytest.mark.usefixtures("small_pieces")
def test_lines_of_a_stream_are_counted_from_the_first() -> None:
    lines = [COMPACT[number % 5] for number in range(40)]
    lines[17] = lines[17].replace("e2", "\udcff")
    lines[30] = "oops"
    data = "\n".join(lines).encode("utf-8", "surrogateescape")
    found = list(read_rows([data], "a.json", ReadLimits(hold_bytes=10)))
    places = [error.place for some in found for error in some.errors]
    assert [place.line for place in places if place] == [18, 31]
    assert sum(len(some.raws) for some in found) == 38
    assert len(found) > 5


def test_an_error_of_the_stream_comes_after_what_was_before_it() -> None:
    def chunks() -> Iterator[bytes]:
        yield ("\n".join(COMPACT * 20) + "\n").encode()
        raise ObjectError("the download broke off")

    # More than is held, so that the stream is not read to its end before.
    found = list(read_rows(chunks(), "a.json", ReadLimits(hold_bytes=10)))
    assert sum(len(some.raws) for some in found) == 100
    assert [error.what for some in found for error in some.errors] == ["the download broke off"]


@pytest.mark.parametrize("separator", [b"\n", b","])
def test_an_object_too_large_to_hold_is_read_in_bounded_memory(
    separator: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PIECE_BYTES", 1 << 17)
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1 << 17)
    record = COMPACT[0].encode()
    piece = (record + separator) * 100

    def chunks() -> Iterator[bytes]:
        yield b"[" if separator == b"," else b""
        for _ in range(200):
            yield piece
        yield record + (b"]" if separator == b"," else b"")

    limits = ReadLimits(hold_bytes=1 << 16, chunk_bytes=1 << 14, max_record_bytes=1 << 17)
    tracemalloc.start()
    try:
        count = sum(len(some.raws) for some in read_rows(chunks(), "a.json", limits))
        assert tracemalloc.get_traced_memory()[1] < 3_000_000  # of 5 MB
    finally:
        tracemalloc.stop()
    assert count == 20_001
