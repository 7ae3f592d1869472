"""A folder: new files come once each, when nobody writes on them any more, however many lie there already."""

from __future__ import annotations

import os
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from keytrail.errors import ObjectError, UsageError
from keytrail.sources.feeds import Feed, FeedClock, FeedSettings, iam_needs, open_feed
from tests.sources.feeds.conftest import Open
from tests.sources.feeds.ledger import NOW, HandClock, MemoryLedger

TRAIL = "AWSLogs/111122223333/CloudTrail/eu-west-1"


def write(folder: Path, name: str, content: str = "{}", age_seconds: float = 60.0) -> Path:
    """Write a file that was last changed so long ago, by the feed's clock."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    changed = NOW.timestamp() - age_seconds
    os.utime(path, (changed, changed))
    return path


def drain(feed: Feed, ledger: MemoryLedger | None = None) -> list[str]:
    """The names of what comes until nothing more does, settled if there is a ledger."""
    found: list[str] = []
    while deliveries := feed.receive(1):
        found += [delivery.name for delivery in deliveries]
        if ledger is not None:
            ledger.keep(feed, deliveries)
    return found


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each folder was listed."""
    counted: Counter[str] = Counter()
    real = os.scandir

    def scandir(path: str) -> object:
        counted[str(path)] += 1
        return real(path)

    monkeypatch.setattr("keytrail.sources.feeds.tree.os.scandir", scandir)
    return counted


@pytest.fixture
def folder(opened: Open, tmp_path: Path) -> Open:
    """Open the feed of `tmp_path`, without the kernel's notices: what looking alone promises."""

    def open_it(text: str = "", **changes: object) -> Feed:
        changes.setdefault("folder_notices", False)
        return opened(text or str(tmp_path), **changes)

    return open_it


def test_files_are_read_and_come_once(folder: Open, ledger: MemoryLedger, tmp_path: Path) -> None:
    write(tmp_path, "a.json", "first")
    feed = folder()
    (delivery,) = feed.receive(0)
    status = os.stat(tmp_path / "a.json")
    assert delivery.identity == f"{tmp_path}/a.json\0{status.st_size}\0{status.st_mtime_ns}"
    assert (delivery.name, delivery.size) == (f"{tmp_path}/a.json", 5)
    assert ledger.commit(feed, [delivery]) == [b"first"]
    assert drain(feed, ledger) == []
    write(tmp_path, "b.ndjson.gz", "second")
    assert drain(feed, ledger) == [f"{tmp_path}/b.ndjson.gz"]


def test_what_lies_where(folder: Open, ledger: MemoryLedger, tmp_path: Path) -> None:
    good = [
        f"{TRAIL}/2026/03/10/111122223333_CloudTrail_eu-west-1_20260310T1200Z_x.json.gz",
        f"{TRAIL}/2020/01/01/111122223333_CloudTrail_eu-west-1_20200101T1200Z_x.json.gz",
        "deep/er/x.json",
    ]
    for name in (
        *good,
        ".hidden.json",
        ".tmp/x.json",
        "readme.txt",
        "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/03/10/x.json.gz",
        "AWSLogs/111122223333/Config/eu-west-1/x.json.gz",
        "1_CloudTrail-Insight_eu-west-1_x.json.gz",
    ):
        write(tmp_path, name)
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "nowhere.json").symlink_to(tmp_path / "missing")
    (tmp_path / "empty.json").touch()
    feed = folder()
    assert sorted(drain(feed, ledger)) == sorted(f"{tmp_path}/{name}" for name in good)


def test_a_file_that_is_being_written_is_waited_for(
    folder: Open, ledger: MemoryLedger, clock: HandClock, tmp_path: Path
) -> None:
    feed = folder(folder_settle_seconds=5.0)
    path = write(tmp_path, "a.json", "one", age_seconds=0)
    for length in range(4):
        assert feed.receive(4) == ()
        write(tmp_path, "a.json", "one" + "x" * length, age_seconds=-clock.seconds + 1000)
    (delivery,) = feed.receive(10)
    assert ledger.commit(feed, [delivery]) == [b"onexxx"]
    assert drain(feed, ledger) == []
    assert path.exists()


