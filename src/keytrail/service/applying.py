"""Applying plans that were shown: what has to be so before, and every move in the state and its audit log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from keytrail.errors import KeytrailError, UsageError
from keytrail.investigate import CHANGES_QUERY, Event, change_of
from keytrail.phrases import count
from keytrail.respond.apply import Applied, Applying, StalePlan, Step, apply_plan
from keytrail.respond.calls import AwsCalls
from keytrail.respond.model import Plan, plan_of
from keytrail.respond.operations import operation_of, parameter
from keytrail.respond.sameness import same_policy
from keytrail.service.installation import Installation
from keytrail.service.requests import Json
from keytrail.service.respond import LOG, RespondRequest, alert_of, records, settings_for
from keytrail.store import Selector
from keytrail.store.state.alerts import alert, log
from keytrail.store.state.plans import PlanStep, ShownPlan, add_step, shown_plan

OnStep = Callable[[Plan, Step], None]
"""Told of each move once it is in the state."""


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """Plans by their ids, in the order in which they are applied. `accept_open` takes claims that nobody could show."""

    plan_ids: tuple[str, ...]
    respond: RespondRequest
    accept_open: bool = False


def plans_to_apply(home: Installation, request: ApplyRequest, now: datetime) -> tuple[Plan, ...]:
    """The plans that are named, each of which may be applied. Raises UsageError; asks and changes nothing."""
    asked = request.respond.settings.respond
    with home.database.read() as connection:
        shown = list(dict.fromkeys(shown_plan(connection, one.strip()).id for one in request.plan_ids))
        stored = [shown_plan(connection, one) for one in shown]
    event = _named_event(home, request.respond.alert)
    plans = []
    for one in stored:
        if not event(one.alert_id):
            raise UsageError(
                f"plan {one.id} was shown for another alert, {one.alert_id}",
                advice="Name that alert, or ask for plans for this one: keytrail respond ALERT.",
            )
        age = now - one.shown_at
        if age > timedelta(hours=asked.plan_hours):
            raise UsageError(
                f"plan {one.id} was shown {age / timedelta(hours=1):,.0f} hours ago, and much may have changed since",
                advice=f"Ask for plans again: keytrail respond ALERT. [respond] plan_hours is {asked.plan_hours:g}.",
            )
        plans.append(_sound(one, accept_open=request.accept_open))
    _few_keys(plans, asked.most_keys)
    return tuple(plans)


def _named_event(home: Installation, given: str) -> Callable[[str], bool]:
    """Tells whether an alert is the one that is given, or another one of the same event, by its id."""
    wanted = alert_of(home, given).id
    with home.database.read() as connection:
        try:
            event = alert(connection, wanted).event
        except UsageError:  # an alert that came as a document
            return lambda id: id == wanted

    def named(id: str) -> bool:
        if id == wanted:
            return True
        with home.database.read() as connection:
            try:
                return alert(connection, id).event == event
            except UsageError:
                return False

    return named


def _sound(shown: ShownPlan, *, accept_open: bool) -> Plan:
    again = "Ask for plans again: keytrail respond ALERT."
    try:
        plan = plan_of(shown.document)
    except ValueError as error:
        raise UsageError(f"plan {shown.id} cannot be read, or is not what was shown", advice=again) from error
    for call in plan.calls:
        operation_of(call)
    refuted = [claim.sentence for claim in plan.claims if claim.answer == "refuted"]
    if refuted:
        raise UsageError(
            f"plan {plan.id} does not do what it is for: {refuted[0]}",
            advice="A plan with a claim that is refuted is never applied. Choose another one.",
        )
    if plan.unproved and not accept_open:
        raise UsageError(
            f"plan {plan.id} claims what could not be proved: {plan.unproved[0].sentence}",
            advice="Read what is open, and add --accept-open to apply it all the same.",
        )
    return plan


def _few_keys(plans: Iterable[Plan], most: int) -> None:
    keys = {call.resource for plan in plans for call in plan.calls if call.service == "kms"}
    if len(keys) > most:
        raise UsageError(
            f"this would change {count(len(keys), 'key')}, and [respond] most_keys allows {most:,}",
            advice="Apply the plans one after the other, or raise [respond] most_keys in keytrail.toml.",
        )


# -- applying ---------------------------------------------------------------------------------------------------------


def apply_plans(
    home: Installation,
    request: ApplyRequest,
    plans: Sequence[Plan],
    *,
    who: str,
    on_step: OnStep | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Applied]:
    """Apply plans of `plans_to_apply`, one after the other; after one that does not come out well the rest are left.

    Raises UsageError or SourceError for a plan of which nothing was done, StoreError where a move cannot be kept.
    """
    aws = AwsCalls(lambda account, partition: settings_for(request.respond, account, partition))
    for plan in plans:

        def record(step: Step, plan: Plan = plan) -> None:
            _record(home, plan, step, who)
            if on_step is not None:
                on_step(plan, step)

        how = Applying(aws, record, now, pause, request.respond.settings.respond.read_back_seconds)
        try:
            result = apply_plan(plan, how)
        except StalePlan as error:
            _name_author(home, request.respond, plan, error, now())
            raise
        yield result
        if not result.well:
            return


def applied_json(result: Applied) -> Json:
    """How applying a plan ended, as plain JSON values; calls are numbered from 0, -1 stands for the plan as a whole."""
    return {
        "plan_id": result.plan.id,
        "kind": result.plan.kind,
        "alert_id": result.plan.alert_id,
        "key_arn": result.plan.key_arn,
        "outcome": result.outcome,
        "caller": result.caller,
        "done": list(result.done),
        "left": list(result.left),
        "error": None if result.error is None else {"what": result.error.what, "advice": result.error.advice},
        "seen": {str(number): seen.value for number, seen in result.seen},
        "steps": [
            {"step": one.step, "state": one.state, "at": one.at.isoformat(), "detail": one.detail}
            for one in result.steps
        ],
    }


def _record(home: Installation, plan: Plan, step: Step, who: str) -> None:
    with home.database.write() as connection:
        add_step(connection, PlanStep(plan.id, step.step, step.state, step.at, who, step.caller, step.detail))
        detail = {"alert": plan.alert_id, "call": step.step, "caller": step.caller, **step.detail}
        log(connection, who=who, kind=LOG, subject=plan.id, action=step.state, detail=detail, now=step.at)


def _name_author(home: Installation, request: RespondRequest, plan: Plan, error: StalePlan, now: datetime) -> None:
    """Add to the advice who seems to have changed the policy, as far as records tell."""
    call = plan.calls[error.step]
    if operation_of(call).reads != "key policy":
        return
    found = author_of(home, request, parameter(call, "KeyId"), error.seen.value, now)
    error.advice = f"{found}\n{error.advice}"


def author_of(home: Installation, request: RespondRequest, key_arn: str, text: str | None, now: datetime) -> str:
    """Who seems to have given a key the policy that it has, in a sentence; what it says may be hostile."""
    last = ""
    try:
        with records(home, request, now) as store:
            for record in () if store is None else store.find(Selector.kql(CHANGES_QUERY)):
                event = Event.of(record.data)
                change = None if event is None else change_of(event)
                if change is None or change.key.arn != key_arn:
                    continue
                if same_policy(change.policy, text):
                    when = f"{change.event.time:%Y-%m-%d %H:%M:%S} UTC"
                    last = f"{change.event.who} set what is there now at {when} (event {change.event.id})."
    except KeytrailError:
        last = ""  # it explains a refusal, and must not stand in its place
    region = key_arn.split(":")[3]
    return last or (
        "No record tells who set what is there now; CloudTrail tells it some minutes later: aws cloudtrail "
        f"lookup-events --region {region} --lookup-attributes AttributeKey=EventName,AttributeValue=PutKeyPolicy"
    )


__all__ = ["ApplyRequest", "OnStep", "applied_json", "apply_plans", "author_of", "plans_to_apply"]
