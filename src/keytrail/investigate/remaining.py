"""Who is left in the key's account that can decrypt, once the caller of a change is taken away."""

from __future__ import annotations

from collections.abc import Iterable

from keytrail.investigate.evidence import Evidence, Said
from keytrail.investigate.model import JsonObject
from keytrail.investigate.requests import caller_of
from keytrail.policy import CallerKind, Change, KeyPolicy, compare

_DECRYPT = "kms:Decrypt"
_IDENTITIES = (CallerKind.ROLE, CallerKind.USER)


def no_longer_readable(e: Evidence) -> Said | None:
    """Data held to ransom, by whoever can still undo it. Lock-outs and takeovers have signs of their own."""
    if e.of("KMS-P18") or e.of("KMS-P20") or not _shuts_out_all_but_the_caller(e):
        return None
    ids = ("KMS-P24",) if e.of("KMS-P24") else ()
    return Said("Nobody in the account, unless it is the caller, can decrypt with the key any more.", ids)


def _shuts_out_all_but_the_caller(e: Evidence) -> bool:
    """Whether others of the key's account could decrypt before the change, and nobody but its caller can after it."""
    comparison, document = e.compared.comparison, e.compared.after.document
    if comparison is None or document is None or not _decrypts(comparison.losses, e):
        return False
    without = KeyPolicy.parse(_without(document, e), name="the policy without its caller")
    return not _decrypts(compare(None, without, e.owner, at=e.change.event.time).gains, e)


def _decrypts(changes: Iterable[Change], e: Evidence) -> bool:
    """Whether an identity of the key's account gained or lost the power to decrypt."""
    return any(_DECRYPT in one.actions and any(group.account == e.owner for group in one.classes) for one in changes)


def _without(document: JsonObject, e: Evidence) -> JsonObject:
    caller = caller_of(e.actor.principal)
    if caller is None or caller.account != e.owner or caller.kind not in _IDENTITIES:
        return document
    statements = document.get("Statement")
    denied: JsonObject = {"Effect": "Deny", "Principal": {"AWS": caller.arn}, "Action": _DECRYPT, "Resource": "*"}
    return {**document, "Statement": [*(statements if isinstance(statements, list) else [statements]), denied]}
