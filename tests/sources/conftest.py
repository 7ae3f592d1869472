"""A real S3 (moto's HTTP server) and buckets in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from keytrail.aws import AwsSettings, client
from keytrail.sources import SourceSettings


@pytest.fixture(scope="module", autouse=True)
def _credentials() -> Iterator[None]:
    """Credentials for the test servers, and nothing of the machine's own AWS configuration."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTESTTESTTEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
        yield


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
