"""Values that are looked for anywhere in a record, and sightings: which bytes tell that a record may hold them.

A value stands in a record as `"value"`, whatever member it belongs to, unless one of its characters is spelled as an
escape. Printable ASCII has no other spelling than `\\u00..`, and `\\/` for a slash: records with these are always
read. What is not printable ASCII has several spellings, so there the longest run between such characters is looked for.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import stringzilla

from keytrail.cloudtrail import identity
from keytrail.search.needles import FEW, Positions, needle_finder

Json = dict[str, object]
Times = tuple[datetime | None, datetime | None]

# One spelling each, but for those `\\u00..` and `\\/`.
_RUN = re.compile(r"[ !#-\[\]-~]+")
_TIME_KEY = b'"eventTime"'
_TIME = re.compile(rb'"eventTime":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"')
# Before and behind every time that is written like that.
_FIRST, _LAST = b"", b"\xff"


@dataclass(frozen=True, slots=True)
class Literal:
    """A string value that is wanted, in events of these times (`until` exclusive, None without bound)."""

    value: str
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """Whether `account` (the recipient's, else the caller's) has an event before `before` with `value` at `path`.

    >>> Sighting(("sourceIPAddress",), "192.0.2.1", "111122223333", datetime(2026, 3, 1)).path
    ('sourceIPAddress',)
    """

    path: tuple[str, ...]
    value: str
    account: str
    before: datetime


def strings_of(value: object) -> Iterator[str]:
    """Every string value in a JSON value, at any depth, in no particular order; not the names of members.

    >>> sorted(strings_of({"a": ["x", {"b": "y"}], "c": 1}))
    ['x', 'y']
    """
    waiting: list[object] = [[value]]
    while waiting:
        one = waiting.pop()
        for item in one.values() if isinstance(one, dict) else one if isinstance(one, list) else ():
            if isinstance(item, str):
                yield item
            elif isinstance(item, dict | list):
                waiting.append(item)


def value_at(record: Json, path: Sequence[str]) -> object:
    """What stands at `path`, None where nothing does.

    >>> value_at({"a": {"b": 1}}, ("a", "b")), value_at({"a": 1}, ("a", "b"))
    (1, None)
    """
    value: object = record
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def within(moment: datetime | None, since: datetime | None, until: datetime | None) -> bool:
    """Whether an event's time lies in an interval (`until` exclusive); an unknown one lies in none with a bound."""
    if moment is None:
        return since is None and until is None
    return (since is None or moment >= since) and (until is None or moment < until)


def needle_of(value: str) -> bytes | None:
    """Bytes that a record which holds `value` holds too, if it has no escapes; None when there are none.

    >>> needle_of("key/1"), needle_of("Zo\\u00eb Miller"), needle_of("\\u00eb")
    (b'"key/1"', b' Miller', None)
    """
    runs: list[str] = _RUN.findall(value)
    if not value or (len(runs) == 1 and runs[0] == value):
        return b'"' + value.encode() + b'"'
    return max(runs, key=len).encode() if runs else None


@dataclass(slots=True)
class _Needle:
    """For whom a needle is looked for: spans of times as they are written, and sightings by their numbers.

    A record that holds one of a query has to be read at any time.
    """

    spans: list[tuple[bytes, bytes]]
    sightings: list[int]
    of_query: bool = False


