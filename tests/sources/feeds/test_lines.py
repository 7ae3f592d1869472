"""Standard input: whole lines as they come, bounded, until the end."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from keytrail.errors import ObjectError
from keytrail.sources.feeds import FeedSettings, iam_needs, open_feed
from keytrail.sources.feeds.lines import LineFeed
from keytrail.sources.feeds.timing import FeedClock
from tests.sources.feeds.ledger import HandClock, MemoryLedger

Start = Callable[..., LineFeed]


class Pipe:
    """A pipe whose end to read is the feed's standard input."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def write(self, data: bytes) -> None:
        os.write(self.writing, data)

    def end(self) -> None:
        os.close(self.writing)
        self.writing = -1

    def close(self) -> None:
        for file in (self.reading, self.writing):
            if file >= 0:
                os.close(file)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def start(pipe: Pipe) -> Iterator[Start]:
    made: list[LineFeed] = []

    def open_it(clock: FeedClock | None = None, **changes: object) -> LineFeed:
        settings = replace(FeedSettings(stdin_block_seconds=0.0), **changes)  # type: ignore[arg-type]
        feed = LineFeed(settings, clock or FeedClock(), pipe.reading)
        made.append(feed)
        return feed

    yield open_it
    for feed in made:
        feed.close()


def test_whole_lines_are_handed_on_and_the_rest_waits(start: Start, pipe: Pipe, ledger: MemoryLedger) -> None:
    feed = start()
    assert feed.receive(0) == ()
    pipe.write(b'{"a":1}\n{"b"')
    (first,) = feed.receive(5)
    assert ledger.commit(feed, [first]) == [b'{"a":1}\n']
    assert (first.name, first.identity) == ("standard input, lines 1 to 1", "")
    assert feed.receive(0) == ()
    pipe.write(b":2}\n")
    (second,) = feed.receive(5)
    assert ledger.commit(feed, [second]) == [b'{"b":2}\n']
    assert second.name == "standard input, lines 2 to 2"


def test_the_end_gives_the_last_line_and_is_told_once_all_is_settled(
    start: Start, pipe: Pipe, ledger: MemoryLedger
) -> None:
    feed = start()
    pipe.write(b"one\ntwo")
    pipe.end()
    found = b""
    while deliveries := feed.receive(1):
        assert not feed.finished()
        found += b"".join(ledger.commit(feed, deliveries))
    assert found == b"one\ntwo\n"
    assert feed.finished()


def test_lines_that_come_together_go_together(start: Start, pipe: Pipe) -> None:
    feed = start(stdin_block_seconds=30.0)
    pipe.write(b"one\n")
    timer = threading.Timer(0.2, lambda: (pipe.write(b"two\n"), pipe.end()))
    timer.start()
    (delivery,) = feed.receive(30)
    timer.join()
    assert b"".join(delivery.read()) == b"one\ntwo\n"


def test_blocks_are_bounded_and_so_is_what_is_held(start: Start, pipe: Pipe, ledger: MemoryLedger) -> None:
    lines = b"".join(b"%0999d\n" % number for number in range(2000))
    writer = threading.Thread(target=lambda: (pipe_write(pipe, lines), pipe.end()))
    writer.start()
    feed = start(stdin_block_bytes=20_000)
    held = []
    for _ in range(200):
        held += feed.receive(0)
    assert sum(delivery.size or 0 for delivery in held) <= 64 * (20_000 + (256 << 10))
    assert all((delivery.size or 0) <= 20_000 + (256 << 10) for delivery in held)
    found = b"".join(ledger.commit(feed, held))
    while not feed.finished():
        found += b"".join(ledger.commit(feed, feed.receive(1)))
    writer.join()
    assert found == lines


def pipe_write(pipe: Pipe, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(pipe.writing, left) :]


def test_a_line_beyond_the_limit_is_set_aside_and_the_next_one_read(
    start: Start, pipe: Pipe, ledger: MemoryLedger
) -> None:
    writer = threading.Thread(target=lambda: (pipe_write(pipe, b"a\n" + b"x" * 900_000 + b"\nb\n"), pipe.end()))
    writer.start()
    feed = start(stdin_max_line_bytes=100_000)
    found = b""
    while not feed.finished():
        found += b"".join(ledger.commit(feed, feed.receive(1)))
    writer.join()
    assert found == b"a\nb\n"
    assert feed.status().set_aside == 1
    assert "a line of more than 100000 bytes" in feed.status().notes[-1]


def test_what_is_given_back_comes_again_and_is_set_aside_in_the_end(
    start: Start, pipe: Pipe, ledger: MemoryLedger, clock: HandClock
) -> None:
    feed = start(clock.feed_clock(), max_tries=2)
    pipe.write(b"one\n")
    (delivery,) = feed.receive(1)
    feed.give_back(delivery, ObjectError("not JSON"))
    pipe.end()
    assert feed.receive(0) == ()
    assert not feed.finished()
    clock.pass_by(60)
    assert feed.receive(0) == [delivery]
    assert list(delivery.read()) == [b"one\n"]
    feed.give_back(delivery, ObjectError("not JSON"))
    assert feed.finished()
    assert feed.status().set_aside == 1


def test_what_cannot_be_read_again_is_said(start: Start) -> None:
    assert "lost when the service stops" in start().status().notes[0]


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch, pipe: Pipe, ledger: MemoryLedger) -> None:
    with os.fdopen(os.dup(pipe.reading)) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        feed = open_feed("-", FeedSettings(), ledger)
    pipe.write(b"{}\n")
    assert feed.label == "-"
    assert ledger.commit(feed, feed.receive(5)) == [b"{}\n"]
    feed.close()
    assert feed.receive(0) == ()
    assert iam_needs("-") == ()
