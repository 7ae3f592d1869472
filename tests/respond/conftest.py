"""KMS, IAM and STS (moto's HTTP server) behind a proxy that can answer worse."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.servers.proxy import Proxy, proxying


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


@pytest.fixture(scope="module")
def proxied(endpoint: str) -> Iterator[Proxy]:
    with proxying(endpoint) as proxy:
        yield proxy


@pytest.fixture
def proxy(proxied: Proxy) -> Proxy:
    """The proxy, with nothing planned and nothing asked yet."""
    proxied.clear()
    return proxied
