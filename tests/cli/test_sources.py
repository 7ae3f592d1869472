"""Where archives may lie: the options that say how to reach them get there, and failures are told apart."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any
OBJECT = (
    "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/01/111122223333_CloudTrail_eu-west-1_20260301T0805Z_a.json.gz"
)


@pytest.fixture(autouse=True)
def _one_process(aws_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes have the environment of when the first of them was made, which an earlier test may have had."""
    monkeypatch.setenv("KEYTRAIL_SCAN__JOBS", "1")


def test_a_bucket_by_its_address(keytrail: Keytrail, endpoint: str) -> None:
    import boto3

    s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    s3.create_bucket(Bucket="trail")
    s3.put_object(Bucket="trail", Key=OBJECT, Body=gzip.compress(json.dumps({"Records": [keytrail.record()]}).encode()))
    s3.close()
    flags = ("--endpoint-url", endpoint, "--region", "us-east-1")
    result = keytrail("scan", "s3://trail", *flags, "--since", "2026-03-01", "--until", "2026-03-02")
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1
    assert keytrail("query", "event.action: PutKeyPolicy", "s3://trail", *flags).exit_code == 0
    missing = keytrail("scan", "s3://no-such-bucket", *flags)
    assert (missing.exit_code, missing.stdout) == (4, "")
    assert "no-such-bucket" in missing.stderr


def test_a_server_that_is_not_there(keytrail: Keytrail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYTRAIL_AWS__MAX_ATTEMPTS", "1")
    result = keytrail("scan", "s3://trail", "--endpoint-url", "http://127.0.0.1:9", "--region", "us-east-1")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "cannot be reached" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["s3://trail", "--region", "atlantis"], "aws.region"),
        (["s3://trail", "--role-arn", "admin"], "aws.role_arn"),
        (["s3://trail", "--endpoint-url", "ftp://x"], "aws.endpoint_url"),
        (["ftp://trail"], "ftp://"),
    ],
)
def test_what_cannot_be_a_source(keytrail: Keytrail, arguments: list[str], said: str) -> None:
    result = keytrail("scan", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_geography_needs_a_database(keytrail: Keytrail, tmp_path: Path) -> None:
    archive = keytrail.archive(tmp_path / "a.json", [keytrail.record()])
    result = keytrail("scan", archive, "--geoip", tmp_path / "no-such.mmdb")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no-such.mmdb" in result.stderr


def test_real_archives_are_read_to_the_end(keytrail: Keytrail, shared: Path) -> None:
    folder = shared / "cloudtrail"
    result = keytrail("scan", folder, "--check")
    assert result.exit_code == 0, result.stderr
    assert "warning" not in result.stderr
    documents = keytrail("ecs", folder)
    assert documents.exit_code == 0
    assert len(documents.stdout.splitlines()) > 1000
