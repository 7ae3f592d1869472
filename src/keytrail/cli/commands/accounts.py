"""`keytrail accounts`: who is of the organisation, and which outside accounts may be let in until when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.exits import ExitCode
from keytrail.cli.output import Format, choose_format, open_output, write_csv, write_json, write_ndjson, write_table
from keytrail.cli.table import Column
from keytrail.errors import UsageError
from keytrail.phrases import count
from keytrail.text import for_json, for_terminal

if TYPE_CHECKING:
    from keytrail.service.accounts import AccountRow
    from keytrail.settings import AccountEdit, ApprovedAccount

_TABLE = (
    Column("account", "ACCOUNT", rigid=True),
    Column("standing", "STANDING", rigid=True),
    Column("until", "UNTIL"),
    Column("left", "LEFT"),
    Column("name", "NAME"),
    Column("reason", "REASON", share=20),
)
_COLUMNS = ("account", "name", "standing", "reason", "expires", "days_left")

Account = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="The id of the account, 12 digits.", show_default=False)
]


def list_accounts(
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="As of this time instead of now: RFC 3339 or a date.", show_default=False),
    ] = None,
    output_format: options.OutputFormat = None,
    color: options.Colour = None,
    accounts: options.AccountsFile = None,
    config: options.Config = None,
) -> None:
    """List the accounts of accounts.toml: those of the organisation, and the approved ones with the days left.

    Checks the file as well and prints every problem with its line.

    \b
    Examples:
      keytrail accounts list
      keytrail accounts list --at 2026-03-01 --format json | jq -r '.[] | select(.standing == "expired").account'
    """
    from datetime import UTC, datetime

    from keytrail.service.accounts import rows, trust
    from keytrail.service.times import parse_time
    from keytrail.settings import accounts_problems

    settings = options.settings(config, {"output.color": color, "accounts.file": accounts})
    form = choose_format(output_format, None, Format)
    now = datetime.now(UTC)
    moment = parse_time(at, now, name="--at") if at is not None else now
    file = settings.accounts.file
    problems = accounts_problems(file) if file is not None else []
    for problem in problems:
        messages.error(problem)
    if problems:
        raise typer.Exit(ExitCode.USAGE)
    found = list(rows(trust(settings), moment))
    with open_output(None) as out:
        if form is Format.TABLE:
            write_table(map(_cells, found), _TABLE, out, colour=wanted(out))
        elif form is Format.CSV:
            write_csv(
                ({key: str("" if value is None else value) for key, value in row.to_dict().items()} for row in found),
                _COLUMNS,
                out,
            )
        else:
            (write_json if form is Format.JSON else write_ndjson)((for_json(row.to_dict()) for row in found), out)
    if file is None:
        messages.note("there is no accounts.toml: no account is approved. `keytrail accounts approve` writes one")
    else:
        messages.plain(f"{for_terminal(str(file))}: {_numbers(found)}")


def approve(
    account: Account,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why it may be let in; kept in the file.", show_default=False)
    ],
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="The last day (UTC), how long from today (90d, 26w), or an RFC 3339 time.",
            show_default=False,
        ),
    ] = None,
    no_expiry: Annotated[bool, typer.Option("--no-expiry", help="It holds until it is revoked.")] = False,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="What the account is called.")] = None,
    accounts: options.AccountsFile = None,
    config: options.Config = None,
) -> None:
    """Approve an outside account, or renew its approval: a key policy that lets it in is then less alarming.

    Edits accounts.toml and keeps its comments; the file is created if there is none. An end is asked for, so that
    approvals are looked at again.

    \b
    Examples:
      keytrail accounts approve 777788889999 --reason "Partner of the exchange" --expires 90d
      keytrail accounts approve 777788889999 --reason "Contract 4711" --expires 2027-04-06 --name exchange
    """
    from datetime import UTC, datetime

    from keytrail.service.accounts import parse_expiry
    from keytrail.service.policy import account_id
    from keytrail.settings import accounts_place, approve_account

    account_id(account, "ACCOUNT")
    if (expires is None) is not no_expiry:
        raise UsageError(
            "say until when the approval holds: --expires DATE or --no-expiry"
            if expires is None
            else "--expires and --no-expiry exclude each other",
            advice="such as --expires 90d, for ninety days from today",
        )
    end = parse_expiry(expires, datetime.now(UTC)) if expires is not None else None
    path = accounts_place(options.settings(config, {"accounts.file": accounts}), _path(config))
    for text in _edited(approve_account(path, account, reason, end, name=name or "")):
        messages.note(text)


def revoke(account: Account, accounts: options.AccountsFile = None, config: options.Config = None) -> None:
    """Take back the approval of an account, also for the time that is past.

    Edits accounts.toml and keeps its comments. To end an approval today and keep it for the changes until then, approve
    the account again with --expires 0d.

    \b
    Examples:
      keytrail accounts revoke 777788889999
    """
    from keytrail.service.policy import account_id
    from keytrail.settings import accounts_place, revoke_account

    account_id(account, "ACCOUNT")
    path = accounts_place(options.settings(config, {"accounts.file": accounts}), _path(config))
    for text in _edited(revoke_account(path, account)):
        messages.note(text)


def _path(config: str | None) -> Path | None:
    return Path(config) if config else None


def _cells(row: AccountRow) -> dict[str, str]:
    return {
        "account": row.account,
        "standing": row.standing,
        "until": row.until or ("no end" if row.standing in ("approved", "expired") else ""),
        "left": _left(row),
        "name": row.name,
        "reason": row.reason,
    }


def _left(row: AccountRow) -> str:
    if row.days_left is None:
        return ""
    if row.days_left >= 0:
        return count(row.days_left, "day") if row.days_left else "less than a day"
    return "ended within the last day" if row.days_left == -1 else f"ended {-row.days_left:,} days ago"


def _numbers(rows: Iterable[AccountRow]) -> str:
    # An account of the organisation may be approved besides.
    standings = list({row.account: row.standing for row in rows if row.account.isdecimal()}.values())
    own, approved, expired = (standings.count(one) for one in ("organisation", "approved", "expired"))
    parts = [f"{count(own, 'account')} of the organisation", f"{approved:,} approved"]
    return ", ".join([*parts, f"{expired:,} expired"] if expired else parts)


def _edited(edit: AccountEdit) -> Iterator[str]:
    """What was done, in sentences that are not yet safe."""
    before, after = edit.before, edit.after
    if after is None:
        assert before is not None
        yield f"account {before.account} is no longer approved in {edit.path}; it was {_end(before)}: {before.reason}"
        return
    yield f"{'renewed' if before else 'approved'} account {after.account} {_end(after)} in {edit.path}"
    if edit.created:
        yield f"{edit.path} is new: name the organisation and its accounts in it"
    if before is None:
        return
    parts = (
        (_end(before), _end(after)),
        (f"for the reason {before.reason!r}", f"for the reason {after.reason!r}"),
        (f"named {before.name!r}", f"named {after.name!r}"),
    )
    changed = [old for old, new in parts if old != new]
    yield f"before it was approved {', '.join(changed)}" if changed else "it was approved so already"


def _end(approval: ApprovedAccount) -> str:
    return f"until {approval.until}" if approval.until else "without an end"
