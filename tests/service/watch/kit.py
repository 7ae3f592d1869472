"""An installation to try the service on: records in a few lines, a feed, a clock set by hand, sinks that remember.

Everything runs in the thread of the test, part by part, as `keytrail.service.watch.service.Service` has them.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from keytrail.cloudtrail import Json
from keytrail.detect import alert_id
from keytrail.errors import KeytrailError, Place, SourceError
from keytrail.notify import DeliveryError, Digest, Message
from keytrail.service.installation import Installation, installation
from keytrail.service.rule_admin import Part, coverage
from keytrail.service.watch.ingest import HowTaken
from keytrail.service.watch.service import Came, Service
from keytrail.settings import Settings
from keytrail.sources.feeds import Delivery, FeedStatus
from keytrail.store.lake.segment import stream_segment, verify
from keytrail.store.state.alerts import StoredAlert, stored
from keytrail.store.state.cases import Revision
from keytrail.store.state.rule_states import Execution, executions_of, rule_states
from keytrail.store.state.tables import alerts as alert_table
from keytrail.store.state.tables import outbox
from keytrail.store.state.tables import revisions as revision_table

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
ACCOUNT = "111122223333"
REGION = "eu-west-1"


class HandClock:
    """Time that passes only by `passes`."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **length: float) -> None:
        """Let a `timedelta` of these arguments pass; a negative one sets the clock back."""
        self.now += timedelta(**length)


# -- records and rules ------------------------------------------------------------------------------------------------


def event(id: int | str, name: str = "Probe", *, minutes: float = 0, **more: object) -> Json:
    """A record of an event `minutes` after START; `more` are members of it that differ from the usual ones."""
    return {
        "eventVersion": "1.11",
        "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::{ACCOUNT}:user/alice", "accountId": ACCOUNT},
        "eventTime": f"{START + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": "s3.amazonaws.com",
        "eventName": name,
        "awsRegion": REGION,
        "sourceIPAddress": "192.0.2.1",
        "eventID": str(id),
        "recipientAccountId": ACCOUNT,
        **more,
    }


def probes(*ids: int | str, **more: Any) -> list[Json]:
    """Events that the rule of `rule` matches."""
    return [event(one, **more) for one in ids]


def rule(id: str = "probe", query: str = "event.action: Probe", **fields: object) -> Json:
    """A rule in the form of Elastic's API; `fields` are others of it."""
    return {
        "rule_id": id,
        "name": f"Rule {id}",
        "description": "For tests.",
        "type": "query",
        "language": "kuery",
        "query": query,
        "severity": "high",
        "risk_score": 73,
        "enabled": True,
        **fields,
    }


def stored_bytes(records: Iterable[Json]) -> bytes:
    """Records as CloudTrail stores them."""
    return gzip.compress(json.dumps({"Records": list(records)}).encode(), compresslevel=1, mtime=0)


def ids_of(rule_id: str, records: Iterable[Json]) -> set[str]:
    """The ids of the alerts that a rule raises for records."""
    return {alert_id(rule_id, one) for one in records}


# -- a feed -----------------------------------------------------------------------------------------------------------


class MemoryFeed:
    """Objects that come again until they are settled. It takes the place of an inbox where a test does without one."""

    label = "memory"

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._objects: dict[str, bytes] = {}
        self._waiting: list[str] = []
        self._under_way: set[str] = set()
        self.unreachable: set[str] = set()
        self.returned: list[tuple[str, KeytrailError]] = []
        self.settled: list[str] = []
        self.marks: dict[str, Mapping[str, str]] = {}

    def put(self, name: str, content: bytes | Iterable[Json], **marks: str) -> None:
        """Deliver an object, or deliver one again; other content makes it another object of the same name."""
        with self._changed:
            self._objects[name] = content if isinstance(content, bytes) else stored_bytes(content)
            self.marks[name] = marks
            self._waiting.append(name)
            self._changed.notify_all()

    def receive(self, wait_seconds: float = 0) -> Sequence[Delivery]:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting), wait_seconds)
            found = [self._delivery(name) for name in self._waiting]
            self._under_way.update(self._waiting)
            self._waiting.clear()
            return found

    def _delivery(self, name: str) -> Delivery:
        data = self._objects[name]

        def read() -> Iterator[bytes]:
            if name in self.unreachable:
                raise SourceError("denied", place=Place(name))
            yield data

        return Delivery(name, f"{name}\0{hash(data)}", read, len(data), self.marks[name])

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        with self._changed:
            for one in deliveries:
                self._under_way.discard(one.name)
                self.settled.append(one.name)

    def give_back(self, delivery: Delivery, error: KeytrailError) -> None:
        with self._changed:
            self._under_way.discard(delivery.name)
            self.returned.append((delivery.name, error))
            self._waiting.append(delivery.name)

    def crash(self) -> None:
        """What was under way comes again."""
        with self._changed:
            self._waiting += sorted(self._under_way)
            self._under_way.clear()

    @property
    def open(self) -> bool:
        """Whether something is not settled."""
        with self._changed:
            return bool(self._waiting or self._under_way)

    def finished(self) -> bool:
        return False

    def status(self) -> FeedStatus:
        return FeedStatus(waiting=len(self._waiting))

    def close(self) -> None:
        self.crash()