def test_a_file_from_the_future_settles_too(folder: Open, ledger: MemoryLedger, tmp_path: Path) -> None:
    write(tmp_path, "a.json", age_seconds=-1e6)
    assert len(drain(folder(), ledger)) == 1


def test_a_truncated_file_that_is_completed_in_its_place_comes_again(
    folder: Open, ledger: MemoryLedger, clock: HandClock, tmp_path: Path
) -> None:
    write(tmp_path, "a.json", "trunc")
    feed = folder(folder_full_seconds=3600.0)
    ledger.commit(feed, feed.receive(0))
    for _ in range(10):
        feed.receive(1)
    # Nothing changes in the folder itself: it is listed again because it was lively a while ago.
    write(tmp_path, "a.json", "truncated no more", age_seconds=30)
    found: list[bytes] = []
    for _ in range(60):
        found += ledger.commit(feed, feed.receive(1))
    assert found == [b"truncated no more"]


def test_an_empty_file_is_no_file_until_something_is_in_it(
    folder: Open, ledger: MemoryLedger, clock: HandClock, tmp_path: Path
) -> None:
    write(tmp_path, "a.json", "")
    feed = folder()
    assert drain(feed, ledger) == []
    assert feed.status().waiting == 0  # `--once` may end here
    write(tmp_path, "a.json", "now")
    feed.receive(0)
    clock.pass_by(15)
    assert drain(feed, ledger) == [f"{tmp_path}/a.json"]


def test_many_files_that_are_committed_cost_no_memory_and_no_listing(
    folder: Open, ledger: MemoryLedger, clock: HandClock, tmp_path: Path, listed: Counter[str]
) -> None:
    for number in range(1200):
        (tmp_path / f"{number}.json").write_text("x")
    feed = folder(max_under_way=300)
    found = set(drain(feed, ledger))
    assert len(found) == 1200
    assert max(ledger.asked) <= 300 + 500
    clock.pass_by(700)
    drain(feed, ledger)
    for _ in range(700):  # a quiet time, after which nothing counts as lively
        feed.receive(0)
        clock.pass_by(1)
    listed.clear()
    ledger.asked.clear()
    for _ in range(300):
        assert feed.receive(0) == ()
        clock.pass_by(1)
    assert listed.total() <= 1
    assert len(ledger.asked) <= 1200 // 500 + 1
    assert feed.status().waiting == 0


def test_a_new_file_among_many_asks_for_no_more_than_itself(
    folder: Open, ledger: MemoryLedger, clock: HandClock, tmp_path: Path
) -> None:
    for number in range(1000):
        (tmp_path / f"{number}.json").write_text("x")
        os.utime(tmp_path / f"{number}.json", (1, 1))
    feed = folder()
    drain(feed, ledger)
    time.sleep(2.1)  # the ticks of a file system's clock: only what changed inodes after them is asked for
    write(tmp_path, "new.json")
    assert drain(feed, ledger) == [f"{tmp_path}/new.json"]
    ledger.asked.clear()
    write(tmp_path, "newer.json")
    assert drain(feed, ledger) == [f"{tmp_path}/newer.json"]
    assert max(ledger.asked) <= 2


def test_old_date_folders_are_looked_at_rarely(
    folder: Open, ledger: MemoryLedger, clock: HandClock, tmp_path: Path, listed: Counter[str]
) -> None:
    old, today = f"{TRAIL}/2025/03/10", f"{TRAIL}/2026/03/10"
    write(tmp_path, f"{old}/a.json")
    write(tmp_path, f"{today}/a.json")
    feed = folder(folder_full_seconds=600.0)
    assert len(drain(feed, ledger)) == 2
    listed.clear()
    write(tmp_path, f"{old}/late.json")
    write(tmp_path, f"{today}/new.json")
    assert drain(feed, ledger) == [f"{tmp_path}/{today}/new.json"]
    assert listed[f"{tmp_path}/{old}"] == 0
    clock.pass_by(600)
    assert drain(feed, ledger) == [f"{tmp_path}/{old}/late.json"]


