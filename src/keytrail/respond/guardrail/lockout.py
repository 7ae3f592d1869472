"""The keys that nobody could change any more under a guardrail: their policies let no break-glass role do it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from keytrail.errors import UsageError
from keytrail.investigate import KeyName
from keytrail.investigate.requests import Reader, Use
from keytrail.phrases import count
from keytrail.policy import Caller, CallerKind, KeyPolicy
from keytrail.respond.guardrail.model import Guardrail
from keytrail.settings import Accounts

# What a role and an account alone decide. What else a policy asks for (MFA, an address) a break-glass role may bring.
_TOLD = frozenset(
    {
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalisawsservice",
        "aws:principaltype",
        "aws:resourceaccount",
        "aws:username",
        "kms:calleraccount",
    }
)
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class LockedKey:
    """A key that no break-glass role could change, and why."""

    arn: str
    why: str


@dataclass(frozen=True, slots=True)
class LockOut:
    """What is known of keys: how many of those that are guarded were looked at, and which nobody could change."""

    known: int
    locked: tuple[LockedKey, ...]


def lock_out(guardrail: Guardrail, keys: Iterable[tuple[KeyName, KeyPolicy]]) -> LockOut:
    """Look at the keys that a guardrail is for. Raises UsageError if nobody could change any of them.

    That IAM lets a break-glass role do what a key policy leaves to its account is taken for granted.
    """
    known = 0
    locked = []
    for key, policy in keys:
        if guardrail.guards(key.arn):
            known += 1
            if why := _locked(guardrail, key, policy):
                locked.append(LockedKey(key.arn, why))
    if known and len(locked) == known:
        named = "; ".join(f"{one.arn}: {one.why}" for one in locked[:_SHOWN])
        raise UsageError(
            f"the guardrail would lock everybody out: of {count(known, 'key')} with a known policy nobody could change"
            f" any ({named})",
            advice="Name break-glass roles in the accounts of the keys that their policies let in.",
        )
    return LockOut(known, tuple(locked))


def _locked(guardrail: Guardrail, key: KeyName, policy: KeyPolicy) -> str:
    """Why no break-glass role could change a key, "" if one can."""
    if not any(one.in_account(key.account) for one in guardrail.break_glass):
        return f"no break-glass role is in account {key.account}, and others cannot change it"
    callers = tuple(dict.fromkeys(_callers(guardrail, key.account, policy)))
    use = Use(callers, ("kms:PutKeyPolicy",), (), _TOLD)
    if Reader((policy,), key, Accounts()).may(use, policy):
        return ""
    return "its policy lets no break-glass role call PutKeyPolicy"


def _callers(guardrail: Guardrail, account: str, policy: KeyPolicy) -> Iterator[Caller]:
    """Break-glass roles of an account: those that the policy names, and one for each ARN with its wildcards filled."""
    texts = [one.value for statement in policy.statements for one in statement.all_principals()]
    texts += [value for _, condition in policy.conditions() for value in condition.values]
    named = [text for text in texts if "*" not in text and "?" not in text and guardrail.spares(text)]
    for arn in (*named, *(one.example(account) for one in guardrail.break_glass if one.in_account(account))):
        caller = Caller.parse(arn)
        if caller.kind is CallerKind.ROLE and caller.account == account:
            yield caller
