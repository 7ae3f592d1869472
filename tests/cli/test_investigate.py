"""`keytrail investigate`, and the investigations of a scan, as their users meet them: over the simulated archive."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keytrail.simulation import simulate

Keytrail = Any


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated archive, with its ledger and the accounts.toml that goes with it."""
    folder = tmp_path_factory.mktemp("story") / "archive"
    simulate(folder, events=2000, seed=7)
    return folder


@pytest.fixture(scope="module")
def changes(story: Path) -> dict[str, Any]:
    """The changes of key policies by their place in the story, each as the ledger has it."""
    ledger = json.loads((story / "story.ledger").read_text())
    return {one["step"]: one for one in ledger["changes"]}


@pytest.fixture(scope="module")
def refused(story: Path) -> str:
    """The id of a change that was refused."""
    ledger = json.loads((story / "story.ledger").read_text())
    return str(next(one["event_id"] for one in ledger["events"] if one["step"] == "refused-attempt"))


def test_an_event_is_investigated_by_the_beginning_of_its_id(
    keytrail: Keytrail, story: Path, changes: dict[str, Any]
) -> None:
    opened = changes["key-opened"]
    result = keytrail("investigate", opened["event_id"][:8], story, "--format", "json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (found["event_id"], found["verdict"]) == (opened["event_id"], "malicious")
    assert found["key"]["arn"] == opened["key"]
    assert found["before"]["document"] == opened["before"]["policy"]


def test_an_alert_is_investigated_by_its_id_and_says_what_the_scan_said(
    keytrail: Keytrail, story: Path, changes: dict[str, Any]
) -> None:
    alerts = [json.loads(line) for line in keytrail("scan", story).stdout.splitlines()]
    of_event = {alert["event"]["id"]: alert for alert in alerts}
    alert = of_event[changes["takeover"]["event_id"]]
    found = json.loads(keytrail("investigate", alert["kibana.alert.uuid"], story, "--format", "json").stdout)
    assert found == alert["keytrail.investigation"]
    assert alert["kibana.alert.severity"] == "medium"  # the rule's own stays
    assert all("keytrail.investigation" not in one for one in alerts if one["event"]["outcome"] == "failure")


def test_the_page_answers_first_and_has_every_section(keytrail: Keytrail, story: Path, changes: dict[str, Any]) -> None:
    text = keytrail("investigate", changes["key-opened"]["event_id"], story, "--format", "text").stdout
    assert text.startswith(
        "MALICIOUS  100/100\nRole KeyAdministrator (session svc-reporting) replaced the policy of key"
    )
    titles = [line for line in text.splitlines() if line and not line.startswith(" ")]
    for title in (
        "Why", "Gained", "Accounts", "Data at stake", "Who did it", "Since then", "Time line (UTC)", "Findings",
        "What would change the verdict", "Difference of the statements",
    ):  # fmt: skip
        assert title in titles
    assert "999988887777  gained access; outside, not approved" in text


def test_an_approved_account_lowers_the_verdict_and_an_approval_that_ended_does_not(
    keytrail: Keytrail, story: Path, changes: dict[str, Any], tmp_path: Path
) -> None:
    event = changes["approved-onboarding"]["event_id"]
    asked = ("investigate", event, story, "--format", "json")
    unknown = keytrail(*asked)
    assert json.loads(unknown.stdout)["verdict"] == "review"
    assert "note: no accounts.toml is in force" in unknown.stderr
    assert json.loads(keytrail(*asked, "--trust", "777788889999").stdout)["verdict"] == "expected"
    accounts = tmp_path / "accounts.toml"
    approve = ("accounts", "approve", "777788889999", "--reason", "Partner", "--accounts", accounts)
    keytrail(*approve, "--expires", "2099-01-01")
    found = json.loads(keytrail(*asked, "--accounts", accounts).stdout)
    assert (found["verdict"], found["accounts"][0]["relation"]) == ("expected", "approved")
    accounts.write_text(accounts.read_text().replace("2099-01-01", "2026-03-01"))
    found = json.loads(keytrail(*asked, "--accounts", accounts).stdout)
    assert (found["verdict"], found["accounts"][0]["relation"]) == ("review", "expired")


@pytest.mark.parametrize(
    ("name", "beginning"), [("a.html", "<!doctype html>"), ("a.md", "#"), ("a.txt", "MALICIOUS"), ("a.json", "{")]
)
def test_the_name_of_the_file_says_the_format(
    keytrail: Keytrail, story: Path, changes: dict[str, Any], tmp_path: Path, name: str, beginning: str
) -> None:
    event = changes["locked-out"]["event_id"]
    result = keytrail("investigate", event, story, "-o", tmp_path / name)
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / name).read_text().lower().startswith(beginning.lower())


