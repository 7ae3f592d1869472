"""The plans for an alert, in the order in which somebody who answers it should look at them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from keytrail.respond.model import Kind, NoPlan, Plan, Proposal
from keytrail.respond.registry import KINDS
from keytrail.respond.situation import Situation
from keytrail.respond.subject import Subject
from keytrail.respond.uses import RecentUses


def propose(subject: Subject, *, caller: str | None, uses: RecentUses | None, now: datetime) -> Proposal:
    """Every plan that there can be for an alert, the best first, and why there are none of the other kinds.

    `caller` is the ARN that sts:GetCallerIdentity answers with for whoever will apply, None when that is not known.
    `uses` is what the records tell of who used the key, None when they were not looked at. `now` is aware.

    A plan that is refuted comes after the others. Of several ways to change the policy, one that takes away no more
    than is meant comes before those that do.
    """
    situation = Situation(subject, caller, uses, now)
    found = [one for kind in _order(subject) for one in KINDS[kind](situation)]
    plans = sorted((one for one in found if isinstance(one, Plan)), key=_rank)
    return Proposal(tuple(plans), tuple(one for one in found if isinstance(one, NoPlan)), tuple(_notes(subject)))


def _rank(plan: Plan) -> tuple[bool, bool, bool]:
    is_policy = plan.kind in ("restore", "remove", "recondition")
    return not plan.sound, not is_policy, is_policy and not all(one.meant for one in plan.losses)


def _order(subject: Subject) -> list[Kind]:
    """As the registry has them; where the policy was changed again since, what keeps the later change comes first."""
    kinds = list(KINDS)
    if subject.changed_since:
        kinds.remove("restore")
        kinds.insert(kinds.index("recondition") + 1, "restore")
    return kinds


def _notes(subject: Subject) -> Iterator[str]:
    if subject.verdict in ("expected", "no_effect"):
        what = "expected" if subject.verdict == "expected" else "without effect"
        yield f"The investigation found this change {what}: make sure that anything has to be undone at all."
    if subject.key_state == "pending":
        yield "The key waits for its deletion or its material: call CancelKeyDeletion if the deletion is not meant."
    if subject.key.is_multi_region:
        yield "This is a multi-Region key: its replicas have policies and grants of their own, which stay as they are."


__all__ = ["propose"]
