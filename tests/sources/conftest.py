"""A real S3 (moto's HTTP server) and buckets in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from keytrail.aws import AwsSettings, client
from keytrail.sources import SourceSettings


@pytest.fixture(scope="module", autouse=True)
def _credentials(aws_credentials: None) -> None:
    """Every test here asks a test server."""


@pytest.fixture
def settings(endpoint: str) -> SourceSettings:
    return SourceSettings(aws=AwsSettings(region="us-east-1", endpoint_url=endpoint, max_attempts=1))


@pytest.fixture
def bucket(settings: SourceSettings, request: pytest.FixtureRequest) -> str:
    """A new bucket, empty."""
    name = f"trail-{abs(hash(request.node.nodeid)) % 10**12}"
    client("s3", settings.aws).create_bucket(Bucket=name)
    return name


@pytest.fixture
def fill(settings: SourceSettings, bucket: str) -> Callable[[list[str]], None]:
    """Put objects with these keys, each holding its key."""

    def put(keys: list[str]) -> None:
        for key in keys:
            client("s3", settings.aws).put_object(Bucket=bucket, Key=key, Body=key.encode())

    return put


@pytest.fixture
def listings(settings: SourceSettings) -> Iterator[list[dict[str, str]]]:
    """The parameters of every list call that goes over the wire from here on."""
    calls: list[dict[str, str]] = []

    def record(request: object, **_: object) -> None:
        query = parse_qs(urlsplit(str(request.url)).query, keep_blank_values=True)  # type: ignore[attr-defined]
        calls.append({name: values[0] for name, values in query.items()})

    events = client("s3", settings.aws).meta.events
    events.register("before-send.s3.ListObjectsV2", record)
    yield calls
    events.unregister("before-send.s3.ListObjectsV2", record)
