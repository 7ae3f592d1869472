"""What a store has looked for already, and found: kept on disk, so that a question which was told before reads nothing.

Memory holds an entry for each record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain

from keytrail.cloudtrail import event_time
from keytrail.search import Literal, Match, Pattern, Spool, within
from keytrail.store.model import Selector, StoredRecord, Want

# Records that are kept parsed, most of them some 5 kB; larger ones than so many bytes are parsed each time.
_MOST_PARSED = 4_096
_LARGE_BYTES = 16 * 1024

Times = tuple[datetime | None, datetime | None]
Terms = dict[Selector, list[Times]]
"""Queries and single literals, each with the times in which it is looked for."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record in the spool. Deliveries of one event that differ have the same `name`."""

    moment: datetime | None
    event_id: str
    name: bytes
    offset: int
    length: int


class Answers:
    """Records that were found, by what finds them, and in which times that was looked for."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._entries: list[Entry] = []
        self._numbers: dict[bytes, int] = {}
        self._terms: Terms = {}
        self._found: dict[Selector, set[int]] = {}
        # What is asked about one change is often asked about the next; records are not changed by who gets them.
        self._record = lru_cache(_MOST_PARSED)(self._read)

    @property
    def terms(self) -> Mapping[Selector, Sequence[Times]]:
        """All that was looked for."""
        return self._terms

    def missing(self, wants: Iterable[Want]) -> Terms:
        """What of the wants was not looked for yet."""
        terms: Terms = {}
        for want in wants:
            for term in terms_of(want.what):
                times = (want.since, want.until)
                if not _covered(times, chain(self._terms.get(term, ()), terms.get(term, ()))):
                    terms.setdefault(term, []).append(times)
        return terms

    def add(self, match: Match, what: Selector) -> None:
        """Keep the record of a match for the query that found it, or for those of the literals that it holds."""
        number = self._keep(match)
        for term in map(_literal, match.literals) if what.literals else (what,):
            self._found.setdefault(term, set()).add(number)

    def complete(self, terms: Mapping[Selector, Iterable[Times]]) -> None:
        """Be told that all which these find was added."""
        for term, times in terms.items():
            self._terms.setdefault(term, []).extend(times)

    def select(self, what: Selector, since: datetime | None, until: datetime | None) -> list[Entry]:
        """What was found of a selector in these times, each event once."""
        numbers = set[int]().union(*(self._found.get(term, ()) for term in terms_of(what)))
        found: dict[bytes, Entry] = {}
        for number in sorted(numbers):
            entry = self._entries[number]
            if within(entry.moment, since, until):
                found.setdefault(entry.name, entry)
        return list(found.values())

    def records(self, entries: Iterable[Entry], limit: int | None) -> Iterator[StoredRecord]:
        """The records of entries, by event time and then by event id."""
        for entry in sorted(entries, key=_order)[:limit]:
            record = self._record if entry.length <= _LARGE_BYTES else self._read
            yield record(entry.offset, entry.length)

    def _read(self, offset: int, length: int) -> StoredRecord:
        raw = self._spool.read(offset, length)
        return StoredRecord(-1, raw, json.loads(raw))

    def _keep(self, match: Match) -> int:
        """The number of the entry of a record; one that was delivered again, byte for byte, is kept once."""
        key = hashlib.blake2b(match.raw, digest_size=16).digest()
        number = self._numbers.setdefault(key, len(self._entries))
        if number == len(self._entries):
            moment = event_time({"eventTime": match.time})
            offset = self._spool.add(match.raw)
            self._entries.append(Entry(moment, match.event_id, name_of(match), offset, len(match.raw)))
        return number


def terms_of(what: Selector) -> tuple[Selector, ...]:
    """What is looked for and remembered by itself: a query, or each single literal."""
    return (what,) if what.query else tuple(map(_literal, sorted(what.literals)))


def patterns_of(terms: Mapping[Selector, Sequence[Times]]) -> list[tuple[Selector, Pattern]]:
    """The patterns that find all of the terms, each with what it finds: one for each query, one for all literals.

    Their key is "", and a match holds the record.
    """
    found: list[tuple[Selector, Pattern]] = []
    for term, wanted in terms.items():
        for since, until in wanted if term.query else ():
            found.append((term, Pattern("", term.query, since=since, until=until, raw_only=True)))
    literals = frozenset(
        Literal(value, *times) for term, wanted in terms.items() for value in term.literals for times in wanted
    )
    if literals:
        found.append((Selector.any_of(one.value for one in literals), Pattern("", literals=literals)))
    return found


def name_of(match: Match) -> bytes:
    """An event's identity, short: by the id of what finds it, which says nothing of its time, and by its time."""
    return hashlib.blake2b(f"{match.id} {match.time}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _literal(value: str) -> Selector:
    return Selector(literals=frozenset((value,)))


def _covered(times: Times, known: Iterable[Times]) -> bool:
    """Whether one of the intervals holds another. One without bounds also holds the events without a time."""
    since, until = times
    return any(
        (first is None or (since is not None and first <= since))
        and (end is None or (until is not None and until <= end))
        for first, end in known
    )


def _order(entry: Entry) -> tuple[datetime, str]:
    return entry.moment or datetime.min.replace(tzinfo=UTC), entry.event_id


__all__ = ["Answers", "Entry", "Terms", "Times", "name_of", "patterns_of", "terms_of"]
