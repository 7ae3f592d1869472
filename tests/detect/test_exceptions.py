"""Items together: which of them cover an event, when they expire, and what is said about those that look wrong."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from keytrail import query as kql
from keytrail.cloudtrail import Document
from keytrail.detect import ValueList, check_exceptions, compile_exceptions
from keytrail.detect.wildcards import wildcard
from keytrail.errors import Place
from keytrail.rules import ExceptionItem, ExistsEntry, ListEntry, MatchAnyEntry, MatchEntry, NestedEntry, WildcardEntry
from tests.query.conftest import DictFields, TypedSchema

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
ROOT = MatchEntry("user.name", "root")
ADA = MatchEntry("user.name", "ada")
RECORD: dict[str, object] = {
    "eventSource": "kms.amazonaws.com",
    "eventName": "PutKeyPolicy",
    "sourceIPAddress": "192.0.2.10",
    "userIdentity": {"type": "IAMUser", "userName": "ada"},
    "requestParameters": {"keyId": "alias/a", "bypassPolicyLockoutSafetyCheck": True},
}


def item(*entries: object, name: str = "one") -> ExceptionItem:
    return ExceptionItem(item_id=name, list_id="l", name=name, entries=entries, origin=Place("x.ndjson", line=7))  # type: ignore[arg-type]


def test_items_are_alternatives_and_the_first_that_covers_is_named() -> None:
    items = [item(ROOT, name="root"), item(ADA, name="ada"), item(ADA, ROOT, name="both")]
    exceptions = compile_exceptions(items, {}, now=NOW)
    assert exceptions.excepting(Document(RECORD)) is items[1]
    assert exceptions.excepting(Document({})) is None


def test_no_items_except_nothing() -> None:
    assert not compile_exceptions([], {}, now=NOW)(Document(RECORD))


def test_a_real_record_is_asked_by_its_ecs_fields() -> None:
    request = "aws.cloudtrail.flattened.request_parameters."
    covering = [
        MatchEntry("source.ip", "192.0.2.0/24"),
        MatchEntry(request + "bypassPolicyLockoutSafetyCheck", "true"),
        WildcardEntry(request + "keyId", "alias/?"),
        MatchEntry("event.dataset", "aws.cloudtrail"),
        ExistsEntry("error.code", excluded=True),
    ]
    exceptions = compile_exceptions([item(*covering)], {}, now=NOW)
    assert exceptions(Document(RECORD))
    assert not exceptions(Document(RECORD | {"sourceIPAddress": "198.51.100.1"}))


def test_an_item_counts_until_its_time_is_over() -> None:
    until = replace(item(ADA), expire_time=NOW)
    for start, expected in ((NOW - timedelta(seconds=1), True), (NOW, False), (NOW + timedelta(days=1), False)):
        assert compile_exceptions([until], {}, now=start)(Document(RECORD)) is expected


def test_os_types_narrow_an_item_to_hosts_with_such_a_system() -> None:
    narrowed = replace(item(ExistsEntry("user.name")), os_types=("linux", "macos"))
    exceptions = compile_exceptions([narrowed], {}, TypedSchema(), now=NOW)
    for os, expected in (
        ({"type": "linux"}, True),
        ({"name": {"caseless": "macos"}}, True),
        ({"type": "windows"}, False),
        ({}, False),
    ):
        assert exceptions(DictFields({"user": {"name": "a"}, "host": {"os": os}})) is expected
    assert not compile_exceptions([narrowed], {}, now=NOW)(Document(RECORD))


def test_a_broken_item_does_not_stop_the_others() -> None:
    broken = item(MatchEntry("source.ip", "home", excluded=True), name="broken")
    exceptions = compile_exceptions([broken, item(ADA)], {}, now=NOW)
    assert exceptions(Document(RECORD))
    assert not exceptions(Document({"eventName": "x"}))
    assert [str(error) for error in exceptions.problems] == [
        "x.ndjson:7: exception item 'broken': it takes no part: "
        "a value for 'source.ip' is neither an IP address nor a CIDR block"
    ]


def test_check_names_what_looks_like_a_mistake() -> None:
    told = check_exceptions(
        [
            item(MatchEntry("user.nmae", "a"), ADA, name="misspelt"),
            replace(item(ADA, name="hosts"), os_types=("linux",)),
            replace(item(ADA, name="old"), expire_time=NOW - timedelta(days=1)),
            item(ListEntry("user.name", "gone", "keyword"), name="lost"),
            item(NestedEntry("aws.cloudtrail.resources", (ExistsEntry("arn"),)), name="nested"),
            item(ADA, ExistsEntry("user"), ExistsEntry("aws.cloudtrail.flattened.request_parameters.x"), name="good"),
        ],
        {},
        now=NOW,
    )
    assert [error.what.removeprefix("exception item ") for error in told] == [
        "'lost': it takes no part: there is no value list 'gone'",
        "'nested': it takes no part: 'aws.cloudtrail.resources' is not a nested field but not mapped",
        "'misspelt': no event has the field 'user.nmae', as far as the catalogue knows",
        "'hosts': os_types narrows it to hosts, of which no event tells: it excepts nothing",
        "'old': it expired at 2026-03-03 12:30:00+00:00",
    ]


def test_a_value_list_of_a_hundred_thousand_is_one_test_for_all_items() -> None:
    values = tuple(f"user-{number}" for number in range(100_000))
    lists = {"big": ValueList("big", "keyword", "Big", values)}
    entry = ListEntry("user.name", "big", "keyword")
    exceptions = compile_exceptions([item(ROOT, entry), item(entry)], lists, now=NOW)
    assert exceptions(Document({"userIdentity": {"type": "IAMUser", "userName": "user-99999"}}))
    assert not exceptions(Document({"userIdentity": {"type": "IAMUser", "userName": "user-100000"}}))


# Entries against KQL -------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["a", "A", "b c", "c b", "true", "22", "1.2.3.4", "::ffff:1.2.3.4", "2026-01-01", "x*", '"\\'])
FIELDS = {
    "user.name": WORDS,
    "user.roles": WORDS,
    "message": WORDS,
    "params.key": WORDS,
    "event.success": st.sampled_from(["true", "false"]),
    "source.ip": st.sampled_from(["1.2.3.4", "1.2.0.0/16", "::ffff:1.2.3.4", "5.6.7.8"]),
    "source.port": st.sampled_from(["22", "443"]),
    "@timestamp": st.sampled_from(["2026-01-01", "2026-01", "2025"]),
}
LEAVES = st.one_of(
    *(
        st.one_of(
            st.builds(MatchEntry, st.just(name), values, st.booleans()),
            st.builds(MatchAnyEntry, st.just(name), st.lists(values, min_size=1, max_size=3).map(tuple), st.booleans()),
            st.builds(ExistsEntry, st.just(name), st.booleans()),
        )
        for name, values in FIELDS.items()
    )
)
VALUES = st.none() | WORDS | st.booleans() | st.integers(0, 443) | st.lists(WORDS, max_size=2)
DOCUMENTS = st.dictionaries(st.sampled_from(list(FIELDS)), VALUES)


def as_kql(entry: MatchEntry | MatchAnyEntry | ExistsEntry) -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    if isinstance(entry, ExistsEntry):
        text = f"{entry.field}: *"
    else:
        wanted = entry.values if isinstance(entry, MatchAnyEntry) else (entry.value,)
        text = f"{entry.field}: ({' or '.join(map(quoted, wanted))})"
    return f"not {text}" if entry.excluded else text


@given(st.lists(st.lists(LEAVES, min_size=1, max_size=3), min_size=1, max_size=3), DOCUMENTS)
def test_items_mean_what_the_same_question_means_in_kql(
    items: list[list[MatchEntry]], values: dict[str, object]
) -> None:
    document = DictFields({})
    for name, value in values.items():
        document._add(name, value)
    query = " or ".join(f"({' and '.join(map(as_kql, entries))})" for entries in items)
    expected = kql.compile(query, TypedSchema(), now=NOW).matches(document)
    exceptions = compile_exceptions([item(*entries) for entries in items], {}, TypedSchema(), now=NOW)
    assert exceptions.problems == ()
    assert exceptions(document) is expected


# Wildcards against regular expressions -------------------------------------------------------------------------------

PATTERNS = st.text(alphabet="ab*?\\\n.", max_size=12)


def as_regex(pattern: str) -> str:
    parts, at = [], 0
    while at < len(pattern):
        if pattern[at] == "\\" and at + 1 < len(pattern):
            at += 1
            parts.append(re.escape(pattern[at]))
        else:
            parts.append({"*": ".*", "?": "."}.get(pattern[at]) or re.escape(pattern[at]))
        at += 1
    return "".join(parts)


@given(PATTERNS, st.text(alphabet="ab*?\\\n.", max_size=14))
def test_wildcards_mean_what_a_regular_expression_says(pattern: str, value: str) -> None:
    assert wildcard(pattern)(value) is (re.fullmatch(as_regex(pattern), value, re.DOTALL) is not None)


def test_a_long_hostile_value_is_read_once() -> None:
    # A regular expression with seven stars would need longer than anybody waits.
    assert not wildcard("*a?a*a?a*a?a*a?a*a?a*a?a*b")("a" * 100_000)