# -- sinks ------------------------------------------------------------------------------------------------------------


class Refused(DeliveryError):
    """A sink that does not take what it is sent."""

    def __init__(self, *, retry: bool = True, **more: Any) -> None:
        super().__init__("no", retry=retry, **more)


@dataclass
class MemorySink:
    """Remembers what it was sent. `fails` has what each of the next calls raises, None for a call that is well."""

    name: str = "people"
    kind: str = "memory"
    most: int = 100
    messages: list[Message] = field(default_factory=list)
    digests: list[Digest] = field(default_factory=list)
    fails: list[BaseException | None] = field(default_factory=list)
    digesting: bool = False
    closed: int = 0

    def send(self, messages: Sequence[Message], now: datetime) -> None:
        failure = self.fails.pop(0) if self.fails else None
        if isinstance(failure, DeliveryError):
            self.messages += [one for one in messages if failure.of(one) is None]
            raise failure
        self.messages += messages
        if failure is not None:
            raise failure

    @property
    def send_digest(self) -> Callable[[Digest, datetime], None] | None:
        return self._digest if self.digesting else None

    def _digest(self, digest: Digest, now: datetime) -> None:
        failure = self.fails.pop(0) if self.fails else None
        if failure is not None:
            raise failure
        self.digests.append(digest)

    def close(self) -> None:
        self.closed += 1

    @property
    def ids(self) -> list[str]:
        """The ids of the messages, as they came."""
        return [one.id for one in self.messages]

    @property
    def alert_ids(self) -> list[str]:
        """The ids of the alerts that they are about."""
        return [str(one.alert["kibana.alert.uuid"]) for one in self.messages]


# -- the installation -------------------------------------------------------------------------------------------------


