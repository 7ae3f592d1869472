"""Objects on disk: which records lie together in one, what it is called, and the gzip bytes it holds."""

from __future__ import annotations

import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from keytrail.errors import OutputError
from keytrail.simulation.background import Background
from keytrail.simulation.chance import Chance
from keytrail.simulation.mix import Weighted
from keytrail.simulation.organisation import ORGANISATION, PACE_SECONDS, SITES, Site, iso
from keytrail.simulation.story import DAYS, Planted

LARGE_RECORDS = 5000
# Records of one delivered object; eight on average, as measured in a real organisation's trail.
_SIZES = (1, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 24)
# Fixed, so that a seed keeps its bytes. Level 3 takes half the time of 6 for a sixth more bytes; less memory than the
# default (8) halves the time of a small object, which goes into clearing tables.
_LEVEL, _MEMORY_LEVEL = 3, 7
# Activity by hour of the day (UTC), and what of it is left on the last two days of the archive, a weekend.
_HOURS = (3, 3, 3, 3, 3, 4, 6, 8, 10, 11, 11, 10, 10, 11, 11, 10, 9, 8, 7, 6, 5, 4, 4, 3)
_WEEKEND = 2  # parts of a third


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one object. `site` is None when an object mixes accounts and regions."""

    site: Site | None
    delivered: int
    texts: list[str]
    planted: list[Planted]


class Clock:
    """Spreads events over the days of the archive: busy by day, quiet by night and at the weekend."""

    def __init__(self, start: int) -> None:
        self._start = start
        weights = [hour * (_WEEKEND if day >= DAYS - 2 else 3) for day in range(DAYS) for hour in _HOURS]
        self._bounds = [0, *accumulate(weights)]

    def at(self, share: float) -> int:
        """Return the moment by which `share` (0 to 1) of all events have happened."""
        target = min(max(share, 0.0), 1.0) * self._bounds[-1]
        hour = min(bisect_right(self._bounds, target) - 1, len(self._bounds) - 2)
        low, high = self._bounds[hour], self._bounds[hour + 1]
        return self._start + hour * 3600 + min(int((target - low) / (high - low) * 3600), 3599)


def delivered(
    background: Background, events: int, planted: list[Planted], start: int, chance: Chance
) -> Iterator[Batch]:
    """Yield objects as CloudTrail delivers them: one account and region each, small, by time of delivery.

    `events` counts the background records. Records lie unordered in their object, most of them some minutes late,
    a few some hours. A planted event goes out when it is due, among background records when there are any then.
    """
    sites = Weighted([share for _, share in SITES])
    clock = Clock(start)
    pending = sorted(planted, key=lambda one: one.moment + one.delay)
    used = 0
    while used < events or pending:
        now = clock.at(used / events) if used < events else None
        due = pending[0].moment + pending[0].delay if pending else None
        mine: list[Planted] = []
        if due is not None and (now is None or due <= now):
            site = pending[0].site
            mine = [one for one in pending if one.site == site and one.moment + one.delay <= due + 60]
            index = next(number for number, (place, _) in enumerate(SITES) if place == site)
            # In a thin archive the next background record may be hours away.
            size = chance.pick(_SIZES) if now is not None and now - due < 2 * PACE_SECONDS else 0
            moment = max(one.moment + one.delay for one in mine)
        else:
            assert now is not None
            index, size, moment = sites.draw(chance), chance.pick(_SIZES), now
        size = min(size, events - used)
        used += size
        texts = [background.record(index, max(start, moment - _delay(chance))) for _ in range(size)]
        for one in mine:
            pending.remove(one)
            texts.insert(chance.below(len(texts) + 1), one.text)
        yield Batch(SITES[index][0], moment, texts, mine)


def large(background: Background, events: int, planted: list[Planted], start: int, chance: Chance) -> Iterator[Batch]:
    """Yield few large objects of about `LARGE_RECORDS` records of all accounts and regions, as an export holds them."""
    sites = Weighted([share for _, share in SITES])
    clock = Clock(start)
    pending = sorted(planted, key=lambda one: one.moment)
    total = events + len(planted)
    files = max(1, round(total / LARGE_RECORDS))
    used = 0
    for number in range(files):
        end = clock.at((number + 1) / files) if number + 1 < files else None
        mine = [one for one in pending if end is None or one.moment < end]
        pending = pending[len(mine) :]
        size = events * (number + 1) // files - used
        texts = [
            background.record(sites.draw(chance), clock.at((used + chance.random() * size) / events))
            for _ in range(size)
        ]
        used += size
        for one in mine:
            texts.insert(chance.below(len(texts) + 1), one.text)
        yield Batch(None, clock.at((number + 1) / files), texts, mine)


def _delay(chance: Chance) -> int:
    """Return by how many seconds a record is late."""
    draw = chance.random()
    if draw < 0.85:
        return 60 + chance.below(360)
    return 420 + chance.below(900) if draw < 0.985 else 1320 + chance.below(9000)


def object_key(site: Site, moment: int, suffix: str, kind: str = "CloudTrail") -> str:
    """Return the key of an object of an organisation's trail (AWS CloudTrail user guide, "log file names")."""
    day, clock = iso(moment - moment % PACE_SECONDS).split("T")
    stamp = f"{day.replace('-', '')}T{clock[:5].replace(':', '')}Z"
    return (
        f"AWSLogs/{ORGANISATION}/{site.account}/{kind}/{site.region}/{day.replace('-', '/')}/"
        f"{site.account}_{kind}_{site.region}_{stamp}_{suffix}.json.gz"
    )


def gzip_bytes(content: bytes) -> bytes:
    """Return `content` as one gzip member without time, name and system, so that only zlib decides the bytes."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, _MEMORY_LEVEL)
    tail = struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + packer.compress(content) + packer.flush() + tail


class Folder:
    """Writes objects below a folder that must be new or empty; counts bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stored_bytes = 0
        self.inflated_bytes = 0
        self._root = os.fspath(path)
        self._made: set[str] = set()
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise OutputError(
                    f"{path} is there already and not an empty folder",
                    advice="Name a new folder: an example archive never overwrites anything.",
                )
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(path, error) from error

    def write(self, key: str, content: bytes) -> None:
        """Write one gzip object under its key."""
        stored = gzip_bytes(content)
        self.stored_bytes += len(stored)
        self.inflated_bytes += len(content)
        self.write_plain(key, stored)

    def write_plain(self, key: str, content: bytes) -> None:
        """Write bytes as they are; a file that exists is never replaced."""
        target = f"{self._root}/{key}"  # Joining paths as text takes a tenth of the time, and files are many.
        folder = key.rpartition("/")[0]
        try:
            if folder not in self._made:
                (self.path / folder).mkdir(parents=True, exist_ok=True)
                self._made.add(folder)
            with open(target, "xb") as file:
                file.write(content)
        except OSError as error:
            raise _cannot_write(target, error) from error


def _cannot_write(path: Path | str, error: OSError) -> OutputError:
    return OutputError(f"{path} cannot be written: {error.strerror or error}", advice="Choose another folder.")
