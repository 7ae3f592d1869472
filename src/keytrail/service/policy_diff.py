"""`policy diff`: two versions of a key's policy compared, with what the answer is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from keytrail.policy import ChangeFacts, Comparison, assess, compare
from keytrail.service.policy import Version
from keytrail.service.policy_history import LastChange

Answer = Literal["no new access", "new access", "not proved"]


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """What a change of a key's policy does. `comparison` is None when the policy after it is not known.

    `outside_before` are the accounts outside the owner's that the policy before let in, None when that is not known.
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
        reasons = [version.reason for version in (self.before, self.after) if version.reason]
        return {
            "answer": self.answer,
            "account": self.account,
            "key": self.key_arn,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            **found,
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
    org: str | None = None,
    trusted: tuple[str, ...] = (),
    facts: ChangeFacts | None = None,
) -> PolicyDiff:
    """Compare two versions of the policy of a key of `account`, with the findings."""
    outside: tuple[str, ...] | None = None
    if before.policy is not None:
        standing = compare(None, before.policy, account, org=org, trusted_accounts=trusted)
        outside = standing.external_accounts if standing.proof.external_accounts != "possible" else None
    elif before.status == "none":
        outside = ()
    comparison = None
    if after.policy is not None:
        comparison = assess(before.policy, after.policy, account, org=org, trusted_accounts=trusted, facts=facts)
    return PolicyDiff(account, before, after, comparison, outside, trusted)


def diff_change(change: LastChange, *, org: str | None = None, trusted: tuple[str, ...] = ()) -> PolicyDiff:
    """Compare the last two versions that an archive holds."""
    found = diff_policies(change.before, change.after, change.account, org=org, trusted=trusted, facts=change.facts)
    return replace(found, key_arn=change.key_arn, notes=change.notes, complete=change.complete)


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else []
