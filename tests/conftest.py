"""What all tests share: Hypothesis profiles, the real archives beside the checkout, and honest skips."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from tests.servers.proxy import Proxy, proxying

# Hypothesis times examples on the wall clock, which a busy machine makes meaningless. The default examples are the same
# in every run, so that a change is judged by what it changed; `make fuzz` looks for new ones.
settings.register_profile("default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real archives and expectations; skips where the checkout stands alone."""
    if not SHARED.is_dir():
        pytest.skip(f"no shared data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """The address of a real S3 and STS: moto's HTTP server."""
    try:
        from moto.server import ThreadedMotoServer
    except ImportError:
        require("moto", "moto[s3,server] from PyPI")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def aws_credentials() -> Iterator[None]:
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
    """A proxy in front of moto that can answer worse, with nothing planned and nothing asked yet."""
    proxied.clear()
    return proxied


def require(name: str, package: str) -> NoReturn:
    """Skip because `name` is absent, naming the `package` to install; fail where KEYTRAIL_REQUIRE lists it."""
    message = f"{name} is not installed: install {package}"
    if name in os.environ.get("KEYTRAIL_REQUIRE", "").split(","):
        pytest.fail(message)
    pytest.skip(message)
