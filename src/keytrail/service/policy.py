"""Key policies as people name them: a file, stdin, AWS's default, none at all, or what an archive says a key had."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date
from typing import BinaryIO, Literal

from keytrail.errors import UsageError
from keytrail.policy import KeyPolicy, PrincipalKind, actions_of
from keytrail.settings import is_account_id, is_organisation_id

Status = Literal["known", "default", "none", "unknown"]

DEFAULT, NONE, STDIN = "default", "none", "-"
"""What stands for AWS's default key policy, for no policy, and for stdin where a file could be named."""

# Bytes that are read of a policy. The parser takes half of that, KMS 32,768; the rest is not worth reading to refuse.
_MOST_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Version:
    """The policy that a key has or had. `policy` is None when there was none, or when it is not known.

    `origin` says in words where it comes from, `reason` why it is not known; both may hold text of the input. `since`
    is the day (UTC) from which it was in force, where an event says so.
    """

    policy: KeyPolicy | None
    status: Status
    origin: str
    reason: str = ""
    since: date | None = None

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values, without the policy itself."""
        return {"status": self.status, "origin": self.origin, "reason": self.reason or None}


def account_id(text: str, option: str = "--account") -> str:
    """Return `text` when it is an account id. Raises UsageError naming `option`."""
    if not is_account_id(text):
        raise UsageError(f"{option}: {text!r} is no account id", advice="an account id has 12 digits")
    return text


def organisation_id(text: str) -> str:
    """Return `text` when it is the id of an organisation. Raises UsageError."""
    if not is_organisation_id(text):
        raise UsageError(f"--org: {text!r} is no organisation id", advice="write it like o-exampleorgid")
    return text


def read_policy(name: str) -> KeyPolicy:
    """Read a policy from a file, or from stdin for `-`. Raises UsageError, or PolicyError with every problem found."""
    if name == STDIN:
        return KeyPolicy.parse(_bounded(sys.stdin.buffer), name="stdin")
    try:
        with open(name, "rb") as stream:
            content = _bounded(stream)
    except IsADirectoryError:
        raise UsageError(f"{name!r} is a folder", advice="name one file that holds a key policy") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(
            f"cannot read the policy {name!r}: {reason}",
            advice="name a file with a key policy, or - for stdin",
        ) from error
    return KeyPolicy.parse(content, name=name)


def read_version(name: str, account: str) -> Version:
    """The policy that a person names: a file, `-`, `default`, or `none` for a key that does not exist yet."""
    if name == NONE:
        return Version(None, "none", "no policy: the key is new")
    if name == DEFAULT:
        return Version(KeyPolicy.default(account), "default", "AWS's default key policy")
    return Version(read_policy(name), "known", "stdin" if name == STDIN else name)


def owner_of(policy: KeyPolicy) -> str:
    """The account whose key this policy most likely is: it delegates to one account, or names no other.

    Raises UsageError when the policy leaves it open.
    """
    delegated = {
        principal.account
        for statement in policy.statements
        if statement.effect == "Allow" and "kms:PutKeyPolicy" in actions_of(statement)
        for principal in statement.principals or ()
        if principal.kind is PrincipalKind.ACCOUNT and principal.account
    }
    named = {p.account for s in policy.statements for p in s.all_principals() if p.account}
    for candidates in (delegated, named):
        if len(candidates) == 1:
            return candidates.pop()
    raise UsageError(
        f"the policy does not show which account owns the key: it names {len(named):,}",
        advice="add --account ID, the account of the key",
    )


def _bounded(stream: BinaryIO) -> bytes:
    """The content as far as it is read: of a larger one the parser says that it is too large."""
    return stream.read(_MOST_BYTES)
