"""`keytrail accounts`: who is listed as what, and what approving and revoking do and say."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keytrail.settings import Accounts, ApprovedAccount, load_accounts

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any

OWNER, PARTNER, FORMER, AUDITOR = "111122223333", "777788889999", "444455556666", "012345678901"

FILE = f"""\
organisation = "o-exampleorgid"
[accounts]
"{OWNER}" = "management"
[[approved]]
account = "{PARTNER}"
reason = "Partner"
expires = 2026-04-06
[[approved]]
account = "{FORMER}"
name = "former"
reason = "Contract"
expires = 2026-01-31
[[approved]]
account = "{AUDITOR}"
reason = "Audit"
"""


def write(text: str = FILE, path: str = "accounts.toml") -> Path:
    Path(path).write_text(text)
    return Path(path)


def rows(keytrail: Keytrail, *more: str) -> list[dict[str, Any]]:
    result = keytrail("accounts", "list", "--format", "json", *more)
    assert result.exit_code == 0
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_an_account_of_the_organisation_that_is_approved_too_counts_once(keytrail: Keytrail) -> None:
    write(f'[accounts]\n"{OWNER}" = "management"\n[[approved]]\naccount = "{OWNER}"\nreason = "Needless"\n')
    result = keytrail("accounts", "list")
    assert result.stderr == "accounts.toml: 1 account of the organisation, 0 approved\n"


def test_the_list_says_who_is_what_at_a_time(keytrail: Keytrail) -> None:
    write()
    found = rows(keytrail, "--at", "2026-03-01")
    assert [(row["account"], row["name"], row["standing"], row["days_left"]) for row in found] == [
        ("o-exampleorgid", None, "organisation", None),
        (OWNER, "management", "organisation", None),
        (PARTNER, None, "approved", 37),
        (FORMER, "former", "expired", -28),
        (AUDITOR, None, "approved", None),
    ]
    assert found[2]["expires"] == "2026-04-07T00:00:00Z"
    assert found[3]["reason"] == "Contract"
    earlier = rows(keytrail, "--at", "2026-01-31T12:00:00Z")
    assert (earlier[3]["standing"], earlier[3]["days_left"]) == ("approved", 0)


def test_the_table_marks_what_has_ended(keytrail: Keytrail) -> None:
    write()
    result = keytrail("accounts", "list", "--format", "table", "--at", "2026-03-01")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines == [
        "ACCOUNT STANDING UNTIL LEFT NAME REASON",
        "o-exampleorgid organisation",
        f"{OWNER} organisation management",
        f"{PARTNER} approved 2026-04-06 37 days Partner",
        f"{FORMER} expired 2026-01-31 ended 28 days ago former Contract",
        f"{AUDITOR} approved no end Audit",
    ]
    assert result.stderr == "accounts.toml: 1 account of the organisation, 2 approved, 1 expired\n"


def test_without_at_it_is_now(keytrail: Keytrail) -> None:
    today = datetime.now(UTC).date()
    write(f'[[approved]]\naccount = "{PARTNER}"\nreason = "x"\nexpires = {today + timedelta(days=30)}\n')
    [row] = rows(keytrail)
    assert (row["standing"], row["days_left"]) in [("approved", 30), ("approved", 29)], "29 when midnight has passed"


def test_without_a_file_nobody_is_approved(keytrail: Keytrail) -> None:
    result = keytrail("accounts", "list", "--format", "json")
    assert (result.exit_code, result.stdout) == (0, "[]\n")
    assert "no accounts.toml" in result.stderr


def test_every_problem_of_the_file_is_listed(keytrail: Keytrail) -> None:
    write(f"[accounts]\n12 = 'x'\n[[approved]]\naccount = {PARTNER}\nreson = 'x'\n")
    result = keytrail("accounts", "list")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("error: ") == 4
    for place in ("accounts.toml:2:1", "accounts.toml:3:3", "accounts.toml:4:1", "accounts.toml:5:1"):
        assert f"at {place}\n" in result.stderr


def test_an_account_is_approved_renewed_and_revoked(keytrail: Keytrail) -> None:
    approve = ["accounts", "approve", PARTNER]
    result = keytrail(*approve, "--reason", "Partner", "--expires", "2999-04-06", "--name", "exchange")
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"approved account {PARTNER} until 2999-04-06 in accounts.toml" in result.stderr
    assert "accounts.toml is new" in result.stderr
    file = Path("accounts.toml")
    end = datetime(2999, 4, 7, tzinfo=UTC)
    assert load_accounts(file) == Accounts(approved=(ApprovedAccount(PARTNER, "Partner", end, "exchange"),))

    result = keytrail(*approve, "--reason", "Partner for good", "--no-expiry")
    assert result.exit_code == 0
    assert result.stderr == (
        f"note: renewed account {PARTNER} without an end in accounts.toml\n"
        "note: before it was approved until 2999-04-06, for the reason 'Partner'\n"
    )
    assert load_accounts(file).approved == (ApprovedAccount(PARTNER, "Partner for good", None, "exchange"),)
    assert "so already" in keytrail(*approve, "--reason", "Partner for good", "--no-expiry").stderr

    result = keytrail("accounts", "revoke", PARTNER)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == (
        f"note: account {PARTNER} is no longer approved in accounts.toml; it was without an end: Partner for good\n"
    )
    assert load_accounts(file) == Accounts()
    assert keytrail("accounts", "revoke", PARTNER).exit_code == 2


def test_an_age_counts_from_today(keytrail: Keytrail) -> None:
    before = datetime.now(UTC).date()
    assert keytrail("accounts", "approve", PARTNER, "--reason", "x", "--expires", "2w").exit_code == 0
    text = Path("accounts.toml").read_text()
    days = {before, datetime.now(UTC).date()}
    assert any(f"expires = {day + timedelta(days=14)}\n" in text for day in days)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["12", "--no-expiry"], "ACCOUNT: '12' is no account id"),
        ([PARTNER], "say until when"),
        ([PARTNER, "--expires", "90d", "--no-expiry"], "exclude each other"),
        ([PARTNER, "--expires", "soon"], "'soon' is not a time"),
        ([PARTNER, "--expires", "2027-02-30"], "not a time that exists"),
        ([PARTNER, "--expires", "2999-01-01T25:00:00Z"], "not a time that exists"),
        ([PARTNER, "--expires", "9999-12-31"], "not a time that exists"),
        ([PARTNER, "--expires", "2020-01-01"], "'2020-01-01' is past already"),
        ([PARTNER, "--no-expiry", "--reason", " "], "an approval needs a reason"),
        ([OWNER, "--no-expiry"], f"account {OWNER} (management) is of the organisation and needs no approval"),
    ],
)
def test_a_wrong_approval_changes_nothing(keytrail: Keytrail, arguments: list[str], said: str) -> None:
    file = write()
    result = keytrail("accounts", "approve", "--reason", "x", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert file.read_text() == FILE


def test_a_reason_is_needed(keytrail: Keytrail) -> None:
    result = keytrail("accounts", "approve", PARTNER, "--no-expiry")
    assert result.exit_code == 2
    assert "--reason" in result.stderr
    assert not Path("accounts.toml").exists()


def test_the_file_is_the_one_that_the_settings_name(keytrail: Keytrail, tmp_path: Path) -> None:
    config, named = tmp_path / "k.toml", tmp_path / "trust.toml"
    config.write_text(f"[accounts]\nfile = '{named}'\n")
    result = keytrail("accounts", "list", "--config", config)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "`keytrail accounts approve` creates it" in result.stderr
    assert keytrail("accounts", "revoke", PARTNER, "--config", config).exit_code == 2
    approve = ["accounts", "approve", PARTNER, "--reason", "x", "--no-expiry", "--config"]
    assert keytrail(*approve, config).exit_code == 0
    assert [row["account"] for row in rows(keytrail, "--config", str(config))] == [PARTNER]
    assert not Path("accounts.toml").exists()
    config.write_text("")
    assert keytrail(*approve, config).exit_code == 0
    assert (tmp_path / "accounts.toml").exists(), "beside the settings file"
    assert keytrail(*approve, config, "--accounts", "other.toml").exit_code == 0
    assert len(rows(keytrail, "--accounts", "other.toml")) == 1
    assert keytrail("accounts", "revoke", PARTNER, "--accounts", "other.toml").exit_code == 0


def test_a_broken_accounts_file_stops_what_asks_it(keytrail: Keytrail, tmp_path: Path) -> None:
    write("[[approved]]\n")
    policy = tmp_path / "p.json"
    policy.write_text('{"Statement": []}')
    for words in (
        ["accounts", "approve", PARTNER, "--reason", "x", "--no-expiry"],
        ["accounts", "revoke", PARTNER],
        ["policy", "diff", "default", str(policy), "--account", OWNER],
    ):
        result = keytrail(*words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "accounts.toml:1:3" in result.stderr
    assert keytrail("rules", "list").exit_code == 0


def test_hostile_text_acts_on_no_terminal(keytrail: Keytrail) -> None:
    for hostile in keytrail.hostile:
        if "\ud800" in hostile:
            continue
        Path("accounts.toml").unlink(missing_ok=True)
        words = ["--reason", hostile, "--name", hostile, "--expires", "90d"]
        results = [keytrail("accounts", "approve", PARTNER, *words) for _ in range(2)]
        results += [keytrail("accounts", "list", "--format", form) for form in ("table", "json", "ndjson", "csv")]
        results += [keytrail("accounts", "approve", PARTNER, "--reason", "x", "--no-expiry")]
        results += [keytrail("accounts", "revoke", PARTNER)]
        for result in results:
            assert result.exit_code == 0, hostile
            assert result.output.replace("\r\n", "").replace("\n", "").isprintable(), hostile
        assert hostile in json.loads(results[3].stdout)[0]["reason"]
        assert not results[5].stdout.splitlines()[1].split(",")[1].startswith(("=", "@", '"='))


def test_only_editing_loads_the_editor() -> None:
    code = (
        "import sys\nfrom keytrail.cli import app\nfrom typer.testing import CliRunner\n"
        "assert CliRunner().invoke(app, ['accounts', 'list']).exit_code == 0\n"
        "print('tomlkit' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
    assert done.stdout == b"False\n"
