"""One episode: a trail arrives while everything goes wrong; then, in peace, what came of it is compared with a scan."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keytrail.fields import INVESTIGATION
from tests.chaos.process import Failed, Watching, json_lines, run
from tests.chaos.queue import QUEUE, VARIABLES, Bucket
from tests.chaos.receiver import MOODS, Receiver
from tests.chaos.trail import RULES, Arrival, arrivals, records

# Rounds of `watch --once` in which all that waits has to be dealt with, when nothing goes wrong any more.
_ROUNDS = 20


@dataclass(frozen=True)
class Plan:
    """What an episode is like. `feeds` are folder, queue, or both for the same events; `disk` is a small one."""

    seed: int
    seconds: float = 10.0
    events: int = 600
    feeds: tuple[str, ...] = ("folder",)
    disk: Path | None = None
    troubles: tuple[str, ...] = ("kill", "stop", "freeze", "lock", "receiver")
    jobs: int = 1

    def __str__(self) -> str:
        disk = " --disk" if self.disk else ""
        return (
            f"--seed {self.seed} --seconds {self.seconds:g} --events {self.events} --feeds {','.join(self.feeds)}{disk}"
        )


@dataclass
class Report:
    """What was done, for people."""

    done: list[str] = field(default_factory=list)
    alerts: int = 0
    starts: int = 0
    messages: int = 0
    requests: int = 0

    def __str__(self) -> str:
        counts = {what: self.done.count(what) for what in dict.fromkeys(self.done)}
        did = ", ".join(f"{count} {what}" for what, count in counts.items())
        return (
            f"{self.alerts} alerts, {self.messages} messages in {self.requests} requests, {self.starts} starts; {did}"
        )


def play(plan: Plan, folder: Path) -> Report:
    """Play an episode in a folder. Raises Failed when a promise was not kept."""
    chance = random.Random(plan.seed)
    report = Report()
    every = records(chance, plan.events)
    objects = list(arrivals(chance, every))
    lake = (plan.disk or folder) / "lake"
    (folder / "feed").mkdir(parents=True)
    (folder / "rules").mkdir()
    (folder / "all").mkdir()
    for arrival in objects:
        (folder / "all" / arrival.name).write_bytes(arrival.data)
    for one in RULES:
        (folder / "rules" / f"{one['rule_id']}.ndjson").write_text(json.dumps(one) + "\n")
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        bucket = stack.enter_context(Bucket()) if "queue" in plan.feeds else None
        config = folder / "keytrail.toml"
        config.write_text(_settings(plan, folder, lake, receiver.url, bucket))
        variables = VARIABLES if bucket is not None else {}
        watching = Watching(config, folder / "watch.log", variables)
        stack.callback(watching.kill)
        writer = _Writer(plan, folder / "feed", bucket, objects)
        watching.start()
        writer.start()
        _trouble(plan, chance, watching, receiver, bucket, lake, report)
        receiver.feel("well")
        watching.kill()
        writer.finish()
        report.starts = watching.starts
        _settle(config, lake, variables, bucket)
        _compare(config, folder, lake, len({str(one["eventID"]) for one in every}), receiver, report)
    return report


def _settings(plan: Plan, folder: Path, lake: Path, url: str, bucket: Bucket | None) -> str:
    sources = [str(folder / "feed")] if "folder" in plan.feeds else []
    sources += [f"sqs://{QUEUE}"] if bucket is not None else []
    aws = f'[aws]\nendpoint_url = "{bucket.endpoint}"\nregion = "us-east-1"\n' if bucket is not None else ""
    return f"""\
[lake]
folder = "{lake}"
segment_bytes = 1048576
grace_seconds = 1

[state]
lock_wait_seconds = 1

[watch]
sources = {json.dumps(sources)}
rules = ["{folder / "rules"}"]
builtin = false
jobs = {plan.jobs}
batch_seconds = 0.05
compact_minutes = 0.01
retry_seconds = 0.1
longest_retry_seconds = 0.5
touch_pause_seconds = 0.2

[feeds]
folder_poll_seconds = 0.1
folder_settle_seconds = 0.3
first_pause_seconds = 0.1
longest_pause_seconds = 0.5
sqs_visibility_seconds = 30

