"""Clients: settings reach them, roles are assumed, processes do not share them, and boto3 waits until it is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from keytrail.aws import AwsSettings, client, forget, session_region, sessions
from keytrail.errors import SourceError

ROLE = "arn:aws:iam::123456789012:role/reader"


@pytest.mark.usefixtures("_credentials")
def test_settings_reach_the_client() -> None:
    settings = AwsSettings(
        region="eu-west-1",
        endpoint_url="http://127.0.0.1:9",
        connect_timeout_seconds=3.5,
        read_timeout_seconds=7,
        max_attempts=2,
    )
    s3 = client("s3", settings)
    assert s3.meta.endpoint_url == "http://127.0.0.1:9"
    assert s3.meta.region_name == "eu-west-1"
    config = s3.meta.config
    assert (config.connect_timeout, config.read_timeout) == (3.5, 7)  # type: ignore[attr-defined]
    assert config.retries["total_max_attempts"] == 2  # type: ignore[attr-defined]
    assert client("cloudtrail", settings, "us-east-2").meta.region_name == "us-east-2"


@pytest.mark.usefixtures("_credentials")
def test_the_same_settings_give_the_same_client() -> None:
    settings = AwsSettings(region="eu-west-1")
    assert client("s3", settings) is client("s3", AwsSettings(region="eu-west-1"))
    assert client("s3", settings) is not client("s3", settings, "us-east-1")
    assert client("s3", settings) is not client("s3", replace(settings, max_attempts=1))


@pytest.mark.usefixtures("_credentials")
def test_what_is_forgotten_is_made_anew_and_nothing_else() -> None:
    settings, other = AwsSettings(region="eu-west-1"), AwsSettings(region="eu-west-1", role_arn=ROLE)
    first, kept = client("kms", settings), client("kms", other)
    forget(settings)
    assert client("kms", settings) is not first
    assert client("kms", other) is kept
    forget(AwsSettings(region="nowhere-1"))


@pytest.mark.usefixtures("_credentials")
def test_sessions_read_the_descriptions_of_services_once() -> None:
    made = [sessions._session(AwsSettings(region="eu-west-1", role_arn=ROLE + name)) for name in "ab"]
    loaders = [one._session.get_component("data_loader") for one in made]
    assert loaders[0] is loaders[1]
    assert len(loaders[0].search_paths) == len(set(loaders[0].search_paths))


def test_a_profile_gives_credentials_and_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile team]\nregion = ap-south-1\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = x\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    assert session_region(AwsSettings(profile="team")) == "ap-south-1"
    assert session_region(AwsSettings(profile="team", region="eu-west-1")) == "eu-west-1"
    assert session_region(AwsSettings()) == ""
    with pytest.raises(SourceError, match="the AWS profile 'other' is not in the AWS configuration") as missing:
        client("s3", AwsSettings(profile="other"))
    assert "list-profiles" in missing.value.advice


@pytest.mark.usefixtures("_credentials")
def test_a_role_is_assumed_once_and_signs_the_calls(endpoint: str) -> None:
    settings = AwsSettings(role_arn=ROLE, external_id="for-keytrail", endpoint_url=endpoint, region="eu-west-1")
    sts = client("sts", settings)
    keys: list[str] = []

    def note(request: object, **_: object) -> None:
        found = re.search(rb"Credential=([^/]+)/", request.headers["Authorization"])  # type: ignore[attr-defined]
        assert found is not None
        keys.append(found[1].decode())

    sts.meta.events.register("before-send.sts.GetCallerIdentity", note)
    identity = sts.get_caller_identity()
    sts.get_caller_identity()
    assert identity["Arn"] == "arn:aws:sts::123456789012:assumed-role/reader/keytrail"
    assert keys[0] == keys[1]
    assert keys[0].startswith("ASIA")


def test_a_role_needs_credentials_to_assume_it(endpoint: str) -> None:
    with pytest.raises(SourceError, match="no AWS credentials found"):
        client("sts", AwsSettings(role_arn=ROLE, endpoint_url=endpoint, region="eu-west-1"))


FORK = """
import os
from keytrail.aws import AwsSettings, client
settings = AwsSettings(region="eu-west-1")
made = client("s3", settings)
if (child := os.fork()) == 0:
    os._exit(0 if client("s3", settings) is not made else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), client("s3", settings) is made)
"""


def test_a_forked_process_makes_its_own_clients() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    assert done.stdout == "0 True\n"


def test_importing_does_not_import_boto3() -> None:
    code = "import sys, keytrail.aws, keytrail.sources; print({'boto3', 'botocore'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
