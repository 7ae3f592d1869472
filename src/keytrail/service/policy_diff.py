"""`policy diff`: two versions of a key's policy compared, with what the answer is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from types import MappingProxyType
from typing import Literal

from keytrail.policy import ChangeFacts, Comparison, assess, compare
from keytrail.service.accounts import approvals
from keytrail.service.policy import Version
from keytrail.service.policy_history import LastChange
from keytrail.settings import Accounts

Answer = Literal["no new access", "new access", "not proved"]

_NOBODY = Accounts()
_ENDLESS = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """What a change of a key's policy does. `comparison` is None when the policy after it is not known.

    `outside_before` are the accounts outside the owner's that the policy before let in, None when that is not known.
    `trusted` are the accounts whose gains are milder, `approvals` what accounts.toml says in words about accounts.
    `notes` say what is not certain about the versions; `complete` is False when one may be missing.
    """

    account: str
    before: Version
    after: Version
    comparison: Comparison | None
    outside_before: tuple[str, ...] | None
    trusted: tuple[str, ...] = ()
    key_arn: str | None = None
    notes: tuple[str, ...] = ()
    complete: bool = True
    approvals: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def standing(self) -> Mapping[str, str]:
        """What there is to say about accounts that somebody trusts or trusted, by account."""
        return {**dict.fromkeys(self.trusted, "trusted"), **self.approvals}

    @property
    def answer(self) -> Answer:
        """Whether somebody can do something new. Only what is proved of versions that are known is called so."""
        if self.comparison is None:
            return "not proved"
        proof = self.comparison.proof.new_access
        if proof == "proved":
            return "no new access" if self.complete else "not proved"
        return "new access" if proof == "witnessed" and self.before.status != "unknown" else "not proved"

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values: the comparison, and around it what was compared."""
        found = _UNKNOWN if self.comparison is None else self.comparison.to_dict()
        outside = () if self.comparison is None else self.comparison.external_accounts
        standing = self.standing
        reasons = [version.reason for version in (self.before, self.after) if version.reason]
        return {
            "answer": self.answer,
            "account": self.account,
            "key": self.key_arn,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            **found,
            "standing": {account: standing[account] for account in outside if account in standing},
            "incomplete": [*reasons, *_texts(found.get("incomplete")), *self.notes],
        }


_UNKNOWN: dict[str, object] = {
    "new_access": None,
    "lost_access": None,
    "gains": [],
    "losses": [],
    "findings": [],
    "incomplete": [],
}


def diff_policies(
    before: Version,
    after: Version,
    account: str,
    *,
    accounts: Accounts = _NOBODY,
    at: datetime = _ENDLESS,
    facts: ChangeFacts | None = None,
) -> PolicyDiff:
    """Compare two versions of the policy of a key of `account`, with the findings.

    `accounts` says who is trusted at the moment `at`; without a moment approvals that end do not count.
    """
    org, trusted = accounts.organisation, accounts.trusted_at(at)
    outside: tuple[str, ...] | None = None
    if before.policy is not None:
        standing = compare(None, before.policy, account, org=org, trusted_accounts=trusted)
        outside = standing.external_accounts if standing.proof.external_accounts != "possible" else None
    elif before.status == "none":
        outside = ()
    comparison = None
    if after.policy is not None:
        comparison = assess(before.policy, after.policy, account, org=org, trusted_accounts=trusted, facts=facts)
    words = approvals(accounts, account, at)
    return PolicyDiff(account, before, after, comparison, outside, trusted, approvals=words)


def diff_change(change: LastChange, *, accounts: Accounts = _NOBODY) -> PolicyDiff:
    """Compare the last two versions that an archive holds. Who is trusted is judged at the end of the change's day."""
    day = change.after.since
    at = datetime.combine(day, time.max, UTC) if day is not None else _ENDLESS
    found = diff_policies(change.before, change.after, change.account, accounts=accounts, at=at, facts=change.facts)
    return replace(found, key_arn=change.key_arn, notes=change.notes, complete=change.complete)


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else []
