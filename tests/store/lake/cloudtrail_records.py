"""Records as tests of the lake need them: plain ones, odd ones, and the ways in which an object spells them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pyarrow as pa
from hypothesis import strategies as st

from keytrail.cloudtrail import Json, ReadLimits
from keytrail.store.lake.columns import table_of
from keytrail.store.lake.rows import read_rows

LIMITS = ReadLimits()
NOW = datetime(2026, 6, 1, 12, 0, 0, 500, tzinfo=UTC)

# What may stand where a string does: other types, placeholders, text that no UTF-8 can hold, what looks like JSON.
_ODD = st.one_of(
    st.sampled_from(
        [
            None, "", "-", "none", 0, 1.5, 10**25, float("inf"), True, False, [], {}, {"arn": "x"}, ["x"], "\ud800",
            "a\udfff", "\U0001f511", 'é/\\"', "\x00", '{"eventName":"x"}', "\ufffd", [{"ARN": "x"}], {"ARN": "x"},
            "x" * 5_000,
        ]
    ),
    st.text(max_size=5),
)  # fmt: skip

_TIMES = st.sampled_from(
    [
        "2026-03-01T08:00:00Z", "2026-03-01T08:00:00.123456789Z", "2026-03-01T10:00:00+02:00", "2026-03-01",
        "20260301T080000Z", "2026-03-01T08:00:00", "never", "2026-02-31T00:00:00Z", "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59.999999Z",
    ]
)  # fmt: skip


def _or_odd(usual: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    # One member in ten: so most records are plain but for a member or two.
    return st.integers(0, 9).flatmap(lambda dice: usual if dice else _ODD)


def _some(members: dict[str, st.SearchStrategy[object]]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional={name: _or_odd(usual) for name, usual in members.items()})


_WORDS: Callable[[Sequence[object]], st.SearchStrategy[object]] = st.sampled_from

_CALLER = _some(
    {
        "type": _WORDS(["IAMUser", "AssumedRole", "Root"]),
        "principalId": _WORDS(["AIDA1"]),
        "arn": _WORDS(["arn:aws:iam::111122223333:user/a", "arn:aws:iam::111122223333:user/é"]),
        "accountId": _WORDS(["111122223333", "444455556666"]),
        "accessKeyId": _WORDS(["AKIA1", "ASIA2"]),
        "sessionContext": _some({"sessionIssuer": _some({"arn": _WORDS(["arn:aws:iam::111122223333:role/r"])})}),
    }
)

RECORDS: st.SearchStrategy[Json] = _some(
    {
        "eventVersion": _WORDS(["1.09"]),
        "userIdentity": _CALLER,
        "eventTime": _TIMES,
        "eventSource": _WORDS(["kms.amazonaws.com", "signin.amazonaws.com"]),
        "eventName": _WORDS(["Decrypt", "PutKeyPolicy", "ConsoleLogin"]),
        "awsRegion": _WORDS(["eu-west-1", "us-east-1"]),
        "sourceIPAddress": _WORDS(["192.0.2.1", "kms.amazonaws.com"]),
        "userAgent": _WORDS(["aws-cli/2", "Zoë"]),
        "errorCode": _WORDS(["AccessDenied", "-"]),
        "errorMessage": _WORDS(["no", ""]),
        "requestParameters": _ODD,
        "responseElements": st.none() | _some({"ConsoleLogin": _WORDS(["Success", "Failure"])}),
        "eventID": _WORDS(["e1", "e2", "e3"]),
        "readOnly": st.booleans(),
        "resources": st.lists(_some({"ARN": _WORDS(["arn:aws:kms:eu-west-1:111122223333:key/1"])}), max_size=2),
        "eventType": _WORDS(["AwsApiCall"]),
        "managementEvent": st.booleans(),
        "recipientAccountId": _WORDS(["111122223333", "444455556666"]),
    }
)
"""Records, few of their values different, most plain but for a member or two. Some are no event at all."""

EXTRAS = st.sampled_from(
    [
        {}, {}, {}, {"detail": {"eventName": "x"}}, {"detail-type": "x", "detail": {"eventName": "y", "eventID": "z"}},
        {"detail": 1}, {"insightDetails": None}, {"insightDetails": {}}, {"eventType": "AwsCloudTrailInsight"},
        {"CloudTrailEvent": '{"eventName":"w"}'}, {"CloudTrailEvent": 1}, {"eventJson": "no JSON"},
        {"eventJson": None}, {"digestStartTime": "x"}, {"Records": [{"eventName": "v", "eventID": "1"}]},
        {"Events": []}, {"Events": 1}, {"big": 10**4250 + 1}, {"deep": [[[[[[[[[[]]]]]]]]]]},
    ]
)  # fmt: skip
"""Members with which a record is perhaps none, or holds another."""


def compact(record: Json) -> str:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


def escaped(record: Json) -> str:
    """With letters of names and values as escapes."""
    return json.dumps(record).replace("e", "\\u0065").replace("/", "\\/")


def repeated(record: Json) -> str:
    """With a first member of each name that does not count."""
    first = ",".join(f"{json.dumps(name)}:{value}" for name, value in zip(record, _OTHERS * 9, strict=False))
    return "{" + first + "," + compact(record)[1:] if record else "{}"


_OTHERS = ['"other"', "null", "7", '{"arn":"other"}']

SPELLINGS: dict[str, Callable[[Json], str]] = {
    "compact": compact,
    "blanks": json.dumps,
    "escaped": escaped,
    "repeated": repeated,
}

LAYOUTS: dict[str, Callable[[list[str]], str]] = {
    "delivery": lambda some: '{"Records":[' + ",".join(some) + "]}",
    "array": lambda some: "[" + " , ".join(some) + "]\n",
    "lines": lambda some: "\n".join(some) + "\n",
    "crowded": lambda some: "".join(some),
    "EventBridge": lambda some: "\n".join(f'{{"version":"0","detail-type":"x","detail":{one}}}' for one in some),
    "LookupEvents": lambda some: json.dumps({"Events": [{"EventId": "1", "CloudTrailEvent": one} for one in some]}),
    "Lake": lambda some: json.dumps({"QueryResultRows": [[{"a": "b"}, {"eventJson": one}] for one in some]}),
}


def encoded(text: str) -> bytes:
    """As a file holds it: a lone surrogate that is not written as an escape becomes one."""
    return text.encode("utf-8", "backslashreplace")


def stored(data: bytes, cuts: Sequence[int] = ()) -> bytes:
    """As gzip, in as many members as the cuts make."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return b"".join(gzip.compress(data[a:b], 1) for a, b in pairwise(edges))


def table(records: Sequence[Json], name: str = "a.json.gz", ingested: datetime = NOW) -> pa.Table:
    """The records as a table of the lake, read from an object that holds them."""
    data = encoded(LAYOUTS["delivery"]([compact(one) for one in records]))
    return pa.concat_tables([table_of(rows, name, ingested) for rows in read_rows([data], name, LIMITS)])


def event(id: str, second: int = 0, *, account: str = "111122223333", **more: object) -> Json:
    """A small event of 2026-03-01."""
    record: Json = {
        "eventTime": f"2026-03-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z",
        "eventSource": "kms.amazonaws.com",
        "eventName": "Decrypt",
        "awsRegion": "eu-west-1",
        "eventID": id,
        "recipientAccountId": account,
    }
    return record | more
