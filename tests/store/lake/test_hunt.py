"""Hunts find what the query matches of all records, in order, whatever narrows and whatever happens meanwhile."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail import query as kql
from keytrail.cloudtrail import CATALOGUE, Document, Json, event_time, identity, normalize
from keytrail.errors import QueryError, StoreError
from keytrail.search import strings_of, within
from keytrail.store.lake.duck import DuckLimits, connect
from keytrail.store.lake.hunt import Hunt, count, hunt
from keytrail.store.lake.narrow import narrowing_of
from keytrail.store.lake.read import LakeReader, Limits
from tests.search.test_differential import records, writers
from tests.store.lake.made import LIMITS, NOW, MemoryCatalog, drop, fill, merge, write
from tests.store.records import KEY, SPELLINGS, at, event, plain

VALUES = [
    "PutKeyPolicy", "Decrypt", "Put", "Key", "IAMUser", "kms.amazonaws.com", "AccessDenied", "AKIA1", "AKIA1/2", "7",
    "none", "-", "true", "e1", "Zoë", "ë", 'x"y', "Infinity", "arn:aws:kms:eu-west-1:111122223333:key/1",
    "a\\\\b", "key",
]  # fmt: skip
PARTS = ["Put", "Key", "kms", "amazonaws", "AKIA", "1", "e", "ë", "/", "x", "Denied", "", "IAM", ".", "t", "7", " "]
FIELDS = [
    "event.action", "event.provider", "aws.cloudtrail.error_code", "aws.cloudtrail.user_identity.access_key_id",
    "event.id", "aws.cloudtrail.user_identity.type", "source.address", "user_agent.original", "cloud.region",
    "event.outcome", "aws.cloudtrail.recipient_account_id", "event.dataset",
    "aws.cloudtrail.flattened.request_parameters.keyId", "aws.cloudtrail.request_parameters",
    "aws.cloudtrail.request_id", "user.name", "event.*", "tls.cipher",
]  # fmt: skip


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def escaped(text: str) -> str:
    return "".join(f"\\{one}" if one in '\\():<>"*{}' else one for one in text)


fields = st.sampled_from(FIELDS)
values = st.sampled_from(VALUES).map(quoted)
patterns = st.lists(st.sampled_from(PARTS), min_size=2, max_size=3).map(lambda parts: "*".join(map(escaped, parts)))
leaves = st.one_of(
    st.builds("{}: {}".format, fields, values),
    st.builds("{}: ({} or {})".format, fields, values, values),
    st.builds("{}: ({} or {})".format, fields, values, patterns),
    st.builds("{}: {}".format, fields, patterns),
    st.builds("{}: *".format, fields),
    st.builds("{} >= {}".format, st.sampled_from(["event.action", "event.provider"]), values),
    values,
    patterns,
    st.sampled_from(["", "event.dataset: okta", 'event.dataset: "aws.cloudtrail"', "@timestamp >= 2026-03-01"]).map(
        lambda text: text or "*"
    ),
)
queries = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds("({}) and ({})".format, inner, inner),
        st.builds("({}) or ({})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=4,
)

odd = st.sampled_from([*VALUES, 7, 1.5, True, None, ["PutKeyPolicy"], {"Put": "Key"}, "\ud800Put", "Infinityx"])
moments = st.sampled_from([at(1), at(1, 0, 1), at(2), at(3), None, "never", "2026-03-01T01:00:00.5Z"])
events = st.builds(
    event,
    st.sampled_from(["e1", "e2", "e3", "e4", "AKIA1", "Put"]),
    moments,
    name=odd,  # type: ignore[arg-type]
    account=st.sampled_from(["111122223333", "444455556666"]),
    sourceIPAddress=odd,
    userAgent=odd,
    errorCode=odd,
    requestID=odd,
    tlsDetails=st.sampled_from([None, {"cipherSuite": "Put"}]),
    userIdentity=st.fixed_dictionaries({"type": odd, "accessKeyId": odd, "accountId": st.just("111122223333")}),
    requestParameters=st.none() | st.fixed_dictionaries({"keyId": odd, "more": st.lists(odd, max_size=1)}),
)
bounds = st.sampled_from([None, None, at(1), at(1, 0, 1), at(1) + timedelta(milliseconds=400), at(2), at(3)])


def spelled(record: Json, spell: Callable[[Json], str]) -> str:
    """A lone surrogate has no spelling but that of an escape."""
    lone = any("\ud800" in text for text in strings_of(record))
    return json.dumps(record) if lone else spell(record)


def truth(texts: list[str], what: Hunt) -> list[tuple[object, ...]]:
    """Keys of all that match, oldest first, each event once."""
    query = kql.compile(what.query, CATALOGUE, now=NOW, strict=what.strict)
    found = set()
    for data in map(json.loads, texts):
        moment = event_time(data)
        held = not what.containing or any(what.containing in text for text in strings_of(data))
        if held and within(moment, what.since, what.until) and query.matches(Document(data)):
            who = identity(data)
            found.add((moment or datetime.min.replace(tzinfo=UTC), who.event_id, who.account, who.region, who.time))
    return sorted(found)


def key(data: Json) -> tuple[object, ...]:
    who = identity(data)
    return (
        event_time(data) or datetime.min.replace(tzinfo=UTC), who.event_id, who.account, who.region, who.time
    )  # fmt: skip


def check(folder: Path, catalog: MemoryCatalog, texts: list[str], what: Hunt, limits: Limits = LIMITS) -> None:
    expected = truth(texts, what)
    oldest = [key(one.data) for one in hunt(folder, catalog, what, newest=False, limits=limits)]
    newest = [key(one.data) for one in hunt(folder, catalog, what, limits=limits)]
    # Events with the same time and id are in no particular order of their accounts.
    assert sorted(oldest) == expected  # type: ignore[type-var]
    assert [one[:2] for one in oldest] == [one[:2] for one in expected]
    assert newest == oldest[::-1]
    assert count(folder, catalog, what, limits=limits) == len(expected)


@settings(max_examples=80)
@given(
    some=st.lists(events, min_size=1, max_size=8),
    spelling=st.sampled_from(sorted(SPELLINGS)),
    query=queries,
    containing=st.sampled_from(["", "", "", *PARTS]),
    since=bounds,
    until=bounds,
    strict=st.booleans(),
    pending=st.sampled_from([1, 2_000, 64 * 1024**2]),
)
def test_a_hunt_finds_what_the_query_matches(
    some: list[Json],
    spelling: str,
    query: str,
    containing: str,
    since: datetime | None,
    until: datetime | None,
    strict: bool,
    pending: int,
) -> None:
    what = Hunt(query, NOW, since, until, containing, strict)
    try:
        kql.compile(query, CATALOGUE, now=NOW, strict=strict)
    except QueryError:
        with pytest.raises(QueryError):
            hunt(Path("nowhere"), MemoryCatalog(), what)
        return
    texts = [spelled(one, SPELLINGS[spelling]) for one in some]
    with tempfile.TemporaryDirectory() as folder:
        catalog = fill(Path(folder), texts, each=3)
        check(Path(folder), catalog, texts, what, Limits(LIMITS.duck, 1, pending))


@settings(max_examples=30)
@given(some=st.lists(records(), min_size=1, max_size=5), write=writers(), query=queries)
def test_odd_spellings_hide_nothing(some: list[Json], write: Callable[[Json], str], query: str) -> None:
    try:
        kql.compile(query, CATALOGUE, now=NOW)
    except QueryError:
        return
    texts = [write(one).replace("\n", " ") for one in some if "eventJson" not in one and "detail" not in one]
    texts = [one for one in texts if '"insightDetails"' not in one and "event" in one]
    with tempfile.TemporaryDirectory() as folder:
        catalog = fill(Path(folder), texts, each=3)
        kept = [one.raw.decode() for one in hunt(Path(folder), catalog, Hunt("", NOW), limits=LIMITS)]
        check(Path(folder), catalog, kept, Hunt(query, NOW))


DAY = [event(f"e{hour:02}", at(hour), name="Put" if hour % 3 else "Decrypt") for hour in range(12)]
TEXTS = list(map(plain, DAY))


def ids(folder: Path, catalog: MemoryCatalog, query: str = "", **how: object) -> list[object]:
    return [one.data["eventID"] for one in hunt(folder, catalog, Hunt(query, NOW), limits=LIMITS, **how)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "text", "found"),
    [
        ("user_agent.original", "1e+22", ["n1"]),
        ("user_agent.original", "*e+2*", ["n1"]),
        ("user_agent.original", "*ru*", ["n2"]),
        ("aws.cloudtrail.request_id", "*e+2*", ["n1"]),
        ("aws.cloudtrail.request_id", "*inity", ["n3"]),
        ("aws.cloudtrail.flattened.request_parameters.keyId", "*0E7", ["n1"]),
        ("aws.cloudtrail.flattened.request_parameters.keyId", "*ru*", ["n2"]),
    ],
)
def test_numbers_and_booleans_have_texts_that_stand_nowhere(
    tmp_path: Path, field: str, text: str, found: list[str]
) -> None:
    texts = [
        event("n1", at(1), userAgent=8, requestID=8, requestParameters={"keyId": 9}),
        event("n2", at(2), userAgent=True, requestParameters={"keyId": True}),
        event("n3", at(3), requestID=9),
    ]
    spelled = [plain(one).replace(":8", ":1E22").replace('ID":9', 'ID":1e999').replace(":9", ":1e7") for one in texts]
    assert ids(tmp_path, fill(tmp_path, spelled), f"{field}: {text}") == found


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_escapes_hide_nothing(tmp_path: Path, spelling: str) -> None:
    record = event("e1", at(1), requestParameters={"keyId": KEY, "block": "192.0.2.1/24"})
    catalog = fill(tmp_path, [SPELLINGS[spelling](record), *TEXTS])
    child = "aws.cloudtrail.flattened.request_parameters"
    queries = [f"{child}.keyId: {part}" for part in (r"arn\:*", "*key/*", "*1234abcd", "*/1234abcd", r"*s\:eu*y/1*")]
    queries += [f"{child}.block: {part}" for part in ("192*", "*.1/2*", "*/24", f'192* and {child}.keyId: "{KEY}"')]
    for what in [
        *(Hunt(query, NOW) for query in queries),
        *(Hunt("", NOW, containing=part) for part in (KEY, "key", "y/1234", "2.1/24", "arn:")),
        *(Hunt(query, NOW, containing="/24") for query in queries),
    ]:
        assert [one.data["eventID"] for one in hunt(tmp_path, catalog, what, limits=LIMITS)] == ["e1"]
        assert count(tmp_path, catalog, what, limits=LIMITS) == 1
    assert not list(hunt(tmp_path, catalog, Hunt("", NOW, containing="requestParameters"), limits=LIMITS))


def test_strictly_blanks_part_a_pattern_and_one_part_is_enough(tmp_path: Path) -> None:
    catalog = fill(tmp_path, [plain(event("e1", at(1), requestParameters={"keyId": "Putxyz"}))])
    query = "aws.cloudtrail.flattened.request_parameters.keyId: a Putx*"
    for strict in (False, True):
        found = list(hunt(tmp_path, catalog, Hunt(query, NOW, strict=strict), limits=LIMITS))
        assert len(found) == strict


def test_the_first_ones_are_read_from_the_segments_that_hold_them(tmp_path: Path) -> None:
    catalog = fill(tmp_path, TEXTS)
    # Nobody comes to read these, for what they hold is older.
    for one in catalog.committed[:2]:
        (tmp_path / one.file.path).write_bytes(b"")
    assert ids(tmp_path, catalog, limit=4) == ["e11", "e10", "e09", "e08"]
    assert ids(tmp_path, catalog, "event.action: Put", limit=2) == ["e11", "e10"]
    with pytest.raises(StoreError, match="damaged"):
        ids(tmp_path, catalog)


def test_documents_and_positions_come_with_what_is_found(tmp_path: Path) -> None:
    (found,) = hunt(tmp_path, fill(tmp_path, TEXTS), Hunt("event.id: e07", NOW), limits=LIMITS)
    assert (found.position, found.raw, found.data) == (7, TEXTS[7].encode(), DAY[7])
    assert found.document() == normalize(DAY[7])


def test_what_waits_is_bounded_and_what_was_let_go_is_found_again(tmp_path: Path) -> None:
    # Each segment holds events of the whole day, so nothing is ready before all are read.
    shuffled = [TEXTS[(n * 5) % 12] for n in range(12)]
    catalog = fill(tmp_path, shuffled * 2, each=6, group=3)
    for query in ("", "event.action: Put"):
        everything = truth(TEXTS, Hunt(query, NOW))
        for pending in (1, 3_000, 6_000):
            limits = Limits(LIMITS.duck, 1, pending)
            found = [key(one.data) for one in hunt(tmp_path, catalog, Hunt(query, NOW), newest=False, limits=limits)]
            assert found == everything


@pytest.mark.parametrize("query", ["", "event.action: Decrypt"])
@pytest.mark.parametrize("pending", [1, 64 * 1024**2])
def test_events_of_one_second_are_put_in_order_across_segments(tmp_path: Path, query: str, pending: int) -> None:
    catalog = fill(tmp_path, [plain(event(id, at(1))) for id in ("e3", "e1", "e4", "e2", "e1", "e5")], each=1)
    limits = Limits(LIMITS.duck, 1, pending)
    for newest in (False, True):
        found = hunt(tmp_path, catalog, Hunt(query, NOW), newest=newest, limits=limits)
        assert [one.data["eventID"] for one in found] == sorted(["e1", "e2", "e3", "e4", "e5"], reverse=newest)


@pytest.mark.parametrize("query", ["", "event.action: (Put or Decrypt)"])
@pytest.mark.parametrize("newest", [False, True])
def test_segments_that_are_merged_under_a_hunt_are_followed(tmp_path: Path, query: str, newest: bool) -> None:
    for taken in range(0, 12, 2):
        folder = tmp_path / f"{taken}"
        catalog = fill(folder, TEXTS)
        running = hunt(folder, catalog, Hunt(query, NOW), newest=newest, limits=LIMITS)
        found = list(islice(running, taken))
        merge(folder, catalog, 0, 1)
        merge(folder, catalog, 0, 1)
        found += running
        times = [event_time(one.data) for one in found]
        assert [one.data["eventID"] for one in found] == sorted((one["eventID"] for one in DAY), reverse=newest)  # type: ignore[type-var]
        assert times == sorted(times, reverse=newest)  # type: ignore[type-var]


@pytest.mark.parametrize("query", ["", "event.action: (Put or Decrypt)"])
def test_segments_that_are_kept_no_longer_are_left_out(tmp_path: Path, query: str) -> None:
    catalog = fill(tmp_path, TEXTS)
    running = hunt(tmp_path, catalog, Hunt(query, NOW), newest=False, limits=LIMITS)
    found = [next(running)]
    drop(tmp_path, catalog, 1)
    found += running
    assert [one.data["eventID"] for one in found] == [f"e{hour:02}" for hour in (0, 1, 2, 3, 8, 9, 10, 11)]


@pytest.mark.parametrize("query", ["", "event.action: (Put or Decrypt)"])
def test_a_segment_that_should_be_there_and_is_not_is_an_error(tmp_path: Path, query: str) -> None:
    catalog = fill(tmp_path, TEXTS)
    (tmp_path / catalog.committed[1].file.path).unlink()
    with pytest.raises(StoreError, match="missing"):
        ids(tmp_path, catalog, query)
    with pytest.raises(StoreError, match="missing"):
        count(tmp_path, catalog, Hunt(query, NOW), limits=LIMITS)


@pytest.mark.parametrize(
    ("query", "sql"),
    [
        ("event.action: Put", "action = ?"),
        ("event.action: Put and event.provider: kms.amazonaws.com", "(action = ? AND provider = ?)"),
        ("event.action: (Put or Get)", "action IN (SELECT unnest(?::VARCHAR[]))"),
        ("event.action: (Put or Get) and user.name: x", "action IN (SELECT unnest(?::VARCHAR[]))"),
        ("event.action: Put or source.address: x", "(action = ? OR source_address = ?)"),
        ("event.action: Put or user.name: x", ""),
        ("user_agent.original: *boto*", "contains(user_agent, ?)"),
        ("event.action: (Put* or Get)", "(contains(action, ?) OR action = ?)"),
        ("event.id: e1 and not event.action: Put", "event_id = ?"),
        ("event.action: 7", ""),
        ("event.action: *7*", ""),
        ("event.action: *ru*", ""),
        ("event.action: *inity", ""),
        ("event.action: Zoë", ""),
        ("not event.action: Put", ""),
        ("event.dataset: aws.cloudtrail and event.action: Put", "action = ?"),
    ],
)
def test_what_a_query_says_of_columns(query: str, sql: str) -> None:
    found = narrowing_of(kql.compile(query, CATALOGUE, now=NOW))
    assert found.sql == sql
    assert sql.count("?") == len(found.params)


@pytest.mark.parametrize(
    ("query", "needles"),
    [
        ("aws.cloudtrail.request_id: *Put*", (b"Put",)),
        ("aws.cloudtrail.request_id: a*Put", (b"Put",)),
        ("aws.cloudtrail.request_id: *Put* or user.name: x", ()),
        ("aws.cloudtrail.request_id: *Put* and user.name: x", (b"Put",)),
        ("aws.cloudtrail.request_id: (*Put* or *Key*)", (b"Put", b"Key")),
        ("aws.cloudtrail.request_id: *Put* and aws.cloudtrail.api_version: *longer*", (b"longer",)),
        ("aws.cloudtrail.flattened.request_parameters.keyId: *Put*", (b"Put",)),
        ("aws.cloudtrail.request_parameters: *Put*", ()),
        ("not aws.cloudtrail.request_id: *Put*", ()),
        ("user.name: *Put*", ()),
        ("*Put*", ()),
    ],
)
def test_what_a_query_says_of_bytes(query: str, needles: tuple[bytes, ...]) -> None:
    assert narrowing_of(kql.compile(query, CATALOGUE, now=NOW)).needles == needles


def test_a_count_that_columns_decide_reads_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = fill(tmp_path, TEXTS)

    def refuse(*_: object) -> None:
        raise AssertionError("a record was read")

    monkeypatch.setattr(LakeReader, "blocks", refuse)
    monkeypatch.setattr(LakeReader, "fetch", refuse)
    assert count(tmp_path, catalog, Hunt("event.action: Put", NOW, at(4)), limits=LIMITS) == 6
    assert count(tmp_path, catalog, Hunt("event.action: (Put or Decrypt)", NOW), limits=LIMITS) == 12
    assert count(tmp_path, catalog, Hunt("", NOW), limits=LIMITS) == 12
    with pytest.raises(AssertionError):
        count(tmp_path, catalog, Hunt("not event.action: Put", NOW), limits=LIMITS)
    # The same event twice: only its identity tells.
    catalog.commit(write(tmp_path, TEXTS[:2]))
    with pytest.raises(AssertionError):
        count(tmp_path, catalog, Hunt("event.action: Put", NOW), limits=LIMITS)


def test_a_placeholder_in_a_column_counts_for_nothing(tmp_path: Path) -> None:
    catalog = fill(tmp_path, [plain(event("e1", at(1), name="none"))])
    check(tmp_path, catalog, [], Hunt('event.action: "none"', NOW))
    assert count(tmp_path, catalog, Hunt("", NOW, containing="absent"), limits=LIMITS) == 0


# -- DuckDB ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM read_csv('{folder}x/../../secret.csv')",
        "SELECT * FROM '{folder}x-neighbour/secret.csv'",
        "COPY (SELECT 1) TO '/tmp/keytrail-test-should-not-exist.csv'",
        "ATTACH '/tmp/keytrail-test-should-not-exist.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM read_parquet('https://192.0.2.1/a.parquet')",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "SET allowed_directories = ['/']",
        "CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    ],
)
def test_duckdb_reaches_nothing_outside_the_lake(tmp_path: Path, statement: str) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    (tmp_path / "x-neighbour").mkdir()
    for secret in (tmp_path / "secret.csv", tmp_path / "x-neighbour" / "secret.csv"):
        secret.write_text("a,b\n1,2\n")
    connection = connect(folder, DuckLimits(threads=1))
    with pytest.raises(duckdb.Error):
        connection.sql(statement.replace("{folder}x", str(folder))).fetchall()
    connection.close()


def test_duckdb_keeps_to_its_limits(tmp_path: Path) -> None:
    connection = connect(tmp_path, DuckLimits(memory_bytes=32 * 1024**2, threads=1))
    assert connection.sql("SELECT current_setting('threads')").fetchall() == [(1,)]
    with pytest.raises(duckdb.OutOfMemoryException):
        connection.sql("SELECT count(DISTINCT range) FROM range(10000000)").fetchall()
    connection.close()


def test_a_folder_with_a_strange_name_is_read_as_any_other(tmp_path: Path) -> None:
    folder = tmp_path / "it's [a] *lake?"
    assert ids(folder, fill(folder, TEXTS), "event.action: Decrypt", newest=False) == ["e00", "e03", "e06", "e09"]
