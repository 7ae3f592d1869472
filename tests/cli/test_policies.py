"""`keytrail policies`: keys read from AWS, listed, shown, compared, written as files, vouched for."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from keytrail.policy.digest import digest_of_text
from keytrail.store.state.policies import put_snapshot
from keytrail.store.state.tables import audit
from tests.cli.service_state import here
from tests.respond.estate import ROLE, in_account, key_id, make_key, new_account, of_key, policy, role_denied
from tests.servers.proxy import Proxy, error

pytestmark = pytest.mark.usefixtures("aws_credentials")

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any

ACCOUNT = "111122223333"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1234ffff-12ab-34cd-56ef-1234567890ab"
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
A, B = policy(owner=ACCOUNT), policy("arn:aws:iam::444455556666:root", owner=ACCOUNT)
DIGEST_A, DIGEST_B = digest_of_text(A), digest_of_text(B)
HOSTILE = "alias/\x1b[2J\u202egnp"
GRANT = {
    "grant_id": "g" * 64,
    "name": "\x1b]0;x\x07",
    "grantee": "arn:aws:iam::444455556666:role/app",
    "operations": ["Decrypt"],
}


def put(text: str | None = A, at: datetime = NOW, key: str = KEY, **facts: object) -> None:
    """A key in the state, as a look at it leaves it."""
    texts = {} if text is None else {"default": text}
    known = {"state": "Enabled", "aliases": ["alias/orders", HOSTILE], "grants": [GRANT], "grants_total": 1}
    with here() as state, state.database.write() as connection:
        put_snapshot(
            connection,
            key_arn=key,
            account=ACCOUNT,
            region="eu-west-1",
            source="kms",
            texts=texts,
            facts=known | facts,
            at=at,
        )


@pytest.fixture
def two_versions() -> None:
    put()
    put(B, NOW + HOUR)


def harmless(result: Result) -> bool:
    """Whether nothing of what was printed could act on a terminal."""
    return all(character.isprintable() or character in "\n\r" for character in result.output)


# -- snapshot ---------------------------------------------------------------------------------------------------------


def snapshot(keytrail: Keytrail, proxy: Proxy, *arguments: str) -> Result:
    result: Result = keytrail(
        "policies", "snapshot", "--role-name", ROLE, "--endpoint-url", proxy.url, "--region", "eu-west-1", *arguments,
        env={"AWS_DEFAULT_REGION": "eu-west-1", "KEYTRAIL_AWS__MAX_ATTEMPTS": "1"},
    )  # fmt: skip
    return result


def test_a_snapshot_makes_the_state_and_says_what_is_new(keytrail: Keytrail, proxy: Proxy) -> None:
    first, second = new_account(), new_account()
    key = make_key(proxy.url, first, alias="orders")
    make_key(proxy.url, second)
    accounts = ("--account", first, "--account", second)
    result = snapshot(keytrail, proxy, *accounts, "-o", "policies")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == ("2 keys in 2 accounts: 0 policies changed since last time, 2 keys new; 3 files written\n")
    assert Path("policies", first, "eu-west-1", f"{key_id(key)}.json").is_file()
    opened = policy("arn:aws:iam::444455556666:root", owner=first)
    in_account(proxy.url, first).put_key_policy(KeyId=key_id(key), PolicyName="default", Policy=opened)
    result = snapshot(keytrail, proxy, *accounts)
    assert result.stderr == f"2 keys in 2 accounts: 1 policy changed since last time\n  changed  {key}\n"
    assert snapshot(keytrail, proxy, *accounts, "-q").output == ""
    listed = [json.loads(line) for line in keytrail("policies", "list").stdout.splitlines()]
    assert {one["account"]: (one["aliases"], one["grants_total"]) for one in listed} == {
        first: (["alias/orders"], 0), second: ([], 0),
    }  # fmt: skip
    assert keytrail("policies", "diff", "orders").exit_code == 1


def test_a_key_that_cannot_be_read_ends_with_3_and_an_account_with_4(
    keytrail: Keytrail,
    proxy: Proxy,
) -> None:
    first, second = new_account(), new_account()
    key, _ = make_key(proxy.url, first), make_key(proxy.url, first)
    make_key(proxy.url, second)
    proxy.plan("GetKeyPolicy", of_key(key, error("AccessDeniedException")), times=100)
    result = snapshot(keytrail, proxy, "--account", first)
    assert result.exit_code == 3
    assert f"warning: {key}: AWS denies kms:GetKeyPolicy on {key}" in result.stderr
    assert "allow kms:GetKeyPolicy on it" in result.stderr
    assert (
        "2 keys in 1 account: 0 policies changed since last time, 1 key new; 1 key could not be read" in result.stderr
    )
    proxy.plan("AssumeRole", role_denied)
    result = snapshot(keytrail, proxy, "--account", first, "--account", second)
    assert result.exit_code == 4
    assert "denies sts:AssumeRole" in result.stderr
    assert "1 key in 1 account" in result.stderr


def test_wrong_names_end_with_2_before_anybody_is_asked(keytrail: Keytrail, proxy: Proxy) -> None:
    result = snapshot(keytrail, proxy, "--account", "12345")
    assert (result.exit_code, "is no account id" in result.stderr) == (2, True)
    assert proxy.requests == []


def test_progress_is_for_who_watches(keytrail: Keytrail, proxy: Proxy) -> None:
    account = new_account()
    make_key(proxy.url, account)
    shown = keytrail.terminal(
        "policies", "snapshot", "--account", account, "--role-name", ROLE, "--endpoint-url", proxy.url, "--region",
        "eu-west-1", env={"AWS_DEFAULT_REGION": "eu-west-1"},
    )  # fmt: skip
    assert shown.code == 0
    assert "0/1 accounts" in shown.text
    assert "1 key new" in shown.text.splitlines()[-1]


# -- list, show -------------------------------------------------------------------------------------------------------


def test_a_key_is_a_line(keytrail: Keytrail) -> None:
    put(at=NOW)
    put(key=OTHER, aliases=[], grants_total=None)
    put(None, NOW + HOUR, key=OTHER, aliases=[], state="PendingDeletion")
    keytrail("policies", "mark-good", "orders")
    table = keytrail("policies", "list", "--format", "table").stdout.splitlines()
    assert table[0].split() == [
        "ALIAS",
        "ACCOUNT",
        "REGION",
        "STATE",
        "POLICY",
        "SINCE",
        "(UTC)",
        "GOOD",
        "GRANTS",
        "KEY",
    ]
    assert table[1].split()[:2] == ["orders", "+1"]
    assert DIGEST_A[:12] in table[1]
    assert "2026-03-01 08:00  good  1" in table[1]
    assert f"PendingDeletion  ({DIGEST_A[:12]})" in table[2]
    rows = list(csv.DictReader(io.StringIO(keytrail("policies", "list", "--format", "csv").stdout)))
    assert [row["policy"] for row in rows] == [DIGEST_A, DIGEST_A]
    assert rows[0]["aliases"] == "alias/orders alias/\\x1b[2J\\u202egnp"
    assert [
        one["key_arn"] for one in json.loads(keytrail("policies", "list", "--not-good", "--format", "json").stdout)
    ] == [OTHER]
    assert keytrail("policies", "list", "--account", "444455556666", "--format", "json").stdout == "[]\n"


@pytest.mark.usefixtures("two_versions")
def test_a_key_is_shown_with_its_versions(keytrail: Keytrail) -> None:
    keytrail("policies", "mark-good", KEY, "--version", DIGEST_A[:8], "--note", "CHG-1 \x1b[2J", "--as", "ada")
    result = keytrail("policies", "show", "orders")
    assert result.exit_code == 0
    assert harmless(result)
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[0] == "alias/orders"
    assert f"* {DIGEST_B[:12]}  2026-03-01 09:00:00" in lines
    assert f"{DIGEST_A[:12]}  2026-03-01 08:00:00, marked good by ada: CHG-1 \\x1b[2J" in lines
    assert f"Policy {DIGEST_B[:12]}" in lines
    assert any("arn:aws:iam::444455556666:role/app (\\x1b]0;x\\x07): Decrypt" in line for line in lines)
    assert digest_of_text(result.stdout.partition(f"Policy {DIGEST_B[:12]}\n")[2]) == DIGEST_B
    shown = json.loads(
        keytrail("policies", "show", "orders", "--at", "2026-03-01T08:30:00Z", "--format", "json").stdout
    )
    assert (shown["version"], shown["document"]) == (DIGEST_A, json.loads(A))
    assert [one["good"] for one in shown["versions"]] == [True, False]
    assert "nobody looked between" in shown["notes"][0]
    alone = keytrail("policies", "show", "orders", "--version", DIGEST_A[:6], "--policy")
    assert json.loads(alone.stdout) == json.loads(A)


@pytest.mark.usefixtures("two_versions")
def test_what_cannot_be_shown_ends_with_2(keytrail: Keytrail) -> None:
    put(None, key=OTHER, aliases=["alias/other"])
    for arguments, told in (
        (["show", "1234"], "names 2 keys"),
        (["show", "nothing\x1b[2J"], "no key is known as"),
        (["show", "orders", "--version", "ffffffff"], "has no version"),
        (["show", "orders", "--version", DIGEST_A, "--at", "1h"], "exclude each other"),
        (["show", "orders", "--at", "2020-01-01"], "is not known"),
        (["show", "alias/other", "--policy"], "no policy of the key could be read yet"),
        (["diff", "alias/other"], "nothing to compare"),
        (["mark-good", "alias/other"], "no policy of the key could be read yet"),
        (["mark-good", "orders", "--unmark", "--note", "x"], "--unmark takes no --note"),
        (["export"], "no folder is named"),
    ):
        result = keytrail("policies", *arguments)
        assert (result.exit_code, result.stdout) == (2, ""), arguments
        assert told in result.stderr
        assert harmless(result)


def test_without_a_state_it_ends_with_4(keytrail: Keytrail) -> None:
    result = keytrail("policies", "list")
    assert (result.exit_code, "`keytrail policies snapshot` set it up" in result.stderr) == (4, True)


def test_a_list_of_no_keys_says_how_to_get_some(keytrail: Keytrail) -> None:
    with here():
        pass  # a state that knows no key
    result = keytrail("policies", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no key is known yet: `keytrail policies snapshot`" in result.stderr
    assert keytrail("policies", "list", "--account", ACCOUNT).stderr == ""


# -- diff, export, mark-good ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("two_versions")
def test_a_change_is_proved_as_policy_diff_does(keytrail: Keytrail) -> None:
    result = keytrail("policies", "diff", "orders")
    assert result.exit_code == 1
    assert result.stdout.startswith("Account 444455556666")
    assert f"version {DIGEST_A[:12]}, seen at 2026-03-01 08:00:00 UTC" in result.stdout
    assert keytrail("policies", "diff", "orders", DIGEST_B[:8], DIGEST_A[:8]).exit_code == 0
    found = json.loads(keytrail("policies", "diff", "orders", DIGEST_A[:8], "--format", "json").stdout)
    assert (found["answer"], found["key"]) == ("new access", KEY)
    trusted = keytrail("policies", "diff", "orders", "--trust", "444455556666", "--no-statements")
    assert "trusted" in trusted.stdout
    assert "Difference of the statements" not in trusted.stdout


@pytest.mark.usefixtures("two_versions")
def test_policies_are_written_where_the_settings_say(keytrail: Keytrail) -> None:
    Path("keytrail.toml").write_text('[policies]\nfolder = "here"\n')
    assert keytrail("policies", "export").stderr == "note: 1 policy in here: 2 files changed\n"
    assert keytrail("policies", "export", "-o", "there").stderr == "note: 1 policy in there: 2 files changed\n"
    assert keytrail("policies", "export").stderr == "note: 1 policy in here: 0 files changed\n"
    written = Path("there", ACCOUNT, "eu-west-1", f"{key_id(KEY)}.json").read_text()
    assert digest_of_text(written) == DIGEST_B


@pytest.mark.usefixtures("two_versions")
def test_versions_are_marked_and_unmarked(keytrail: Keytrail) -> None:
    said = [
        keytrail("policies", "mark-good", "orders", *more, "--as", "ada").stderr
        for more in ((), (), ("--unmark",), ("--unmark",))
    ]
    named = f"note: version {DIGEST_B[:12]} of {KEY}"
    assert said == [
        f"{named} is marked good\n", f"{named} is marked good; it was so already\n",
        f"{named} is not marked good any more\n", f"{named} was not marked good\n",
    ]  # fmt: skip
    with here() as state, state.database.read() as connection:
        assert [one.action for one in connection.execute(audit.select())] == ["marked good", "mark taken away"]
    keytrail("policies", "mark-good", "orders", "--version", DIGEST_A)
    result = keytrail("policies", "mark-good", "orders", "--unmark")
    assert result.stderr == f"{named} was not marked good; marked is {DIGEST_A[:12]}: name one with --version\n"
