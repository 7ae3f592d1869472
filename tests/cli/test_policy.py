"""`keytrail policy diff`: the answer first, its exit code, and what is shown of it, on files and on archives."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any

OWNER, OTHER, THIRD = "111122223333", "444455556666", "777788889999"
ROLE = f"arn:aws:iam::{OWNER}:role/App"


def statement(principal: object, action: object = "kms:Decrypt", **more: object) -> dict[str, object]:
    made: dict[str, object] = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*"}
    return made | {name: value for name, value in more.items() if value is not None}


ROOT = statement({"AWS": f"arn:aws:iam::{OWNER}:root"}, "kms:*", Sid="Root")


def text(*statements: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    """Writes policies and gives their paths."""

    def write(name: str, *statements: object) -> str:
        path = tmp_path / name
        path.write_text(text(*statements))
        return str(path)

    return write


def diff(keytrail: Keytrail, *arguments: str, **more: Any) -> Any:
    return keytrail("policy", "diff", *arguments, "--account", OWNER, **more)


# -- answers --------------------------------------------------------------------------------------------------------


def test_an_opened_key(keytrail: Keytrail, policy: Any) -> None:
    opened = policy("b.json", ROOT, statement({"AWS": OTHER}, Sid="Partner"))
    result = diff(keytrail, policy("a.json", ROOT), opened)
    assert (result.exit_code, result.stderr) == (1, "")
    lines = result.stdout.split("\n")
    assert lines[0] == f"Account {OTHER} can now decrypt with this key. Nobody could from outside before."
    for part in (
        f"  + account {OTHER}",
        "can       Decrypt",
        'by        statement 2 "Partner"',
        f"example   arn:aws:iam::{OTHER}:root calls kms:Decrypt, and IAM of account {OTHER} allows it.",
        "KMS-P02",
        "T1199",
        "Remedy: ",
        f"  account {OTHER} can use the key",
        '  +  "Sid": "Partner",',
    ):
        assert part in result.stdout, part
    assert "Not certain" not in result.stdout


def test_no_new_access_is_proved(keytrail: Keytrail, policy: Any) -> None:
    before = policy("a.json", ROOT, statement({"AWS": OTHER}))
    result = diff(keytrail, before, policy("b.json", ROOT))
    assert result.exit_code == 0
    first = result.stdout.split("\n")[0]
    assert first == f"Nobody gained access: that is proved. Account {OTHER} can no longer decrypt with this key."
    same = diff(keytrail, before, policy("c.json", statement({"AWS": f"arn:aws:iam::{OTHER}:root"}), ROOT))
    assert same.exit_code == 0
    assert same.stdout.startswith("Nobody gained access: that is proved. Nobody lost access either.\n")
    assert "KMS-P00" in same.stdout


@pytest.mark.parametrize(
    ("before", "after", "answer"),
    [
        ([ROOT], [ROOT, statement("*")], "Anyone in any other AWS account can now decrypt with this key."),
        ([], [statement({"AWS": ROLE})], "Role App can now decrypt with this key."),
        (
            [ROOT],
            [ROOT, statement({"AWS": ROLE})],
            "Role App can now decrypt with this key without a policy in IAM.",
        ),
        (
            [ROOT, statement({"AWS": THIRD})],
            [ROOT, statement({"AWS": [THIRD, OTHER]})],
            f"Account {OTHER} can now decrypt with this key. From outside, only account {THIRD} could before.",
        ),
        (
            [ROOT],
            [ROOT, statement({"AWS": OTHER}, Condition={"StringEquals": {"kms:ViaService": ["a", "b"]}})],
            f"Account {OTHER} can now decrypt with this key, if kms:ViaService is a or b. Nobody could",
        ),
        ([ROOT], [ROOT, statement({"Service": "sns.amazonaws.com"})], "The AWS service sns.amazonaws.com can now"),
        ([ROOT], [ROOT, statement({"AWS": OTHER}, "kms:*")], f"Account {OTHER} can now do everything with this key"),
    ],
    ids=["public", "role", "direct", "second", "condition", "service", "everything"],
)
def test_the_answer_comes_first(
    keytrail: Keytrail, policy: Any, before: list[object], after: list[object], answer: str
) -> None:
    result = diff(keytrail, policy("a.json", *before), policy("b.json", *after))
    assert result.exit_code == 1
    assert " ".join(result.stdout.split("\n\n")[0].split("\n")).startswith(answer)


def test_what_is_not_proved_says_so(keytrail: Keytrail, policy: Any) -> None:
    odd = statement("*", Condition={"StringMatches": {"aws:PrincipalOrgID": "o-exampleorgid"}})
    result = diff(keytrail, policy("a.json", ROOT), policy("b.json", ROOT, odd))
    assert result.exit_code == 3
    assert result.stdout.startswith("It could not be proved that nobody gained access.")
    assert "Not certain" in result.stdout
    answer = json.loads(diff(keytrail, policy("a.json", ROOT), policy("b.json", ROOT, odd), "--format", "json").stdout)
    assert (answer["answer"], answer["new_access"], answer["proof"]["new_access"]) == ("not proved", True, "possible")
    assert answer["incomplete"]


def test_conditions_denials_and_losses_are_told(keytrail: Keytrail, policy: Any) -> None:
    deny = statement("*", Effect="Deny", Sid="NoOutside")
    via = statement({"AWS": OTHER}, Condition={"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}})
    result = diff(keytrail, policy("a.json", ROOT, via, deny), policy("b.json", ROOT, via))
    assert result.exit_code == 1
    assert "if kms:ViaService is s3.eu-west-1.amazonaws.com" in result.stdout
    assert 'denied    before, by statement 3 "NoOutside"' in result.stdout
    assert "with kms:ViaService = s3.eu-west-1.amazonaws.com" in " ".join(result.stdout.split())
    back = diff(keytrail, policy("b.json", ROOT, via), policy("a.json", ROOT, via, deny))
    assert back.exit_code == 0
    assert 'denied    now, by statement 3 "NoOutside"' in back.stdout


def test_default_and_none(keytrail: Keytrail, policy: Any) -> None:
    default = policy("a.json", ROOT)
    assert diff(keytrail, "default", default).exit_code == 0
    assert diff(keytrail, default, "default").exit_code == 0
    new = diff(keytrail, "none", "default")
    assert new.exit_code == 1
    assert "before    no policy: the key is new" in new.stdout


def test_of_many_changes_the_first_are_shown_and_the_others_counted(keytrail: Keytrail, policy: Any) -> None:
    accounts = [str(444455556600 + number) for number in range(14)]
    opened = policy("b.json", ROOT, *(statement({"AWS": one}) for one in accounts))
    result = diff(keytrail, policy("a.json", ROOT), opened)
    assert result.stdout.count("\n  + account ") == 12
    assert "\n  and 2 more; --format json has all of them\n" in result.stdout


def test_stdin(keytrail: Keytrail, policy: Any) -> None:
    opened = text(ROOT, statement({"AWS": OTHER})).encode()
    assert diff(keytrail, "default", "-", stdin=opened).exit_code == 1
    assert diff(keytrail, "-", "default", stdin=opened).exit_code == 0


def test_trust_and_organisation_are_told_apart(keytrail: Keytrail, policy: Any) -> None:
    files = policy("a.json", ROOT), policy("b.json", ROOT, statement({"AWS": OTHER}))
    trusted = diff(keytrail, *files, "--trust", OTHER)
    assert trusted.exit_code == 1
    assert trusted.stdout.startswith(f"Account {OTHER} (trusted) can now")
    severities = [
        [one["severity"] for one in json.loads(diff(keytrail, *files, *more, "--format", "json").stdout)["findings"]]
        for more in ([], ["--trust", OTHER])
    ]
    assert severities[0] != severities[1]
    member = statement("*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-exampleorgid"}})
    organisation = diff(keytrail, "default", policy("c.json", ROOT, member), "--org", "o-exampleorgid")
    assert "organisation o-exampleorgid can use the key" in organisation.stdout
    answer = " ".join(organisation.stdout.split())
    assert answer.startswith(
        "Anyone in organisation o-exampleorgid can now decrypt with this key, if aws:PrincipalOrgID is o-exampleorgid."
    )


def approve(account: str, expires: str, more: str = "") -> None:
    Path("accounts.toml").write_text(
        f'{more}\n[[approved]]\naccount = "{account}"\nreason = "Partner"\nexpires = {expires}\n'
    )


def severities(keytrail: Keytrail, *arguments: str) -> set[str]:
    found = json.loads(diff(keytrail, *arguments, "--format", "json").stdout)["findings"]
    return {one["severity"] for one in found if not one["standing"]}


def test_accounts_toml_says_who_is_trusted(keytrail: Keytrail, policy: Any) -> None:
    files = policy("a.json", ROOT), policy("b.json", ROOT, statement({"AWS": OTHER}))
    outside, trusted = severities(keytrail, *files), severities(keytrail, *files, "--trust", OTHER)
    assert outside != trusted
    for name, expires, more, words, expected in (
        ("approved", "2999-04-06", "", "approved until 2999-04-06", trusted),
        ("expired", "2020-04-06", "", "approval ended 2020-04-06", outside),
        ("a member", "2020-04-06", f"[accounts]\n{OTHER} = 'x'\n", "of the organisation", trusted),
    ):
        approve(OTHER, expires, more)
        result = diff(keytrail, *files)
        assert result.exit_code == 1, name
        assert result.stdout.startswith(f"Account {OTHER} ({words}) can now decrypt with this key."), name
        assert severities(keytrail, *files) == expected, name
        found = json.loads(diff(keytrail, *files, "--format", "json").stdout)
        assert found["standing"] == {OTHER: words}, name
    # --trust adds to the file: an expired approval does not take it away.
    approve(OTHER, "2020-04-06")
    assert severities(keytrail, *files, "--trust", OTHER) == trusted
    Path("accounts.toml").rename("other.toml")
    assert "approval ended" not in diff(keytrail, *files).stdout
    assert "approval ended" in diff(keytrail, *files, "--accounts", "other.toml").stdout


def test_the_organisation_of_accounts_toml_is_that_of_the_account(keytrail: Keytrail, policy: Any) -> None:
    member = statement("*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-exampleorgid"}})
    files = "default", policy("c.json", ROOT, member)
    foreign, own = severities(keytrail, *files), severities(keytrail, *files, "--org", "o-exampleorgid")
    assert foreign != own
    approve(THIRD, "2020-01-01", 'organisation = "o-exampleorgid"')
    assert severities(keytrail, *files) == own


def test_approvals_count_as_of_the_change_in_an_archive(keytrail: Keytrail, tmp_path: Path) -> None:
    policies = text(ROOT), text(ROOT, statement({"AWS": OTHER}))
    records = [
        keytrail.record(n, eventTime=f"2026-03-0{n}T08:00:00Z", requestParameters={"policy": policies[n - 1]})
        for n in (1, 2)
    ]
    keytrail.archive(tmp_path / "archive" / "a.json", records)
    ask = ["policy", "diff", "--key", keytrail.key, "--in", tmp_path / "archive", "-j", "1"]
    approve(OTHER, "2026-03-02")
    assert f"Account {OTHER} (approved until 2026-03-02) can now" in keytrail(*ask).stdout
    approve(OTHER, "2026-03-01")
    assert f"Account {OTHER} (approval ended 2026-03-01) can now" in keytrail(*ask).stdout


def test_json_is_the_whole_comparison(keytrail: Keytrail, policy: Any) -> None:
    result = diff(keytrail, "default", policy("b.json", ROOT, statement({"AWS": OTHER}, Sid="P")), "--format", "json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    assert (found["answer"], found["account"], found["key"]) == ("new access", OWNER, None)
    assert (found["before"]["status"], found["after"]["status"]) == ("default", "known")
    assert (found["new_access"], found["lost_access"], found["public"]) == (True, False, False)
    assert found["external_accounts"] == [OTHER]
    assert set(found["witness"]) == {"principal", "action", "context", "needs_iam"}
    assert found["gains"][0]["statements"] == [{"index": 1, "sid": "P"}]
    assert {"KMS-P02", "KMS-P05"} <= {finding["id"] for finding in found["findings"]}


def test_the_witness_that_is_shown_is_what_simulate_confirms(keytrail: Keytrail, policy: Any) -> None:
    before, after = policy("a.json", ROOT), policy("b.json", ROOT, statement({"AWS": OTHER}))
    witness = json.loads(diff(keytrail, before, after, "--format", "json").stdout)["witness"]
    request = ["--account", OWNER, "--principal", witness["principal"], "--action", witness["action"]]
    codes = [keytrail("policy", "simulate", one, *request).exit_code for one in (before, after)]
    assert codes == [1, 0]


def test_the_statements_are_left_out_on_demand_and_bounded(keytrail: Keytrail, policy: Any) -> None:
    one = policy("b.json", ROOT, statement({"AWS": OTHER}))
    assert "Difference of the statements" not in diff(keytrail, "default", one, "--no-statements").stdout
    many = policy("c.json", *(statement({"AWS": f"arn:aws:iam::{OWNER}:role/r{n}"}, Sid=f"s{n}") for n in range(300)))
    shown = diff(keytrail, "default", many).stdout
    assert len(shown.split("\n")) < 600
    assert "the rest is left out" in shown


# -- archives -------------------------------------------------------------------------------------------------------


def test_the_opened_key_of_the_story(keytrail: Keytrail, tmp_path: Path) -> None:
    story = tmp_path / "story"
    assert keytrail("simulate", "--out", story, "--events", "1000", "--layout", "large").exit_code == 0
    ledger = json.loads((story / "story.ledger").read_text())
    [opened] = [change for change in ledger["changes"] if change["step"] == "key-opened"]
    ask = ["policy", "diff", "--key", opened["key"], "--in", str(story), "-j", "1"]
    result = keytrail(*ask, "--until", "2026-03-07")
    assert result.exit_code == 1
    [outside] = opened["outside_accounts"]
    assert result.stdout.startswith(f"Account {outside} can now decrypt")
    assert "Nobody could from outside before." in " ".join(result.stdout.split())
    assert opened["event_id"] in result.stdout
    assert opened["before"]["event_id"] in result.stdout
    restored = keytrail(*ask)
    assert restored.exit_code == 0
    assert restored.stdout.startswith("Nobody gained access: that is proved.")
    [after_gap] = [change for change in ledger["changes"] if change["step"] == "after-omission"]
    unknown = keytrail("policy", "diff", "--key", after_gap["key"], "--in", story, "-j", "1")
    assert unknown.exit_code == 3
    assert unknown.stdout.startswith("Not proved: the policy before is not known")
    nothing = keytrail(*ask, "--until", "2026-03-01")
    assert (nothing.exit_code, nothing.stdout) == (4, "")


def test_an_archive_that_is_not_there(keytrail: Keytrail, tmp_path: Path) -> None:
    result = keytrail("policy", "diff", "--key", keytrail.key, "--in", tmp_path / "no-such")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.count("no-such") == 1


def test_damaged_input_is_listed_and_nothing_is_proved(keytrail: Keytrail, tmp_path: Path) -> None:
    (tmp_path / "broken.json.gz").write_bytes(b"\x1f\x8b\x08\x00damaged")
    records = [
        keytrail.record(n, eventTime=f"2026-03-0{n}T08:00:00Z", requestParameters={"policy": text(ROOT)})
        for n in (1, 2)
    ]
    keytrail.archive(tmp_path / "a.json", records)
    result = keytrail("policy", "diff", "--key", keytrail.key, "--in", tmp_path, "-j", "1")
    assert result.exit_code == 3
    assert "broken.json.gz" in result.stderr
    assert result.stdout.startswith("Nobody gained access, as far as could be read.")


# -- bad input ------------------------------------------------------------------------------------------------------

BAD = {
    "empty": b"",
    "words": b"hello",
    "list": b"[]",
    "no-statement": b"{}",
    "effect": b'{"Statement":{"Effect":"allow","Principal":"*","Action":"*","Resource":"*"}}',
    "twice": b'{"Statement":[],"Statement":[]}',
    "wrapped": b'{"Policy":"{}","PolicyName":"default"}',
    "latin": b'{"Id":"\xff"}',
    "zeros": b"\0" * 1000,
    "deep": b"[" * 300_000,
    "deep-object": b'{"Statement":' * 50_000 + b"1" + b"}" * 50_000,
    "ten-megabytes": b'"' + b"a" * 10_000_000 + b'"',
    "long-number": b'{"Statement":' + b"1" * 50_000 + b"}",
    "surrogate": b'{"\\ud800\\u001b[2J":1}',
    "bidi": '{"\u202eStatement":"\u2066"}'.encode(),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_with_its_place(keytrail: Keytrail, tmp_path: Path, name: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(BAD[name])
    for words in (("diff", "default", path), ("diff", path, "default")):
        result = diff(keytrail, *map(str, words[1:]))
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("error: ")
        assert "bad.json" in result.stderr
        assert "unexpected" not in result.stderr
        assert result.stderr.replace("\n", "").isprintable()
        assert len(result.stderr) < 2_000
    for command in ("explain", "lint"):
        assert keytrail("policy", command, path).exit_code == 2
        assert keytrail("policy", command, "-", stdin=BAD[name]).exit_code == 2


def test_bad_input_leaves_no_traceback_in_a_process_of_its_own(keytrail: Keytrail, tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_bytes(BAD["deep-object"])
    command = keytrail.command("policy", "diff", path, "none", "--account", OWNER)
    for line in (command, keytrail.command("policy", "lint", path)):
        done = subprocess.run(line, capture_output=True, timeout=60)
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"Traceback" not in done.stderr


def test_every_problem_of_a_policy_is_told(keytrail: Keytrail, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{"Version": "2020-01-01",\n "Statement": [{"Effect": "Maybe", "Principal": "*"}]}')
    result = diff(keytrail, "default", str(path))
    assert result.exit_code == 2
    assert result.stderr.count("error: ") == 2
    assert "p.json:1:13" in result.stderr
    assert "p.json:2:27" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["default", "."],
        ["default", "no-such.json"],
        ["default"],
        ["default", "none"],
        ["-", "-"],
        ["default", "default", "--trust", "12"],
        ["default", "default", "--org", "example"],
        ["default", "default", "--until", "7d"],
        ["default", "default", "--key", "arn", "--in", "."],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line(keytrail: Keytrail, arguments: list[str]) -> None:
    result = diff(keytrail, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["default", "default"],
        ["default", "default", "--account", "12345"],
        ["--key", "arn:aws:kms:eu-west-1:111122223333:key/1"],
        ["--in", "."],
        ["--key", "alias/app", "--in", "."],
        [],
    ],
    ids=" ".join,
)
def test_what_is_missing_is_told(keytrail: Keytrail, arguments: list[str]) -> None:
    result = keytrail("policy", "diff", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")


# -- hostile text ---------------------------------------------------------------------------------------------------


def hostile_policy(hostile: str) -> str:
    return text(
        ROOT,
        statement({"AWS": [f"arn:aws:iam::{OTHER}:role/{hostile}", hostile]}, Sid=hostile),
        statement("*", Condition={"StringEquals": {f"kms:EncryptionContext:{hostile}": hostile}}, Sid=hostile),
        statement("*", f"kms:{hostile}", Condition={hostile: {hostile: hostile}}),
    )


def test_hostile_text_acts_on_no_terminal(keytrail: Keytrail, tmp_path: Path) -> None:
    for number, hostile in enumerate(keytrail.hostile):
        path = tmp_path / f"{number}.json"
        path.write_text(hostile_policy(hostile))
        for words in (
            ("diff", "default", path, "--account", OWNER),
            ("diff", "default", path, "--account", OWNER, "--format", "json"),
            ("explain", path),
            ("explain", path, "--format", "json"),
            ("lint", path),
            ("lint", path, "--format", "json"),
            ("simulate", path, "--account", OWNER, "--action", "Decrypt", "--principal", ROLE),
        ):
            result = keytrail("policy", *words)
            assert result.exit_code in (0, 1, 3), (hostile, words, result.stderr)
            assert result.output.replace("\n", "").isprintable(), (hostile, words)
            assert "\u200b" not in result.output
        shown = keytrail("policy", "diff", "default", path, "--account", OWNER).stdout
        if "\x1b" in hostile:
            assert "\\x1b" in shown


def test_on_a_terminal_severities_have_colour_and_nothing_else_has(keytrail: Keytrail, policy: Any) -> None:
    files = policy("a.json", ROOT), policy("b.json", ROOT, statement({"AWS": OTHER}, Sid="\x1b[2J"))
    shown = keytrail.terminal("policy", "diff", *files, "--account", OWNER)
    assert shown.code == 1
    assert "\x1b[31mhigh\x1b[0m" in shown.text
    assert "\x1b[2J" not in shown.text
    plain = keytrail.terminal("policy", "diff", *files, "--account", OWNER, "--color", "never")
    assert "\x1b" not in plain.text


def test_every_truth_case_is_answered_and_shown(shared: Path) -> None:
    from keytrail.cli.policy_text import diff_text
    from keytrail.policy import KeyPolicy
    from keytrail.service.policy import Version
    from keytrail.service.policy_diff import diff_policies

    for case in json.loads((shared / "policy-cases.json").read_text()):
        before = case["before"] and KeyPolicy.parse(case["before"])
        versions = (
            Version(before, "known" if before else "none", "a"),
            Version(KeyPolicy.parse(case["after"]), "known", "b"),
        )
        found = diff_policies(*versions, case["account"])
        expected = ("new access", "not proved") if case["expect"]["new_access"] else ("no new access",)
        assert found.answer in expected, case["name"]
        page = diff_text(found)
        assert page.startswith("Nobody gained access") is (found.answer == "no new access"), case["name"]
        assert ("\nGained\n" in page) is case["expect"]["new_access"], case["name"]
        assert page.replace("\n", "").isprintable()
