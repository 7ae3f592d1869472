"""accounts.toml: what it says, every error with its place, and that editing it keeps all but what was asked for."""

from __future__ import annotations

import os
import stat
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail.errors import SettingsError
from keytrail.settings import (
    Accounts,
    ApprovedAccount,
    accounts_problems,
    approve_account,
    load_accounts,
    revoke_account,
)
from keytrail.settings.accounts import read_accounts

OWNER, OTHER, PARTNER, THIRD = "111122223333", "222233334444", "777788889999", "012345678901"

FILE = """\
# Trust of the example organisation
organisation = "o-exampleorgid"

[accounts] # of the organisation
"111122223333" = "management"
222233334444 = ''   # a bare key is text as well

# The exchange
[[approved]]
account = "777788889999" # checked by phone
name = "exchange"
reason = "Partner"   # contract 4711
expires = 2027-04-06   # end of contract

# The auditors
[[approved]]
account = '012345678901'
reason = "Audit"

# the end
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.toml"
    path.write_text(FILE)
    return path


def instant(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


# -- reading --------------------------------------------------------------------------------------------------------


def test_what_the_file_says(file: Path) -> None:
    assert load_accounts(file) == Accounts(
        "o-exampleorgid",
        {OWNER: "management", OTHER: ""},
        (
            ApprovedAccount(PARTNER, "Partner", instant(2027, 4, 7), "exchange"),
            ApprovedAccount(THIRD, "Audit"),
        ),
    )


def test_an_empty_file_trusts_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("")
    assert load_accounts(tmp_path / "a.toml") == Accounts()


@pytest.mark.parametrize(
    ("written", "last", "first_after", "until"),
    [
        ("2027-04-06", instant(2027, 4, 6, 23, 59, 59), instant(2027, 4, 7), "2027-04-06"),
        ("2027-04-06T12:00:00Z", instant(2027, 4, 6, 11, 59, 59), instant(2027, 4, 6, 12), "2027-04-06 12:00 UTC"),
        ("2027-04-06T01:00:00+02:00", instant(2027, 4, 5, 22), instant(2027, 4, 5, 23), "2027-04-05 23:00 UTC"),
        ("2027-04-06 12:00:00", instant(2027, 4, 6, 11), instant(2027, 4, 6, 12), "2027-04-06 12:00 UTC"),
    ],
)
def test_a_date_holds_through_its_day_and_a_time_until_it(
    written: str, last: datetime, first_after: datetime, until: str
) -> None:
    text = f'[[approved]]\naccount = "{PARTNER}"\nreason = "x"\nexpires = {written}\n'
    accounts, problems = read_accounts(text, "a.toml")
    assert not problems
    [approved] = accounts.approved
    assert approved.until == until
    assert [accounts.standing(PARTNER, owner=OWNER, at=at) for at in (last, first_after)] == ["approved", "expired"]
    assert [PARTNER in accounts.trusted_at(at) for at in (last, first_after)] == [True, False]


APPROVED = f'[[approved]]\naccount = "{PARTNER}"\n'


@pytest.mark.parametrize(
    ("text", "place", "what", "advice"),
    [
        ("organization = 'o-exampleorgid'\n", "1:1", "no key is called organization", "Did you mean organisation?"),
        ("zzz = 1\n", "1:1", "no key is called zzz", "Known: organisation, accounts, approved."),
        (f"account = '{PARTNER}'\n", "1:1", "no key is called account", "Write it below [[approved]]."),
        (f"\n'{OWNER}' = 'x'\n", "2:1", f"no key is called {OWNER}", "Write it below [accounts]."),
        (APPROVED + "reason = 'x'\nexpire = 2027-04-06\n", "4:1", "no key is called expire", "Did you mean expires?"),
        ("organisation = 'example'\n", "1:1", "'example' is no organisation id", '"o-exampleorgid"'),
        ("organisation = 5\n", "1:1", "5 is no organisation id", '"o-exampleorgid"'),
        ("accounts = 5\n", "1:1", "accounts is a table", "Write [accounts]"),
        ("[accounts]\n1234 = 'x'\n", "2:1", "'1234' is no account id", "12 digits"),
        (f"[accounts]\n{OWNER} = 5\n", "2:1", f"the name of account {OWNER}: 5 is not text", "in quotes"),
        ("[approved]\n", "1:2", "approved is a list of tables", "Write [[approved]], with two brackets"),
        ("approved = ['x']\n", "1:1", "approved is a list of tables", "Write [[approved]]"),
        ("[[approved]]\nreason = 'x'\n", "1:3", "an approval without an account", 'Add account = "'),
        (APPROVED, "1:3", "an approval without a reason", 'Add reason = "'),
        (APPROVED + "reason = ' '\n", "3:1", "an approval without a reason", 'Add reason = "'),
        (APPROVED + "reason = 5\n", "3:1", "reason: 5 is not text", "in quotes"),
        (APPROVED + f"reason = '{'x' * 1001}'\n", "3:1", "reason: longer than 1000 characters", "Shorten it."),
        (APPROVED + "reason = 'x'\nname = 1\n", "4:1", "name: 1 is not text", "in quotes"),
        (APPROVED + "reason = 'x'\nexpires = '2027-04-06'\n", "4:1", "'2027-04-06' is not a date", "without quotes"),
        (APPROVED + "reason = 'x'\nexpires = 07:00:00\n", "4:1", "07:00:00 is not a date", "through that day (UTC)"),
        (APPROVED + "reason = 'x'\nexpires = 9999-12-31\n", "4:1", "9999-12-31 is too far away", "Leave expires out"),
        (
            "[[approved]]\nreason = 'x'\naccount = 777788889999\n",
            "3:1",
            "777788889999 is a number, not an account id",
            'Write it in quotes, such as "777788889999": a number loses its leading zeros.',
        ),
        ("[[approved]]\nreason = 'x'\naccount = 12\n", "3:1", "12 is a number", '"000000000012"'),
        ("[[approved]]\naccount = 012345678901\n", "2:12", "not TOML", "a number loses its leading zeros"),
        (
            2 * (APPROVED + "reason = 'x'\n\n"),
            "5:3",
            f"account {PARTNER} is approved twice",
            "Keep one of them.",
        ),
        ("[[approved]]\nx =\n", "2:4", "not TOML", "[[approved]] tables"),
        ("[[approved]]\nexpires = 2027-02-30\n", "2:11", "not TOML: Invalid date", "[[approved]] tables"),
    ],
)
def test_errors_say_where_what_and_what_to_do(tmp_path: Path, text: str, place: str, what: str, advice: str) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text(text)
    [error] = accounts_problems(path)
    assert str(error.place) == f"{path}:{place}"
    assert what in error.what
    assert advice in error.advice
    with pytest.raises(SettingsError) as caught:
        load_accounts(path)
    assert str(caught.value) == str(error)


def test_every_problem_is_found_in_the_order_of_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    path.write_text("organisation = 1\n" + APPROVED + "\n[[approved]]\naccount = 5\nreson = 'x'\n")
    places = [error.place.line for error in accounts_problems(path) if error.place]
    assert places == [1, 2, 5, 6, 7]
    with pytest.raises(SettingsError, match="4 more; `keytrail accounts list` shows them"):
        load_accounts(path)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\xff", "not UTF-8"),
        (b"#" * 2_000_000, "larger than"),
        (b"approved = " + b"[" * 9_000, "nested too deeply"),
        (b"organisation = " + b"1" * 9_000, "a number too long"),
    ],
    ids=["latin", "large", "deep", "number"],
)
def test_files_are_read_within_bounds(tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "a.toml").write_bytes(data)
    with pytest.raises(SettingsError, match=what):
        load_accounts(tmp_path / "a.toml")


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(SettingsError) as caught:
            load_accounts(path)
        assert str(path) in str(caught.value)


# -- editing --------------------------------------------------------------------------------------------------------


def changed(file: Path) -> tuple[list[str], list[str]]:
    """The lines that an edit took out of FILE and put into it; all others stand in the same order."""
    import difflib

    lines = list(difflib.ndiff(FILE.splitlines(), file.read_text().splitlines()))
    return [x[2:] for x in lines if x[0] == "-"], [x[2:] for x in lines if x[0] == "+"]


def test_an_approval_is_added_and_nothing_else_changes(file: Path) -> None:
    edit = approve_account(file, "999988887777", 'New "one"', date(2026, 12, 31), name="n")
    assert (edit.before, edit.created) == (None, False)
    assert edit.after == ApprovedAccount("999988887777", 'New "one"', instant(2027, 1, 1), "n")
    assert load_accounts(file).approved[-1] == edit.after
    assert changed(file) == (
        [],
        [
            "",
            "[[approved]]",
            'account = "999988887777"',
            'name = "n"',
            'reason = "New \\"one\\""',
            "expires = 2026-12-31",
        ],
    )


def test_a_renewal_changes_its_lines_and_keeps_their_comments(file: Path) -> None:
    edit = approve_account(file, PARTNER, "Renewed", date(2028, 4, 6))
    assert edit.before == ApprovedAccount(PARTNER, "Partner", instant(2027, 4, 7), "exchange")
    assert edit.after == ApprovedAccount(PARTNER, "Renewed", instant(2028, 4, 7), "exchange"), "the name is kept"
    assert changed(file) == (
        ['reason = "Partner"   # contract 4711', "expires = 2027-04-06   # end of contract"],
        ['reason = "Renewed"   # contract 4711', "expires = 2028-04-06   # end of contract"],
    )


def test_an_end_is_put_to_its_approval_or_taken_from_it(file: Path) -> None:
    approve_account(file, THIRD, "Audit", instant(2027, 1, 1, 12))
    assert changed(file) == ([], ["expires = 2027-01-01T12:00:00Z"])
    assert 'reason = "Audit"\nexpires = 2027-01-01T12:00:00Z\n' in file.read_text()
    approve_account(file, THIRD, "Audit", None)
    assert file.read_text() == FILE


def test_revoking_takes_out_the_approval_alone(file: Path) -> None:
    assert revoke_account(file, THIRD).before == ApprovedAccount(THIRD, "Audit")
    assert [line for line in changed(file)[0] if line] == ["[[approved]]", f"account = '{THIRD}'", 'reason = "Audit"']
    edit = revoke_account(file, PARTNER)
    assert (edit.after, load_accounts(file).approved) == (None, ())
    for comment in ("# Trust of", "# of the organisation", "# The exchange", "# The auditors", "# the end"):
        assert comment in file.read_text()
    assert load_accounts(file).names == {OWNER: "management", OTHER: ""}


def test_what_cannot_be_approved_or_revoked_changes_nothing(file: Path) -> None:
    for what, act in (
        ("is of the organisation and needs no approval", lambda: approve_account(file, OWNER, "x", None)),
        ("is no account id", lambda: approve_account(file, "12", "x", None)),
        ("needs a reason", lambda: approve_account(file, PARTNER, "  ", None)),
        ("longer than", lambda: approve_account(file, PARTNER, "x" * 1001, None)),
        ("not UTF-8", lambda: approve_account(file, PARTNER, "\udcff", None)),
        (r"is not approved \(it is of the organisation\)", lambda: revoke_account(file, OWNER)),
        ("is not approved", lambda: revoke_account(file, "999988887777")),
    ):
        with pytest.raises(SettingsError, match=what):
            act()
    assert file.read_text() == FILE


def test_a_file_with_an_error_is_not_edited(file: Path) -> None:
    file.write_text(FILE + "resaon = 'x'\n")
    with pytest.raises(SettingsError, match="no key is called resaon"):
        approve_account(file, PARTNER, "x", None)
    assert file.read_text() == FILE + "resaon = 'x'\n"


def test_a_file_is_created_where_there_is_none_but_not_to_revoke(tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    with pytest.raises(SettingsError, match="no such file"):
        revoke_account(path, PARTNER)
    assert approve_account(path, PARTNER, "x", None).created
    assert load_accounts(path) == Accounts(approved=(ApprovedAccount(PARTNER, "x"),))
    with pytest.raises(SettingsError, match="cannot be written"):
        approve_account(tmp_path / "absent" / "new.toml", PARTNER, "x", None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "organisation = 'o-exampleorgid'",
        "\ufeff# with a mark\n[accounts]\n111122223333 = 'x'\n",
        "approved = []\n",
        "approved = [ {account = '012345678901', reason = 'x'} ] # one line\n",
        "approved = [\n  {account = '012345678901', reason = 'x'}, # first\n]\n",
        "approved = [{account = '777788889999', reason = 'x', expires = 2026-01-01}]\n",
        "[[approved]]\naccount = '012345678901'\nreason = 'x'\n# of the organisation\n[accounts]\n111122223333 = 'x'\n",
        "[[approved]]\naccount='012345678901'\nreason='x'\n[accounts]\n[[approved]]\naccount='333344445555'\nreason='y'\n",
        "organisation = 'o-exampleorgid'\r\n[[approved]]\r\naccount = '012345678901'\r\nreason = 'x'\r\n",
        "[[approved]]\naccount = '012345678901'\nreason = '''\n[[approved]]\naccount = 5\n'''\n",
    ],
)
def test_however_the_file_is_written_approving_and_revoking_change_one_account(tmp_path: Path, text: str) -> None:
    path = tmp_path / "accounts.toml"
    path.write_bytes(text.encode())
    before = load_accounts(path)
    others = {one for one in before.approved if one.account != PARTNER}
    approve_account(path, PARTNER, "new", date(2027, 4, 6), name="n")
    after = load_accounts(path)
    assert set(after.approved) == others | {ApprovedAccount(PARTNER, "new", instant(2027, 4, 7), "n")}
    revoke_account(path, PARTNER)
    for account in sorted(one.account for one in others):
        assert set(load_accounts(path).approved) == others
        revoke_account(path, account)
        others = {one for one in others if one.account != account}
    assert load_accounts(path) == Accounts(before.organisation, before.names)
    for comment in ("# with a mark", "# one line", "# of the organisation"):
        assert (comment in path.read_text()) == (comment in text)


@given(reason=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(str.strip))
def test_any_reason_is_kept_as_it_is(tmp_path_factory: pytest.TempPathFactory, reason: str) -> None:
    path = tmp_path_factory.mktemp("reason") / "accounts.toml"
    end = datetime(2027, 4, 6, 12, tzinfo=timezone(timedelta(hours=2)))
    approve_account(path, PARTNER, reason, end)
    assert load_accounts(path).approved == (ApprovedAccount(PARTNER, reason, instant(2027, 4, 6, 10)),)


def test_the_mode_and_a_link_are_kept_and_nothing_is_left_behind(file: Path) -> None:
    file.chmod(0o640)
    link = file.with_name("link.toml")
    link.symlink_to(file.name)
    approve_account(link, PARTNER, "x", None)
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(os.listdir(file.parent)) == ["accounts.toml", "link.toml"]
