"""The emergency brake: nobody uses the key any more, and neither do those who need it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keytrail.investigate.accounts import account_of
from keytrail.investigate.names import at
from keytrail.respond.authority import authority
from keytrail.respond.model import Basis, Claim, Loss, NoPlan, Plan
from keytrail.respond.proofs import PUT
from keytrail.respond.situation import Situation, key_call, some
from keytrail.respond.uses import by_principal

_ENABLING = frozenset({"kms:EnableKey", PUT})
"""Whoever may set the policy of a disabled key can permit the rest to itself."""


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
        calls=(key_call(subject, "DisableKey", undo="EnableKey: the key is as it was, within a minute or so."),),
        claims=(_stays_off(situation),),
        losses=tuple(_losses(situation)),
        authority=authority(situation, "kms:DisableKey"),
        warnings=tuple(_warnings(situation)),
    )


def _stays_off(situation: Situation) -> Claim:
    """Whether those who gained can enable the key again, by themselves or by giving themselves the permission."""
    subject = situation.subject
    said = "KMS refuses every use of a disabled key, by policy and by grant"
    if subject.after.policy is None or subject.current is None:
        return Claim("rogue_gone", f"{said}; it is not known who can enable it again.", "open")
    # What the policy of now still gives, not whether it gives what shows the gain: that is one request of many.
    found = subject.compare(subject.before.policy if subject.baseline == "before" else None, subject.current.policy)
    able = [one for one in found.gains if not _ENABLING.isdisjoint(one.actions)]
    shown = [
        (one, replace(one.witness, action=action))
        for one in able
        for action in sorted(_ENABLING.intersection(one.actions))
        if one.witness is not None
    ]
    if shown:
        who = situation.names(name for one, _ in shown for name in one.principals)
        examples = tuple(request.to_witness() for _, request in shown)
        # A brake that may be let go is still one: whoever pulls it has to know, and to go on.
        told = f"{said}, but {who}, who gained access, can enable it again: put the policy back, or stop them, as well."
        return Claim("rogue_gone", told, "open", examples)
    if able or found.incomplete:
        return Claim(
            "rogue_gone", f"{said}; it could not be shown that nobody who gained access can enable it.", "open"
        )
    return Claim("rogue_gone", f"{said}, and nobody who gained access by the change can enable it again.", "proved")


def _losses(situation: Situation) -> Iterator[Loss]:
    for principal, uses in by_principal(() if situation.uses is None else situation.uses.uses).items():
        actions = tuple(dict.fromkeys(name for one in uses for name in one.permissions))
        yield Loss((principal,), actions, not situation.subject.is_trusted(account_of(principal)), situation.used(uses))


def _warnings(situation: Situation) -> Iterator[str]:
    seen = situation.uses
    if seen is None:
        yield "No records of uses were looked at: nobody knows what would break."
    elif not seen.uses:
        yield f"The records from {at(seen.since)} on show no use of the key: what would break is not known."
    else:
        users = by_principal(seen.uses).items()
        said = {one: f"{situation.name(one)} ({situation.used(uses)})" for one, uses in users}
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


__all__ = ["disable_key"]