class Bench:
    """An installation in a folder, and one service at a time at work on it."""

    def __init__(self, folder: Path, *rules: Json, sinks: Sequence[Mapping[str, object]] = (), **settings: Any) -> None:
        self.folder = folder
        self.rule_folder = folder / "rules"
        self.rule_folder.mkdir(parents=True, exist_ok=True)
        self.clock = HandClock()
        self.feed = MemoryFeed()
        self.sink = MemorySink()
        self.sinks: list[MemorySink] = [self.sink]
        watch = {"jobs": 1, "builtin": False, "rules": [self.rule_folder], "rules_seconds": 0.001}
        routes = [{"kind": "ndjson", "path": folder / "unused", **one} for one in sinks or [{"name": "people"}]]
        self.settings = Settings(
            **{
                **settings,
                "lake": {"folder": folder / "lake"} | settings.get("lake", {}),
                "watch": watch | settings.get("watch", {}),
                "notify": {"sinks": routes} | settings.get("notify", {}),
            }
        )
        for one in rules:
            self.write_rule(one)
        self._stack = ExitStack()
        self.home: Installation = self._stack.enter_context(installation(self.settings, set_up=True))
        self._service: Service | None = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._stack.close()

    # -- the service ----------------------------------------------------------------------------------------------

    @property
    def service(self) -> Service:
        """The service that works; it is started if none does."""
        if self._service is None:
            self._service = Service(self.home, self.sinks, self.clock).__enter__()
        return self._service

    def stop(self) -> None:
        """Stop it as a supervisor does."""
        if self._service is not None:
            self._service.__exit__(None, None, None)
            self._service = None
            self.feed.crash()

    def restart(self) -> Service:
        """Another process takes over."""
        self.stop()
        return self.service

    @contextmanager
    def importing(self, *, history: bool = True, quiet: bool = True) -> Iterator[Service]:
        """A service that takes in records as `keytrail lake import` does."""
        self.stop()
        how = HowTaken(self.settings.watch.batch_bytes, history=history, quiet=quiet)
        with Service(self.home, (), self.clock, how=how) as service:
            yield service

    # -- what is done ---------------------------------------------------------------------------------------------

    def write_rule(self, one: Json) -> None:
        """Put a rule into the folder of rules, in place of one of its id."""
        (self.rule_folder / f"{one['rule_id']}.ndjson").write_text(json.dumps(one) + "\n")

    def change_rule(self, one: Json) -> None:
        """Change a rule, and let the time pass after which the service notices."""
        self.write_rule(one)
        self.clock.passes(seconds=1)

    def remove_rule(self, id: str) -> None:
        """Remove a rule's file."""
        (self.rule_folder / f"{id}.ndjson").unlink()
        self.clock.passes(seconds=1)

    def take(self, name: str | None = None, records: bytes | Iterable[Json] = (), **marks: str) -> Came:
        """Deliver an object, if one is named, take in what the feed has, and run the rules that are due."""
        if name is not None:
            self.feed.put(name, records, **marks)
        return self.service.take(self.feed.receive(), self.feed)  # type: ignore[arg-type]  # it settles as an inbox

    def keep(self, name: str, records: Iterable[Json]) -> None:
        """Take in records and run no rule over them."""
        self.feed.put(name, records)
        for commit in self.service.ingest.take(self.feed.receive(), self.feed.give_back):
            self.feed.settle(commit.deliveries)

    def run(self) -> int:
        """Run rules until nothing is left to examine; how many alerts they made."""
        return self.service.run_rules_to_the_end()

    def look(self) -> int:
        """Make the investigations that are due now; how many there were."""
        made = 0
        while found := self.service.investigate():
            made += found
        return made

    def tell(self) -> int:
        """Deliver what is due now; how many messages went."""
        sent = 0
        while found := self.service.tell():
            sent += found
        return sent

    # -- what is there --------------------------------------------------------------------------------------------

    def alerts(self, rule_id: str | None = None) -> tuple[StoredAlert, ...]:
        """The alerts in the order in which they were made."""
        query = sa.select(alert_table).order_by(alert_table.c.number)
        if rule_id is not None:
            query = query.where(alert_table.c.rule_id == rule_id)
        with self.home.database.read() as connection:
            return tuple(map(stored, connection.execute(query)))

    def alert_ids(self, rule_id: str | None = None) -> set[str]:
        return {one.id for one in self.alerts(rule_id)}

    def alerted(self, rule_id: str | None = None) -> list[str]:
        """The ids of the events that have an alert, in the order in which the alerts were made."""
        return [one.event_id for one in self.alerts(rule_id)]

    def executions(self, rule_id: str = "probe") -> list[Execution]:
        """The record of a rule's executions, the first one first."""
        with self.home.database.read() as connection:
            return list(reversed(executions_of(connection, rule_id, most=10_000)))

    def coverage(self, rule_id: str = "probe") -> list[tuple[str, int, int]]:
        """Which positions a rule examined: kind, first, end."""
        with self.home.database.read() as connection:
            found: tuple[Part, ...] = coverage(connection, self.home.catalog, rule_id)
        return [(one.kind, one.first, one.end) for one in found]

    def cursor(self, rule_id: str = "probe") -> int:
        with self.home.database.read() as connection:
            return rule_states(connection)[rule_id].cursor

    def status(self, rule_id: str = "probe") -> tuple[str, str]:
        """How the rule's last run went, and what it said."""
        with self.home.database.read() as connection:
            state = rule_states(connection)[rule_id]
        return state.status, state.message

    def revisions(self, event_id: str) -> list[Revision]:
        """The investigations of an event, the first one first."""
        [one, *_] = [alert for alert in self.alerts() if alert.event_id == event_id]
        query = sa.select(revision_table).where(revision_table.c.event == one.event)
        with self.home.database.read() as connection:
            found = connection.execute(query.order_by(revision_table.c.revision))
            return [Revision(**row._mapping) for row in found]

    def letters(self) -> list[tuple[str, str, str]]:
        """The outbox: sink, message id, state."""
        query = sa.select(outbox.c.sink, outbox.c.message_id, outbox.c.state).order_by(outbox.c.id)
        with self.home.database.read() as connection:
            return [(row.sink, row.message_id, row.state) for row in connection.execute(query)]

    def lake(self) -> list[Json]:
        """Every record in the lake, in the order of arrival."""
        return [json.loads(raw) for raw in self.raws()]

    def raws(self) -> list[bytes]:
        """The same as stored. What is damaged, or not where the catalog says, fails the test."""
        found: list[bytes] = []
        for one in self.home.catalog.segments():
            problem = verify(self.home.files, one.file)
            assert problem is None, problem
            for table in stream_segment(self.home.files, one.file, ["raw"]):
                found += table["raw"].to_pylist()
        return found

    def check(self, rule_id: str = "probe") -> None:
        """Cursor, coverage and executions of a rule have no gaps: what lies behind the cursor was examined."""
        runs = [one for one in self.executions(rule_id) if one.kind == "scheduled"]
        parts = self.coverage(rule_id)
        assert all(kind != "gap" for kind, _, _ in parts), parts
        searched = {at for kind, first, end in parts if kind == "searched" for at in range(first, end)}
        examined = {at for one in runs for at in range(one.first or 0, one.end or 0) if one.first is not None}
        assert searched <= examined, (parts, runs)