[notify]
connect_timeout_seconds = 1
read_timeout_seconds = 1
first_pause_seconds = 0.1
longest_pause_seconds = 0.5
verdict_wait_seconds = 5

[[notify.sinks]]
name = "people"
kind = "webhook"
url = "{url}"
digest = false

{aws}"""


# -- what arrives -----------------------------------------------------------------------------------------------------


class _Writer:
    """Lets objects arrive, spread over the time of the episode, in a thread of its own."""

    def __init__(self, plan: Plan, folder: Path, bucket: Bucket | None, objects: list[Arrival]) -> None:
        self._chance = random.Random(plan.seed + 1)
        self._pause = plan.seconds * 0.8 / max(len(objects), 1)
        self._folder = folder if "folder" in plan.feeds else None
        self._bucket = bucket
        self._objects = iter(objects)
        self._halves: list[Arrival] = []
        self._hurry = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._write, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Write all that is left, and what was cut off whole."""
        self._hurry.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _write(self) -> None:
        try:
            for one in self._objects:
                self._put(one)
                self._hurry.wait(self._pause * self._chance.choice((0.1, 0.5, 1, 2.4)))
                if self._halves and self._chance.random() < 0.3:
                    self._complete(self._halves.pop(0))
            for one in self._halves:
                self._complete(one)
        except Exception as error:  # noqa: BLE001 - told to whoever waits for this
            self._error = error

    def _put(self, one: Arrival) -> None:
        if self._bucket is not None:
            self._bucket.put(one, self._chance)
        if self._folder is None:
            return
        path = self._folder / one.name
        half = len(one.data) // 2
        if one.how == "whole":
            part = path.with_name(f".{path.name}.part")
            part.write_bytes(one.data)
            part.rename(path)
            return
        path.write_bytes(one.data[:half])
        if one.how == "cut":
            self._halves.append(one)  # for so long that it is taken for all there is
            return
        time.sleep(0.1)
        with path.open("ab") as file:
            file.write(one.data[half:])

    def _complete(self, one: Arrival) -> None:
        assert self._folder is not None
        (self._folder / one.name).write_bytes(one.data)


# -- what goes wrong --------------------------------------------------------------------------------------------------


def _trouble(
    plan: Plan,
    chance: random.Random,
    watching: Watching,
    receiver: Receiver,
    bucket: Bucket | None,
    lake: Path,
    report: Report,
) -> None:
    """Make trouble until the time is over."""
    acts: Mapping[str, Callable[[], None]] = {
        "kill": watching.kill,
        "stop": watching.stop,
        "freeze": lambda: _freeze(watching, chance),
        "lock": lambda: _lock(lake / "state.db", chance.uniform(0.2, 2.5)),
        "receiver": lambda: receiver.feel(chance.choice(MOODS)),
        "redeliver": lambda: bucket.redeliver() if bucket is not None else None,
        "disk": lambda: _fill(lake.parent, chance.uniform(0.3, 2)),
    }
    troubles = [*plan.troubles, *(["kill"] * 2), *(["disk"] * 3 if plan.disk is not None else [])]
    troubles += ["redeliver"] * 3 if bucket is not None else []
    end = time.monotonic() + plan.seconds
    while time.monotonic() < end:
        time.sleep(chance.choice((0.05, 0.3, 0.8, 1.5)))
        what = chance.choice(troubles)
        acts[what]()
        report.done.append(what)
        if what in ("kill", "stop"):
            time.sleep(chance.choice((0, 0, 0.3)))
        else:
            # A service that starts may give up a little after what it could not start on is over.
            watching.check(may_fail_to_start=not {"lock", "disk"}.isdisjoint(report.done[-2:]))
        watching.start()


def _freeze(watching: Watching, chance: random.Random) -> None:
    watching.freeze()
    time.sleep(chance.uniform(0.1, 1))
    if chance.random() < 0.3:
        watching.kill()
    watching.resume()


