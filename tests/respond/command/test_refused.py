"""What `keytrail respond` does not do, and what it says then."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from keytrail.respond.model import Answer, Claim, plan_of
from keytrail.store.state.plans import plans_of_alert, put_plans
from keytrail.store.state.tables import plans
from tests.cli.conftest import Keytrail, write_archive
from tests.cli.service_state import add_investigated, here
from tests.respond.command.incident import Incident, events, plan_id
from tests.respond.kit import (
    FOREIGN,
    ROGUE,
    kms,
    live_policy,
    make_key,
)
from tests.servers.proxy import Proxy


def refused(keytrail: Keytrail, proxy: Proxy, *arguments: str | Path, code: int = 2) -> str:
    """What stderr says of a command that is refused; nothing was changed in AWS."""
    result = keytrail("respond", *arguments)
    assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr)
    assert not proxy.count("PutKeyPolicy|RevokeGrant|DisableKey|PutRolePolicy|PutUserPolicy|UpdateAccessKey")
    return str(result.stderr)


@pytest.mark.usefixtures("config")
def test_a_plan_that_was_not_shown_is_not_applied(keytrail: Keytrail, alert: str, proxy: Proxy) -> None:
    assert "no plan with the id" in refused(keytrail, proxy, alert, "--apply", "0123456789ab", "--yes")


@pytest.mark.usefixtures("config")
def test_a_plan_of_another_alert_is_not_applied(
    keytrail: Keytrail, alert: str, incident: Incident, proxy: Proxy
) -> None:
    plan = plan_id(keytrail, alert)
    other = json.loads(json.dumps(incident.document))
    other["kibana.alert.uuid"] = "b" * 64
    other["event"]["id"] = "another-event"
    add_investigated(other)
    assert "for another alert" in refused(keytrail, proxy, "b" * 64, "--apply", plan, "--yes")


@pytest.mark.usefixtures("config")
def test_an_old_plan_is_not_applied(keytrail: Keytrail, alert: str, proxy: Proxy) -> None:
    plan = plan_id(keytrail, alert)
    with here() as home, home.database.write() as connection:
        connection.execute(sa.update(plans).values(shown_at=datetime.now(UTC) - timedelta(hours=25)))
    said = refused(keytrail, proxy, alert, "--apply", plan, "--yes")
    assert "25 hours ago" in said
    assert "plan_hours is 24" in said


@pytest.mark.usefixtures("config")
def test_a_plan_that_was_tampered_with_is_not_applied(keytrail: Keytrail, alert: str, proxy: Proxy) -> None:
    plan = plan_id(keytrail, alert)
    with here() as home, home.database.write() as connection:
        [stored] = [one for one in plans_of_alert(connection, alert) if one.id == plan]
        stored.document["calls"][0]["parameters"]["Policy"] = FOREIGN  # type: ignore[index]
        connection.execute(sa.update(plans).where(plans.c.id == plan).values(document=stored.document))
    assert "not what was shown" in refused(keytrail, proxy, alert, "--apply", plan, "--yes")


@pytest.mark.usefixtures("config")
def test_a_plan_that_shows_another_policy_than_it_sends_is_not_applied(
    keytrail: Keytrail, alert: str, proxy: Proxy
) -> None:
    plan = plan_id(keytrail, alert)
    with here() as home, home.database.write() as connection:
        [stored] = [one for one in plans_of_alert(connection, alert) if one.id == plan]
        document = stored.document | {"after": FOREIGN}
        connection.execute(sa.update(plans).where(plans.c.id == plan).values(document=document))
    assert "not what was shown" in refused(keytrail, proxy, alert, "--apply", plan, "--yes")


@pytest.mark.parametrize(
    ("answer", "options", "said"), [("refuted", ("--accept-open",), "is for"), ("open", (), "--accept-open")]
)
@pytest.mark.usefixtures("config")
def test_a_claim_that_does_not_hold_stops_a_plan(
    keytrail: Keytrail, alert: str, proxy: Proxy, answer: Answer, options: tuple[str, ...], said: str
) -> None:
    shown = plan_id(keytrail, alert)
    with here() as home, home.database.write() as connection:
        [stored] = [one for one in plans_of_alert(connection, alert) if one.id == shown]
        plan = replace(plan_of(stored.document), claims=(Claim("rogue_gone", "It is gone.", answer),))
        put_plans(connection, [replace(stored, id=plan.id, document=plan.to_dict())])
    assert said in refused(keytrail, proxy, alert, "--apply", plan.id, "--yes", *options)


@pytest.mark.usefixtures("config")
def test_what_is_proved_of_a_plan_cannot_be_altered_after_it_was_shown(
    keytrail: Keytrail, alert: str, proxy: Proxy
) -> None:
    plan = plan_id(keytrail, alert)
    with here() as home, home.database.write() as connection:
        [stored] = [one for one in plans_of_alert(connection, alert) if one.id == plan]
        stored.document["claims"] = []
        connection.execute(sa.update(plans).where(plans.c.id == plan).values(document=stored.document))
    assert "not what was shown" in refused(keytrail, proxy, alert, "--apply", plan, "--yes")


@pytest.mark.usefixtures("config")
def test_more_keys_than_allowed_are_not_touched(
    keytrail: Keytrail, alert: str, incident: Incident, proxy: Proxy
) -> None:
    plan = plan_id(keytrail, alert)
    other_key = make_key(proxy.upstream, ROGUE)
    other = json.loads(json.dumps(incident.document).replace(incident.key, other_key))
    Path("other.json").write_text(json.dumps(other))
    second = plan_id(keytrail, "other.json")
    said = refused(keytrail, proxy, alert, "--apply", plan, "--apply", second, "--yes", "--accept-open")
    assert "2 keys" in said
    assert "most_keys allows 1" in said


@pytest.mark.usefixtures("config")
def test_a_policy_that_changed_since_is_left_alone(
    keytrail: Keytrail, alert: str, incident: Incident, proxy: Proxy
) -> None:
    plan = plan_id(keytrail, alert)
    kms(proxy.upstream).put_key_policy(KeyId=incident.key, PolicyName="default", Policy=FOREIGN)
    said = refused(keytrail, proxy, alert, "--apply", plan, "--yes")
    assert "not the one that the plan was made for" in said
    assert "aws cloudtrail lookup-events" in said
    assert live_policy(proxy.upstream, incident.key) == FOREIGN


@pytest.mark.usefixtures("config")
def test_records_tell_who_changed_it_since(keytrail: Keytrail, alert: str, incident: Incident, proxy: Proxy) -> None:
    plan = plan_id(keytrail, alert)
    kms(proxy.upstream).put_key_policy(KeyId=incident.key, PolicyName="default", Policy=FOREIGN)
    asked = {"keyId": incident.key, "policyName": "default", "policy": FOREIGN}
    late = dict(
        list(events(incident.key))[1], requestParameters=asked, eventTime="2026-03-01T09:30:00Z", eventID="late"
    )
    write_archive(Path("late/b.json"), [late])
    said = refused(keytrail, proxy, alert, "--apply", plan, "--yes", "--source", "late")
    assert "mallory set what is there now at 2026-03-01 09:30:00 UTC (event late)" in said
    assert "\x1b" not in said


def test_credentials_of_another_account_are_refused(keytrail: Keytrail, alert: str, config: Path, proxy: Proxy) -> None:
    plan = plan_id(keytrail, alert)
    other = "arn:aws:iam::555566667777:role/responder"
    said = refused(keytrail, proxy, alert, "--apply", plan, "--yes", "--role-arn", other)
    assert "of account 555566667777" in said
    assert "role_name" in said
    config.write_text(config.read_text() + 'role_name = "responder"\n')
    assert keytrail("respond", alert, "--apply", plan, "--yes").exit_code == 0
    assert proxy.count("AssumeRole") == 2


@pytest.mark.usefixtures("config")
def test_without_a_terminal_nobody_is_asked(keytrail: Keytrail, alert: str, proxy: Proxy) -> None:
    assert "--yes" in refused(keytrail, proxy, alert, "--apply", plan_id(keytrail, alert))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--dry-run", "--iam-policy"), "exclude each other"),
        (("--plan", "restore", "--apply", "0123456789ab"), "exclude each other"),
        (("--yes",), "needs --apply"),
        (("--accept-open",), "needs --apply"),
    ],
)
def test_options_that_do_not_go_together(
    keytrail: Keytrail, alert: str, proxy: Proxy, options: tuple[str, ...], said: str
) -> None:
    assert said in refused(keytrail, proxy, alert, *options)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"[1, 2]", b"nonsense", b'{"event": {"id": "x"}}'])
def test_what_is_no_alert_is_refused(keytrail: Keytrail, text: bytes) -> None:
    result = keytrail("respond", "-", stdin=text)
    assert result.exit_code == 2, result.stderr


def test_without_a_state_it_says_what_makes_one(keytrail: Keytrail) -> None:
    result = keytrail("respond", "3c6ac8f2")
    assert result.exit_code == 4
    assert "is not set up" in result.stderr
