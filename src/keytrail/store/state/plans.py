"""Plans that were shown, and what was done of each: lines are added and never changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from keytrail.errors import UsageError
from keytrail.store.state.tables import plan_steps, plans

Json = dict[str, object]

LEAST_PREFIX = 6
"""Characters of an id that name a plan."""


@dataclass(frozen=True, slots=True)
class ShownPlan:
    """A plan as somebody saw it last. `document` is the plan as JSON values; its texts may be hostile."""

    id: str
    alert_id: str
    key_arn: str
    kind: str
    document: Json
    shown_at: datetime
    shown_to: str


@dataclass(frozen=True, slots=True)
class PlanStep:
    """A line about the call `step` of a plan, or about the plan as a whole (-1)."""

    plan_id: str
    step: int
    state: str
    at: datetime
    who: str
    caller: str
    detail: Mapping[str, object]


def put_plans(connection: Connection, shown: Iterable[ShownPlan]) -> None:
    """Keep plans as they were shown; one that was shown before is from now on as it was shown last."""
    for one in sorted({each.id: each for each in shown}.values(), key=lambda each: each.id):
        values = {name: getattr(one, name) for name in ShownPlan.__slots__}
        change = sa.update(plans).where(plans.c.id == one.id).values(values)
        if connection.execute(change).rowcount:
            continue
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(plans).values(values))
        except IntegrityError:  # somebody else is shown the same plan at the same time
            connection.execute(change)


def shown_plan(connection: Connection, text: str) -> ShownPlan:
    """The plan of an id, or of the beginning of one (6 characters or more). Raises UsageError."""
    rows = []
    if len(text) >= LEAST_PREFIX and all(one in "0123456789abcdef" for one in text):
        named = plans.c.id.between(text, text + "g")
        rows = list(connection.execute(sa.select(plans).where(named).order_by(plans.c.id).limit(2)))
    if not rows:
        raise UsageError(
            f"no plan with the id {text!r} was shown", advice="keytrail respond ALERT shows plans with their ids."
        )
    if len(rows) > 1:
        raise UsageError(f"{text!r} begins the ids of more than one plan", advice="Give more of the id.")
    return ShownPlan(**rows[0]._mapping)


def plans_of_alert(connection: Connection, alert_id: str) -> tuple[ShownPlan, ...]:
    """The plans that were shown for an alert, those shown first first."""
    query = sa.select(plans).where(plans.c.alert_id == alert_id).order_by(plans.c.shown_at, plans.c.id)
    return tuple(ShownPlan(**row._mapping) for row in connection.execute(query))


def add_step(connection: Connection, step: PlanStep) -> None:
    """Add a line about a plan that was shown."""
    values = {name: getattr(step, name) for name in PlanStep.__slots__}
    connection.execute(sa.insert(plan_steps).values(values | {"detail": dict(step.detail)}))


def steps_of(connection: Connection, plan_id: str) -> tuple[PlanStep, ...]:
    """The lines about a plan, the first one first."""
    query = sa.select(plan_steps).where(plan_steps.c.plan_id == plan_id).order_by(plan_steps.c.id)
    return tuple(
        PlanStep(**{name: value for name, value in row._mapping.items() if name != "id"})
        for row in connection.execute(query)
    )
