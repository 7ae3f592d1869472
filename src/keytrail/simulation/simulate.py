"""Writes an example archive: background and story, in one of two layouts, with the ledger beside it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from keytrail.errors import UsageError
from keytrail.simulation import attack, everyday
from keytrail.simulation.archive import Folder, delivered, large, object_key
from keytrail.simulation.asides import Digests, insights
from keytrail.simulation.background import Background
from keytrail.simulation.cast import Keys, make_keys, make_people
from keytrail.simulation.chance import Chance
from keytrail.simulation.expected import FLAGSHIP_RULE, expected_alerts
from keytrail.simulation.ledger import accounts_toml, ledger
from keytrail.simulation.mix import EVENT_MIX
from keytrail.simulation.organisation import ORGANISATION, SITES, iso
from keytrail.simulation.story import DAYS, Planted, Teller

Layout = Literal["delivery", "large"]

DEFAULT_START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
# Not a name that a scan of the folder takes for an archive.
LEDGER = "story.ledger"
ACCOUNTS_FILE = "accounts.toml"

_DUPLICATED = 500  # one object in so many is delivered twice
_ALWAYS_DUPLICATED = "key-opened"  # and the one with this step, so that doubles among the alerts occur


@dataclass(frozen=True, slots=True)
class Summary:
    """What was written. `events` counts each event once; asides are digest and insight objects."""

    out: Path
    logs: Path  # the folder in `out` that holds the objects alone: what to scan
    ledger: Path
    accounts: Path  # who is trusted, for scan and investigate
    layout: str
    seed: int
    start: datetime
    end: datetime
    events: int
    story_events: int
    policy_changes: int  # alerts that the flagship rule must raise
    alerts: int  # alerts that the built-in pack must raise, those included
    objects: int  # with events, duplicates included
    asides: int
    duplicate_objects: int
    duplicate_events: int
    stored_bytes: int
    inflated_bytes: int


def tell_story(start: int, seed: int) -> tuple[list[Planted], Keys]:
    """Return the planted events of an archive that begins at `start` (seconds since 1970), and the keys in it."""
    teller = Teller(start, seed)
    keys, people = make_keys(teller), make_people(teller)
    everyday.set_up(teller, keys, people)
    everyday.everyday_use(teller, keys, people)
    everyday.honest_changes(teller, keys, people)
    keeper = attack.intrusion(teller, keys, people)
    attack.opening(teller, keys, people, keeper)
    attack.takeover(teller, keys, people, keeper)
    attack.destruction(teller, keys, keeper)
    attack.response(teller, keys, people)
    return teller.planted, keys


def simulate(
    out: str | os.PathLike[str],
    *,
    events: int,
    seed: int,
    layout: Layout = "delivery",
    start: datetime | None = None,
) -> Summary:
    """Write an archive of `events` CloudTrail events over seven days into the new folder `out`.

    Beside it stand its ledger and the accounts.toml of its organisation.

    `layout` is `delivery` (as an organisation's trail delivers, about eight records an object, some late, some
    delivered twice) or `large` (about 5,000 records an object, accounts and regions mixed). `start` is aware; the
    archive begins at midnight (UTC) of its day. The same arguments give the same bytes.

    Raises UsageError for fewer events than the story has and OutputError when `out` is not new or empty.
    """
    if layout not in ("delivery", "large"):
        raise UsageError(f"unknown layout {layout!r}", advice="Choose delivery or large.")
    day = DEFAULT_START if start is None else _midnight(start)
    begin = int(day.timestamp())
    planted, keys = tell_story(begin, seed)
    if events < len(planted):
        raise UsageError(
            f"{events} events are too few for the story", advice=f"Ask for at least {len(planted)} events."
        )
    folder = Folder(Path(out))
    background = Background(tuple(site for site, _ in SITES), seed)
    names, tallies = Chance(seed, "names"), Counter[str]()
    digests = Digests(begin, Chance(seed, "digests"))
    objects: dict[str, list[str]] = {one.event_id: [] for one in planted}
    make = delivered if layout == "delivery" else large
    for batch in make(background, events - len(planted), planted, begin, Chance(seed, "archive")):
        content = ('{"Records":[' + ",".join(batch.texts) + "]}").encode()
        tallies["objects"] += 1
        if batch.site is None:
            keys_written = [f"AWSLogs/{ORGANISATION}/large/events-{tallies['objects']:05d}.json.gz"]
        else:
            keys_written = [object_key(batch.site, batch.delivered, names.mixed(16))]
            if names.below(_DUPLICATED) == 0 or any(one.step == _ALWAYS_DUPLICATED for one in batch.planted):
                keys_written.append(object_key(batch.site, batch.delivered + 300, names.mixed(16)))
                tallies["objects"] += 1
                tallies["duplicate_objects"] += 1
                tallies["duplicate_events"] += len(batch.texts)
            for key, digest in digests.see(batch.site, batch.delivered, keys_written[0], content):
                folder.write(key, digest)
                tallies["asides"] += 1
        for key in keys_written:
            folder.write(key, content)
        for one in batch.planted:
            objects[one.event_id] = keys_written
    if layout == "delivery":
        rest = digests.close()
        rest += [
            (object_key(site, moment, names.mixed(16), "CloudTrail-Insight"), content)
            for site, moment, content in insights(begin, Chance(seed, "insights"))
        ]
        for key, content in rest:
            folder.write(key, content)
        tallies["asides"] += len(rest)
    text = ledger(
        planted,
        keys,
        objects,
        archive={"layout": layout, "seed": seed, "start": iso(begin), "days": DAYS},
        counts={
            "events": events,
            "story_events": len(planted),
            "objects": tallies["objects"],
            "asides": tallies["asides"],
            "duplicates": {"objects": tallies["duplicate_objects"], "events": tallies["duplicate_events"]},
            "by_event_name": _by_name(background, planted),
        },
        start=begin,
    )
    folder.write_plain(LEDGER, text)
    folder.write_plain(ACCOUNTS_FILE, accounts_toml(begin))
    alerts = expected_alerts(planted)
    return Summary(
        out=folder.path,
        logs=folder.path / "AWSLogs",
        ledger=folder.path / LEDGER,
        accounts=folder.path / ACCOUNTS_FILE,
        layout=layout,
        seed=seed,
        start=day,
        end=datetime.fromtimestamp(begin + DAYS * 86400, UTC),
        events=events,
        story_events=len(planted),
        policy_changes=len(alerts[FLAGSHIP_RULE]),
        alerts=sum(map(len, alerts.values())),
        objects=tallies["objects"],
        asides=tallies["asides"],
        duplicate_objects=tallies["duplicate_objects"],
        duplicate_events=tallies["duplicate_events"],
        stored_bytes=folder.stored_bytes,
        inflated_bytes=folder.inflated_bytes,
    )


def _midnight(start: datetime) -> datetime:
    if start.tzinfo is None:
        raise UsageError("the start of the archive has no time zone", advice="Give it one, such as 2026-03-02T00:00Z.")
    return start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _by_name(background: Background, planted: list[Planted]) -> dict[str, int]:
    counts = Counter(one.name for one in planted)
    for kind, count in zip(EVENT_MIX, background.counts, strict=True):
        counts[kind.name] += count
    return {name: counts[name] for name in sorted(counts) if counts[name]}
