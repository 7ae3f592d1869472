"""The fast way through an object finds exactly what running every query on every record finds, whatever the bytes."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from keytrail import query as kql
from keytrail.cloudtrail import CATALOGUE, Document, ReadLimits, Record, event_time, identity, inflate, read_items
from keytrail.detect import alert_id
from keytrail.search import Literal, Options, Pattern, Result, Sighting, dispatch, strings_of
from keytrail.search.examine import Examiner

NOW = datetime(2026, 1, 1, tzinfo=UTC)

# Few values, so that queries meet records often.
NAMES = ["PutKeyPolicy", "Decrypt", "GetObject", "CreateKey", "AssumeRole", "Put", "Key"]
PROVIDERS = ["kms.amazonaws.com", "s3.amazonaws.com", "sts.amazonaws.com"]
TYPES = ["IAMUser", "AssumedRole", "AWSService"]
CODES = ["AccessDenied", "ThrottlingException", None]

OPTIONAL = ["eventName", "eventSource", "userIdentity", "eventID", "eventTime", "recipientAccountId"]

names, providers, types = st.sampled_from(NAMES), st.sampled_from(PROVIDERS), st.sampled_from(TYPES)

moments = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "never"])

# Values that fast parsers disagree about, or that look like what the search is after.
odd_values = st.one_of(
    st.sampled_from(
        [
            10**25, -(10**19), 2**64, 1.5, -0.0, 1e308, float("nan"), float("inf"), True, False, None, "", "-",
            "none", [], {}, "\ud800", "\U0001f511", '{"eventName":"PutKeyPolicy"}', 'x"PutKeyPolicy"', "\\", "/",
            "\x00\x1f\x7f",
            "AKIA1/2", {"eventName": "PutKeyPolicy", "eventVersion": "1.09"},
            [{"eventName": "Decrypt"}, {"eventName": "GetObject"}],
            {"Records": [{"eventName": "PutKeyPolicy"}]}, "CloudTrailEvent", {"CloudTrailEvent": "x"},
        ]
    ),
    st.text(max_size=8),
    st.integers(),
)  # fmt: skip

parameters = st.none() | st.dictionaries(
    st.sampled_from(["keyId", "policy", "items", "a.b", "detail"]), odd_values, max_size=3
)


@st.composite
def records(draw: st.DrawFn) -> dict[str, object]:
    record: dict[str, object] = {
        "eventVersion": "1.09",
        "userIdentity": draw(
            st.fixed_dictionaries(
                {"type": types}, optional={"accessKeyId": st.sampled_from(["AKIA1", "AKIA2"]), "eventTime": moments}
            )
        ),
        "eventTime": draw(moments),
        "eventSource": draw(providers),
        "eventName": draw(names | st.just(7) | st.none()),
        "awsRegion": "eu-west-1",
        "requestParameters": draw(parameters),
        "eventID": draw(st.uuids().map(str)),
        "recipientAccountId": "111122223333",
    }
    if (code := draw(st.sampled_from(CODES))) is not None:
        record["errorCode"] = code
    for key in draw(st.sets(st.sampled_from(OPTIONAL), max_size=1)):
        del record[key]
    for key, value in draw(
        st.dictionaries(st.sampled_from(["detail", "x", "eventJson", "insightDetails"]), odd_values, max_size=1)
    ).items():
        record[key] = value
    return record


@st.composite
def writers(draw: st.DrawFn) -> Callable[[dict[str, object]], str]:
    """A way to spell JSON: escapes of letters, blanks, repeated keys."""
    seed = draw(st.integers(0, 2**32))
    escape = draw(st.sampled_from([0.0, 0.0, 0.05]))
    blanks = draw(st.sampled_from(["", "", " ", "\n\t"]))
    repeat = draw(st.sampled_from([0.0, 0.0, 0.3]))
    chance = random.Random(seed)

    def string(text: str) -> str:
        spelled = json.dumps(text, ensure_ascii=chance.random() < 0.5 or any("\ud800" <= c <= "\udfff" for c in text))
        inner = spelled[1:-1]
        if escape:
            inner = "".join(
                f"\\u{ord(c):04x}"
                if c.isalnum() and c.isascii() and "\\" not in inner and chance.random() < escape
                else c
                for c in inner
            )
        return f'"{inner}"'

    def write(value: object) -> str:
        if isinstance(value, dict):
            members = [(key, item) for key, item in value.items()]
            if members and chance.random() < repeat:
                key, _ = chance.choice(members)
                members.insert(0, (key, chance.choice(["Decrypt", "PutKeyPolicy", None, 1])))
            return (
                "{" + blanks + f",{blanks}".join(f"{string(k)}:{blanks}{write(v)}" for k, v in members) + blanks + "}"
            )
        if isinstance(value, list):
            return "[" + f",{blanks}".join(map(write, value)) + "]"
        return string(value) if isinstance(value, str) else json.dumps(value)

    return write


LAYOUTS: dict[str, Callable[[list[str]], str]] = {
    "records": lambda texts: '{"Records":[' + ",".join(texts) + "]}",
    "records spaced": lambda texts: ' { "Records" : [ ' + " ,\n ".join(texts) + " ] }\n",
    "array": lambda texts: "[" + ",".join(texts) + "]",
    "array spaced": lambda texts: "\n[\n" + ",\n".join(texts) + "\n]\n",
    "lines": "\n".join,
    "lines with blanks": lambda texts: "\r\n\n".join(texts) + "\n",
    "concatenated": "".join,
    "two envelopes": lambda texts: "".join('{"Records":[' + text + "]}\n" for text in texts),
    "extra members": lambda texts: '{"Records":[' + ",".join(texts) + '],"more":{"eventName":"PutKeyPolicy"}}',
    "bridge": lambda texts: "\n".join(
        '{"detail-type":"AWS API Call via CloudTrail","detail":' + t + "}" for t in texts
    ),
    "lookup": lambda texts: '{"Events":[' + ",".join('{"CloudTrailEvent":' + json.dumps(t) + "}" for t in texts) + "]}",
    "events a line": lambda texts: "\n".join('{"Events":[' + text + "]}" for text in texts),
    "lines, one with records": lambda texts: "\n".join(
        [*texts, '{"eventName":"x","Records":[' + ",".join(texts) + "]}"]
    ),
    "cut short": lambda texts: ('{"Records":[' + ",".join(texts) + "]}")[:-7],
    "broken": lambda texts: '{"Records":[' + ",}{,".join(texts) + "]}",
    "not records": lambda texts: '{"Records":[' + ",".join([*texts, "3", "null", '"PutKeyPolicy"', "[]"]) + "]}",
}

COMPUTED = "aws.cloudtrail.flattened.request_parameters"

QUERIES = st.lists(
    st.one_of(
        st.builds('event.action: "{}"'.format, names),
        st.builds('event.provider: "{}" and event.action: ("{}" or "{}")'.format, providers, names, names),
        st.builds('event.action: "{}" and not aws.cloudtrail.user_identity.type: "{}"'.format, names, types),
        st.builds("aws.cloudtrail.error_code: {} and event.provider: {}".format, st.sampled_from(CODES[:2]), providers),
        st.builds('event.action: "{}" or aws.cloudtrail.user_identity.access_key_id: "AKIA1"'.format, names),
        st.builds('event.dataset: "okta.system" or event.action: "{}"'.format, names),
        st.builds(f"{COMPUTED}.{{}}: *".format, st.sampled_from(["keyId", "policy", "items.eventName"])),
        # More literals than are searched for one by one.
        st.builds(f'event.action: ("{{}}" or {" or ".join(f"Absent{n}" for n in range(30))})'.format, names),
        st.sampled_from(
            [
                "",
                "event.action: P*",
                "not event.outcome: success",
                "event.outcome: failure",
                'event.dataset: "okta.system" and event.action: "Put"',
                "event.action: Decrypt and event.action: GetObject",
                'event.action: "Put" or not event.action: *',
            ]
        ),
    ),
    min_size=1,
    max_size=4,
)


def compressed(data: bytes, members: int) -> bytes:
    if members == 0:
        return data
    step = max(1, len(data) // members)
    return b"".join(gzip.compress(data[at : at + step], 1) for at in range(0, len(data), step))


WANTED = [
    "PutKeyPolicy", "Decrypt", "AKIA1", "eu-west-1", "111122223333", "x\"PutKeyPolicy\"", "/", "", "none", "\U0001f511",
    "2026-01-01T00:00:00Z", "\x00\x1f\x7f", "\\", '{"eventName":"PutKeyPolicy"}', "kms.amazonaws.com", "eventName",
    "AKIA1/2",
]  # fmt: skip
BOUNDS = st.sampled_from([None, None, NOW, NOW + timedelta(hours=1), NOW + timedelta(days=1), NOW + timedelta(days=2)])

LITERALS = st.frozensets(
    st.builds(Literal, st.sampled_from(WANTED) | st.sampled_from([f"Absent{n}/" for n in range(40)]), BOUNDS, BOUNDS),
    min_size=1,
    max_size=40,
)
SIGHTINGS = st.lists(
    st.builds(
        Sighting,
        st.sampled_from([("eventName",), ("userIdentity", "accessKeyId"), ("requestParameters", "keyId")]),
        st.sampled_from(WANTED),
        st.sampled_from(["111122223333", ""]),
        BOUNDS.filter(bool),
    ),
    max_size=3,
)


def held_by(record: dict[str, object], literals: frozenset[Literal]) -> tuple[str, ...]:
    """The truth about literals."""
    strings, moment = set(strings_of(record)), event_time(record)
    return tuple(sorted({one.value for one in literals if one.value in strings and in_time(moment, one)}))


def in_time(moment: datetime | None, one: Literal) -> bool:
    if moment is None:
        return one.since is None and one.until is None
    return (one.since or moment) <= moment and (one.until is None or moment < one.until)


def answers(record: dict[str, object], one: Sighting) -> bool:
    value: object = record
    for step in one.path:
        value = value.get(step) if isinstance(value, dict) else None
    moment = event_time(record)
    return value == one.value and identity(record).account == one.account and moment is not None and moment < one.before


@given(
    some=st.lists(records(), min_size=0, max_size=5),
    write=writers(),
    slashes=st.booleans(),
    layout=st.sampled_from(sorted(LAYOUTS)),
    wanted=st.lists(LITERALS, min_size=1, max_size=2),
    queries=QUERIES | st.just([]),
    sightings=SIGHTINGS,
    members=st.integers(0, 2),
    since=BOUNDS,
    hold=st.sampled_from([64 * 1024**2, 1]),
    narrow=st.booleans(),
)
def test_literals_are_found_as_by_looking_at_every_value_of_every_record(
    some: list[dict[str, object]],
    write: Callable[[dict[str, object]], str],
    slashes: bool,
    layout: str,
    wanted: list[frozenset[Literal]],
    queries: list[str],
    sightings: list[Sighting],
    members: int,
    since: datetime | None,
    hold: int,
    narrow: bool,
) -> None:
    spelled = [write(record) for record in some]
    text = LAYOUTS[layout]([one.replace("/", "\\/") for one in spelled] if slashes else spelled)
    stored = compressed(text.encode("utf-8", "surrogatepass"), members)
    options = Options(limits=ReadLimits(hold_bytes=hold), since=since)
    patterns = [Pattern(f"q{n}", query) for n, query in enumerate(queries)]
    patterns += [Pattern(f"l{n}", literals=one) for n, one in enumerate(wanted)]
    compiled = [kql.compile(query, CATALOGUE, now=NOW) for query in queries]
    truth, seen = [], set()
    for item in read_items(inflate([stored], "f", options.limits), "f", options.limits):
        if isinstance(item, Record) and in_time(event_time(item.data), Literal("", since)):
            data, document = item.data, Document(item.data)
            truth += [(n, alert_id(f"q{n}", data), ()) for n, one in enumerate(compiled) if one.matches(document)]
            found = [(len(queries) + n, alert_id(f"l{n}", data), held_by(data, one)) for n, one in enumerate(wanted)]
            truth += [one for one in found if one[2]]
            seen |= {n for n, one in enumerate(sightings) if answers(data, one)}
    result = Result()
    examiner = Examiner(dispatch(patterns, now=NOW, narrow=narrow, sightings=sightings), options)
    examiner.examine([stored], "f", result)
    assert [(match.pattern, match.id, match.literals) for match in result.matches] == truth
    assert result.seen == seen


def every_query_on_every_record(stored: bytes, queries: list[str], options: Options) -> list[tuple[int, str]]:
    """The truth: no search, no index, no cutting."""
    compiled = [kql.compile(query, CATALOGUE, now=NOW) for query in queries]
    found = []
    for item in read_items(inflate([stored], "f", options.limits), "f", options.limits):
        if isinstance(item, Record):
            document = Document(item.data)
            found += [(n, alert_id(f"q{n}", item.data)) for n, one in enumerate(compiled) if one.matches(document)]
    return found


def examined(stored: bytes, queries: list[str], options: Options, narrow: bool = True) -> list[tuple[int, str]]:
    patterns = [Pattern(f"q{n}", query) for n, query in enumerate(queries)]
    examiner = Examiner(dispatch(patterns, now=NOW, narrow=narrow), options)
    result = Result()
    examiner.examine([stored], "f", result)
    return [(match.pattern, match.id) for match in result.matches]


@given(
    some=st.lists(records(), min_size=0, max_size=5),
    write=writers(),
    layout=st.sampled_from(sorted(LAYOUTS)),
    queries=QUERIES,
    members=st.integers(0, 3),
    check=st.booleans(),
)
def test_the_fast_way_finds_what_the_slow_way_finds(
    some: list[dict[str, object]],
    write: Callable[[dict[str, object]], str],
    layout: str,
    queries: list[str],
    members: int,
    check: bool,
) -> None:
    text = LAYOUTS[layout]([write(record) for record in some])
    stored = compressed(text.encode("utf-8", "surrogatepass"), members)
    options = Options(limits=ReadLimits(), check=check)
    truth = every_query_on_every_record(stored, queries, options)
    assert examined(stored, queries, options) == truth
    assert examined(stored, queries, options, narrow=False) == truth
    # An object too large to hold is streamed, and that finds the same.
    streamed = Options(limits=ReadLimits(hold_bytes=1))
    assert examined(stored, queries, streamed) == truth
