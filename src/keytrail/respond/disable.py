"""The emergency brake: nobody uses the key any more, and neither do those who need it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keytrail.investigate.accounts import account_of
from keytrail.investigate.names import at
from keytrail.policy import evaluate
from keytrail.respond.authority import authority
from keytrail.respond.model import Basis, Call, Claim, Loss, NoPlan, Plan
from keytrail.respond.situation import Situation, some
from keytrail.respond.uses import RecentUse

_ENABLE = "kms:EnableKey"


def disable_key(situation: Situation) -> Iterator[Plan | NoPlan]:
    """Disable the key; what would break is said first."""
    subject = situation.subject
    if subject.key_state == "disabled":
        yield NoPlan("disable-key", "The key is disabled already.")
        return
    if subject.key_state == "pending":
        yield NoPlan("disable-key", "The key is waiting for its deletion or for its material: nobody can use it.")
        return
    yield Plan(
        kind="disable-key",
        alert_id=subject.alert_id,
        key_arn=subject.key.arn,
        subject=subject.key.arn,
        title=f"Emergency brake: disable key {subject.called}",
        why="Only if the access cannot be taken back in another way: while the key is disabled, nobody can decrypt"
        " with it, neither whoever gained access nor those who need it.",
        basis=Basis("", None, "DescribeKey" if subject.key_state == "enabled" else "records"),
        calls=(
            Call(
                "kms",
                "DisableKey",
                {"KeyId": subject.key.arn},
                subject.key.account,
                subject.key.region,
                subject.key.arn,
                undo="EnableKey: the key is as it was, within a minute or so.",
            ),
        ),
        claims=(_stays_off(situation),),
        losses=tuple(_losses(situation)),
        authority=authority(situation, "kms:DisableKey"),
        warnings=tuple(_warnings(situation)),
    )


def _stays_off(situation: Situation) -> Claim:
    """Whether those who gained can enable the key again."""
    subject = situation.subject
    said = "KMS refuses every use of a disabled key, by policy and by grant"
    comparison, current = subject.comparison, subject.current
    if comparison is None or current is None:
        return Claim("rogue_gone", f"{said}; it is not known who can enable it again.", "open")
    able = [(one, one.witness) for one in comparison.gains if _ENABLE in one.actions]
    asked = [(one, replace(witness, action=_ENABLE)) for one, witness in able if witness is not None]
    still = [
        (one, request)
        for one, request in asked
        if evaluate(current.policy, request, subject.owner, key_arn=subject.key.arn).possible
    ]
    if still:
        who = situation.names(name for one, _ in still for name in one.principals)
        shown = tuple(request.to_witness() for _, request in still)
        return Claim("rogue_gone", f"{said}, but {who}, who gained access, can enable it again.", "refuted", shown)
    if comparison.incomplete or len(asked) < len(able):
        return Claim(
            "rogue_gone", f"{said}; it could not be shown that nobody who gained access can enable it.", "open"
        )
    return Claim("rogue_gone", f"{said}, and nobody who gained access by the change can enable it again.", "proved")


def _losses(situation: Situation) -> Iterator[Loss]:
    for principal, uses in _by_principal(situation).items():
        actions = tuple(dict.fromkeys(name for one in uses for name in one.permissions))
        yield Loss((principal,), actions, not situation.subject.is_trusted(account_of(principal)), situation.used(uses))


def _warnings(situation: Situation) -> Iterator[str]:
    seen = situation.uses
    if seen is None:
        yield "No records of uses were looked at: nobody knows what would break."
    elif not seen.uses:
        yield f"The records from {at(seen.since)} on show no use of the key: what would break is not known."
    else:
        users = _by_principal(situation)
        said = {one: f"{situation.name(one)} ({situation.used(uses)})" for one, uses in users.items()}
        ours = [text for one, text in said.items() if situation.subject.is_trusted(account_of(one))]
        others = [text for one, text in said.items() if not situation.subject.is_trusted(account_of(one))]
        yield f"This would break what uses the key: {some(ours) or 'nothing of trusted accounts that records show'}."
        if others:
            yield f"It would stop as well, of accounts that nobody vouches for: {some(others)}."
    if situation.subject.data:
        what = some(situation.subject.data)
        yield f"Data that cannot be read while the key is disabled: {what}."
    if seen is not None and not seen.complete:
        yield "There are more kinds of uses than are told apart."
    yield "Services that hold a data key in memory go on for a while, and may fail hours later."


def _by_principal(situation: Situation) -> dict[str, list[RecentUse]]:
    found: dict[str, list[RecentUse]] = {}
    for one in () if situation.uses is None else situation.uses.uses:
        found.setdefault(one.principal, []).append(one)
    return found


__all__ = ["disable_key"]
