"""What a scan does beside its rules, so that their alerts are investigated, and the investigations it ends with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from threading import Thread
from types import MappingProxyType
from typing import TYPE_CHECKING

from keytrail.errors import InputError, SourceError
from keytrail.fields import INVESTIGATION
from keytrail.investigate import CHANGES, FIRST_LOOK
from keytrail.rules import Rule
from keytrail.search import Crew, Pattern, Result, Spool
from keytrail.service.accounts import trust, trust_notes
from keytrail.service.requests import Json, Observe, ScanRequest
from keytrail.service.stores import again, archive_store
from keytrail.sources import Source
from keytrail.store import Selector

if TYPE_CHECKING:
    from keytrail.investigate import Knowledge

_CHANGE_NAMES = tuple(f'"{name}"'.encode() for name in CHANGES)
"""What the document of a match holds if its event may be a change of a key policy."""


def attach(alert: Json, found: Mapping[str, object] | None) -> Json:
    """The alert with its investigation, if it has one."""
    return alert if found is None else alert | {INVESTIGATION: found}


class Investigations:
    """The investigations of a scan by the id of their alert, kept on disk. Not shared between processes."""

    def __init__(self) -> None:
        self._spool = Spool()
        # Of each alert: where its investigation lies, how long that is, and how long the record is that follows it.
        self._places: dict[str, tuple[int, int, int]] = {}
        self._verdicts: Counter[str] = Counter()

    def add(self, alerts: Sequence[str], document: Json, raw: bytes) -> None:
        """Keep the investigation of an event, and its record, for its alerts."""
        text = json.dumps(document, ensure_ascii=True).encode()
        place = (self._spool.add(text + raw), len(text), len(raw))
        self._places.update(dict.fromkeys(alerts, place))
        self._verdicts[str(document["verdict"])] += len(alerts)

    @property
    def by_verdict(self) -> Mapping[str, int]:
        """How many alerts got which verdict, the gravest first."""
        if not self._verdicts:
            return MappingProxyType({})
        from keytrail.investigate import VERDICTS  # with an investigation here, its room is loaded

        return MappingProxyType({one: self._verdicts[one] for one in VERDICTS if self._verdicts[one]})

    def document(self, alert: str) -> Json | None:
        """The investigation of an alert, None when it has none."""
        if alert not in self._places:
            return None
        offset, length, _ = self._places[alert]
        found: Json = json.loads(self._spool.read(offset, length))
        return found

    def raw(self, alert: str) -> str | None:
        """The record of an alert that was investigated, as text."""
        if alert not in self._places:
            return None
        offset, length, rest = self._places[alert]
        return self._spool.read(offset + length, rest).decode("utf-8", "replace")


def _load() -> None:
    # What fails here fails once more, and is told, where the room is needed.
    with suppress(Exception):
        import_module("keytrail.service.knowledge")


class Beside:
    """What a scan does beside running its rules, so that their alerts can be investigated when it is through.

    The events that the history of keys is made of are found on the way, unless the scan begins at a time: what was
    before counts too, so they are looked for when there is something to investigate. Only then is the room for it
    loaded, which takes longer than many a scan; what the user named besides the sources is read at once.
    """

    def __init__(self, request: ScanRequest, sources: Iterable[Source], observe: Observe | None, crew: Crew) -> None:
        settings = request.settings
        look_back = timedelta(days=settings.investigate.look_back_days)
        self._settings = settings
        self._accounts = trust(settings, organisation=request.organisation, trusted=request.trusted)
        named = settings.investigate.inventory is not None or settings.investigate.snapshots
        self._known = self._knowledge() if named else None
        self.sources = tuple(again(source) for source in sources)
        self._aside = tuple(map(Selector.kql, FIRST_LOOK)) if request.since is None else ()
        self._changes = False
        self.notes: tuple[str, ...] = ()  # for the user, when all is investigated
        self._store = archive_store(
            self.sources,
            settings,
            since=None if request.since is None else request.since - look_back,
            until=request.until,
            jobs=request.jobs,
            observe=observe,
            crew=crew,
        )

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """What the scan is to look for besides what its rules do."""
        return tuple(Pattern("", what.query, raw_only=True) for what in self._aside)

    def take(self, result: Result, *, first: int) -> None:
        """Take a result of the scan; the matches of `patterns` are numbered from `first`."""
        if self._aside:
            self._store.take_over(result, dict(enumerate(self._aside, first)))
        for match in result.matches:
            if match.pattern < first:
                self._see(match.document)

    def _see(self, document: bytes) -> None:
        """Note that there may be something to investigate, and have the room for it loaded while others work."""
        if not self._changes and any(name in document for name in _CHANGE_NAMES):
            self._changes = True
            Thread(target=_load, daemon=True).start()

    def investigate(self, alerts: Callable[[str], bool], rules: Sequence[Rule]) -> Investigations:
        """Investigate the changes of key policies that a rule raised an alert for: `alerts` tells, by an alert's id."""
        result = Investigations()
        if not self._changes:
            return result
        from keytrail.service.knowledge import investigate_alerts

        self._store.taken_over(self._aside)
        self._store.new_problems()  # those of the scan's own pass are told
        for ids, raw, document in investigate_alerts(self._store, self._known or self._knowledge(), alerts, rules):
            result.add(ids, document, raw)
            self.notes = self.notes or trust_notes(self._accounts, [document])
        return result

    def problems(self) -> Sequence[InputError | SourceError]:
        """What could not be read or reached that the scan's own pass did not meet."""
        return self._store.new_problems()

    def _knowledge(self) -> Knowledge:
        from keytrail.service.knowledge import knowledge

        return knowledge(self._settings, self._accounts)
