"""Document gives, field by field, what normalize gives as a whole, for any JSON object."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.cloudtrail import CATALOGUE, Document, normalize
from keytrail.cloudtrail.javatext import java_scalar

ARCHIVES = Path(__file__).parents[2] / "../shared/data/cloudtrail"

# -- records ----------------------------------------------------------------------------------------------------------

words = st.sampled_from(["", "-", "none", "a", "a@b.c", "i-0123456789", "1.2.3.4", "::1", "2026-03-01T10:00:00Z"])
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | words | st.text(max_size=8)
keys = st.sampled_from(["a", "b", "a.b", "userName", "userId", "instanceId", "items", "key", "arn"]) | st.text(
    max_size=4
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=8
)


def objects(**members: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Objects with some of the members, most of them of the right type, and now and then anything else."""
    return st.fixed_dictionaries({}, optional={name: one | values for name, one in members.items()}) | values


def texts(*choices: str) -> st.SearchStrategy[object]:
    return st.sampled_from(choices) | words


SERVICE_ROLE = "arn:aws:iam::1:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX"
identities = objects(
    type=texts("AssumedRole", "FederatedUser", "IdentityCenterUser", "AWSService", "IAMUser", "Root"),
    arn=texts("arn:aws:sts::1:assumed-role/r/s@x", "arn:aws-cn:sts::1:assumed-role/r/s", "arn::sts:/", "arn:x", "i-1"),
    userName=words,
    principalId=words,
    accountId=words,
    invokedBy=texts("x.amazonaws.com"),
    onBehalfOf=objects(userId=words, identityStoreArn=words),
    sessionContext=objects(
        attributes=objects(creationDate=texts("20260301T101112Z"), mfaAuthenticated=texts("true")),
        sessionIssuer=objects(arn=texts(SERVICE_ROLE, "arn:aws:iam::1:role/r"), userName=words),
        webIdFederationData=objects(attributes=values),
    ),
)
instances = st.lists(objects(instanceId=words, subnetId=words, vpcId=words, groupId=words), max_size=3)
parameters = objects(
    userName=words,
    newUserName=words,
    groupName=values,
    roleArn=texts("arn:aws:iam::1:role/r"),
    groupId=texts("sg-1"),
    target=texts("i-0123456789"),
    instanceIds=st.lists(texts("*", "i-0123456789"), max_size=2),
    targets=st.lists(objects(values=st.lists(words, max_size=2)), max_size=2),
    instancesSet=objects(items=instances),
    computerName=words,
)
responses = objects(
    ConsoleLogin=texts("Success", "Failure"),
    user=objects(userId=words, arn=words),
    group=objects(groupId=words),
    securityGroupRuleSet=objects(items=instances),
    instancesSet=objects(items=instances),
    vpcConfig=objects(securityGroupIds=st.lists(words, max_size=2)),
)
EVENTS = ("PutKeyPolicy", "DisableKey", "ConsoleLogin", "UserAuthentication", "AssumeRole", "SendCommand", "CreateUser")
SERVICES = ("kms", "sts", "ssm", "ec2", "iam", "lambda", "signin", "s3")
records = objects(
    eventName=texts(*EVENTS, "AuthorizeSecurityGroupIngress", "AddPermission20150331"),
    eventSource=texts(*(f"{name}.amazonaws.com" for name in SERVICES), "kms.example.com"),
    eventTime=words,
    awsRegion=words,
    sourceIPAddress=texts("host.example.com", "x.amazonaws.com"),
    userAgent=texts("aws-cli/1.3.2 Python/2.7.5 Windows/7"),
    errorCode=words,
    errorMessage=words,
    userIdentity=identities,
    requestParameters=parameters,
    responseElements=responses,
    additionalEventData=objects(UserName=words, MobileVersion=texts("No"), MFAUsed=texts("Yes"), LoginTo=words),
    serviceEventDetails=objects(sourceIpAddress=words),
    resources=st.lists(
        objects(ARN=texts("arn:aws:ec2:::instance/i-0123456789"), accountId=words, type=words), max_size=3
    ),
    tlsDetails=objects(
        tlsVersion=texts("TLSv1.3", "tlsVersion"), clientProvidedHostHeader=texts("h.x"), cipherSuite=words
    ),
    recipientAccountId=words,
    managementEvent=st.booleans(),
    readOnly=st.booleans(),
    sharedEventID=words,
    insightDetails=values,
    digestEndTime=words,
    previousDigestHashValue=words,
    awsAccountId=words,
).map(lambda record: record if isinstance(record, dict) else {"requestParameters": record})


