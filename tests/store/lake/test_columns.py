"""The columns say of each record what its dict says, whether it was read fast or slowly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import cast

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.cloudtrail import Document, Identity, Json, Record, event_time, identity, read_items
from keytrail.search import value_at
from keytrail.store.lake.columns import table_of
from keytrail.store.lake.digest import digest_of
from keytrail.store.lake.rows import Rows, read_rows
from keytrail.store.lake.schema import COLUMN_OF, SCHEMA
from tests.store.lake.cloudtrail_records import (
    EXTRAS,
    LAYOUTS,
    LIMITS,
    NOW,
    RECORDS,
    SPELLINGS,
    encoded,
    event,
    table,
)


def read(data: bytes) -> tuple[list[Json], int]:
    """The rows of the table of an object, and how many of its records were read slowly."""
    found = list(read_rows([data], "a.json", LIMITS))
    tables = [table_of(some, "a.json", NOW) for some in found]
    for one in tables:
        one.validate(full=True)
        assert one.schema.equals(SCHEMA)
    return pa.concat_tables([*tables, SCHEMA.empty_table()]).to_pylist(), sum(len(some.odd) for some in found)


def storable(value: object) -> object:
    """A string as a column can hold it, anything else as null."""
    if not isinstance(value, str):
        return None
    return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in value)


def expected(record: Record) -> Json:
    """The row of a record, from its dict and with the functions that define what it says."""
    data = record.data
    who = identity(data)
    resources = data.get("resources")
    some = [resources] if isinstance(resources, dict) else resources
    outcome = Document(data).values("event.outcome")
    return {
        "time": event_time(data),
        "ingested": NOW,
        "event_id": storable(who.event_id),
        "account": storable(who.account),
        "region": storable(who.region),
        "outcome": storable(outcome[0]) if outcome else None,
        "resources": [storable(one["ARN"]) for one in some if isinstance(one, dict) and isinstance(one.get("ARN"), str)]
        if isinstance(some, list)
        else None,
        "read_only": data["readOnly"] if isinstance(data.get("readOnly"), bool) else None,
        "management": data["managementEvent"] if isinstance(data.get("managementEvent"), bool) else None,
        "digest": digest_of(who),
        "object": "a.json",
        "raw": record.raw,
        **{column: storable(value_at(data, path)) for path, column in COLUMN_OF.items()},
    }


@settings(max_examples=500, deadline=None)
@given(
    some=st.lists(st.builds(lambda one, more: one | more, RECORDS, EXTRAS), max_size=5),
    spelling=st.sampled_from(sorted(SPELLINGS)),
    layout=st.sampled_from(sorted(LAYOUTS)),
)
def test_rows_are_what_the_dicts_say(some: list[Json], spelling: str, layout: str) -> None:
    data = encoded(LAYOUTS[layout]([SPELLINGS[spelling](one) for one in some]))
    records = [item for item in read_items([data], "a.json", LIMITS) if isinstance(item, Record)]
    assert read(data)[0] == list(map(expected, records))


def test_plain_records_are_read_fast() -> None:
    plain = event(
        "e1",
        userIdentity={"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"arn": "a"}, "attributes": {}}},
        requestParameters={"deep": [{"x": [1, 2.5, None, "é", "\U0001f511"]}]},
        errorCode="AccessDenied",
        errorMessage="no",
        resources=[{"ARN": "k", "accountId": "1"}],
        readOnly=True,
    )
    for spell in SPELLINGS.values():
        if spell is not SPELLINGS["repeated"]:
            assert read(encoded(LAYOUTS["delivery"]([spell(plain)] * 3)))[1] == 0


def test_a_column_holds_every_string_that_a_query_could_ask_for() -> None:
    # A query asks for ASCII; also placeholders, controls and quotes are some.
    for path, column in COLUMN_OF.items():
        for text in ("x", "", "-", "none", 'a"b\\c/d', "\x00\x1f\x7f", "A" * 100_000):
            record: Json = event("e1")
            inner = record
            for name in path[:-1]:
                inner[name] = {}
                inner = cast(Json, inner[name])
            inner[path[-1]] = text
            assert table([record])[column].to_pylist() == [text], (path, text)


def test_an_event_without_an_id_is_known_by_what_it_holds() -> None:
    row, other = table([{"eventName": "a"}, {"eventName": "b"}]).to_pylist()
    assert row["event_id"] == identity({"eventName": "a"}).event_id
    assert row["digest"] != other["digest"]


@pytest.mark.parametrize(
    ("who", "digest"),
    [
        (Identity("", "", "", ""), 5007891043121617824),
        (Identity("111122223333", "eu-west-1", "e1", "2026-03-01T08:00:00Z"), 2473560552145908825),
        (Identity("1", "é", "\ud800", "x"), 5838824116676815214),
    ],
)
def test_the_digest_never_changes(who: Identity, digest: int) -> None:
    # It is stored: a lake that was written by one version is read by the next.
    assert digest_of(who) == digest


def test_times_are_kept_to_the_microsecond() -> None:
    times = ["1969-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]
    found = table([event("e", eventTime=time) for time in times])["time"].to_pylist()
    assert found == [datetime.fromisoformat(time) for time in times]


def test_the_time_of_arrival_may_be_in_any_zone() -> None:
    paris = NOW.astimezone(timezone(timedelta(hours=2)))
    assert table([event("e1")], ingested=paris)["ingested"].to_pylist() == [NOW.astimezone(UTC)]


def test_the_name_of_an_object_may_be_any() -> None:
    assert table([event("e1")], name="a\udcff.json")["object"].to_pylist() == ["a\ufffd.json"]


def test_no_rows_make_an_empty_table() -> None:
    assert table_of(Rows(), "a", NOW).equals(SCHEMA.empty_table())
