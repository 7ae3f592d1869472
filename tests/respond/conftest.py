"""KMS, IAM and STS (moto's HTTP server), behind a proxy where a test wants it."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _credentials(aws_credentials: None) -> None:
    """Every test here asks a test server."""
