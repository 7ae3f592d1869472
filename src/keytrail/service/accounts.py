"""Who is trusted: accounts.toml with what --org and --trust add, listed, and said in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from keytrail.errors import UsageError
from keytrail.service.times import parse_time
from keytrail.settings import Accounts, Settings, Standing, end_of, load_accounts

_AHEAD = re.compile(r"(\d{1,5})([dw])", re.ASCII)
_ENDS = "write the last day (2027-04-06), how long (90d, 26w), or an RFC 3339 time; or --no-expiry"


def trust(settings: Settings, *, organisation: str | None = None, trusted: Sequence[str] = ()) -> Accounts:
    """Return what the accounts.toml in force says, and what --org and --trust add. Raises SettingsError."""
    file = settings.accounts.file
    accounts = load_accounts(file) if file is not None else Accounts()
    return accounts.adding(organisation=organisation, trusted=trusted)


def trust_notes(accounts: Accounts, investigations: Iterable[Mapping[str, object]]) -> tuple[str, ...]:
    """What a user should know who names nobody as trusted, when investigations call somebody an outsider."""
    if accounts != Accounts() or not any(map(_lets_in_outsiders, investigations)):
        return ()
    return (
        "no accounts.toml is in force, so every account but a key's own counts as outside: "
        "`keytrail accounts approve` makes one, --accounts names one",
    )


def _lets_in_outsiders(investigation: Mapping[str, object]) -> bool:
    listed = investigation.get("accounts")
    found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return any(one.get("gained") is True and one.get("relation") == "outside" for one in found)


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One line of accounts.toml at a moment. `account` may be the id of the organisation, whose accounts follow it.

    `until` is the last day on which an approval holds, "" for no end; `days_left` are whole days to its end, below 0
    when that is past, None where there is none.
    """

    account: str
    name: str
    standing: Standing
    reason: str = ""
    expires: datetime | None = None
    until: str = ""
    days_left: int | None = None

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values; `expires` is exclusive."""
        return {
            "account": self.account,
            "name": self.name or None,
            "standing": self.standing,
            "reason": self.reason or None,
            "expires": None if self.expires is None else f"{self.expires:%Y-%m-%dT%H:%M:%SZ}",
            "days_left": self.days_left,
        }


def rows(accounts: Accounts, at: datetime) -> Iterator[AccountRow]:
    """Every account that accounts.toml names: the organisation first, then the approved ones as they stand there."""
    if accounts.organisation is not None:
        yield AccountRow(accounts.organisation, "", "organisation")
    for account, name in accounts.names.items():
        yield AccountRow(account, name, "organisation")
    for one in accounts.approved:
        standing: Standing = "approved" if one.holds_at(at) else "expired"
        if one.account in accounts.names:
            standing = "organisation"
        left = None if one.expires is None else (one.expires - at).days
        yield AccountRow(one.account, one.name, standing, one.reason, one.expires, one.until, left)


def approvals(accounts: Accounts, owner: str, at: datetime) -> Mapping[str, str]:
    """What accounts.toml says in words about the accounts that it names, to the owner of a key at a moment.

    >>> from keytrail.settings import ApprovedAccount
    >>> approved = ApprovedAccount("777788889999", "partner", datetime(2027, 4, 7, tzinfo=UTC))
    >>> approvals(Accounts(approved=(approved,)), "111122223333", datetime(2027, 5, 1, tzinfo=UTC))
    {'777788889999': 'approval ended 2027-04-06'}
    """
    words: dict[str, str] = {}
    for account in (*accounts.names, *(one.account for one in accounts.approved)):
        found = accounts.approval(account, at)
        match accounts.standing(account, owner=owner, at=at):
            case "organisation":
                words[account] = "of the organisation"
            case "approved" if found is not None:
                words[account] = f"approved until {found.until}" if found.until else "approved"
            case "expired" if found is not None:
                words[account] = f"approval ended {found.until}"
    return words


def parse_expiry(text: str, now: datetime) -> date | datetime:
    """Return the end that --expires names: the last day (in UTC), or a time. Raises UsageError, also for the past.

    >>> parse_expiry("90d", datetime(2026, 3, 1, 23, tzinfo=UTC)).isoformat()
    '2026-05-30'
    """
    given = text.strip()
    end: date | datetime
    try:
        if ahead := _AHEAD.fullmatch(given):
            end = now.astimezone(UTC).date() + timedelta(**{{"d": "days", "w": "weeks"}[ahead[2]]: int(ahead[1])})
        elif re.fullmatch(r"\d{4}-\d{2}-\d{2}", given, re.ASCII):
            end = date.fromisoformat(given)
        elif re.match(r"\d{4}-", given, re.ASCII):
            end = parse_time(given, now, name="--expires")
        else:
            raise UsageError(f"--expires: {text!r} is not a time", advice=_ENDS)
        over = end_of(end) <= now
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--expires: {text!r} is not a time that exists", advice=_ENDS) from error
    if over:
        raise UsageError(f"--expires: {text!r} is past already", advice=_ENDS)
    return end
