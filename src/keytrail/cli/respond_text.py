"""What people see of plans: a page for each, the difference of the policies, and how applying one went."""

from __future__ import annotations

import difflib
import json
import shlex
import textwrap
from collections.abc import Iterable, Iterator
from datetime import UTC
from typing import TYPE_CHECKING

from keytrail.cli.colour import paint
from keytrail.names import short_digest
from keytrail.phrases import joined, start
from keytrail.text import for_json, for_terminal, shorten

if TYPE_CHECKING:
    from keytrail.respond.apply import Applied, Step
    from keytrail.respond.model import Loss, NoPlan, Plan
    from keytrail.service.respond import Proposed
    from keytrail.store.state.plans import PlanStep

_WIDTH = 100
_MOST_EXAMPLES = 2
_EXAMPLE_LENGTH = 400
_MOST_NAMED = 8
_STYLES = {"proved": "expected", "refuted": "malicious", "open": "review", "meant": "expected", "not meant": "review"}


def proposed_text(found: Proposed, *, given: str, colour: bool) -> str:
    """The page of all plans for an alert, safe to show. `given` is what named the alert on the command line."""
    key = found.subject.key
    lines = [
        paint(f"Plans for {for_terminal(found.subject.called)}", "header", on=colour),
        f"  key    {for_terminal(key.arn)}",
        f"  alert  {for_terminal(found.alert_id)}",
    ]
    if found.live is not None and found.live.caller_arn:
        lines.append(f"  you    {for_terminal(found.live.caller_arn)}")
    for note in (*found.notes, *found.proposal.notes):
        lines += _wrapped(f"note: {note}", "  ", "        ")
    for number, plan in enumerate(found.proposal.plans, 1):
        lines += ["", *plan_lines(plan, number=number, tried=found.tried.get(plan.id), colour=colour)]
    if found.proposal.without:
        lines += ["", paint("No plan", "header", on=colour)]
        lines += [line for one in found.proposal.without for line in _without(one)]
    lines += ["", *_how_to_go_on(found, given, colour)]
    return "\n".join(lines) + "\n"


def plan_lines(plan: Plan, *, number: int = 0, tried: PlanStep | None = None, colour: bool) -> Iterator[str]:
    """One plan in full; `tried` is the last line about it, if it was begun before."""
    heading = f"{number}. {plan.title}" if number else plan.title
    yield paint(for_terminal(heading), "header", on=colour)
    yield f"   plan {plan.id} ({plan.kind}), made for {for_terminal(_basis(plan))}"
    if tried is not None:
        yield for_terminal(f"   begun before: {tried.state} at {tried.at:%Y-%m-%d %H:%M:%S} UTC, by {tried.who}")
    yield from _wrapped(plan.why, "   ", "   ")
    yield "   Calls"
    for at, call in enumerate(plan.calls, 1):
        where = f" in {call.region}" if call.region else ""
        yield f"     {at}. {for_terminal(call.action)} on {for_terminal(call.resource)}{for_terminal(where)}"
        if call.undo:
            yield from _wrapped(f"to take it back: {call.undo}", "        ", "        ")
    if plan.claims:
        yield "   Proofs"
        for claim in plan.claims:
            yield from _labelled(claim.answer, start(claim.sentence), colour)
            for example in claim.examples[:_MOST_EXAMPLES]:
                yield f"               for example {for_terminal(shorten(for_json(example), _EXAMPLE_LENGTH))}"
    yield "   Who loses access"
    for loss in plan.losses:
        yield from _labelled("meant" if loss.meant else "not meant", _loss(loss), colour)
    if not plan.losses:
        yield "     nobody, as far as the plan tells"
    if plan.authority is not None:
        yield "   May it be applied"
        yield from _wrapped(plan.authority.sentence, "     ", "     ")
    for warning in plan.warnings:
        first, *rest = _wrapped(f"warning: {warning}", "   ", "     ")
        yield first.replace("warning:", paint("warning:", "warning", on=colour), 1)
        yield from rest
    if plan.before is not None and plan.after is not None:
        yield "   Change of the policy"
        yield from (f"     {line}" for line in policy_diff(plan.before, plan.after, colour=colour))


