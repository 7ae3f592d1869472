"""`keytrail policy explain`, `lint` and `simulate`: one policy, read in three ways."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any

OWNER, OTHER = "111122223333", "444455556666"
APP = f"arn:aws:iam::{OWNER}:role/App"
VIA = {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}}
POLICY: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {"Sid": "Root", "Effect": "Allow", "Principal": {"AWS": OWNER}, "Action": "kms:*", "Resource": "*"},
        {"Sid": "Use", "Effect": "Allow", "Principal": {"AWS": APP}, "Action": "kms:Decrypt", "Resource": "*"},
        {
            "Sid": "Partner",
            "Effect": "Allow",
            "Principal": {"AWS": OTHER},
            "Action": ["kms:Decrypt", "kms:Encrypt"],
            "Resource": "*",
            "Condition": VIA,
        },
        {
            "Sid": "NoEncrypt",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "kms:Encrypt",
            "Resource": "*",
            "Condition": {"StringEquals": {"kms:CallerAccount": OTHER}},
        },
    ],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "policy.json"
    made.write_text(json.dumps(POLICY, indent=1))
    return made


def rows(output: str) -> dict[str, dict[str, str]]:
    """The table of `explain` in a pipe, by who."""
    header, *lines = output.split("\n\n")[0].split("\n")
    starts = [header.index(name) for name in header.split()] + [None]
    cells = [
        [line[a:b].strip() for a, b in pairwise(starts)]  # type: ignore[misc]
        for line in (header, *lines)
    ]
    return {row[0]: dict(zip(cells[0][1:], row[1:], strict=True)) for row in cells[1:]}


# -- explain --------------------------------------------------------------------------------------------------------


def test_explain_says_what_the_policy_gives(keytrail: Keytrail, path: Path) -> None:
    result = keytrail("policy", "explain", path, "--account", OWNER)
    assert (result.exit_code, result.stderr) == (0, "")
    table = rows(result.stdout)
    assert table[f"the root user of this account ({OWNER})"]["POLICY"] == "yes"
    assert table[f"other identities of this account ({OWNER})"]["DECRYPT"] == "IAM"
    # ReEncryptFrom is of the same group, and only IAM gives it.
    assert table["role App"]["DECRYPT"] == "some, IAM"
    partner = table[f"account {OTHER}"]
    assert partner["DECRYPT"] == "some a"
    # A Deny counts: what it takes is not there.
    assert partner["ENCRYPT"] == "-"
    assert '  a   if kms:ViaService is s3.eu-west-1.amazonaws.com (statement 3 "Partner")' in result.stdout


def test_explain_finds_the_owner_and_says_so(keytrail: Keytrail, path: Path) -> None:
    result = keytrail("policy", "explain", path)
    assert result.exit_code == 0
    assert f"account {OWNER} is taken for the owner" in result.stderr
    path.write_text(
        json.dumps({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}})
    )
    unknown = keytrail("policy", "explain", path)
    assert unknown.exit_code == 2
    assert "--account" in unknown.stderr
    public = keytrail("policy", "explain", path, "--account", OWNER)
    assert "The key is public." in public.stdout


def test_explain_tells_a_deny_that_stands_beside(keytrail: Keytrail, path: Path) -> None:
    deny = POLICY["Statement"][3] | {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "false"}}}
    path.write_text(json.dumps(POLICY | {"Statement": [*POLICY["Statement"][:3], deny]}))
    result = keytrail("policy", "explain", path, "--account", OWNER)
    assert "unless aws:MultiFactorAuthPresent is false" in result.stdout
    assert '(statement 4 "NoEncrypt" denies it)' in " ".join(result.stdout.split())


def test_explain_as_json(keytrail: Keytrail, path: Path) -> None:
    found = json.loads(keytrail("policy", "explain", "-", "--format", "json", stdin=path.read_bytes()).stdout)
    assert (found["account"], found["public"], found["external_accounts"]) == (OWNER, False, [OTHER])
    assert {"principals", "actions", "conditions", "statements"} <= set(found["access"][0])


def test_explain_of_nothing(keytrail: Keytrail, path: Path) -> None:
    path.write_text('{"Statement": []}')
    result = keytrail("policy", "explain", path, "--account", OWNER)
    assert (result.exit_code, result.stdout) == (0, "Nobody can use the key by this policy.\n")


def test_explain_fits_the_terminal(keytrail: Keytrail, path: Path) -> None:
    for columns in (60, 100, 200):
        shown = keytrail.terminal("policy", "explain", path, "--color", "never", columns=columns)
        table = shown.text.split("\n\n")[0].split("\n")
        assert max(map(len, table)) <= max(columns, 110)
        assert any("role App" in line for line in table)


def test_explain_of_a_thousand_principals(keytrail: Keytrail, path: Path) -> None:
    names = [f"arn:aws:iam::{OWNER}:role/r{n}" for n in range(1000)]
    path.write_text(json.dumps({"Statement": POLICY["Statement"][1] | {"Principal": {"AWS": names}}}))
    result = keytrail("policy", "explain", path)
    assert result.exit_code == 0
    assert "and 950 more like these" in result.stdout


# -- lint -----------------------------------------------------------------------------------------------------------


def test_lint_of_a_clean_policy(keytrail: Keytrail, path: Path) -> None:
    result = keytrail("policy", "lint", path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "4 statements: nothing to say\n")


def test_lint_tells_place_severity_and_code(keytrail: Keytrail, path: Path) -> None:
    wrong = POLICY["Statement"][1] | {"Principal": {"AWS": f"arn:aws:iam::{OWNER}:role/*"}, "Action": "kms:Dekrypt"}
    path.write_text(json.dumps({"Version": "2012-10-17", "Statement": [wrong]}, indent=1))
    result = keytrail("policy", "lint", path)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert any(line.startswith(f"{path}:7:") and line.endswith("[principal-wildcard]") for line in lines)
    assert any(": warning: " in line and line.endswith("[action-unknown]") for line in lines)
    assert result.stderr == "1 statement: 1 error, 1 warning\n"
    found = json.loads(keytrail("policy", "lint", path, "--format", "json").stdout)
    assert {one["code"] for one in found} == {"principal-wildcard", "action-unknown"}
    assert all(one["line"] and one["file"] == str(path) for one in found)


def test_notes_alone_fail_nothing(keytrail: Keytrail, path: Path) -> None:
    path.write_text(json.dumps({"Statement": POLICY["Statement"][:2]}))
    result = keytrail("policy", "lint", path)
    assert (result.exit_code, result.stderr) == (0, "2 statements: 1 note\n")
    assert "[version-missing]" in result.stdout


# -- simulate -------------------------------------------------------------------------------------------------------


def simulate(keytrail: Keytrail, path: Path, principal: str, action: str, *more: str) -> Any:
    return keytrail("policy", "simulate", path, "--account", OWNER, "--principal", principal, "--action", action, *more)


def test_simulate_allows_by_a_statement(keytrail: Keytrail, path: Path) -> None:
    result = simulate(keytrail, path, APP, "kms:Decrypt", "--no-iam")
    assert result.exit_code == 0
    assert result.stdout.startswith('Allowed, by statement 2 "Use"\n')
    assert 'statement 1 "Root": leaves it to IAM' in result.stdout


@pytest.mark.parametrize(
    ("principal", "action", "more", "first", "why"),
    [
        (APP, "Encrypt", ["--no-iam"], "Not allowed", "is about other actions"),
        (f"arn:aws:iam::{OTHER}:role/x", "decrypt", [], "Not allowed", "does not hold: kms:ViaService is s3"),
        (
            f"arn:aws:iam::{OTHER}:role/x",
            "kms:Encrypt",
            ["--context", "kms:ViaService=s3.eu-west-1.amazonaws.com"],
            'Denied, by statement 4 "NoEncrypt"',
            "applies",
        ),
        (f"arn:aws:iam::{OTHER}:role/x", "kms:PutKeyPolicy", [], "Not allowed", "No key policy can allow it"),
        ("arn:aws:iam::777788889999:user/y", "kms:Sign", ["--no-iam"], "Not allowed", "is about other principals"),
    ],
)
def test_simulate_says_why_not(
    keytrail: Keytrail, path: Path, principal: str, action: str, more: list[str], first: str, why: str
) -> None:
    result = simulate(keytrail, path, principal, action, *more)
    assert result.exit_code == 1
    assert result.stdout.startswith(first)
    assert why in " ".join(result.stdout.split())


def test_simulate_with_context(keytrail: Keytrail, path: Path) -> None:
    context = ["--context", "kms:ViaService=s3.eu-west-1.amazonaws.com"]
    result = simulate(keytrail, path, f"arn:aws:iam::{OTHER}:role/x", "Decrypt", *context)
    assert result.exit_code == 0
    found = json.loads(
        simulate(keytrail, path, f"arn:aws:iam::{OTHER}:role/x", "Decrypt", *context, "--format", "json").stdout
    )
    assert (found["outcome"], found["allowed_by"]) == ("allowed", [{"index": 2, "sid": "Partner"}])
    assert found["request"]["context"] == {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}
    assert [one["applies"] for one in found["statements"]] == [False, False, True, False]


def test_simulate_tells_what_it_did_not_look_at(keytrail: Keytrail, path: Path) -> None:
    context = [
        "--context", "kms:EncryptionContext:a=b", "--context", "kms:CallerAccount=1", "--context", "x:y=z=1",
    ]  # fmt: skip
    result = simulate(keytrail, path, APP, "DescribeKey", *context)
    assert result.exit_code == 0
    for part in ("does not carry kms:EncryptionContext:a", "kms:CallerAccount follows from", "x:y is no condition key"):
        assert part in result.stderr


def test_simulate_says_what_is_not_documented(keytrail: Keytrail, path: Path) -> None:
    odd = POLICY["Statement"][1] | {"Condition": {"StringMatches": {"kms:ViaService": "x"}}}
    path.write_text(json.dumps({"Version": "2012-10-17", "Statement": [odd]}))
    result = simulate(keytrail, path, APP, "Decrypt", "--no-iam", "--context", "kms:ViaService=x")
    assert result.exit_code == 3
    assert result.stdout.startswith("Unknown: ")


@pytest.mark.parametrize(
    ("principal", "action", "more"),
    [
        ("App", "Decrypt", []),
        (APP, "kms:Dekrypt", []),
        (APP, "s3:GetObject", []),
        (APP, "Decrypt", ["--context", "novalue"]),
        (APP, "Decrypt", ["--context", "=x"]),
    ],
)
def test_simulate_of_what_is_no_request(
    keytrail: Keytrail, path: Path, principal: str, action: str, more: list[str]
) -> None:
    result = simulate(keytrail, path, principal, action, *more)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")


def test_a_misspelt_action_is_put_right(keytrail: Keytrail, path: Path) -> None:
    assert "did you mean kms:Decrypt?" in simulate(keytrail, path, APP, "kms:Dekrypt").stderr
