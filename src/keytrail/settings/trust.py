"""Who is trusted: the organisation, its accounts, and outside accounts that somebody approved, as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from types import MappingProxyType
from typing import Literal

Standing = Literal["owner", "organisation", "approved", "expired", "trusted", "outside"]


@dataclass(frozen=True, slots=True)
class ApprovedAccount:
    """An outside account that may be let in, why, until when (exclusive; None: until it is revoked), and its name."""

    account: str
    reason: str
    expires: datetime | None = None
    name: str = ""

    def holds_at(self, moment: datetime) -> bool:
        """Whether the approval has not expired."""
        return self.expires is None or moment < self.expires

    @property
    def until(self) -> str:
        """The last day (UTC) on which it holds, with the time where it ends within that day; "" for no end.

        >>> ApprovedAccount("777788889999", "partner", datetime(2027, 4, 7, tzinfo=UTC)).until
        '2027-04-06'
        >>> ApprovedAccount("777788889999", "partner", datetime(2027, 4, 7, 8, 30, tzinfo=UTC)).until
        '2027-04-07 08:30 UTC'
        """
        if self.expires is None:
            return ""
        end = self.expires.astimezone(UTC)
        if end.time() == time():
            return f"{end - timedelta(days=1):%Y-%m-%d}"
        return f"{end:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class Accounts:
    """The one truth about trust, read from accounts.toml.

    `names` are the accounts of the organisation with what they are called, `trusted` the accounts of --trust.
    """

    organisation: str | None = None
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    approved: tuple[ApprovedAccount, ...] = ()
    trusted: tuple[str, ...] = ()

    def adding(self, *, organisation: str | None = None, trusted: Sequence[str] = ()) -> Accounts:
        """The same, with what --org and --trust add."""
        return replace(
            self,
            organisation=organisation or self.organisation,
            trusted=tuple({**dict.fromkeys(self.trusted), **dict.fromkeys(trusted)}),
        )

    def standing(self, account: str, *, owner: str, at: datetime) -> Standing:
        """What `account` is to the owner of a key at a moment.

        >>> partner = ApprovedAccount("777788889999", "partner", datetime(2026, 1, 1, tzinfo=UTC))
        >>> at = datetime(2026, 3, 1, tzinfo=UTC)
        >>> Accounts(approved=(partner,)).standing("777788889999", owner="111122223333", at=at)
        'expired'
        """
        if account == owner:
            return "owner"
        if account in self.names:
            return "organisation"
        if account in self.trusted:
            return "trusted"
        found = [one for one in self.approved if one.account == account]
        if any(one.holds_at(at) for one in found):
            return "approved"
        return "expired" if found else "outside"

    def approval(self, account: str, at: datetime) -> ApprovedAccount | None:
        """The approval of an account that counts at a moment; the last one to expire if all have."""
        found = sorted(
            (one for one in self.approved if one.account == account),
            key=lambda one: (one.expires is None, one.expires or at),
        )
        return found[-1] if found else None

    def trusted_at(self, moment: datetime) -> tuple[str, ...]:
        """The accounts whose gains are milder at a moment: the organisation's, the approved ones, those of --trust."""
        approved = [one.account for one in self.approved if one.holds_at(moment)]
        return tuple(dict.fromkeys([*self.names, *approved, *self.trusted]))