def _lock(database: Path, seconds: float) -> None:
    """Another process holds the state."""
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(database, timeout=1, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        pass  # the service was faster, or has not made it yet


def _fill(disk: Path, seconds: float) -> None:
    """Let no room be left on the disk for a while."""
    filler = disk / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            for size in (65_536, 4_096, 512):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue
        time.sleep(seconds)
    finally:
        filler.unlink(missing_ok=True)


# -- what has to be true ----------------------------------------------------------------------------------------------


def _settle(config: Path, lake: Path, variables: Mapping[str, str], bucket: Bucket | None) -> None:
    """Let the service deal with all there is."""
    time.sleep(0.4)  # the last file settles
    for _ in range(_ROUNDS):
        if bucket is not None:
            bucket.redeliver()
        run("watch", "--config", config, "--once", variables=variables)
        left = bucket.waiting() if bucket is not None else 0
        if not left and not _waiting(lake / "state.db"):
            return
        time.sleep(0.6)
    raise Failed(
        f"after {_ROUNDS} rounds something still waits: {left} messages, {_waiting(lake / 'state.db')} letters"
    )


def _waiting(database: Path) -> int:
    """Letters and investigations that are not done."""
    with closing(sqlite3.connect(database)) as connection:
        [letters] = connection.execute("SELECT count(*) FROM outbox WHERE state = 'waiting'").fetchone()
        [cases] = connection.execute("SELECT count(*) FROM cases WHERE revision = 0 OR touched > as_of").fetchone()
    return int(letters) + int(cases)


def _compare(config: Path, folder: Path, lake: Path, events: int, receiver: Receiver, report: Report) -> None:
    """The alerts are those of a scan of all that arrived, each was told; the lake is whole, with each event once."""
    scan = ("scan", folder / "all", "--rules", folder / "rules", "--no-builtin", "--format", "ndjson", "--jobs", "1")
    scanned = _by_id(json_lines(run(*scan)))
    made_lines = json_lines(run("alerts", "list", "--all", "--format", "ndjson", "--config", config))
    made = _by_id(made_lines)
    report.alerts = len(made)
    if len(made) != len(made_lines):
        raise Failed("an alert is there twice")
    _same("alerts", made.keys(), scanned.keys())
    _same("alerts that were told", receiver.told.keys(), made.keys())
    report.requests = receiver.requests
    for id, messages in receiver.told.items():
        report.messages += len(messages)
        if wrong := {one for one in messages if one != id and not one.startswith(f"{id}-")}:
            raise Failed(f"alert {id} was told under other ids: {wrong}")
    run("lake", "verify", "--config", config)
    found = int(run("events", "--count", "--config", config))
    with closing(sqlite3.connect(lake / "state.db")) as connection:
        [rows] = connection.execute("SELECT sum(rows) FROM segments").fetchone()
    if not found == rows == events:
        raise Failed(f"the lake holds {rows} records of {found} events, and {events} arrived")
    for id, alert in made.items():
        found, expected = alert.get(INVESTIGATION), scanned[id].get(INVESTIGATION)
        if _known(found) != _known(expected):
            raise Failed(f"the investigation of alert {id} is not the scan's:\n{_differences(found, expected)}")


def _by_id(alerts: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["kibana.alert.uuid"]: one for one in alerts}


def _same(what: str, found: Any, expected: Any) -> None:
    missing, more = set(expected) - set(found), set(found) - set(expected)
    if missing or more:
        raise Failed(f"{what}: {len(missing)} missing {sorted(missing)[:5]}, {len(more)} too many {sorted(more)[:5]}")


def _known(investigation: Any) -> Any:
    """What an investigation says, but for when it was made and how far its store has seen."""
    if investigation is None:
        return None
    without = {"as_of", "revision", "coverage"}
    found = {name: value for name, value in investigation.items() if name not in without}
    return found | {"actor": found["actor"] | {"account_seen_since": None}}


def _differences(found: Any, expected: Any) -> str:
    if found is None or expected is None:
        return f"{found is None=}, {expected is None=}"
    names = [name for name in expected if found.get(name) != expected[name]]
    return "\n".join(f"{name}: {found.get(name)!r:.300} != {expected[name]!r:.300}" for name in names)


def clean(folder: Path) -> None:
    """Remove what an episode left, if all was well."""
    shutil.rmtree(folder, ignore_errors=True)


def seeds(first: int) -> Iterator[int]:
    """Seeds without an end, the first one given."""
    while True:
        yield first
        first += 1