class Places:
    """A look-up that knows every address."""

    def look_up(self, address: str) -> dict[str, object]:
        return {"geo": {"country_iso_code": "DE", "location": {"lat": 1.5, "lon": 2}}, "as": {"number": 64496}}


# -- the meaning of "the leaves of a document at a field", written from the definition --------------------------------


FLATTENED = [name for name in CATALOGUE.names() if CATALOGUE.type_of(name) == "flattened"]


def leaves(document: dict[str, object]) -> dict[str, list[object]]:
    """Field -> its values, for every field that has some."""
    found: dict[str, list[object]] = {}
    for name, value in every_leaf(document, ""):
        root = next((root for root in FLATTENED if name.startswith(f"{root}.")), None)
        if root is None:
            found.setdefault(name, []).append(value)
            if CATALOGUE.type_of(f"{name}.text") == "text":
                found.setdefault(f"{name}.text", []).append(value)
        else:
            found.setdefault(name, []).append(java_scalar(value))
            found.setdefault(root, []).append(java_scalar(value))
    return found


def every_leaf(value: object, name: str) -> Iterator[tuple[str, object]]:
    if CATALOGUE.type_of(name) == "geo_point":
        assert isinstance(value, dict)
        yield name, f"{value['lat']},{value['lon']}"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from every_leaf(item, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for item in value:
            yield from every_leaf(item, name)
    else:
        yield name, value


def assert_equal_views(record: dict[str, object], **options: Any) -> None:
    whole = normalize(record, **options)
    expected = leaves(whole)
    for field in {*expected, *CATALOGUE.names(), "user", "aws.cloudtrail", "a.b", "process.name"}:
        # A fresh document for each field: no value may depend on what was asked before.
        values = Document(record, **options).values(field)
        assert sorted(values, key=repr) == sorted(expected.get(field, ()), key=repr), field
    document = Document(record, **options)
    assert set(document.fields()) == set(expected) - set(FLATTENED)
    assert json.dumps(document.to_dict()) == json.dumps(whole)


@settings(max_examples=60, deadline=None)
@given(records)
def test_every_field_equals_the_whole(record: dict[str, object]) -> None:
    before = copy.deepcopy(record)
    assert_equal_views(record, geo=Places(), ingested="2026-03-02T00:00:00Z")
    assert record == before


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=6), values, max_size=6))
def test_any_json_object_is_mapped(record: dict[str, object]) -> None:
    document = normalize(record)
    assert document["event"]["kind"] in ("event", "pipeline_error")  # type: ignore[index]
    json.dumps(document)


@settings(max_examples=200, deadline=None)
@given(records)
def test_a_raw_path_holds_the_string_that_the_field_shows(record: dict[str, object]) -> None:
    document = Document(record)
    for field in CATALOGUE.names():
        path = CATALOGUE.raw_path(field)
        for value in document.values(field) if path else ():
            if isinstance(value, str):
                raw: object = record
                for key in path or ():
                    assert isinstance(raw, dict)
                    raw = raw[key]
                assert raw == value, field


