"""`make bench`: for both layouts, the limit (inflate only), then scans, as rates and as ratios to that limit."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.limit import Limit, timed
from bench.memory import measure
from bench.rules import FILES, RESIDUAL
from keytrail.rules import Rule
from keytrail.search import Options, Pattern, Plan, Pool, Sizes, available_cores, run
from keytrail.service.rules import load_rules
from keytrail.service.running import open_sources, read_limits
from keytrail.service.spool import Spool
from keytrail.settings import Settings
from keytrail.simulation import Layout, simulate
from keytrail.sources import SourceSettings, TimeWindow, open_source

DATA = Path("bench-data")
LARGE_EVENTS = 500_000
SMALL_FILES = 60_000
EVENTS_PER_SMALL_FILE = 8
ROUNDS = 4
FLAGSHIP = "f6a0b2c3-4d5e-4f7a-8b9c-0d1e2f3a4b5c"


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive to scan, and what it holds."""

    layout: str
    path: Path
    events: int
    files: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Case:
    """One scan to time. `command` holds the flags that make the whole program do the same."""

    name: str
    patterns: tuple[Pattern, ...]
    command: tuple[str, ...]


def archive(layout: Layout, events: int) -> Archive:
    """The simulated archive of a layout, written when it is not there yet."""
    path = DATA / f"{layout}-{events}"
    about = path.with_suffix(".json")
    if not about.exists():
        print(f"writing {path} ({events:,} events) …", file=sys.stderr)
        simulate(path, events=events, seed=1, layout=layout)
        keys = list(open_source(str(path), SourceSettings()).objects(TimeWindow()))
        about.write_text(json.dumps({"files": len(keys), "stored_bytes": sum(item.size or 0 for item in keys)}))
    told = json.loads(about.read_text())
    return Archive(layout, path, events, told["files"], told["stored_bytes"])


# -- scans --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timed:
    """The best of several rounds, in seconds: a scan with its workers up, and the limit measured between its rounds."""

    scan: float
    limit: float
    alerts: int


def scan_warm(case: Case, where: Archive, settings: Settings, limit: Limit) -> Timed:
    """Time listing, scanning and gathering in worker processes that are already up."""
    plan = Plan(
        patterns=case.patterns,
        now=datetime.now(UTC),
        sources=open_sources([str(where.path)], settings),
        options=Options(limits=read_limits(settings)),
    )
    sizes = Sizes(0, settings.scan.batch_files, settings.scan.batch_bytes)
    with Pool(plan, available_cores()) as pool:
        pool.ready()

        def once() -> int:
            spool = Spool()
            for result in run(plan, sizes, pool):
                for match in result.matches:
                    spool.add(match)
            return len(spool)

        rounds = [(limit.measure()[0], *timed(once)) for _ in range(ROUNDS)]
    return Timed(min(r[1] for r in rounds), min(r[0] for r in rounds), rounds[0][2])


def cases() -> Iterator[Case]:
    """The scans of issue 2, in order."""
    flagship = load_rules(rule_ids=[FLAGSHIP]).rules
    yield Case("flagship", _patterns(flagship), ("--rule", FLAGSHIP))
    pack = load_rules().rules
    yield Case(f"built-in pack ({len(pack)} rules)", _patterns(pack), ())
    residual = Pattern(str(RESIDUAL["rule_id"]), str(RESIDUAL["query"]))
    for percent, path in FILES.items():
        rules = load_rules([str(path)], builtin=False).rules
        for count in (1, 10, 100, 1000):
            patterns = _patterns(rules[:count])
            yield Case(f"{count} rules, {percent} % candidates", patterns, _subset(path, count))
            if count == 100:
                name = f"{count} rules, {percent} % candidates, and one residual"
                yield Case(name, (*patterns, residual), _subset(path, count, with_residual=True))


def _patterns(rules: tuple[Rule, ...]) -> tuple[Pattern, ...]:
    return tuple(Pattern(rule.rule_id, rule.query) for rule in rules)


def _subset(path: Path, count: int, *, with_residual: bool = False) -> tuple[str, ...]:
    """The flags that make the program run the first `count` rules of a file."""
    lines = path.read_text().splitlines()[:count]
    if with_residual:
        lines.append(json.dumps(RESIDUAL))
    part = DATA / f"{path.stem}-{count}{'-residual' if with_residual else ''}.ndjson"
    part.write_text("\n".join(lines) + "\n")
    return "--no-builtin", "--rules", str(part)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--layout", choices=["large", "delivery"], action="append")
    arguments.add_argument("--only", help="run the cases whose name contains this text")
    arguments.add_argument("--warm-only", action="store_true", help="leave out the runs of the whole program")
    arguments.add_argument("--scale", type=float, default=1.0, help="a fraction of the full archives, for a quick look")
    given = arguments.parse_args()
    DATA.mkdir(exist_ok=True)
    settings = Settings()
    print(f"{available_cores()} cores, Python {sys.version.split()[0]}, {datetime.now(UTC):%Y-%m-%d}")
    help_seconds = min(measure([sys.executable, "-m", "keytrail", "--help"]).seconds for _ in range(ROUNDS))
    print(f"keytrail --help: {help_seconds * 1000:.0f} ms")
    for layout in given.layout or ["large", "delivery"]:
        events = LARGE_EVENTS if layout == "large" else SMALL_FILES * EVENTS_PER_SMALL_FILE
        _layout(archive(layout, int(events * given.scale)), settings, given.only, whole=not given.warm_only)


def _layout(where: Archive, settings: Settings, only: str | None, *, whole: bool) -> None:
    paths = [item.key for item in open_source(str(where.path), SourceSettings()).objects(TimeWindow())]
    with Limit(paths, 1 if where.layout == "large" else 128) as limit:
        seconds, inflated = min(limit.measure() for _ in range(ROUNDS))
        print(
            f"\n{where.layout}: {where.events:,} events in {where.files:,} files, "
            f"{where.stored_bytes / 1e6:,.0f} MB stored, {inflated / 1e6:,.0f} MB inflated"
        )
        print(f"{'':48}{'seconds':>9}{'events/s':>12}{'files/s':>10}{'of limit':>10}{'alerts':>9}{'peak MB':>9}")
        _row("inflate only (the limit)", seconds, where)
        for case in cases():
            if only and only not in case.name:
                continue
            warm = scan_warm(case, where, settings, limit)
            _row(case.name, warm.scan, where, ratio=warm.limit / warm.scan, alerts=warm.alerts)
            if whole:
                _whole(case, where)


def _whole(case: Case, where: Archive) -> None:
    command = [sys.executable, "-m", "keytrail", "scan", str(where.path), *case.command, "-q", "--format", "ndjson"]
    program = measure(command)
    if program.exit_code:
        sys.exit(f"keytrail scan ended with {program.exit_code}")
    _row("  whole program, start-up included", program.seconds, where, peak=program.peak_bytes)


def _row(
    name: str,
    seconds: float,
    where: Archive,
    *,
    ratio: float | None = None,
    alerts: int | None = None,
    peak: int | None = None,
) -> None:
    print(
        f"{name:48}{seconds:9.2f}{where.events / seconds:12,.0f}{where.files / seconds:10,.0f}"
        f"{'' if ratio is None else f'{ratio:.2f}':>10}{'' if alerts is None else f'{alerts:,}':>9}"
        f"{'' if peak is None else f'{peak / 1e6:,.0f}':>9}",
        flush=True,
    )


if __name__ == "__main__":
    main()
