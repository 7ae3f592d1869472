"""Events for the tests of event stores, and the ways to store them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from keytrail.cloudtrail import Json
from keytrail.search import Result, Sizes
from keytrail.sources import SourceSettings, open_source
from keytrail.store import ArchiveStore, EventStore, MemoryStore, Selector, Sighting, Want
from tests.store.lake.made import lake

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ACCOUNT, OTHER = "111122223333", "444455556666"
REGION = "eu-west-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd"


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 3, 1, hour, minute, second, tzinfo=UTC)


def event(
    id: str, time: datetime | str | None, *, account: str = ACCOUNT, name: str = "Decrypt", **more: object
) -> Json:
    """A small event of KMS; `more` are further members of the record."""
    record: Json = {
        "eventVersion": "1.09",
        "userIdentity": {"type": "IAMUser", "accountId": account},
        "eventTime": time if isinstance(time, str) or time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": REGION,
        "sourceIPAddress": "192.0.2.1",
        "eventID": id,
        "recipientAccountId": account,
    }
    return {name: value for name, value in (record | more).items() if value is not None}


# -- writers ------------------------------------------------------------------------------------------------------

Spell = Callable[[Json], str]


def plain(record: Json) -> str:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


def blanks(record: Json) -> str:
    return json.dumps(record)


def slashes(record: Json) -> str:
    return plain(record).replace("/", "\\/")


def letters(record: Json) -> str:
    """Some letters and digits as escapes."""
    return plain(record).replace("arn", "\\u0061rn").replace("key", "k\\u0065y").replace("192.0", "19\\u0032.0")


SPELLINGS: dict[str, Spell] = {"plain": plain, "blanks": blanks, "slashes": slashes, "letters": letters}


def write_objects(folder: Path, records: Iterable[Json], spell: Spell = plain, each: int = 2) -> Path:
    """As AWS delivers them: gzip objects of a few records, named after account, Region and day."""
    made = list(records)
    for number in range(0, max(len(made), 1), each):
        some = made[number : number + each]
        name = f"{ACCOUNT}_CloudTrail_{REGION}_20260301T{number // 60:02}{number % 60:02}Z_{number:016}.json.gz"
        path = folder / "AWSLogs" / ACCOUNT / "CloudTrail" / REGION / "2026" / "03" / "01" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(('{"Records":[' + ",".join(map(spell, some)) + "]}").encode()))
    return folder


def write_lines(folder: Path, records: Iterable[Json], spell: Spell = plain) -> Path:
    """One file with a record on each line."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.ndjson").write_text("".join(spell(one).replace("\n", " ") + "\n" for one in records))
    return folder


# -- stores -------------------------------------------------------------------------------------------------------


def archive(folder: Path, *, jobs: int = 1, observe: Callable[[Result], None] | None = None) -> ArchiveStore:
    source = open_source(str(folder), SourceSettings())
    return ArchiveStore((source,), sizes=Sizes(jobs, batch_objects=2), now=NOW, observe=observe)


Make = Callable[[list[Json], Path], EventStore]


def told(store: EventStore) -> EventStore:
    """A store that knows before what the contract asks most."""
    store.prepare(
        [
            Want(Selector.any_of((KEY, "AKIA1", "alias/a b", "Zoë/é"))),
            Want(Selector.any_of(("192.0.2.1",)), at(2), at(5)),
            Want(Selector.kql("event.action: Decrypt")),
        ],
        [Sighting(("sourceIPAddress",), "192.0.2.1", ACCOUNT, at(3))],
    )
    return store


# Who adds an implementation of EventStore adds a line here.
STORES: dict[str, Make] = {
    "memory": lambda records, _: MemoryStore(records, now=NOW),
    "objects": lambda records, folder: archive(write_objects(folder, records)),
    "objects, prepared": lambda records, folder: told(archive(write_objects(folder, records))),
    "objects, two processes": lambda records, folder: told(archive(write_objects(folder, records), jobs=2)),
    "lines": lambda records, folder: archive(write_lines(folder, records)),
    "lines, prepared": lambda records, folder: told(archive(write_lines(folder, records))),
    **{
        f"objects, {name}": lambda records, folder, spell=spell: archive(write_objects(folder, records, spell))  # type: ignore[misc]
        for name, spell in SPELLINGS.items()
        if name != "plain"
    },
    **{
        f"lake, {name}": lambda records, folder, spell=spell: lake(folder, records, spell)  # type: ignore[misc]
        for name, spell in SPELLINGS.items()
    },
    "lake, prepared": lambda records, folder: told(lake(folder, records, plain)),
}
