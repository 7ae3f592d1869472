"""What is told of a key: its names and state at the time of the change and since, and what it is made of."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from keytrail.investigate.activity import activity_of
from keytrail.investigate.change import change_of
from keytrail.investigate.events import events_of
from keytrail.investigate.key import describe_key
from keytrail.investigate.model import Fact, KeyFacts
from keytrail.investigate.queries import ALIASES_QUERY
from keytrail.simulation import LEDGER, simulate
from keytrail.store import MemoryStore, Selector
from tests.investigate.records import (
    DEFAULT,
    KEY,
    OWNER,
    Json,
    activity,
    alias,
    change,
    create_key,
    event,
    key_call,
    key_metadata,
    moment,
    put_policy,
    record,
    refused,
    replicate_key,
    service,
    use,
    user,
)

OTHER = KEY.replace("1234abcd", "9876fedc")
PRIMARY = f"arn:aws:kms:eu-west-1:{OWNER}:key/mrk-1234abcd12ab34cd56ef1234567890ab"
REPLICA = PRIMARY.replace("eu-west-1", "us-east-1")
CHANGED = put_policy("12:00", user(), DEFAULT)


def describe(*records: Json, about: Json = CHANGED, key: str = KEY, moves: tuple[Json, ...] = ()) -> KeyFacts:
    return describe_key(change(about), activity(about, *records, key=key), (), [event(one) for one in moves])


def call(name: str, when: str, *, key: str = KEY, **more: Any) -> Json:
    return key_call(name, when, user(), key=key, **more)


def values(facts: KeyFacts) -> tuple[str | None, str | None]:
    at, now = facts.state, facts.state_now
    return (at.value if at else None, now.value if now else None)


def names(facts: KeyFacts) -> dict[str, bool]:
    return {one.name: one.current for one in facts.aliases}


# -- state ----------------------------------------------------------------------------------------------------------


def test_the_state_is_that_at_the_change_and_the_one_now_is_what_later_events_made_of_it() -> None:
    born, off, on = create_key("08:00", user()), call("DisableKey", "11:00"), call("EnableKey", "13:00")
    facts = describe(born, off, on)
    assert facts.state == Fact("Disabled", moment("11:00"), str(off["eventID"]))
    assert facts.state_now == Fact("Enabled", moment("13:00"), str(on["eventID"]))
    assert values(describe(born)) == ("Enabled", "Enabled")


@pytest.mark.parametrize(
    ("name", "response", "state"),
    [
        ("ScheduleKeyDeletion", {"keyState": "PendingReplicaDeletion"}, "PendingReplicaDeletion"),
        ("ScheduleKeyDeletion", None, "PendingDeletion"),
        ("CancelKeyDeletion", None, "Disabled"),
        ("ImportKeyMaterial", None, "Enabled"),
        ("DeleteImportedKeyMaterial", None, "PendingImport"),
    ],
)
def test_each_event_of_its_life_says_what_state_follows(name: str, response: Json | None, state: str) -> None:
    assert values(describe(call(name, "11:00", responseElements=response))) == (state, state)
    assert values(describe(refused(call(name, "11:00")))) == (None, None)
    assert values(describe(call(name, "13:00", responseElements=response))) == (None, state)


def test_what_a_service_does_to_the_key_is_told_by_its_details() -> None:
    details: Json = {"keyId": KEY}
    gone = record("kms:DeleteKey", "13:00", service("AWS Internal"), None, serviceEventDetails=details)
    assert values(describe(gone)) == (None, "Deleted")


def test_what_happens_to_another_key_is_not_this_ones() -> None:
    other = call("DisableKey", "11:00", key=OTHER)
    made = create_key("10:00", user(), key=OTHER)
    assert values(describe(other, made)) == (None, None)
    replicated = replicate_key("11:00", user(), DEFAULT, primary=PRIMARY, replica=REPLICA)
    about = put_policy("12:00", user(), DEFAULT, key=PRIMARY)
    facts = describe(replicated, about=about, key=PRIMARY)
    assert (facts.created, values(facts)) == (None, (None, None))


def test_a_key_that_was_used_was_enabled_and_a_replica_is_so_soon_after_its_creation() -> None:
    used = use("11:30", user(), {"a": "b"})
    facts = describe(use("10:00", user()), used, refused(use("11:40", user())), use("12:30", user()))
    assert facts.state == facts.state_now == Fact("Enabled", moment("11:30"), str(used["eventID"]))
    assert values(describe(call("DisableKey", "11:20"), used)) == ("Disabled", "Disabled")
    assert values(describe(refused(used))) == (None, None)
    answer: Json = {"replicaKeyMetadata": key_metadata(REPLICA) | {"keyState": "Creating"}}
    about = replicate_key("12:00", user(), DEFAULT, primary=PRIMARY, replica=REPLICA, responseElements=answer)
    assert values(describe(about=about, key=REPLICA)) == ("Enabled", "Enabled")


# -- what it is -----------------------------------------------------------------------------------------------------


def test_what_a_key_is_comes_from_its_creation() -> None:
    answer: Json = {"keyMetadata": key_metadata() | {"description": "payments", "origin": "EXTERNAL"}}
    born = create_key("08:00", user(), responseElements=answer)
    facts = describe(born)
    told = {name: getattr(facts, name) for name in ("origin", "spec", "usage", "description", "created")}
    expected = ("EXTERNAL", "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "payments", "2026-03-02T08:00:00Z")
    assert [fact.value for fact in told.values()] == list(expected)
    assert {(fact.time, fact.event_id) for fact in told.values()} == {(moment("08:00"), born["eventID"])}
    assert (facts.arn, facts.arn_source, facts.account, facts.region) == (KEY, "resources", OWNER, "eu-west-1")
    assert (facts.key_id, facts.multi_region, facts.siblings) == (KEY.rpartition("/")[2], False, ())


def test_without_its_creation_only_what_later_events_show_is_told() -> None:
    facts = describe(call("ImportKeyMaterial", "13:00"))
    assert facts.origin is not None
    assert facts.origin.value == "EXTERNAL"
    assert (facts.spec, facts.usage, facts.description, facts.created) == (None, None, None, None)
    assert describe().origin is None


def test_the_description_is_the_last_one_before_the_change() -> None:
    def described(when: str, words: str) -> Json:
        return key_call("UpdateKeyDescription", when, user(), {"description": words})

    facts = describe(described("10:00", "a"), described("11:00", "b"), described("13:00", "c"))
    assert facts.description is not None
    assert facts.description.value == "b"
    assert describe(described("10:00", "a"), described("11:00", "")).description is None


def test_copies_in_other_regions_are_those_that_were_seen_and_those_that_events_name() -> None:
    third = PRIMARY.replace("eu-west-1", "ap-southeast-2")
    regions: Json = {"primaryKey": {"arn": PRIMARY}, "replicaKeys": [{"arn": REPLICA}, {"arn": KEY}, 7]}
    answer: Json = {"replicaKeyMetadata": key_metadata(REPLICA) | {"multiRegionConfiguration": regions}}
    about = replicate_key("12:00", user(), DEFAULT, primary=PRIMARY, replica=REPLICA, responseElements=answer)
    found = describe_key(change(about), activity(about, key=REPLICA), [third, REPLICA])
    assert found.siblings == (third, PRIMARY)
    assert found.multi_region


# -- names ----------------------------------------------------------------------------------------------------------


def test_aliases_are_told_with_the_event_that_gave_them_and_whether_they_hold_at_the_change() -> None:
    kept, lost, late = (alias("CreateAlias", f"{at}:00", user(), f"alias/{at}") for at in ("08", "09", "13"))
    gone = alias("DeleteAlias", "10:00", user(), "alias/09")
    tried = refused(alias("DeleteAlias", "10:30", user(), "alias/08"))
    after = alias("DeleteAlias", "14:00", user(), "alias/08")
    facts = describe(kept, lost, late, gone, tried, after)
    assert names(facts) == {"alias/08": True, "alias/09": False, "alias/13": False}
    assert (facts.aliases[0].time, facts.aliases[0].event_id) == (moment("08:00"), kept["eventID"])


def test_an_alias_that_is_moved_away_ends_and_one_that_is_moved_here_begins() -> None:
    given = alias("CreateAlias", "08:00", user(), "alias/data")
    away = alias("UpdateAlias", "09:00", user(), "alias/data", key=OTHER)
    back = alias("UpdateAlias", "10:00", user(), "alias/data")
    assert names(describe(given, moves=(away,))) == {"alias/data": False}
    facts = describe(given, back, moves=(away, back))
    assert names(facts) == {"alias/data": True}
    assert facts.aliases[0].event_id == back["eventID"]
    elsewhere = alias("UpdateAlias", "09:00", user(), "alias/data", key=OTHER.replace("eu-west-1", "us-east-1"))
    assert names(describe(given, moves=(elsewhere,))) == {"alias/data": True}


def test_an_alias_that_was_deleted_was_the_keys_until_then() -> None:
    assert names(describe(alias("DeleteAlias", "11:00", user(), "alias/a"))) == {"alias/a": False}
    assert names(describe(alias("DeleteAlias", "13:00", user(), "alias/a"))) == {"alias/a": True}


# -- the story ------------------------------------------------------------------------------------------------------


def test_the_keys_of_the_story_have_the_names_and_states_of_its_ledger(tmp_path: Path) -> None:
    simulate(tmp_path, events=1000, seed=3, layout="large")
    told = json.loads((tmp_path / LEDGER).read_text())
    paths = tmp_path.rglob("*.json.gz")
    store = MemoryStore(
        record for path in paths for record in json.loads(gzip.decompress(path.read_bytes())).get("Records", [])
    )
    moves = list(events_of(store.find(Selector.kql(ALIASES_QUERY))))
    last = {one["key"]: one for one in told["changes"]}

    def facts(part: str) -> KeyFacts:
        arn = told["keys"][part]["arn"]
        about = next(iter(events_of(store.find(Selector.any_of([last[arn]["event_id"]])))))
        made = change_of(about)
        assert made is not None
        found = events_of(store.find(Selector.any_of([arn, made.key.id])))
        return describe_key(made, activity_of(made.key, found, most_calls=1000), (), moves)

    data, shadow, hsm, archive = (facts(part) for part in ("data", "shadow", "hsm", "archive"))
    assert names(data) == {told["keys"]["data"]["alias"]: False}  # moved to the attacker's key, back after the change
    assert values(data) == ("Enabled", "Enabled")
    assert told["keys"]["data"]["alias"] in names(shadow)
    assert hsm.origin is not None
    assert (hsm.origin.value, hsm.state_now and hsm.state_now.value) == ("EXTERNAL", "Disabled")
    assert archive.state_now is not None
    assert archive.state_now.value == "Disabled"  # its deletion was scheduled and cancelled
    replica = facts("ledger_us")
    assert told["keys"]["ledger"]["arn"] in replica.siblings
