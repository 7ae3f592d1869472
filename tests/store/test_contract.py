"""What every event store promises, asked of each implementation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keytrail.cloudtrail import Json
from keytrail.errors import QueryError
from keytrail.search import workers
from keytrail.store import EventStore, Interval, Selector, Sighting
from tests.store.records import ACCOUNT, KEY, OTHER, REGION, STORES, at, event

EVENTS: list[Json] = [
    event("e5", at(5), requestParameters={"keyId": KEY}),
    event("e1", at(1), resources=[{"ARN": KEY, "accountId": ACCOUNT}]),
    event("e3", at(3), name="PutKeyPolicy", userIdentity={"accessKeyId": "AKIA1", "userName": "Zoë/é"}),
    event("e2b", at(2), account=OTHER, requestParameters={"policy": f'{{"Resource":"{KEY}"}}', "note": 'say "AKIA1"'}),
    event("e2a", at(2), requestParameters={KEY: 1, "n": [["alias/a b"]]}),
    event("none", None, requestParameters={"keyId": KEY}),
    event("never", "2026-02-31T00:00:00Z", requestParameters={"keyId": KEY}),
    event(
        "e4", at(4), sourceIPAddress="192.0.2.9", requestParameters={"eventTime": "2026-03-01T03:00:00Z", "keyId": KEY}
    ),
    event("e1", at(1), resources=[{"ARN": KEY, "accountId": ACCOUNT}]),
]

Ask = Callable[[list[Json]], EventStore]


@pytest.fixture(params=STORES)
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    if "processes" in request.param:
        monkeypatch.setattr(workers, "_LARGE_BYTES", 0)  # Few objects or many: in worker processes from the first on.
    return lambda records: STORES[request.param](records, tmp_path)


@pytest.fixture
def store(make: Ask) -> EventStore:
    return make(EVENTS)


def ids(store: EventStore, what: Selector, *times: object) -> list[object]:
    found = [one.data["eventID"] for one in store.find(what, *times)]  # type: ignore[arg-type]
    assert store.count(what, *times) == len(found)  # type: ignore[arg-type]
    return found


def test_events_that_hold_a_value_are_found_once_by_time_and_then_by_id(store: EventStore) -> None:
    # Not where it is the name of a member (e2a), nor where it is part of a longer value (e2b).
    assert ids(store, Selector.any_of((KEY,))) == ["never", "none", "e1", "e4", "e5"]
    assert ids(store, Selector.any_of(("AKIA1",))) == ["e3"]
    assert ids(store, Selector.any_of(("alias/a b",))) == ["e2a"]
    assert ids(store, Selector.any_of(("Zoë/é",))) == ["e3"]
    assert ids(store, Selector.any_of(("alias/a b", KEY, "AKIA1")), at(1), at(4)) == ["e1", "e2a", "e3"]
    assert ids(store, Selector.any_of((KEY,)), at(4), at(5)) == ["e4"]
    assert ids(store, Selector.any_of(())) == ids(store, Selector.any_of(("absent",))) == []


def test_times_bound_from_since_on_and_before_until_and_leave_out_events_without_one(store: EventStore) -> None:
    address = Selector.any_of(("192.0.2.1",))
    assert ids(store, address, at(2), at(5)) == ["e2a", "e2b", "e3"]
    assert ids(store, address, at(2, 0, 1), at(3, 0, 1)) == ["e3"]
    assert ids(store, address, at(3)) == ["e3", "e5"]
    assert ids(store, address, None, at(2)) == ["e1"]
    assert ids(store, address) == ["never", "none", "e1", "e2a", "e2b", "e3", "e5"]


def test_events_that_a_query_matches_are_found_in_the_same_order(store: EventStore) -> None:
    assert ids(store, Selector.kql("event.action: Decrypt")) == ["never", "none", "e1", "e2a", "e2b", "e4", "e5"]
    assert ids(store, Selector.kql("event.action: Decrypt"), at(2), at(5)) == ["e2a", "e2b", "e4"]
    assert ids(store, Selector.kql("not event.action: Decrypt")) == ["e3"]
    with pytest.raises(QueryError):
        ids(store, Selector.kql("event.action: ("))


def test_a_limit_gives_the_first_ones_and_records_come_whole(store: EventStore) -> None:
    found = list(store.find(Selector.any_of((KEY,)), at(0), None, 2))
    assert [one.data for one in found] == [EVENTS[1], EVENTS[7]]


@pytest.mark.parametrize(
    ("path", "value", "account", "before", "answer"),
    [
        (("sourceIPAddress",), "192.0.2.1", ACCOUNT, at(3), True),
        (("sourceIPAddress",), "192.0.2.1", ACCOUNT, at(1), False),
        (("sourceIPAddress",), "192.0.2.9", ACCOUNT, at(4), False),
        (("sourceIPAddress",), "192.0.2.9", ACCOUNT, at(4, 0, 1), True),
        (("sourceIPAddress",), "192.0.2.1", OTHER, at(2), False),
        (("sourceIPAddress",), "192.0.2.1", OTHER, at(3), True),
        (("userIdentity", "accessKeyId"), "AKIA1", ACCOUNT, at(9), True),
        (("userAgent",), "192.0.2.1", ACCOUNT, at(9), False),
        (("userIdentity", "userName"), "Zoë/é", ACCOUNT, at(9), True),
    ],
)
def test_a_sighting_is_an_earlier_event_of_the_account_with_the_value_at_the_path(
    store: EventStore, path: tuple[str, ...], value: str, account: str, before: object, answer: bool
) -> None:
    assert store.seen(Sighting(path, value, account, before)) is answer  # type: ignore[arg-type]


def test_arrival_is_read_in_batches_with_every_delivery(store: EventStore) -> None:
    for size in (1, 2, 4, len(EVENTS), 100):
        position, read = 0, []
        while True:
            batch = store.after(position, size)
            assert len(batch.records) <= size
            places = [one.position for one in batch.records]
            assert places == sorted(set(places))
            assert all(position <= place < batch.position for place in places)
            read += [one.data for one in batch.records]
            position = batch.position
            if not batch.more:
                break
        assert read == EVENTS
        assert position == store.head()
    assert store.after(store.head(), 5).records == ()


def test_coverage_gives_the_interval_of_an_account_and_region(make: Ask) -> None:
    store = make([event(f"e{hour}", at(hour)) for hour in (3, 1, 2)])
    assert store.coverage().seen == (Interval(ACCOUNT, REGION, at(1), at(3)),)
    # At least: a store may know of fewer events than it has, but not of others.
    for one in store.coverage(at(2), at(9)).seen:
        assert (one.account, one.region) == (ACCOUNT, REGION)
        assert at(2) <= one.first <= one.last <= at(3)
    assert store.coverage(at(4)).seen == ()
    assert store.coverage().damage == ()


def test_a_store_without_events_answers_everything_with_nothing(make: Ask) -> None:
    store = make([])
    assert ids(store, Selector.any_of((KEY,))) == ids(store, Selector.kql("event.action: *")) == []
    assert store.coverage().seen == ()
    batch = store.after(0, 9)
    assert (batch.records, batch.position, batch.more) == ((), store.head(), False)
    assert store.seen(Sighting(("a",), "b", "c", at(1))) is False
