"""What `keytrail respond` says when applying does not end well, and how it goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from keytrail.respond.calls import AwsCalls
from keytrail.respond.model import Call
from keytrail.store.state.plans import steps_of
from tests.cli.conftest import Keytrail
from tests.cli.service_state import here
from tests.respond.command.incident import Incident, audited, plan_id, shown
from tests.respond.kit import (
    FOREIGN,
    GOOD,
    kms,
    live_policy,
    policy_answer,
)
from tests.servers.proxy import Proxy, error


@pytest.mark.usefixtures("config")
def test_somebody_who_comes_between_is_told(keytrail: Keytrail, alert: str, proxy: Proxy) -> None:
    plan = plan_id(keytrail, alert)
    proxy.plan("GetKeyPolicy", lambda request, ask: ask())
    proxy.plan("GetKeyPolicy", policy_answer(FOREIGN), 100)
    result = keytrail("respond", alert, "--apply", plan, "--yes", "--format", "text")
    assert result.exit_code == 1
    assert "disputed" in result.stdout
    assert "somebody came between" in result.stdout
    assert "444455556666" in result.stdout


@pytest.mark.usefixtures("config")
def test_a_call_that_is_denied_says_what_to_do(keytrail: Keytrail, alert: str, proxy: Proxy) -> None:
    plan = plan_id(keytrail, alert)
    proxy.plan("PutKeyPolicy", error("AccessDeniedException"))
    result = keytrail("respond", alert, "--apply", plan, "--yes", "--format", "text")
    assert result.exit_code == 1
    assert "Nothing of this plan was done" in result.stdout
    assert "--iam-policy" in result.stdout
    assert [action for action, _ in audited()][-3:] == ["begun", "failed", "failed"]

    again = keytrail("respond", alert, "--source", "trail", "--format", "text", "--plan", "restore")
    assert "begun before: failed at" in again.stdout


@pytest.mark.usefixtures("config")
def test_a_process_that_dies_between_a_call_and_its_answer_is_made_good_by_the_next(
    keytrail: Keytrail, alert: str, incident: Incident, proxy: Proxy
) -> None:
    kms(proxy.upstream).create_grant(
        KeyId=incident.key, GranteePrincipal="arn:aws:iam::999988887777:role/thief", Operations=["Decrypt"]
    )
    ids = {one["kind"]: one["id"] for one in shown(keytrail, alert)["plans"]}
    command = keytrail.command(
        "respond", alert, "--apply", ids["restore"], "--apply", ids["revoke-grants"], "--yes", "--accept-open"
    )

    def die(request: Any, ask: Any) -> Any:
        answer = ask()
        process.kill()
        process.wait()
        return answer

    proxy.plan("PutKeyPolicy", die)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert process.wait(timeout=60) != 0
    assert json.loads(live_policy(proxy.upstream, incident.key)) == json.loads(GOOD)
    with here() as home, home.database.read() as connection:
        assert [one.state for one in steps_of(connection, ids["restore"])] == ["checked", "begun"]

    result = keytrail(
        "respond", alert, "--apply", ids["restore"], "--apply", ids["revoke-grants"], "--yes", "--accept-open",
        "--format", "json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert [one["outcome"] for one in json.loads(result.stdout)] == ["there already", "agreed"]
    assert proxy.count("PutKeyPolicy") == 1


@pytest.mark.usefixtures("config")
def test_what_was_applied_before_an_interruption_is_told(
    keytrail: Keytrail, alert: str, incident: Incident, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    kms(proxy.upstream).create_grant(
        KeyId=incident.key, GranteePrincipal="arn:aws:iam::999988887777:role/thief", Operations=["Decrypt"]
    )
    ids = {one["kind"]: one["id"] for one in shown(keytrail, alert)["plans"]}
    do = AwsCalls.do

    def interrupted(self: AwsCalls, call: Call) -> None:
        if call.operation == "RevokeGrant":
            raise KeyboardInterrupt
        do(self, call)

    monkeypatch.setattr(AwsCalls, "do", interrupted)
    both = ("--apply", ids["restore"], "--apply", ids["revoke-grants"])
    result = keytrail("respond", alert, *both, "--yes", "--accept-open", "--format", "json")
    assert result.exit_code == 130
    assert [(one["kind"], one["outcome"]) for one in json.loads(result.stdout)] == [("restore", "agreed")]
    assert "apply the plan again" in result.stderr


@pytest.mark.usefixtures("config")
def test_on_a_terminal_a_no_changes_nothing(keytrail: Keytrail, alert: str, proxy: Proxy) -> None:
    plan = plan_id(keytrail, alert)
    code = (
        "import os, pty, sys\n"
        "child, leader = pty.fork()\n"
        "if child == 0:\n"
        "    os.execv(sys.executable, sys.argv[1:])\n"
        "text = b''\n"
        "while b'[y/N]' not in text:\n"
        "    text += os.read(leader, 65536)\n"
        "os.write(leader, b'n\\n')\n"
        "try:\n"
        "    while more := os.read(leader, 65536):\n"
        "        text += more\n"
        "except OSError:\n"
        "    pass\n"
        "sys.stdout.buffer.write(text)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    command = keytrail.command("respond", alert, "--apply", plan)
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, timeout=60)
    assert done.returncode == 2, done.stdout
    assert b"not confirmed: nothing was changed" in done.stdout
    assert b"Proofs" in done.stdout
    assert not proxy.count("PutKeyPolicy")