@settings(max_examples=40, deadline=None)
@given(records)
def test_every_field_that_is_filled_is_mapped(record: dict[str, object]) -> None:
    for field in Document(record, geo=Places()).fields():
        # Other keys of a resource are kept without being mapped.
        assert CATALOGUE.type_of(field) is not None or field.startswith("aws.cloudtrail.resources."), field


# -- particular promises ----------------------------------------------------------------------------------------------


def test_flattened_children_are_found_by_their_dotted_path() -> None:
    parameters = {
        "a": {"b": [1, {"c": True}, "x"], "b.c": "dotted"},
        "a.b": 1.5,
        "list": [{"k": 1e10}, {"k": "-"}, [{"k": "v"}]],
        "": {"": "empty"},
    }
    document = Document({"requestParameters": parameters})
    root = "aws.cloudtrail.flattened.request_parameters"
    assert document.values(f"{root}.a.b") == ("1", "x", "1.5")
    assert document.values(f"{root}.a.b.c") == ("true", "dotted")
    assert document.values(f"{root}.list.k") == ("1.0E10", "v")
    assert document.values(f"{root}..") == ("empty",)
    assert document.values(f"{root}.a") == ()
    assert set(document.values(root)) == {"1", "true", "x", "dotted", "1.5", "1.0E10", "v", "empty"}
    assert document.objects("aws.cloudtrail.resources") == ()


@pytest.mark.parametrize(("length", "flattened"), [(32761, True), (32762, False)])
def test_a_long_text_has_no_flattened_form(length: int, flattened: bool) -> None:
    # {k=…} adds four units; a character beyond the basic plane counts two.
    value = "\N{KEY}" * 8000 + "x" * (length - 16000 + 1)
    document = Document({"requestParameters": {"k": value[:-1] if flattened else value}})
    text = document.values("aws.cloudtrail.request_parameters")[0]
    assert text == f"{{k={value[:-1] if flattened else value}}}"
    assert bool(document.values("aws.cloudtrail.flattened.request_parameters.k")) is flattened


def test_ingested_is_the_event_time_unless_given() -> None:
    record: dict[str, object] = {"eventTime": "2026-03-01T10:00:00Z"}
    assert Document(record).values("event.ingested") == ("2026-03-01T10:00:00.000Z",)
    later = datetime(2026, 3, 1, 10, 5, tzinfo=UTC)
    assert Document(record, ingested=later).values("event.ingested") == ("2026-03-01T10:05:00.000Z",)
    assert normalize(record, ingested="2026-03-01T11:05:00+01:00")["event"]["ingested"] == "2026-03-01T10:05:00.000Z"  # type: ignore[index]
    assert normalize({"eventTime": "soon"})["error"] == {"message": ["eventTime: not a date in ISO 8601"]}


def test_nesting_is_bounded() -> None:
    value: object = "x"
    for _ in range(600):
        value = {"a": [value]}
    record: dict[str, object] = {
        "eventName": "E",
        "requestParameters": {"deep": value, "flat": 1},
        "resources": [value],
    }
    document = Document(record)
    assert document.values("aws.cloudtrail.request_parameters") == ("{flat=1}",)
    assert document.values("aws.cloudtrail.flattened.request_parameters.flat") == ("1",)
    assert "event.kind" in set(document.fields())


@pytest.mark.skipif(not ARCHIVES.is_dir(), reason=f"no real archives in {ARCHIVES}")
def test_real_archives_map_without_error() -> None:
    counted: Counter[str] = Counter()
    mapped: Counter[object] = Counter()
    record: dict[str, object]
    for path in sorted(ARCHIVES.rglob("*.json")):
        held = json.loads(path.read_text())
        for number, record in enumerate(held["Records"] if isinstance(held, dict) else held):
            document = normalize(record)
            assert "error" not in document
            counted[str(record["eventName"])] += 1
            mapped[document["event"]["action"]] += 1  # type: ignore[index]
            if number % 200 == 0:
                assert_equal_views(record)
    assert counted == mapped
    assert counted
