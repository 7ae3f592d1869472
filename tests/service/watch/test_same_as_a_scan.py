"""The service finds in a trail that arrives bit by bit what a scan finds in all of it: alerts and investigations."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from keytrail.cloudtrail import Json
from keytrail.investigate import Event, Knowledge, change_of, investigate
from keytrail.service.accounts import trust
from keytrail.service.requests import ScanRequest
from keytrail.service.scan import scan
from keytrail.settings import Settings
from keytrail.store import MemoryStore
from tests.investigate.archive import RULE, Archive, investigations, make_archive
from tests.service.watch.kit import Bench

MakeBench = Callable[..., Bench]

_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The story of the simulation, with everyday life around it."""
    return make_archive(tmp_path_factory.mktemp("archive"), "delivery")


@pytest.fixture(scope="module")
def scanned(archive: Archive) -> list[Json]:
    """The alerts of a scan of it."""
    return list(archive.scan(jobs=1))


def _objects(archive: Archive) -> list[tuple[str, bytes]]:
    paths = [path for path in archive.logs.rglob("*.json.gz") if "CloudTrail" in path.parts]
    return [(str(path), path.read_bytes()) for path in sorted(paths, key=lambda path: path.name.split("_")[3])]


@pytest.fixture(scope="module")
def in_memory(archive: Archive) -> dict[str, Json]:
    """The investigations of all changes over a store that holds every record, by event id."""
    records = list(archive.records())
    changes = {
        event.id: change
        for record in records
        if (event := Event.of(record)) is not None and (change := change_of(event)) is not None
    }
    known = Knowledge(accounts=trust(archive.settings))
    made = investigate(changes.values(), MemoryStore(records), known)
    return {change.event.id: _plain(investigation.to_dict()) for change, investigation in made}


@pytest.mark.parametrize("order", ["as it happened", "shuffled"])
def test_the_story_is_told_alike(
    bench: MakeBench, archive: Archive, scanned: list[Json], in_memory: dict[str, Json], order: str
) -> None:
    """Investigations are made while it arrives, and made again; the latest of each is the scan's at the end."""
    one = bench(accounts={"file": archive.settings.accounts.file})
    (one.rule_folder / "rule.toml").write_text(RULE)
    objects = _objects(archive)
    if order == "shuffled":
        random.Random(7).shuffle(objects)
    batch = -(-len(objects) // 4)
    for at in range(0, len(objects), batch):
        for name, data in objects[at : at + batch]:
            one.feed.put(name, data)
        one.take()
        one.run()
        one.look()
        one.clock.passes(minutes=7)
    one.clock.passes(days=1)
    one.look()
    assert one.alert_ids() == {str(alert["kibana.alert.uuid"]) for alert in scanned}
    found = {alert.event_id: one.revisions(alert.event_id) for alert in one.alerts()}
    made = {id: revisions for id, revisions in found.items() if revisions}
    assert max(map(len, made.values())) > 2
    for revisions in made.values():
        assert [each.revision for each in revisions] == list(range(1, len(revisions) + 1))
    last = {id: _plain(revisions[-1].document) for id, revisions in made.items()}
    assert last == in_memory
    assert {id: _without_reach(document) for id, document in last.items()} == {
        id: _without_reach(_plain(document)) for id, document in investigations(scanned).items()
    }


def test_built_in_rules_raise_the_alerts_of_a_scan(bench: MakeBench, archive: Archive) -> None:
    one = bench(accounts={"file": archive.settings.accounts.file}, watch={"builtin": True})
    for name, data in _objects(archive):
        one.feed.put(name, data)
    one.take()
    one.run()
    result = scan(ScanRequest((str(archive.logs),), jobs=1, settings=_not_investigating(archive.settings)))
    assert one.alert_ids() == {str(alert["kibana.alert.uuid"]) for alert in result.alerts}


def _not_investigating(settings: Settings) -> Settings:
    return settings.model_copy(update={"investigate": settings.investigate.model_copy(update={"enabled": False})})


def _plain(document: Any) -> Json:
    """As JSON gives it back, without what tells how often it was made, and when."""
    found: Json = json.loads(json.dumps(document))
    return found | {"as_of": None, "revision": None}


def _without_reach(document: Any) -> Json:
    """Without how far the store has seen: an archive of which a part was read promises no more than that part."""
    gaps = [_TIME.sub("then", gap) if gap.startswith("The events of") else gap for gap in document["coverage"]["gaps"]]
    coverage = document["coverage"] | {"first": None, "last": None, "accounts_seen": None, "gaps": gaps}
    return document | {"coverage": coverage, "actor": document["actor"] | {"account_seen_since": None}}
