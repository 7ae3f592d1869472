"""`keytrail respond`, as somebody meets it at night: from an alert to a repaired key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keytrail.investigate.reading import investigation_of
from keytrail.store.state.plans import plans_of_alert, steps_of
from tests.cli.conftest import Keytrail
from tests.cli.service_state import here
from tests.respond.command.incident import Incident, audited, plan_id, shown
from tests.respond.kit import (
    ACCOUNT,
    GOOD,
    REGION,
    ROGUE,
    assert_no_bypass,
    iam,
    kms,
    live_policy,
)
from tests.servers.proxy import Proxy, error


def test_plans_are_shown_with_all_that_one_decides_by(
    keytrail: Keytrail, alert: str, incident: Incident, config: Path, proxy: Proxy
) -> None:
    result = keytrail("respond", alert[:8], "--format", "text", "--source", incident.archive)
    assert result.exit_code == 0, result.stderr
    for part in (
        f"key    {incident.key}",
        f"you    arn:aws:sts::{ACCOUNT}:user/moto",
        "(restore), made for the policy",
        f"kms:PutKeyPolicy on {incident.key} in {REGION}",
        "proved",
        "Who loses access",
        "999988887777",
        "May it be applied",
        "--- now",
        "+++ after the plan",
        '-        "AWS": "arn:aws:iam::999988887777:root"',
        "Nothing is changed yet",
        f"keytrail respond {alert[:8]} --apply ",
    ):
        assert part in result.stdout, part
    assert live_policy(proxy.upstream, incident.key) == ROGUE
    assert not proxy.count("Put|Revoke|Disable|Update")


@pytest.mark.usefixtures("config")
def test_a_plan_that_was_shown_is_applied(keytrail: Keytrail, alert: str, incident: Incident, proxy: Proxy) -> None:
    plan = plan_id(keytrail, alert)
    result = keytrail("respond", alert, "--apply", plan, "--yes", "--as", "ada", "--format", "json")
    assert result.exit_code == 0, result.stderr
    [applied] = json.loads(result.stdout)
    assert (applied["outcome"], applied["done"], applied["left"]) == ("agreed", [0], [])
    assert applied["caller"] == f"arn:aws:sts::{ACCOUNT}:user/moto"
    assert json.loads(live_policy(proxy.upstream, incident.key)) == json.loads(GOOD)
    assert_no_bypass(proxy)
    steps = [("checked", "ada"), ("begun", "ada"), ("done", "ada"), ("agreed", "ada"), ("agreed", "ada")]
    assert audited()[-5:] == steps
    with here() as home, home.database.read() as connection:
        assert [(one.state, one.who) for one in steps_of(connection, plan)] == steps
        assert {one.caller for one in steps_of(connection, plan)} == {applied["caller"]}

    again = keytrail("respond", alert, "--apply", plan, "--yes", "--format", "text")
    assert again.exit_code == 0, again.stderr
    assert "nothing to do" in again.stdout
    assert proxy.count("PutKeyPolicy") == 1


@pytest.mark.usefixtures("config")
def test_afterwards_there_is_nothing_left_to_restore(keytrail: Keytrail, alert: str) -> None:
    keytrail("respond", alert, "--apply", plan_id(keytrail, alert), "--yes")
    found = shown(keytrail, alert)
    assert "restore" not in [one["kind"] for one in found["plans"]]
    assert "restore" in [one["kind"] for one in found["without"]]


@pytest.mark.usefixtures("config")
def test_a_grant_to_an_account_that_nobody_knows_is_revoked(
    keytrail: Keytrail, alert: str, incident: Incident, proxy: Proxy
) -> None:
    grantee = "arn:aws:iam::999988887777:role/thief"
    kms(proxy.upstream).create_grant(KeyId=incident.key, GranteePrincipal=grantee, Operations=["Decrypt"])
    plan = plan_id(keytrail, alert, "revoke-grants")
    result = keytrail("respond", alert, "--apply", plan, "--yes", "--accept-open")
    assert result.exit_code == 0, result.stderr
    assert not kms(proxy.upstream).list_grants(KeyId=incident.key)["Grants"]


@pytest.mark.usefixtures("config")
def test_the_role_that_did_it_is_quarantined(keytrail: Keytrail, alert: str, proxy: Proxy) -> None:
    if "Admin" not in [one["RoleName"] for one in iam(proxy.upstream).list_roles()["Roles"]]:
        iam(proxy.upstream).create_role(RoleName="Admin", AssumeRolePolicyDocument="{}")
    plan = plan_id(keytrail, alert, "quarantine")
    assert keytrail("respond", alert, "--apply", plan, "--yes").exit_code == 0
    names = iam(proxy.upstream).list_role_policies(RoleName="Admin")["PolicyNames"]
    assert [name for name in names if name.startswith("keytrail-quarantine-")]


@pytest.mark.usefixtures("config")
def test_several_plans_are_applied_in_order(keytrail: Keytrail, alert: str, incident: Incident, proxy: Proxy) -> None:
    kms(proxy.upstream).create_grant(
        KeyId=incident.key, GranteePrincipal="arn:aws:iam::999988887777:role/thief", Operations=["Decrypt"]
    )
    ids = {one["kind"]: one["id"] for one in shown(keytrail, alert)["plans"]}
    result = keytrail(
        "respond", alert, "--apply", ids["restore"], "--apply", ids["revoke-grants"], "--yes", "--accept-open",
        "--format", "json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert [one["kind"] for one in json.loads(result.stdout)] == ["restore", "revoke-grants"]


@pytest.mark.usefixtures("config")
def test_the_records_of_the_lake_tell_who_used_the_key(keytrail: Keytrail, incident: Incident, alert: str) -> None:
    nobody = shown(keytrail, alert)
    assert any("no records in the lake" in note for note in nobody["notes"])
    imported = keytrail("lake", "import", incident.archive, "--quiet")
    assert imported.exit_code == 0, imported.stderr
    [brake] = [one for one in shown(keytrail, alert)["plans"] if one["kind"] == "disable-key"]
    assert [loss["principals"] for loss in brake["losses"]] == [[f"arn:aws:iam::{ACCOUNT}:role/Orders"]]


def test_an_alert_in_a_file_does_without_the_service(
    keytrail: Keytrail, incident: Incident, config: Path, proxy: Proxy, tmp_path: Path
) -> None:
    path = tmp_path / "alert.json"
    path.write_text(json.dumps([incident.document]))
    plan = plan_id(keytrail, str(path))
    result = keytrail("respond", path, "--apply", plan, "--yes")
    assert result.exit_code == 0, result.stderr
    assert json.loads(live_policy(proxy.upstream, incident.key)) == json.loads(GOOD)


@pytest.mark.usefixtures("config")
def test_an_investigation_on_stdin_is_enough(keytrail: Keytrail, incident: Incident) -> None:
    text = json.dumps(investigation_of(incident.document)).encode()
    result = keytrail("respond", "-", "--format", "json", stdin=text)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["key_arn"] == incident.key
    assert any("were not compared with records" in note for note in found["notes"])
    # How to go on is what works: the document again.
    told = keytrail("respond", "-", "--format", "text", stdin=text).stdout
    [plan] = [one for one in found["plans"] if one["kind"] == "restore"]
    assert f"  keytrail respond - --apply {plan['id']}" in told
    applied = keytrail("respond", "-", "--apply", plan["id"], "--yes", "--accept-open", stdin=text)
    assert applied.exit_code == 0, applied.stderr


@pytest.mark.usefixtures("config")
def test_a_dry_run_prints_commands_and_changes_nothing(
    keytrail: Keytrail, alert: str, incident: Incident, proxy: Proxy
) -> None:
    result = keytrail("respond", alert, "--plan", "restore", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert f"aws kms put-key-policy --region {REGION} --key-id {incident.key}" in result.stdout
    with here() as home, home.database.read() as connection:
        [plan] = plans_of_alert(connection, alert)
    applied = keytrail("respond", alert, "--apply", plan.id, "--dry-run")
    assert applied.stdout == result.stdout
    assert live_policy(proxy.upstream, incident.key) == ROGUE


@pytest.mark.usefixtures("config")
def test_the_least_policy_is_one_that_iam_takes(keytrail: Keytrail, alert: str, incident: Incident) -> None:
    result = keytrail("respond", alert, "--plan", "restore", "--iam-policy")
    assert result.exit_code == 0, result.stderr
    statements = json.loads(result.stdout)["Statement"]
    allowed = {action for one in statements for action in one["Action"]}
    assert allowed == {"kms:PutKeyPolicy", "kms:GetKeyPolicy", "kms:ListGrants", "kms:DescribeKey"}
    assert {resource for one in statements for resource in one["Resource"]} == {incident.key}


@pytest.mark.usefixtures("config")
def test_without_aws_plans_rest_on_records_and_say_so(keytrail: Keytrail, alert: str, proxy: Proxy) -> None:
    result = keytrail("respond", alert, "--no-live", "--format", "text")
    assert result.exit_code == 0, result.stderr
    assert "AWS was not asked" in result.stdout
    assert not proxy.requests


@pytest.mark.usefixtures("config")
def test_what_aws_denies_is_said_and_the_rest_is_used(keytrail: Keytrail, alert: str, proxy: Proxy) -> None:
    proxy.plan("ListGrants", error("AccessDeniedException"))
    found = shown(keytrail, alert)
    assert found["live"]["state"] == "Enabled"
    assert "denies kms:ListGrants" in found["live"]["missing"]["grants"]
    assert any("its grants" in note for note in found["notes"])


@pytest.mark.usefixtures("config")
def test_nothing_hostile_reaches_the_terminal(keytrail: Keytrail, alert: str) -> None:
    for options in (("--format", "text"), ("--format", "json"), ("--dry-run",), ("--iam-policy",)):
        result = keytrail("respond", alert, *options)
        assert result.exit_code == 0, result.stderr
        for text in (result.stdout, result.stderr):
            assert "\x1b" not in text
            assert "\u202e" not in text
