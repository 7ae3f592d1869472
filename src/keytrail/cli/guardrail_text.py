"""A guardrail as a page for a person: who keeps the power, what others lose, what it would have denied, the files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from keytrail.cli.colour import paint
from keytrail.cli.policy_text import section, wrapped
from keytrail.phrases import count, joined, start
from keytrail.text import for_terminal

if TYPE_CHECKING:
    from keytrail.respond.guardrail.model import Kind
    from keytrail.respond.guardrail.simulate import DeniedCaller, Simulation
    from keytrail.service.guardrail import GuardrailResult

SHOWN = 20
"""Principals, and keys, that are shown one by one."""

_KINDS: dict[Kind, str] = {
    "scp": "service control policy",
    "rcp": "resource control policy",
    "boundary": "permissions boundary",
}


def guardrail_text(found: GuardrailResult, *, texts: bool, colour: bool = False) -> str:
    """Return the page, safe to show; with `texts` the documents as well."""
    lines = [paint(line, "header", on=colour) for line in wrapped(answer(found))]
    lines += section("Who keeps the power", _bullets(found.guardrail.arns), colour)
    lines += section("What everybody else is denied", _ways(found), colour)
    if found.guardrail.keys:
        lines += section("For these keys only", _bullets(found.guardrail.keys), colour)
    if found.simulation is not None:
        lines += section("What it would have denied", _denied(found.simulation), colour)
        lines += section("What it would have let through", _spared(found.simulation), colour)
    lines += section("Keys that nobody could change any more", _locked(found), colour)
    if found.lock_out.known and not found.lock_out.locked:
        known = count(found.lock_out.known, "key")
        lines += ["", *wrapped(f"Of {known} with a known policy, each can still be changed by a break-glass role.")]
    lines += section("Mind", _bullets(found.warnings), colour)
    lines += section("What it does not cover", _bullets(found.not_covered), colour)
    for one in found.written:
        names = joined([document.name for document in one.documents])
        lines += section(f"{start(one.form.title)} ({names})", wrapped(one.form.use, first="  ", rest="  "), colour)
        if texts:
            for document in one.documents:
                lines += ["", *(for_terminal(line) for line in document.text.splitlines())]
    return "\n".join(lines)


def answer(found: GuardrailResult) -> str:
    """What matters most, in a sentence or two; not yet safe.

    >>> _calls_by(14, 3), _calls_by(1, 1)
    ('14 calls by 3 principals', '1 call by 1 principal')
    """
    tried = found.simulation
    if tried is None:
        return "This guardrail was not tried on recorded calls."
    span = f"in the last {count((tried.until - tried.since).days, 'day')}"
    if not tried.denied:
        examined = f"{count(tried.examined, 'recorded call')} of the actions that it denies"
        return f"This would have denied nothing {span}: {examined}."
    sure, maybe = tried.certain, [one for one in tried.denied if not one.certain]
    text = f"This would have denied {_calls_by(tried.calls, len({one.principal for one in sure}))} {span}"
    if refused := sum(one.refused for one in sure):
        text += f", {refused:,} of which AWS refused anyway"
    if maybe:
        number = sum(one.calls for one in maybe)
        text += f"; of {count(number, 'more call')} the records do not tell enough to say"
    return f"{text}."


def _calls_by(calls: int, principals: int) -> str:
    return f"{count(calls, 'call')} by {count(principals, 'principal')}"


def _ways(found: GuardrailResult) -> Iterator[str]:
    from keytrail.respond.guardrail.statements import WAYS

    for group in found.denied:
        way = WAYS[group]
        yield from wrapped(f"{group}: {way.why}", first="  ", rest="    ")
        yield from wrapped(", ".join(way.actions), first="    ", rest="    ")


def _denied(tried: Simulation) -> Iterator[str]:
    for one in tried.denied[:SHOWN]:
        yield from _caller(one)
    if len(tried.denied) > SHOWN:
        yield f"  and {count(len(tried.denied) - SHOWN, 'more principal')}: --format json lists all"
    if tried.untold:
        yield f"  {count(tried.untold, 'call')} could not be judged: their records do not tell who called"


def _caller(one: DeniedCaller) -> Iterator[str]:
    yield f"  {for_terminal(one.principal)}" + ("" if one.certain else "  (not certain)")
    actions = joined([f"{number:,} {action}" for action, number in one.actions.items()])
    refused = f"; {one.refused:,} refused anyway" if one.refused else ""
    yield from wrapped(f"{actions}{refused}; last {one.last:%Y-%m-%d %H:%M:%S} UTC", first="    ", rest="    ")
    yield f"    by the {joined([_KINDS[kind] for kind in one.by])}"
    yield f"    events {for_terminal(', '.join(one.examples))}"


def _spared(tried: Simulation) -> Iterator[str]:
    why = {
        "break-glass": "by break-glass roles",
        "service-linked role": "by service-linked roles, which such policies do not reach",
        "AWS service": "by AWS services themselves, which they do not reach either",
        "management account": "by, or for keys of, the management account, which they do not reach",
        "outside": "by accounts outside, on keys that are not yours",
        "not denied": "that are not denied: grants that a service makes for a resource, other roles and shares",
    }
    for name, number in tried.spared.items():
        yield f"  {count(number, 'call')} {why[name]}"


def _locked(found: GuardrailResult) -> Iterator[str]:
    locked = found.lock_out.locked
    for one in locked[:SHOWN]:
        yield from wrapped(f"{one.arn}: {one.why}", first="  ", rest="    ")
    if len(locked) > SHOWN:
        yield f"  and {count(len(locked) - SHOWN, 'more key')}: --format json lists all"


def _bullets(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from wrapped(text, first="  - ", rest="    ")
