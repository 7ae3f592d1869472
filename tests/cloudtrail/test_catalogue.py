"""The published catalogue of field types."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keytrail import query as kql
from keytrail.cloudtrail import CATALOGUE, Document
from keytrail.cloudtrail.catalogue import RESOURCES
from keytrail.cloudtrail.parts import PART_OF

IDENTITY = "aws.cloudtrail.user_identity"


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("event.action", "keyword"),
        ("event.dataset", "constant_keyword"),
        ("data_stream.namespace", "constant_keyword"),
        ("@timestamp", "date"),
        (f"{IDENTITY}.session_context.creation_date", "date"),
        ("aws.cloudtrail.read_only", "boolean"),
        ("aws.cloudtrail.management_event", "keyword"),
        (f"{IDENTITY}.session_context.mfa_authenticated", "keyword"),
        ("source.ip", "ip"),
        ("source.as.number", "long"),
        ("source.geo.location", "geo_point"),
        ("aws.cloudtrail.request_parameters", "keyword"),
        ("aws.cloudtrail.request_parameters.text", "text"),
        ("aws.cloudtrail.resources.arn", "keyword"),
        ("aws.cloudtrail.flattened.request_parameters", "flattened"),
        ("aws.cloudtrail.flattened.request_parameters.x-amz-acl", "flattened"),
        (f"{IDENTITY}.session_context.web_id_federation_data.attributes.sub", "flattened"),
        ("error.message", "text"),
        ("aws.cloudtrail.flattened.request_parametersx", None),
        ("aws.cloudtrail", None),
        ("user", None),
        ("process.name", None),
        ("event.action.text", None),
    ],
)
def test_types(field: str, kind: str | None) -> None:
    assert CATALOGUE.type_of(field) == kind


def test_constants() -> None:
    constant = {name: CATALOGUE.constant_of(name) for name in CATALOGUE.names() if CATALOGUE.constant_of(name)}
    assert constant == {
        "event.dataset": "aws.cloudtrail",
        "event.module": "aws",
        "data_stream.type": "logs",
        "data_stream.dataset": "aws.cloudtrail",
        "data_stream.namespace": "default",
    }


def test_every_field_of_the_mapping_has_a_type() -> None:
    assert set(PART_OF) - {RESOURCES} <= set(CATALOGUE.names())


@pytest.mark.parametrize(
    "field",
    [
        "cloud.account.id",
        "user.name",
        "event.outcome",
        "aws.cloudtrail.request_parameters",
        "event.dataset",
        "source.ip",
    ],
)
def test_computed_fields_have_no_raw_path(field: str) -> None:
    assert CATALOGUE.raw_path(field) is None


def test_raw_paths() -> None:
    assert CATALOGUE.raw_path("event.action") == ("eventName",)
    assert CATALOGUE.raw_path("event.provider") == ("eventSource",)
    assert CATALOGUE.raw_path("cloud.region") == ("awsRegion",)
    assert CATALOGUE.raw_path(f"{IDENTITY}.session_context.session_issuer.arn") == (
        "userIdentity",
        "sessionContext",
        "sessionIssuer",
        "arn",
    )


def test_a_value_too_long_for_elastics_index_matches_unless_strict() -> None:
    document = Document({"requestParameters": {"policy": "x" * 9000}})
    query = "aws.cloudtrail.request_parameters: *xxx*"
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert kql.compile(query, CATALOGUE, now=now).matches(document)
    assert not kql.compile(query, CATALOGUE, now=now, strict=True).matches(document)
