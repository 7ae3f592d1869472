"""What an object says, at little cost, about which account and Region it holds events of, and of which times.

An object with the name that AWS gives it (CloudTrail user guide, "CloudTrail log file name format") holds events of one
account and Region; the first and the last time in its bytes are those of two of them. Of any other object some records
are read, the first and the last among them. Either way the answer is "at least": no more is said than the object holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import stringzilla

from keytrail.cloudtrail import Json, event_time, identity

_NAME = re.compile(r"(?:^|/)(\d{12})_CloudTrail_([a-z0-9-]+)_(\d{4})(\d\d)(\d\d)T\d{4}Z_[^/]*$", re.ASCII)
_KEY = b'"eventTime"'
_TIME = re.compile(rb'"eventTime"[ \t\r\n]*:[ \t\r\n]*"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"')
# Records of an object (or of a block of one) without such a name that are read for it.
_SAMPLE = 32


@dataclass(frozen=True, slots=True)
class Site:
    """What the name of an object tells: the account and Region of its events, and the day of delivery (UTC)."""

    account: str
    region: str
    day: date

    def fits(self, moment: datetime) -> bool:
        """Whether an event of this time may lie here: delivery trails it by minutes and so may cross midnight."""
        return self.day - timedelta(days=1) <= moment.date() <= self.day


# An account, a Region and a day, with the first and the last time of events seen there.
Span = tuple[datetime, datetime]
Spans = dict[tuple[str, str, date], Span]


def site_of(name: str) -> Site | None:
    """The site in the name of an object, None where it has another kind of name.

    >>> site_of("a/111122223333_CloudTrail_eu-west-1_20260301T0805Z_x.json.gz")
    Site(account='111122223333', region='eu-west-1', day=datetime.date(2026, 3, 1))
    """
    found = _NAME.search(name)
    if found is None:
        return None
    try:
        return Site(found[1], found[2], date(int(found[3]), int(found[4]), int(found[5])))
    except ValueError:
        return None


class Told:
    """Which times of accounts, Regions and days were told: what lies between two of them is not told again."""

    def __init__(self) -> None:
        self._bounds: dict[tuple[str, str, bytes], tuple[bytes, bytes]] = {}

    def covers(self, site: Site, time: bytes) -> bool:
        """Whether a time, as records write it, lies between two that were told."""
        bounds = self._bounds.get((site.account, site.region, time[:10]))
        return bounds is not None and bounds[0] <= time <= bounds[1]

    def add(self, site: Site, moment: datetime) -> None:
        """Note that a time was told."""
        time = moment.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
        key = (site.account, site.region, time[:10])
        first, last = self._bounds.get(key, (time, time))
        self._bounds[key] = (min(first, time), max(last, time))


def times_in(buffer: bytes, site: Site, told: Told) -> Iterator[datetime]:
    """The first and the last event time written in `buffer`, as far as they fit the site and are news.

    One that does not fit may be what a caller put into the parameters of a request.
    """
    for at in {stringzilla.find(buffer, _KEY), stringzilla.rfind(buffer, _KEY)}:
        found = _TIME.match(buffer, at) if at >= 0 else None
        if found is None or told.covers(site, found[1]):
            continue
        try:
            moment = datetime.fromisoformat(found[1].decode()).astimezone(UTC)
        except ValueError:
            continue
        if site.fits(moment):
            yield moment


def sample(count: int) -> Iterator[int]:
    """The indexes of the records to read of `count`: the first, the last, and some evenly between.

    >>> list(sample(3)), len(list(sample(10_000)))
    ([0, 1, 2], 33)
    """
    last = count - 1
    yield from sorted({last * number // _SAMPLE for number in range(_SAMPLE + 1)} if count else ())


def told_by(data: Json, site: Site | None) -> tuple[str, str, datetime] | None:
    """Account, Region and time of a record, if it has a time that fits the site of its object."""
    moment = event_time(data)
    if moment is None:
        return None
    if site is not None:
        return (site.account, site.region, moment) if site.fits(moment) else None
    who = identity(data)
    return who.account, who.region, moment


def add(spans: Spans, account: str, region: str, moment: datetime) -> None:
    """Add an event's time."""
    merge(spans, {(account, region, moment.date()): (moment, moment)})


def merge(spans: Spans, others: Spans) -> None:
    """Add what other objects tell."""
    for key, (first, last) in others.items():
        before = spans.get(key)
        spans[key] = (first, last) if before is None else (min(before[0], first), max(before[1], last))
