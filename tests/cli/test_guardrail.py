"""`keytrail guardrail`: what it writes, what it refuses, what it says of the records and keys that it knows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keytrail.service.installation import installation
from keytrail.settings import load_settings
from keytrail.store.state.policies import put_snapshot

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any
BREAK_GLASS = "arn:aws:iam::111122223333:role/BreakGlass"
NAMED = ("guardrail", "--break-glass", BREAK_GLASS)
FILES = {
    "scp.json", "rcp.json", "boundary.json", "eventbridge.json", "cloudformation.json", "guardrail.tf",
    "config-inline-policies.json", "config-managed-policies.json", "config-public-keys.json",
}  # fmt: skip


def by(role: str, **more: Any) -> dict[str, Any]:
    """The identity of a session of a role."""
    return {
        "type": "AssumedRole",
        "arn": f"arn:aws:sts::111122223333:assumed-role/{role}/s",
        "accountId": "111122223333",
        "sessionContext": {"sessionIssuer": {"type": "Role", "arn": f"arn:aws:iam::111122223333:role/{role}"}},
    } | more


@pytest.fixture
def archive(keytrail: Keytrail, tmp_path: Path) -> Path:
    """Six calls: three by Admin of which one was refused, one by Deployer, one for a resource, one by break-glass."""
    grant = {"eventName": "CreateGrant"}
    records = [
        keytrail.record(1, userIdentity=by("Admin")),
        keytrail.record(2, userIdentity=by("Admin"), eventTime="2026-03-01T09:00:00Z"),
        keytrail.record(3, userIdentity=by("Admin"), errorCode="AccessDenied", **grant),
        keytrail.record(4, userIdentity=by("Deployer"), eventName="ReplicateKey"),
        keytrail.record(5, userIdentity=by("App", invokedBy="ec2.amazonaws.com"), **grant),
        keytrail.record(6, userIdentity=by("BreakGlass")),
    ]
    return Path(keytrail.archive(tmp_path / "trail.json.gz", records))


def test_it_says_what_would_have_been_denied(keytrail: Keytrail, archive: Path) -> None:
    result = keytrail(*NAMED, archive, "--days", "3650", "--form", "scp", "--form", "rcp")
    assert result.exit_code == 0
    text = result.stdout
    assert text.startswith(
        "This would have denied 4 calls by 2 principals in the last 3,650 days, 1 of which AWS refused anyway.\n"
    )
    assert (
        "  arn:aws:iam::111122223333:role/Admin\n    1 kms:CreateGrant and 2 kms:PutKeyPolicy; 1 refused anyway;"
        in text
    )
    assert "last 2026-03-01 09:00:00 UTC" in text
    assert "1 call by break-glass roles" in text
    assert '"ArnNotLike"' in text
    assert "does not cover" in text
    assert "management account is under no service control policy" in text


def test_json_has_all_of_it(keytrail: Keytrail, archive: Path) -> None:
    result = keytrail(*NAMED, archive, "--days", "3650", "--format", "json", "--without", "sharing")
    found = json.loads(result.stdout)
    assert {file["name"] for form in found["forms"] for file in form["files"]} == FILES
    assert [one["group"] for one in found["denied"]] == ["policy", "replicas", "grants", "takeover", "boundary"]
    tried = found["simulation"]
    assert (tried["calls"], tried["examined"], tried["refused_anyway"]) == (4, 6, 1)
    assert tried["denied"][0] | {"resources": None} == {
        "principal": "arn:aws:iam::111122223333:role/Admin",
        "certain": True,
        "by": ["scp", "rcp"],
        "calls": 3,
        "actions": {"kms:CreateGrant": 1, "kms:PutKeyPolicy": 2},
        "refused_anyway": 1,
        "last": "2026-03-01T09:00:00+00:00",
        "resources": None,
        "events": [f"c4b1b6e2-0000-4000-8000-{number:012d}" for number in (2, 3, 1)],
    }
    assert tried["let_through"] == {"not denied": 1, "break-glass": 1}
    assert found["known_keys"] == 0


def test_what_is_said_to_be_denied_is_what_the_forms_deny(keytrail: Keytrail) -> None:
    def groups(*forms: str) -> list[str]:
        named = [word for form in forms for word in ("--form", form)]
        found = json.loads(keytrail(*NAMED, *named, "--format", "json").stdout)
        return [one["group"] for one in found["denied"]]

    assert groups("rcp") == ["policy", "replicas", "grants"]
    assert groups("scp", "rcp") == ["policy", "replicas", "grants", "sharing", "takeover"]
    assert groups("terraform")[-1] == "boundary"
    assert groups("eventbridge", "config") == []
    assert "What everybody else is denied" not in keytrail(*NAMED, "--form", "config").stdout


def test_a_page_without_a_form_tells_which_there_are(keytrail: Keytrail) -> None:
    page = keytrail(*NAMED)
    assert (page.exit_code, '"Statement"' in page.stdout, "(scp.json)" in page.stdout) == (0, False, True)
    assert "--output FOLDER writes the files" in page.stderr
    one = keytrail(*NAMED, "--form", "scp")
    assert ('"Statement"' in one.stdout, "--output FOLDER" in one.stderr) == (True, False)


def test_files_are_written_whole_and_never_over_others(keytrail: Keytrail, archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "guardrail"
    first = keytrail(*NAMED, archive, "--days", "3650", "-o", folder)
    assert first.exit_code == 0
    assert {one.name for one in folder.iterdir()} == FILES
    assert '"Statement"' not in first.stdout
    scp = json.loads((folder / "scp.json").read_text())
    assert scp["Statement"][0]["Condition"] == {"ArnNotLike": {"aws:PrincipalArn": BREAK_GLASS}}
    (folder / "scp.json").unlink()
    before = {one.name: one.read_text() for one in folder.iterdir()}
    again = keytrail(*NAMED, archive, "-o", folder, "--without", "grants")
    assert (again.exit_code, "exists already" in again.stderr) == (2, True)
    assert {one.name: one.read_text() for one in folder.iterdir()} == before
    assert keytrail(*NAMED, archive, "-o", folder, "--without", "grants", "--force").exit_code == 0
    assert "CreateGrant" not in (folder / "rcp.json").read_text()


def test_the_lake_is_tried_where_no_source_is_given(keytrail: Keytrail, archive: Path) -> None:
    nothing = keytrail(*NAMED, "--form", "scp")
    assert (nothing.exit_code, "there is no lake here" in nothing.stderr) == (0, True)
    assert keytrail("lake", "import", archive).exit_code == 0
    found = json.loads(keytrail(*NAMED, "--days", "3650", "--format", "json").stdout)
    assert (found["simulation"]["calls"], found["simulation"]["examined"]) == (4, 6)
    begins = "the lake's records begin at 2026-03-01 08:00 UTC: on the days before, it was not tried"
    assert begins in found["warnings"]
    recent = json.loads(keytrail(*NAMED, "--days", "1", "--format", "json").stdout)
    assert recent["simulation"]["examined"] == 0
    assert begins not in recent["warnings"]


def test_a_source_that_cannot_be_reached_does_not_read_as_harmless(keytrail: Keytrail) -> None:
    result = keytrail(*NAMED, "no-such-folder", "--form", "scp")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.count("no-such-folder") == 1


def test_settings_name_the_roles_and_the_days(keytrail: Keytrail, archive: Path) -> None:
    Path("keytrail.toml").write_text(f'[guardrail]\nbreak_glass = ["{BREAK_GLASS}"]\ndays = 3650\n')
    found = json.loads(keytrail("guardrail", archive, "--form", "scp", "--format", "json").stdout)
    assert (found["break_glass"], found["simulation"]["calls"]) == ([BREAK_GLASS], 4)
    other = "arn:aws:iam::111122223333:role/Admin"
    named = json.loads(keytrail("guardrail", archive, "--break-glass", other, "--format", "json").stdout)
    assert (named["break_glass"], named["simulation"]["calls"]) == ([other], 2)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((), "no break-glass role is named"),
        (("--break-glass", "arn:aws:iam::*:role/*"), "hold nobody back"),
        (("--break-glass", "BreakGlass"), "not the ARN of a role"),
        (("--break-glass", BREAK_GLASS, "--without", "policy"), "what a guardrail is for"),
        (("--break-glass", BREAK_GLASS, "--key", "alias/app"), "not the ARN of a key"),
        (("--break-glass", BREAK_GLASS, "--management-account", "12"), "--management-account"),
    ],
)
def test_what_locks_out_everybody_or_nobody_is_refused(keytrail: Keytrail, arguments: Any, what: str) -> None:
    result = keytrail("guardrail", *arguments, "-o", "out")
    assert (result.exit_code, result.stdout, Path("out").exists()) == (2, "", False)
    assert what in result.stderr


def policy(principal: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "kms:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_keys_of_exported_policies_are_looked_at(keytrail: Keytrail, tmp_path: Path) -> None:
    folder = tmp_path / "policies" / "111122223333" / "eu-west-1"
    folder.mkdir(parents=True)
    (folder / "1234abcd-12ab-34cd-56ef-1234567890ab.json").write_text(policy("arn:aws:iam::111122223333:role/Admin"))
    given = (*NAMED, "--snapshots", tmp_path / "policies", "--form", "scp")
    refused = keytrail(*given)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "lock everybody out" in refused.stderr
    (folder / "1234abcd-12ab-34cd-56ef-1234567890ac.json").write_text(policy("arn:aws:iam::111122223333:root"))
    warned = keytrail(*given)
    assert warned.exit_code == 0
    assert "Keys that nobody could change any more\n" in warned.stdout
    assert keytrail.key in warned.stdout
    found = json.loads(keytrail(*given, "--format", "json").stdout)
    assert (found["known_keys"], [one["key"] for one in found["locked_keys"]]) == (2, [keytrail.key])


def test_keys_that_the_state_knows_are_looked_at_unless_they_are_gone(keytrail: Keytrail) -> None:
    def keep(key: str, principal: str, at: int, **facts: object) -> None:
        with (
            installation(load_settings(config=None, overrides={}), set_up=True) as home,
            home.database.write() as connection,
        ):
            put_snapshot(
                connection, key_arn=key, account="111122223333", region="eu-west-1", source="kms",
                texts={"default": policy(principal)}, facts=facts, at=datetime(2026, 3, at, tzinfo=UTC),
            )  # fmt: skip

    other = keytrail.key[:-1] + "c"
    keep(keytrail.key, "arn:aws:iam::111122223333:role/Admin", 1)
    assert "lock everybody out" in keytrail(*NAMED).stderr
    keep(other, "arn:aws:iam::111122223333:root", 1)
    found = json.loads(keytrail(*NAMED, "--format", "json").stdout)
    assert [one["key"] for one in found["locked_keys"]] == [keytrail.key]
    keep(keytrail.key, "arn:aws:iam::111122223333:role/Admin", 2, state="Deleted")
    found = json.loads(keytrail(*NAMED, "--format", "json").stdout)
    assert (found["known_keys"], found["locked_keys"]) == (1, [])
    assert "Of 1 key with a known policy, each can still be changed by a break-glass role." in keytrail(*NAMED).stdout


def test_a_form_that_does_not_fit_is_left_out_unless_it_is_asked_for(keytrail: Keytrail) -> None:
    many = [word for number in range(25) for word in ("--break-glass", f"{BREAK_GLASS}{number:030d}")]
    result = keytrail("guardrail", *many, "--format", "json")
    forms = [one["form"] for one in json.loads(result.stdout)["forms"]]
    assert forms == ["scp", "rcp", "config"]  # and so there is no template with all of it either
    assert "left out: EventBridge rule" in result.stderr
    asked = keytrail("guardrail", *many, "--form", "eventbridge")
    assert (asked.exit_code, "AWS takes 2,048" in asked.stderr) == (2, True)


def test_what_records_say_does_not_reach_the_terminal(keytrail: Keytrail, tmp_path: Path) -> None:
    records = [
        keytrail.record(
            number,
            userIdentity={
                "type": "IAMUser",
                "arn": f"arn:aws:iam::111122223333:user/{text}",
                "accountId": "111122223333",
            },
            eventID=text,
        )
        for number, text in enumerate(keytrail.hostile)
    ]
    archive = keytrail.archive(tmp_path / "trail.json", records)
    arguments = (*NAMED, archive, "--days", "3650", "--form", "scp")
    shown = keytrail(*arguments)
    assert shown.exit_code == 0
    assert "user/\\x1b[2J" in shown.stdout
    for text in (shown.stdout, shown.stderr, keytrail(*arguments, "--format", "json").stdout):
        assert all(character.isprintable() or character == "\n" for character in text)