def test_the_folder_of_a_new_day_account_or_region_is_found_at_once(
    folder: Open, ledger: MemoryLedger, clock: HandClock, tmp_path: Path
) -> None:
    write(tmp_path, f"{TRAIL}/2026/03/10/a.json")
    feed = folder()
    drain(feed, ledger)
    clock.pass_by(86_400)
    drain(feed, ledger)
    new = [f"{TRAIL}/2026/03/11/a.json", "AWSLogs/444455556666/CloudTrail/us-east-1/2026/03/11/a.json"]
    for name in new:
        write(tmp_path, name)
    assert sorted(drain(feed, ledger)) == [f"{tmp_path}/{name}" for name in new]


def test_loops_of_links_come_to_an_end(folder: Open, ledger: MemoryLedger, tmp_path: Path) -> None:
    write(tmp_path, "a/x.json")
    write(tmp_path, "b/y.json")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "other").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "other").symlink_to(tmp_path / "a")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    found = {os.path.realpath(name) for name in drain(folder(), ledger)}
    assert found == {f"{tmp_path}/a/x.json", f"{tmp_path}/b/y.json"}


def test_a_file_that_vanishes_is_no_problem(
    folder: Open, ledger: MemoryLedger, clock: HandClock, tmp_path: Path
) -> None:
    path = write(tmp_path, "a.json")
    feed = folder()
    (delivery,) = feed.receive(0)
    path.unlink()
    assert ledger.try_to_commit(feed, [delivery]) == []
    clock.pass_by(60)
    assert drain(feed, ledger) == []
    assert feed.status().problem is None
    assert feed.status().waiting == 0


def test_a_folder_that_vanishes_takes_only_its_own_files_along(
    folder: Open, ledger: MemoryLedger, tmp_path: Path
) -> None:
    path = write(tmp_path, "sub/a.json")
    feed = folder()
    drain(feed, ledger)
    path.unlink()
    path.parent.rmdir()
    write(tmp_path, "b.json")
    assert drain(feed, ledger) == [f"{tmp_path}/b.json"]
    write(tmp_path, "sub/c.json")
    assert drain(feed, ledger) == [f"{tmp_path}/sub/c.json"]


def test_a_folder_that_is_not_there_is_a_problem_until_it_is(
    folder: Open, ledger: MemoryLedger, clock: HandClock, tmp_path: Path
) -> None:
    feed = folder(f"{tmp_path}/later")
    assert feed.receive(0) == ()
    status = feed.status()
    assert "No such file or directory" in str(status.problem)
    assert status.since == NOW
    write(tmp_path, "later/a.json")
    assert feed.receive(0) == ()  # The pause is not over.
    clock.pass_by(2)
    assert drain(feed, ledger) == [f"{tmp_path}/later/a.json"]
    assert feed.status().problem is None


