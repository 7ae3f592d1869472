"""`python -m tests.chaos`: episodes, one after the other, for minutes or hours; stops at the first promise not kept."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

from tests.chaos.disk import small_disk
from tests.chaos.episode import Plan, clean, play

_KINDS: tuple[tuple[str, ...], ...] = (("folder",), ("queue",), ("folder", "queue"))


def main() -> int:
    """Play until the time is over; 1 when something failed, with what to type to see it again."""
    asked = _arguments()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    end = time.monotonic() + 60 * asked.minutes
    played = 0
    while not played or time.monotonic() < end:
        plan = _plan(asked, seed + played)
        folder = Path(tempfile.mkdtemp(prefix="keytrail-chaos-", dir=asked.folder))
        print(f"python -m tests.chaos {plan}", flush=True)
        try:
            if asked.disk or (asked.feeds is None and plan.seed % 4 == 3):
                with small_disk(folder / "disk") as disk:
                    if disk is None and asked.disk:
                        print("a small disk cannot be mounted here: it takes root", file=sys.stderr)
                        return 2
                    report = play(replace(plan, disk=disk), folder)
            else:
                report = play(plan, folder)
        except Exception:  # noqa: BLE001 - whatever it is, it is told with how to see it again
            traceback.print_exc()
            print(f"\nWhat was there is in {folder}. Again: python -m tests.chaos {plan}", flush=True)
            return 1
        print(f"  {report}", flush=True)
        clean(folder)
        played += 1
    print(f"{played} episodes, every promise kept")
    return 0


def _plan(asked: argparse.Namespace, seed: int) -> Plan:
    feeds = tuple(asked.feeds.split(",")) if asked.feeds else _KINDS[seed % len(_KINDS)]
    return Plan(seed, asked.seconds, asked.events, feeds, jobs=1 + seed % 2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0, help="how long; 0 (the default) is one episode")
    parser.add_argument("--seed", type=int, help="of the first episode; the next has the next one")
    parser.add_argument("--seconds", type=float, default=20, help="of trouble in an episode")
    parser.add_argument("--events", type=int, default=1500, help="events in an episode")
    parser.add_argument("--feeds", help="folder, queue, or folder,queue; left out, one after the other")
    parser.add_argument("--disk", action="store_true", help="on a disk of a few megabytes")
    parser.add_argument("--folder", type=Path, help="where episodes are played")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
