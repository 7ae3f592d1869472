"""The plans that were shown for the alerts of a case, and how far each is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from keytrail.store.state.database import in_parts
from keytrail.store.state.plans import PlanStep, ShownPlan, plans_of_alert, steps_of
from keytrail.store.state.tables import alerts

PlanStanding: TypeAlias = Literal["shown", "applied", "refused", "half applied", "superseded"]
"""How far a plan is.

shown: nothing was begun. applied: AWS showed the result of every call. refused: AWS refused what was asked of it, and
nothing is changed. half applied: something was begun, and AWS does not show all of the result. superseded: that, and a
later plan of the same kind for the same thing was applied.
"""

_SEEN = ("agreed", "there already")


@dataclass(frozen=True, slots=True)
class CasePlan:
    """A plan as it was shown last, the lines about it, the first one first, and how far it is."""

    shown: ShownPlan
    steps: tuple[PlanStep, ...]
    standing: PlanStanding


def plans_about(connection: Connection, alert_ids: Sequence[str]) -> tuple[CasePlan, ...]:
    """The plans that were shown for alerts, or for others of the same events, the first one first."""
    listed = {plan.id: plan for id in _of_same_events(connection, alert_ids) for plan in plans_of_alert(connection, id)}
    shown = [(plan, steps_of(connection, plan.id)) for plan in listed.values()]
    standings = [(plan, _standing(plan, steps)) for plan, steps in shown]
    ends: dict[tuple[str, object], datetime] = {}
    for (plan, steps), (_, standing) in zip(shown, standings, strict=True):
        if standing == "applied":
            ends[_what(plan)] = max(steps[-1].at, ends.get(_what(plan), steps[-1].at))
    found = []
    for (plan, steps), (_, standing) in zip(shown, standings, strict=True):
        if standing == "half applied" and _what(plan) in ends and ends[_what(plan)] > steps[-1].at:
            standing = "superseded"
        found.append(CasePlan(plan, steps, standing))
    return tuple(sorted(found, key=lambda one: (one.shown.shown_at, one.shown.id)))


def half_applied(plans: Iterable[CasePlan]) -> tuple[str, ...]:
    """The ids of the plans that are half applied."""
    return tuple(one.shown.id for one in plans if one.standing == "half applied")


def _of_same_events(connection: Connection, alert_ids: Sequence[str]) -> dict[str, None]:
    """The alerts of the events of these alerts: a plan is kept with the one that it was shown for last."""
    found: dict[str, None] = {}
    for some in in_parts(alert_ids):
        events = sa.select(alerts.c.event).where(alerts.c.id.in_(some))
        query = sa.select(alerts.c.id).where(alerts.c.event.in_(events)).order_by(alerts.c.number)
        found |= dict.fromkeys(connection.execute(query).scalars())
    return found


def _standing(plan: ShownPlan, steps: Sequence[PlanStep]) -> PlanStanding:
    last = {one.step: one for one in steps if one.step >= 0}
    if not last:
        return "shown"
    calls = plan.document.get("calls")
    if isinstance(calls, list) and all(number in last and last[number].state in _SEEN for number in range(len(calls))):
        return "applied"
    refused = [one.state == "failed" and one.detail.get("refused") is True for one in last.values()]
    return "refused" if all(refused) else "half applied"


def _what(plan: ShownPlan) -> tuple[str, object]:
    return plan.kind, plan.document.get("subject")