def test_names_that_are_no_text(folder: Open, ledger: MemoryLedger, tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff\x1b.json", "wb") as file:
        file.write(b"odd")
    feed = folder()
    (delivery,) = feed.receive(2)
    delivery.identity.encode()
    assert ledger.commit(feed, [delivery]) == [b"odd"]
    assert drain(feed, ledger) == []


# -- restarts and returns ----------------------------------------------------------------------------------------------


def test_what_was_not_settled_comes_again_after_a_restart(folder: Open, ledger: MemoryLedger, tmp_path: Path) -> None:
    write(tmp_path, "a.json")
    feed = folder()
    assert len(feed.receive(0)) == 1
    assert drain(feed) == []
    feed.close()
    assert len(drain(folder(), ledger)) == 1
    assert drain(folder(), ledger) == []


def test_what_is_given_back_comes_again_after_growing_pauses_and_is_set_aside(
    folder: Open, ledger: MemoryLedger, clock: HandClock, tmp_path: Path
) -> None:
    write(tmp_path, "a.json")
    feed = folder(max_tries=3)
    times = []
    for _ in range(3000):
        for delivery in feed.receive(0):
            times.append(clock.seconds)
            feed.give_back(delivery, ObjectError("damaged gzip"))
        clock.pass_by(1)
    assert [round(later - earlier) for earlier, later in pairwise(times)] == [15, 30]
    assert feed.status().set_aside == 1
    assert "damaged gzip" in feed.status().notes[0]
    # Completed, it is another file.
    write(tmp_path, "a.json", "whole", age_seconds=1)
    clock.pass_by(600)
    assert drain(feed, ledger) == [f"{tmp_path}/a.json"]


def test_a_file_that_may_not_be_opened_is_tried_until_it_may(
    folder: Open, ledger: MemoryLedger, clock: HandClock, tmp_path: Path
) -> None:
    write(tmp_path, "a.json")
    feed = folder(max_tries=2)
    for _ in range(6):
        (delivery,) = feed.receive(0)
        error = ObjectError("cannot be read: Permission denied")
        error.__cause__ = PermissionError(13, "Permission denied")
        feed.give_back(delivery, error)
        assert feed.status().problem is error
        clock.pass_by(1800)
    assert drain(feed, ledger) == [f"{tmp_path}/a.json"]
    assert feed.status().problem is None


def test_files_that_cannot_be_read_do_not_stop_the_others(
    folder: Open, ledger: MemoryLedger, clock: HandClock, tmp_path: Path
) -> None:
    for number in range(20):
        write(tmp_path, f"bad{number}.json")
    feed = folder(max_under_way=5)
    for _ in range(4):
        for delivery in feed.receive(0):
            feed.give_back(delivery, ObjectError("damaged gzip"))
    write(tmp_path, "good.json")
    found: list[str] = []
    for _ in range(30):
        for delivery in feed.receive(1):
            if "bad" in delivery.name:
                feed.give_back(delivery, ObjectError("damaged gzip"))
            else:
                found.append(delivery.name)
                ledger.keep(feed, [delivery])
    assert found == [f"{tmp_path}/good.json"]


# -- the kernel's notices ----------------------------------------------------------------------------------------------


def test_the_kernel_tells_of_new_files(opened: Open, ledger: MemoryLedger, tmp_path: Path) -> None:
    write(tmp_path, "a.json")
    (tmp_path / "sub").mkdir()
    # Looking would find nothing for a minute: what comes, the kernel told of.
    feed = opened(str(tmp_path), clock=FeedClock(), folder_poll_seconds=60.0, folder_settle_seconds=0.0)
    assert drain(feed, ledger) == [f"{tmp_path}/a.json"]
    found: list[str] = []
    for number in range(100):  # until the watch is set up
        (tmp_path / "sub" / f"{number}.json").write_text("x")
        for delivery in feed.receive(0.2):
            found.append(delivery.name)
        if found:
            break
    assert found
    assert found[0].startswith(f"{tmp_path}/sub/")
    # A tree that is moved in comes whole, and nothing of what is hidden or of another kind does.
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    for name in ("x/y/deep.json", "x/.hidden.json", "x/readme.txt"):
        write(outside, name)
    os.rename(outside / "x", tmp_path / "x")
    moved: list[str] = []
    for _ in range(100):
        moved += [delivery.name for delivery in feed.receive(0.2) if "/x/" in delivery.name]
        if moved:
            break
    assert moved == [f"{tmp_path}/x/y/deep.json"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"folder_notices": False}, "folder_notices is off"), ({"folder_max_watched": 1}, "2 folders are more than")],
)
def test_looking_alone_is_said(
    opened: Open, ledger: MemoryLedger, tmp_path: Path, changes: dict[str, object], told: str
) -> None:
    write(tmp_path, "sub/a.json")
    feed = opened(str(tmp_path), **changes)
    assert len(drain(feed, ledger)) == 1
    assert told in feed.status().notes[0]


def test_names_and_needs(tmp_path: Path, ledger: MemoryLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.json")
    with pytest.raises(UsageError, match="is a file"):
        open_feed(str(tmp_path / "a.json"), FeedSettings(), ledger)
    for text in ("", "a\0b", "ftp://host/"):
        with pytest.raises(UsageError) as raised:
            open_feed(text, FeedSettings(), ledger)
        assert "sqs://queue-name" in raised.value.advice
    assert iam_needs(str(tmp_path)) == ()
    # A path from here and one from the root are the same files.
    monkeypatch.chdir(tmp_path)
    names = []
    for text in (".", str(tmp_path), f"file://{tmp_path}"):
        feed = open_feed(text, FeedSettings(folder_notices=False), ledger)
        names += [delivery.identity for delivery in feed.receive(2)]
        feed.close()
    assert len(names) == 3
    assert len(set(names)) == 1
