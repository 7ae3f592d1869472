"""The promise of the service, tried with whatever may happen in between: nothing is lost, nothing is doubled.

Objects arrive late, repeated, out of order, cut off and whole later; rules are changed, disabled and enabled; segments
are merged; the clock steps; power is lost at any write of a file or commit of the state. In the end the alerts are
those of every matching record that ever arrived, each told under one id, and the lake holds every event once.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import event as note
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from keytrail.cloudtrail import Document, Json, ReadLimits, event_time
from keytrail.detect import alert_id
from keytrail.detect.budget import Match, spend
from keytrail.detect.suppression import Suppression, groups_of
from keytrail.errors import StoreError
from keytrail.search import Examiner, Options, Pattern, Result, Rows, dispatch
from keytrail.service.exceptions import Author
from keytrail.service.rule_admin import all_rules, coverage, decide
from keytrail.store.lake.segment import stream_segment, verify
from keytrail.store.state.alerts import stored
from keytrail.store.state.rule_states import executions_of, rule_states
from keytrail.store.state.tables import alerts as alert_table
from keytrail.store.state.tables import outbox
from tests.service.watch import kit
from tests.service.watch.crashing import Machine, PowerLoss
from tests.service.watch.kit import MemoryFeed, event, stored_bytes

_SUPPRESSION = {"alert_suppression": {"group_by": ["source.ip"], "duration": {"value": 30, "unit": "m"}}}
RULES: dict[str, dict[str, object]] = {
    "few": kit.rule("few", "event.action: Probe", max_signals=1),
    "some": kit.rule("some", "event.action: (Probe or Knock)", max_signals=3),
    "all": kit.rule("all", "event.provider: s3.amazonaws.com"),
    "grouped": kit.rule("grouped", "event.action: Knock", max_signals=2, **_SUPPRESSION),
}
# What decides a rule's matches is another text then, and means the same.
_SAME = " and not event.action: Nothing"
_COUNT = "kibana.alert.suppression.docs_count"
_NAMES = st.sampled_from(["Probe", "Knock", "Other"])


def _records(first: int, names: list[str], minute: int) -> list[Json]:
    return [
        event(number, name, minutes=minute, sourceIPAddress=f"192.0.2.{number % 2}")
        for number, name in enumerate(names, first)
    ]


class NothingLostNothingDoubled(RuleBasedStateMachine):
    """Rules of the machine are what may happen; `teardown` says what has to be true whatever happened."""

    folder: Path
    machine: Machine

    @classmethod
    def set_up(cls, folder: Path) -> None:
        cls.folder = folder / "rules"
        cls.folder.mkdir()
        cls.machine = Machine(folder, cls.folder)

    def __init__(self) -> None:
        super().__init__()
        self.machine.wipe()
        self.feed = MemoryFeed()
        self.objects: dict[str, list[Json]] = {}
        self.cut: set[str] = set()
        self.next = 0
        self.skips: set[str] = set()
        self.told: dict[str, str] = {}
        self.rules = {id: dict(one) for id, one in RULES.items()}
        for id in self.rules:
            self._write(id)

    def _write(self, id: str) -> None:
        (self.folder / f"{id}.ndjson").write_text(json.dumps(self.rules[id]) + "\n")

    # -- what arrives -------------------------------------------------------------------------------------------------

    @initialize(names=st.lists(_NAMES, min_size=2, max_size=8))
    def begin(self, names: list[str]) -> None:
        """Rules begin before anything arrives: then they have to find all of it."""
        self._do(lambda: self.machine.start().run_rules())
        self.deliver(names, 0, False)

    @rule(
        names=st.lists(_NAMES, min_size=1, max_size=8), minute=st.sampled_from([-90, -10, 0, 10, 90]), cut=st.booleans()
    )
    def deliver(self, names: list[str], minute: int, cut: bool) -> None:
        """A new object; perhaps only the beginning of it is there yet."""
        name = f"object-{len(self.objects)}"
        self.objects[name] = _records(self.next, names, minute)
        self.next += len(names)
        whole = stored_bytes(self.objects[name])
        if cut:
            self.cut.add(name)
        self.feed.put(name, whole[: len(whole) * 2 // 3] if cut else whole)

    @precondition(lambda self: self.cut)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        """What was cut off is there whole."""
        name = data.draw(st.sampled_from(sorted(self.cut)))
        self.cut.discard(name)
        self.feed.put(name, stored_bytes(self.objects[name]))

    @precondition(lambda self: self.objects)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """An object comes again, or its records in another one, with others."""
        name = data.draw(st.sampled_from(sorted(self.objects)))
        if name in self.cut:
            return
        if data.draw(st.booleans()):
            self.feed.put(name, stored_bytes(self.objects[name]))
            return
        other = f"object-{len(self.objects)}"
        more = _records(self.next, data.draw(st.lists(_NAMES, max_size=2)), 5)
        self.next += len(more)
        self.objects[other] = [*reversed(self.objects[name]), *more]
        self.feed.put(other, stored_bytes(self.objects[other]))

    # -- what the service does ----------------------------------------------------------------------------------------

    @rule()
    def take_in(self) -> None:
        self._do(self._take)

    @rule()
    def keep_only(self) -> None:
        """Take in, without a rule running between."""

        def keep() -> None:
            for commit in self.machine.start().ingest.take(self.feed.receive(), self.feed.give_back):
                self.feed.settle(commit.deliveries)

        self._do(keep)

    @rule()
    def run(self) -> None:
        self._do(lambda: self.machine.start().run_rules())

    @rule()
    def tell(self) -> None:
        self._do(lambda: self.machine.start().tell())

    @rule(refusals=st.lists(st.booleans(), min_size=1, max_size=2))
    def sink_is_down(self, refusals: list[bool]) -> None:
        """The next deliveries fail, and may be tried again."""
        self.machine.sink.fails = [kit.Refused() if one else None for one in refusals]

    @rule()
    def tidy(self) -> None:
        def merge() -> None:
            service = self.machine.start()
            service.upkeep.compact()
            service.upkeep.clear()

        self._do(merge)

    @rule(seconds=st.sampled_from([1, 20, 400, 4_000, 90_000, -30, -5_000, -100_000]))
    def clock(self, seconds: int) -> None:
        self.machine.clock.passes(seconds=seconds)
        self.machine.files.now = self.machine.clock()

    # -- what people do -----------------------------------------------------------------------------------------------

    @rule(id=st.sampled_from(sorted(RULES)), enabled=st.booleans(), catch_up=st.booleans())
    def choose(self, id: str, enabled: bool, catch_up: bool) -> None:
        """Enable or disable a rule."""

        def choose() -> None:
            home = self.machine.home()
            with home.database.write() as connection:
                found = [one for one in all_rules(home.settings, connection).rules if one.rule_id == id]
                author = Author("me", self.machine.clock())
                decide(connection, found, enabled=enabled, catch_up=catch_up, author=author)

        if enabled and not catch_up:
            self.skips.add(id)
        self.machine.clock.passes(seconds=1)
        self._do(choose)

    @rule(id=st.sampled_from(sorted(RULES)), most=st.integers(1, 4), rewrite=st.booleans())
    def change(self, id: str, most: int, rewrite: bool) -> None:
        """Change a rule: how much it may raise at a time, or (which makes it begin again) the text of its query."""
        one = self.rules[id]
        if rewrite:
            query = str(one["query"])
            one["query"] = query.removesuffix(_SAME) if query.endswith(_SAME) else query + _SAME
        one["max_signals"] = most
        self._write(id)
        self.machine.clock.passes(seconds=1)

    # -- what befalls the machine -------------------------------------------------------------------------------------

    @rule(steps=st.integers(0, 12))
    def power_is_lost_while_taking_in(self, steps: int) -> None:
        self._lose(self.take_in, steps)

    @rule(steps=st.integers(0, 6))
    def power_is_lost_while_rules_run(self, steps: int) -> None:
        self._lose(self.run, steps)

    @rule(steps=st.integers(0, 6))
    def power_is_lost_while_telling(self, steps: int) -> None:
        self._lose(self.tell, steps)

    @rule(steps=st.integers(0, 12), during=st.sampled_from(["tidy", "keep_only", "restart"]))
    def power_is_lost(self, steps: int, during: str) -> None:
        self._lose(getattr(self, during), steps)

    def _lose(self, work: Callable[[], None], steps: int) -> None:
        """Lose power after so many writes and commits."""
        self.machine.power.cut_at = steps
        work()
        self.machine.power.cut_at = None

    @rule(calls=st.integers(0, 8), during=st.sampled_from(["take_in", "keep_only", "tidy"]))
    def disk_is_full_for_a_while(self, calls: int, during: str) -> None:
        self.machine.files.fail_at = calls
        getattr(self, during)()
        self.machine.files.fail_at = None

    @rule(names=st.lists(_NAMES, min_size=1, max_size=4), steps=st.integers(0, 3))
    def the_commit_of_what_arrives_seems_to_fail(self, names: list[str], steps: int) -> None:
        """Before it took place or after; nobody can tell."""
        self.deliver(names, 0, False)
        self._seem_to_fail(self.take_in, steps)

    @rule(steps=st.integers(0, 3), during=st.sampled_from(["tidy", "run", "tell"]))
    def a_commit_seems_to_fail(self, steps: int, during: str) -> None:
        self._seem_to_fail(getattr(self, during), steps)

    def _seem_to_fail(self, work: Callable[[], None], steps: int) -> None:
        self.machine.power.fail_at = steps
        work()
        self.machine.power.fail_at = None

    @rule()
    def restart(self) -> None:
        self._do(self.machine.stop)
        if self.machine.service is None:
            self.feed.crash()

    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self._crash(lambda: data.draw(st.booleans()))

    # -- how it is done -----------------------------------------------------------------------------------------------

    def _take(self) -> None:
        self.machine.start().take(self.feed.receive(), self.feed)  # type: ignore[arg-type]

    def _do(self, work: Any) -> None:
        """Do something; if power is lost, or the disk full, see to what is done about that."""
        try:
            work()
        except (PowerLoss, StoreError) as error:
            if not self.machine.power.lost:
                note(f"{type(error).__name__}")
                # As the loop does: what was not settled is given to it again.
                self.feed.crash()
                return
        except Exception:
            # What is cleaned up after a loss of power fails too, each in its way.
            if not self.machine.power.lost:
                raise
        if self.machine.power.lost:
            note("power lost")
            self._crash(lambda: False)

    def _crash(self, survives: Any) -> None:
        self.machine.crash(survives)
        self.feed.crash()

    # -- what has to be true ------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        self.machine.power.restore()
        self.machine.files.fail_at = None
        self.machine.sink.fails = []
        for name in sorted(self.cut):
            self.feed.put(name, stored_bytes(self.objects[name]))
        self._crash(lambda: False)
        try:
            self._settle()
            self._check()
        finally:
            self._crash(lambda: True)

    def _settle(self) -> None:
        """Let the service come to the end of everything."""
        machine = self.machine
        machine.clock.passes(days=5)
        for id in RULES:
            self.choose(id, enabled=True, catch_up=True)
        while self.feed.open:
            self._take()
        service = machine.start()
        service.run_rules_to_the_end()
        while service.tell():
            pass
        machine.clock.passes(days=1)
        while service.tell():
            pass
        service.upkeep.compact()
        service.run_rules_to_the_end()

    def _check(self) -> None:
        home = self.machine.home()
        lake: list[bytes] = []
        for segment in home.catalog.segments():
            assert segment.first_sequence == len(lake), "positions have a gap"
            assert verify(home.files, segment.file) is None
            for table in stream_segment(home.files, segment.file, ["raw"]):
                lake += table["raw"].to_pylist()
        delivered = {str(one["eventID"]): one for records in self.objects.values() for one in records}
        events = [json.loads(raw) for raw in lake]
        assert Counter(str(one["eventID"]) for one in events) == Counter(delivered.keys())
        assert all(one == delivered[str(one["eventID"])] for one in events)
        self._check_files(home)

        with home.database.read() as connection:
            made = [stored(row) for row in connection.execute(sa.select(alert_table))]
            states = rule_states(connection)
            letters = connection.execute(sa.select(outbox.c.message_id, outbox.c.state)).all()
        for id in RULES:
            with home.database.read() as connection:
                parts = coverage(connection, home.catalog, id)
                runs = [one for one in executions_of(connection, id, most=100_000) if one.first is not None]
            assert {part.kind for part in parts} <= {"searched", "disabled"}, parts
            assert (states[id].cursor, parts[-1].end if parts else 0) == (len(lake), len(lake))
            skipped = {at for part in parts if part.kind == "disabled" for at in range(part.first, part.end)}
            assert not skipped or id in self.skips
            examined = {at for one in runs for at in range(one.first or 0, one.end or 0)}
            assert examined >= set(range(len(lake))) - skipped, "the record of executions has a gap"
            mine = {one.id: one for one in made if one.rule_id == id}
            assert {one.id: one.suppression and one.suppression[_COUNT] for one in mine.values()} == self._expected(
                id, lake, skipped
            ), id
            assert all(events[one.position or 0]["eventID"] == one.event_id for one in mine.values())
        # Each is told at least once, under its own id and no other.
        assert Counter(message for message, _ in letters) == Counter(one.id for one in made)
        assert {state for _, state in letters} <= {"sent"}
        assert set(self.machine.sink.ids) == {one.id for one in made}
        assert all(one.id == one.alert["kibana.alert.uuid"] for one in self.machine.sink.messages)

    def _check_files(self, home: Any) -> None:
        """After the grace nothing is on the disk but what the catalog names."""
        self.machine.clock.passes(hours=1)
        self.machine.start().upkeep.clear()
        assert self.machine.files.paths() == {one.file.path for one in home.catalog.segments()}

    def _expected(self, id: str, lake: list[bytes], skipped: set[int]) -> dict[str, int | None]:
        """The alerts of a plain pass over everything, in the order of arrival, unbounded; and what each counts."""
        with self.machine.home().database.read() as connection:
            [found] = [one for one in all_rules(self.machine.settings, connection).rules if one.rule_id == id]
        examiner = Examiner(
            dispatch([Pattern(id, found.query)], now=kit.START), Options(ReadLimits(), keep_raw=True), None
        )
        suppression = Suppression.of(found)
        matches = []
        for position, raw in enumerate(lake):
            if position in skipped:
                continue
            data = json.loads(raw)
            for _, match in examiner.examine_rows(Rows(memoryview(raw), [0, len(raw)]), Result()):
                assert match.id == alert_id(id, data)
                groups = groups_of(suppression, Document(data)) if suppression else ()
                matches.append(Match(match.id, position, event_time(data) or kit.START, groups=groups))
        outcome = spend(matches, end=len(lake), existing=(), max_signals=None, suppression=suppression)
        return {one.id: None if one.window is None else one.window.count for one in outcome.alerts}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory, if there is one: the database is synced some ten thousand times."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="keytrail-", dir=memory if memory.is_dir() else None))
    yield made
    shutil.rmtree(made)


def test_nothing_is_lost_and_nothing_doubled(folder: Path) -> None:
    NothingLostNothingDoubled.set_up(folder)
    long = settings.get_current_profile_name() == "long"
    tried = settings(max_examples=2_000 if long else 40, stateful_step_count=50 if long else 25)
    run_state_machine_as_test(NothingLostNothingDoubled, settings=tried)