class Values:
    """What is looked for by value: the literals of patterns, by the pattern's number, and sightings.

    `queries` are values of which a query needs one; where many values are looked for, these are looked for with them.
    With `residual` a record may hold one of them without a byte of it to be found. Not changed by use.
    """

    def __init__(
        self,
        literals: Mapping[int, Iterable[Literal]],
        sightings: Sequence[Sighting] = (),
        queries: Iterable[str] = (),
    ) -> None:
        self.sightings = tuple(sightings)
        # Bytes that a record of the sighting's account holds, and the time from which on it does not count.
        self._tests = [
            ((needle_of(one.account) if one.account else None) or b"", _text(one.before)) for one in self.sightings
        ]
        self._times: dict[int, dict[str, list[Times]]] = {}
        self._by_path: dict[tuple[str, ...], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        needles: dict[bytes, _Needle] = {}
        self.residual = False

        def needle(value: str) -> _Needle:
            text = needle_of(value)
            self.residual = self.residual or text is None
            return needles.setdefault(text or b"", _Needle([], []))

        for number, wanted in literals.items():
            times = self._times[number] = {}
            for one in sorted(wanted, key=lambda literal: literal.value):
                times.setdefault(one.value, []).append((one.since, one.until))
                needle(one.value).spans.append(_span(one.since, one.until))
        for number, sighting in enumerate(self.sightings):
            self._by_path[sighting.path][sighting.value].append(number)
            needle(sighting.value).sightings.append(number)
        self.with_queries = len(needles) > FEW
        if self.with_queries:
            for value in queries:
                needle(value).of_query = True
        self._needles = [] if self.residual else list(needles.values())
        self._find: Positions = needle_finder([] if self.residual else list(needles))
        self.slashes = any(b"/" in text for text in (*needles, *(account for account, _ in self._tests)))

    def __bool__(self) -> bool:
        return bool(self._times or self.sightings)

    def positions(self, buffer: bytes, seen: Collection[int]) -> list[tuple[int, int]]:
        """Offsets in `buffer` with the number of the needle there; without those that cannot answer a sighting.

        They cannot when it is one of `seen`, or when the buffer is about other accounts, as most objects are.
        """
        found = self._find(buffer)
        if not found or not self.sightings:
            return found
        kept = {
            number
            for number in {needle for _, needle in found}
            if self._needles[number].of_query
            or self._needles[number].spans
            or any(
                one not in seen and stringzilla.find(buffer, self._tests[one][0]) >= 0
                for one in self._needles[number].sightings
            )
        }
        return [hit for hit in found if hit[1] in kept]

    def may_match(self, raw: bytes, needles: Iterable[int], seen: Collection[int]) -> bool:
        """Whether a record without escapes that holds these needles has to be read, going by its time."""
        at = stringzilla.find(raw, _TIME_KEY)
        found = _TIME.match(raw, at) if at >= 0 else None
        # Of two times one may lie inside the record, beside its own: only reading tells which is which.
        if found is None or stringzilla.find(raw, _TIME_KEY, found.end()) >= 0:
            return True
        time = found[1]
        for number in needles:
            needle = self._needles[number]
            if needle.of_query or any(first <= time < end for first, end in needle.spans):
                return True
            for one in needle.sightings:
                account, before = self._tests[one]
                if one not in seen and time < before and account in raw:
                    return True
        return False

    def held(self, record: Json, moment: datetime | None) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The numbers of the patterns of which `record`, an event of this time, holds literals, with these."""
        strings: set[str] | None = None
        for number, times in self._times.items():
            strings = set(strings_of(record)) if strings is None else strings
            found = times.keys() & strings
            held = sorted(value for value in found if any(within(moment, *one) for one in times[value]))
            if held:
                yield number, tuple(held)

    def sighted(self, record: Json, moment: datetime | None) -> Iterator[int]:
        """The numbers of the sightings that `record`, an event of this time, answers."""
        if moment is None or not self.sightings:
            return
        account = identity(record).account
        for path, by_value in self._by_path.items():
            value = value_at(record, path)
            if isinstance(value, str) and value in by_value:
                for number in by_value[value]:
                    if self.sightings[number].account == account and moment < self.sightings[number].before:
                        yield number


def _span(since: datetime | None, until: datetime | None) -> tuple[bytes, bytes]:
    return (_FIRST if since is None else _text(since)), (_LAST if until is None else _text(until))


def _text(bound: datetime) -> bytes:
    """A bound as records write times. They write whole seconds, so the next whole second bounds the same events."""
    whole = bound.replace(microsecond=0)
    if whole != bound:
        whole += timedelta(seconds=1)
    return f"{whole.astimezone(UTC).isoformat()[:19]}Z".encode()