def policy_diff(before: str, after: str, *, colour: bool = False) -> Iterator[str]:
    """The difference of two policies, both laid out alike, as lines that are safe to show."""
    old, new = (_laid_out(one).split("\n") for one in (before, after))
    found = list(difflib.unified_diff(old, new, "now", "after the plan", lineterm="", n=3))
    if not found:
        yield "none but in its layout"
    for line in found:
        style = "dim" if line.startswith(("---", "+++")) else {"+": "expected", "-": "high"}.get(line[:1], "")
        yield paint(for_terminal(line), style, on=colour)


def applied_text(result: Applied, *, colour: bool) -> str:
    """How applying a plan ended, safe to show."""
    from keytrail.respond.apply import summary

    word = {"agreed": "applied", "there already": "nothing to do"}.get(result.outcome, result.outcome)
    style = "expected" if result.well else "malicious"
    lines = [f"plan {result.plan.id}: {paint(word, style, on=colour)}"]
    lines += [line for one in summary(result) for line in _wrapped(one, "  ", "    ")]
    if result.error is not None:
        lines += [line for one in str(result.error).split("\n") for line in _wrapped(one, "  ", "    ")]
    for number, seen in result.seen:
        lines.append(f"  what AWS shows for call {number + 1}:")
        lines += [f"    {for_terminal(line)}" for line in _laid_out(seen.value or "nothing").split("\n")]
    return "\n".join(lines) + "\n"


def step_line(plan: Plan, step: Step) -> str:
    """A move as it happens, on one line."""
    clock = f"{step.at.astimezone(UTC):%H:%M:%S}"
    what = plan.calls[step.step].action if step.step >= 0 else f"plan {plan.id}"
    resource = f" on {plan.calls[step.step].resource}" if step.step >= 0 else ""
    return for_terminal(f"{clock}  {step.state}: {what}{resource}")


def _basis(plan: Plan) -> str:
    basis = plan.basis
    if not basis.digest:
        return "the key as it is, whatever its policy"
    return f"the policy {short_digest(basis.digest)} ({basis.origin})"


def _loss(loss: Loss) -> str:
    recent = f"; {loss.recent}" if loss.recent else ""
    return f"{_names(loss.principals)}: {_names(loss.actions)}{recent}"


def _names(names: Iterable[str]) -> str:
    each = list(names)
    more = len(each) - _MOST_NAMED
    return joined(each[:_MOST_NAMED]) if more <= 0 else f"{', '.join(each[:_MOST_NAMED])} and {more:,} more"


def _without(one: NoPlan) -> Iterator[str]:
    text = f"{one.kind}: {one.why}" + (f" {one.advice}" if one.advice else "")
    yield from _wrapped(text, "  ", "    ")


def _how_to_go_on(found: Proposed, given: str, colour: bool) -> Iterator[str]:
    yield paint("How to go on", "header", on=colour)
    plans = found.proposal.plans
    named = for_terminal(shlex.quote(given))
    if not plans:
        yield "  Nothing of this can be done by keytrail: see above for what would make a plan possible."
        return
    yield "  Nothing is changed yet. It is only with the id of a plan, and the options for AWS that you gave now:"
    if given == "-":
        yield "  (with the same document on stdin, and --yes, for nobody can be asked there)"
    for plan in plans:
        if not plan.sound:
            yield f"  {plan.id} ({plan.kind}) is not applied: a claim of it is refuted"
            continue
        more = " --accept-open" if plan.unproved else ""
        yield f"  keytrail respond {named} --apply {plan.id}{more}    # {plan.kind}"
    yield "  The commands of the AWS CLI instead: --dry-run; the permissions that this takes: --iam-policy"


def _labelled(label: str, text: str, colour: bool) -> Iterator[str]:
    first, *rest = textwrap.wrap(for_terminal(text), _WIDTH - 15, break_on_hyphens=False, break_long_words=False) or [
        ""
    ]
    yield f"     {paint(f'{label:<9}', _STYLES[label], on=colour)} {first}"
    yield from (f"               {line}" for line in rest)


def _wrapped(text: str, first: str, rest: str) -> Iterator[str]:
    yield from textwrap.wrap(
        for_terminal(text),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _laid_out(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
