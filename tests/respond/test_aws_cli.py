"""The commands of the AWS CLI for a plan, run by a real shell with an `aws` that notes what it was given."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail.errors import UsageError
from keytrail.respond.aws_cli import plain_json, script
from keytrail.respond.model import Basis, Plan
from keytrail.respond.sameness import same_policy
from tests.respond.kit import (
    ACCOUNT,
    DENY_ALL,
    GOOD,
    REGION,
    ROGUE,
    deny,
    disable,
    make_plan,
    put_policy,
    restore,
    revoke,
)

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
HOSTILE = "\nPOLICY\n$(touch owned) `touch owned` '; touch owned; ' \x1b[2J \u202e \x9b \U0001f512 é"


def policy_with(text: str) -> str:
    document = json.loads(GOOD)
    document["Statement"][0]["Sid"] = text
    return json.dumps(document, ensure_ascii=False, indent=1)


def run(plan: Plan, folder: Path) -> list[list[str]]:
    """The arguments of every `aws` that the script of a plan starts, files named in them read."""
    program = folder / "bin" / "aws"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\nfor one in "$@"; do printf "%s\\0" "$one"; done >> "$NOTED"; printf "\\n" >> "$NOTED"\n'
    )
    program.chmod(0o755)
    noted = folder / "noted"
    environment = {"PATH": f"{program.parent}:{os.environ['PATH']}", "NOTED": str(noted), "LC_ALL": "C"}
    done = subprocess.run(
        ["sh", "-"], input=script(plan).encode(), cwd=folder, env=environment, capture_output=True, check=True
    )
    assert done.stdout == b""
    calls = [line.rstrip("\0").split("\0") for line in noted.read_text().split("\n") if line]

    def read(one: str) -> str:
        return (folder / one.removeprefix("file://")).read_text() if one.startswith("file://") else one

    return [[read(one) for one in call] for call in calls]


def test_a_policy_goes_through_a_file(tmp_path: Path) -> None:
    [call] = run(restore(KEY), tmp_path)
    assert call[:-1] == [
        "kms",
        "put-key-policy",
        "--region",
        REGION,
        "--key-id",
        KEY,
        "--policy-name",
        "default",
        "--policy",
    ]
    assert same_policy(call[-1], GOOD)


def test_every_call_is_one_command(tmp_path: Path) -> None:
    plan = make_plan(
        "remove",
        KEY,
        put_policy(KEY, GOOD),
        revoke(KEY, "abc123"),
        disable(KEY),
        deny("Role", "mallory", DENY_ALL),
        deny("User", "eve", DENY_ALL),
        before=ROGUE,
        after=GOOD,
    )
    calls = run(plan, tmp_path)
    assert [call[:2] for call in calls] == [
        ["kms", "put-key-policy"],
        ["kms", "revoke-grant"],
        ["kms", "disable-key"],
        ["iam", "put-role-policy"],
        ["iam", "put-user-policy"],
    ]
    assert calls[1][2:] == ["--region", REGION, "--key-id", KEY, "--grant-id", "abc123"]
    assert calls[3][2:6] == ["--role-name", "mallory", "--policy-name", "keytrail-quarantine"]
    assert same_policy(calls[3][-1], DENY_ALL)


def test_no_command_bypasses_the_lock_out_check() -> None:
    assert "bypass" not in script(restore(KEY)).lower()


def test_hostile_text_does_nothing_but_arrive(tmp_path: Path) -> None:
    hostile = policy_with(HOSTILE)
    plan = restore(KEY, after=hostile, title=f"a title{HOSTILE}")
    text = script(plan)
    assert text.isascii() or text.replace("é", "").replace("\U0001f512", "").isascii()
    assert "\x1b" not in text
    [call] = run(plan, tmp_path)
    assert json.loads(call[-1]) == json.loads(hostile)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bin", f"keytrail-{plan.id}-1.json", "noted"]


def test_a_digest_that_is_none_adds_no_line() -> None:
    plan = replace(restore(KEY), basis=Basis("\ntouch noted #", None, ""))
    assert "touch noted" not in [line[:11] for line in script(plan).split("\n")]


def test_a_line_of_the_policy_does_not_end_it(tmp_path: Path) -> None:
    # Between tokens JSON may have lines of its own, but none of them can be a word.
    plan = restore(KEY, after="{\n\n}\n")
    assert json.loads(run(plan, tmp_path)[0][-1]) == {}


@given(st.dictionaries(st.text(), st.text()))
def test_plain_json_means_the_same(document: dict[str, str]) -> None:
    for text in (json.dumps(document, ensure_ascii=False, indent="\t"), json.dumps(document)):
        plain = plain_json(text)
        assert plain.isascii()
        assert all(one.isprintable() or one == "\n" for one in plain)
        assert json.loads(plain) == document


@pytest.mark.parametrize(
    "call", [put_policy(KEY, GOOD, BypassPolicyLockoutSafetyCheck=True), revoke(KEY, "--help"), revoke(KEY, "a;b")]
)
def test_what_no_plan_says_is_no_command(call: Any) -> None:
    with pytest.raises(UsageError):
        script(make_plan("restore", KEY, call))