def test_a_scan_writes_one_report_with_every_alert(keytrail: Keytrail, story: Path) -> None:
    page = keytrail("scan", story, "--format", "html").stdout
    assert page.count("AWS KMS Key Policy Updated via PutKeyPolicy") >= 13
    assert "<script" not in page
    ticket = keytrail("scan", story, "--format", "markdown").stdout
    assert ticket.count("AWS KMS Key Policy Updated via PutKeyPolicy") >= 13


def test_what_was_piped_in_is_investigated_too(story: Path, changes: dict[str, Any]) -> None:
    files = sorted(story.rglob("*.json.gz"))
    piped = subprocess.run(["zcat", *map(str, files)], capture_output=True, check=True).stdout
    result = subprocess.run(
        [sys.executable, "-m", "keytrail", "scan", "-"], input=piped, capture_output=True, check=False
    )
    alerts = [json.loads(line) for line in result.stdout.splitlines()]
    verdicts = {alert["event"]["id"]: alert.get("keytrail.investigation", {}).get("verdict") for alert in alerts}
    assert verdicts[changes["key-opened"]["event_id"]] == "malicious"
    assert verdicts[changes["reordering"]["event_id"]] == "no_effect"


def test_investigations_can_be_left_out(keytrail: Keytrail, story: Path) -> None:
    result = keytrail("scan", story, "--no-investigate")
    assert "keytrail.investigation" not in result.stdout
    assert "Investigated" not in result.stderr


def test_the_history_before_since_is_looked_up(keytrail: Keytrail, story: Path, changes: dict[str, Any]) -> None:
    opened = changes["key-opened"]
    alerts = [json.loads(line) for line in keytrail("scan", story, "--since", "2026-03-06").stdout.splitlines()]
    assert min(alert["kibana.alert.original_time"] for alert in alerts) >= "2026-03-06"
    [alert] = [one for one in alerts if one["event"]["id"] == opened["event_id"] and "keytrail.investigation" in one]
    assert alert["keytrail.investigation"]["before"]["document"] == opened["before"]["policy"]


def test_ids_that_name_no_change_are_told_what_they_name(
    keytrail: Keytrail, story: Path, changes: dict[str, Any], refused: str
) -> None:
    use = changes["key-opened"]["used_since"][0]
    for asked, code, words in (
        ("0000", 2, "too short"),
        ("0" * 36, 4, f"no event '{'0' * 36}', and no alert about a key policy, in "),
        ("0" * 5000, 4, f"no event '{'0' * 79}…', and no alert"),
        (refused, 2, "is a PutKeyPolicy that was refused (AccessDenied): it changed nothing"),
        (use, 2, "is a Decrypt: it gives no key a policy"),
    ):
        result = keytrail("investigate", asked, story)
        assert (result.exit_code, result.stdout) == (code, "")
        assert words in result.stderr


def test_the_page_is_no_wider_than_the_terminal(keytrail: Keytrail, story: Path, changes: dict[str, Any]) -> None:
    event = changes["key-opened"]["event_id"]
    shown = keytrail.terminal("investigate", event, story, "--quiet", "--color", "never", columns=60)
    assert shown.code == 0
    head, *parts = shown.text.replace("\r", "").split("\n\n")
    [why] = [part for part in parts if part.startswith("Why\n")]
    assert 40 < max(map(len, f"{head}\n{why}".splitlines())) <= 60


def test_a_source_that_is_not_there_is_no_answer(keytrail: Keytrail, tmp_path: Path) -> None:
    result = keytrail("investigate", "0" * 36, tmp_path / "nothing")
    assert (result.exit_code, result.stdout) == (4, "")


def test_damage_is_told_and_the_answer_is_less_certain(
    keytrail: Keytrail, story: Path, changes: dict[str, Any], tmp_path: Path
) -> None:
    event = changes["reordering"]
    damaged = tmp_path / "AWSLogs" / event["account"] / "CloudTrail" / event["region"] / "2026/03/02"
    damaged.mkdir(parents=True)
    (damaged / f"{event['account']}_CloudTrail_{event['region']}_20260302T2355Z_x.json.gz").write_bytes(b"\x1f\x8bno")
    result = keytrail("investigate", event["event_id"], story, tmp_path, "--format", "json")
    found = json.loads(result.stdout)
    assert result.exit_code == 3
    assert (found["verdict"], found["before"]["status"]) == ("review", "gap")
    assert found["coverage"]["unreadable"] == 1
