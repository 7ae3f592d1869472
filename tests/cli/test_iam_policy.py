"""`keytrail config iam-policy`: a policy on stdout as IAM takes it, what it cannot say on stderr."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any

SETTINGS = """\
[watch]
sources = ["https://sqs.eu-west-1.amazonaws.com/111122223333/trail", "aws://eu-west-1?role=arn:aws:iam::444455556666:role/look"]

[feeds]
sqs_buckets = ["trail"]

[[notify.sinks]]
name = "chat"
kind = "slack"
url = "https://hooks.slack.example/SECRET"

[[notify.sinks]]
name = "topic"
kind = "sns"
topic_arn = "arn:aws:sns:eu-west-1:111122223333:alerts"
"""


def test_the_policy_is_printed_and_what_it_cannot_say_beside_it(keytrail: Keytrail) -> None:
    Path("keytrail.toml").write_text(SETTINGS)
    result = keytrail("config", "iam-policy")
    assert result.exit_code == 0
    policy = json.loads(result.stdout)
    assert [one["Sid"] for one in policy["Statement"]] == [
        "ReadTheTrail", "ReceiveFromQueues", "TellBySns", "UseOtherRoles",
    ]  # fmt: skip
    assert policy["Statement"][0]["Resource"] == ["arn:aws:s3:::trail/*"]
    assert "kms:Decrypt" in result.stderr
    assert "SECRET" not in result.output
    of_role = keytrail("config", "iam-policy", "--role", "arn:aws:iam::444455556666:role/look")
    assert [one["Action"] for one in json.loads(of_role.stdout)["Statement"]] == [["cloudtrail:LookupEvents"]]


def test_a_role_that_is_not_named_is_an_error(keytrail: Keytrail) -> None:
    Path("keytrail.toml").write_text(SETTINGS)
    result = keytrail("config", "iam-policy", "--role", "arn:aws:iam::444455556666:role/other")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "role/look" in result.stderr


def test_settings_without_aws_need_no_policy(keytrail: Keytrail) -> None:
    result = keytrail("config", "iam-policy", env={"KEYTRAIL_WATCH__SOURCES": "./AWSLogs"})
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no source of [watch], no look of [policies] and no sink needs AWS" in result.stderr
