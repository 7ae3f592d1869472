"""The fast way through an object finds exactly what running every query on every record finds, whatever the bytes."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from keytrail import query as kql
from keytrail.cloudtrail import CATALOGUE, Document, ReadLimits, Record, inflate, read_items
from keytrail.detect import alert_id
from keytrail.search import Options, Pattern, Result, dispatch
from keytrail.search.examine import Examiner

NOW = datetime(2026, 1, 1, tzinfo=UTC)

# Few values, so that queries meet records often.
NAMES = ["PutKeyPolicy", "Decrypt", "GetObject", "CreateKey", "AssumeRole", "Put", "Key"]
PROVIDERS = ["kms.amazonaws.com", "s3.amazonaws.com", "sts.amazonaws.com"]
TYPES = ["IAMUser", "AssumedRole", "AWSService"]
CODES = ["AccessDenied", "ThrottlingException", None]

names, providers, types = st.sampled_from(NAMES), st.sampled_from(PROVIDERS), st.sampled_from(TYPES)

# Values that fast parsers disagree about, or that look like what the search is after.
odd_values = st.one_of(
    st.sampled_from(
        [
            10**25, -(10**19), 2**64, 1.5, -0.0, 1e308, float("nan"), float("inf"), True, False, None, "", "-",
            "none", [], {}, "\ud800", "\U0001f511", '{"eventName":"PutKeyPolicy"}', 'x"PutKeyPolicy"', "\\", "/",
            "\x00\x1f\x7f",
            {"eventName": "PutKeyPolicy", "eventVersion": "1.09"},
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
            st.fixed_dictionaries({"type": types}, optional={"accessKeyId": st.sampled_from(["AKIA1", "AKIA2"])})
        ),
        "eventTime": draw(st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "never"])),
        "eventSource": draw(providers),
        "eventName": draw(names | st.just(7) | st.none()),
        "awsRegion": "eu-west-1",
        "requestParameters": draw(parameters),
        "eventID": draw(st.uuids().map(str)),
        "recipientAccountId": "111122223333",
    }
    if (code := draw(st.sampled_from(CODES))) is not None:
        record["errorCode"] = code
    for key in draw(st.sets(st.sampled_from(["eventName", "eventSource", "userIdentity", "eventID"]), max_size=1)):
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
