"""The answers are the same by whatever way: processes, rules, one event alone, another kind of store."""

from __future__ import annotations

import json
import re

from keytrail.cloudtrail import identity
from keytrail.fields import INVESTIGATION
from keytrail.investigate import Event, Knowledge, PolicyChange, change_of, investigate
from keytrail.service.accounts import trust
from keytrail.service.investigate import InvestigateRequest, investigate_one
from keytrail.simulation import FLAGSHIP_RULE
from keytrail.store import MemoryStore
from tests.investigate.archive import Archive, Json, Told, investigations

_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")


def test_two_processes_find_what_one_finds(archive: Archive, told: Told) -> None:
    assert investigations(archive.scan(jobs=2)) == told


def test_the_built_in_rule_carries_the_same_answers(archive: Archive, told: Told) -> None:
    alerts = list(archive.scan(jobs=1, builtin=True))
    flagship = [one for one in alerts if one["kibana.alert.rule.rule_id"] == FLAGSHIP_RULE]

    assert {one[INVESTIGATION]["event_id"] for one in flagship} == set(archive.ledger["alerts"][FLAGSHIP_RULE])
    assert all(one[INVESTIGATION] == told[one[INVESTIGATION]["event_id"]] for one in flagship)
    assert any(INVESTIGATION not in one for one in alerts)


def test_one_event_is_answered_as_in_a_scan(archive: Archive, told: Told) -> None:
    for step in ("alias-moved", "takeover"):
        [event_id] = [one["event_id"] for one in archive.ledger["changes"] if one["step"] == step]

        one = investigate_one(InvestigateRequest(event_id, (str(archive.logs),), jobs=1, settings=archive.settings))

        assert _without_position(one.investigation.to_dict()) == _without_position(told[event_id])


def test_a_store_in_memory_gives_the_same_answers(archive: Archive, told: Told) -> None:
    """All but the position, and how far the store says that it has seen: an archive promises no more than it read.

    Of large objects it reads some records only for that. What is new to an account is then not known more often, and
    so neither are the signs that rest on it; but nothing is known wrongly.
    """
    whole = _in_memory(archive)

    assert whole.keys() == told.keys()
    for id_, one in told.items():
        sure, known = _newness(whole[id_]), _newness(one)
        assert all(value in (None, certain) for value, certain in zip(known, sure, strict=True))
        assert _without_reach(one, known == sure) == _without_reach(whole[id_], known == sure)
        reach, all_ = one["coverage"], whole[id_]["coverage"]
        if reach["first"] is not None:
            assert all_["first"] <= reach["first"] <= reach["last"] <= all_["last"]
        assert set(reach["accounts_seen"]) <= set(all_["accounts_seen"])


# Helpers --------------------------------------------------------------------------------------------------------------


def _without_position(document: Json) -> Json:
    """As JSON gives it back, without the position in the store, which counts what the store has read."""
    found: Json = json.loads(json.dumps(document))
    return found | {"as_of": None}


def _in_memory(archive: Archive) -> Told:
    """The same investigations over a store in memory that holds every record."""
    records = list(archive.records())
    changes: list[PolicyChange] = []
    for data in {identity(data): data for data in records}.values():
        event = Event.of(data)
        change = None if event is None else change_of(event)
        if change is not None:
            changes.append(change)
    known = Knowledge(accounts=trust(archive.settings))
    found = investigate(changes, MemoryStore(records), known)
    return {change.event.id: _without_position(investigation.to_dict()) for change, investigation in found}


def _newness(document: Json) -> list[bool | None]:
    """What is said about whether the actor, its address and its program had been seen before."""
    actor = document["actor"]
    return [
        actor["before_on_key"],
        *(actor[what][where] for what in ("address", "agent") for where in ("before_on_key", "before_in_account")),
    ]


def _without_reach(document: Json, newness: bool) -> Json:
    """Without the position and how far the store has seen, and without what rests on `newness` where that differs."""
    coverage, actor = document["coverage"], document["actor"] | {"account_seen_since": None}
    gaps = [_TIME.sub("then", gap) if gap.startswith("The events of") else gap for gap in coverage["gaps"]]
    rest: Json = {} if newness else {"reasons": None, "score": None}
    if not newness:
        actor |= dict.fromkeys(("before_on_key", "address", "agent"))
    known = {"first": None, "last": None, "accounts_seen": None, "gaps": gaps}
    return _without_position(document) | {"coverage": coverage | known, "actor": actor} | rest
