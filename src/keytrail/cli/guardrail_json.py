"""A guardrail and what is known of its effect as one JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keytrail.respond.guardrail.simulate import DeniedCaller, Simulation
    from keytrail.service.guardrail import GuardrailResult

Json = dict[str, object]


def guardrail_json(found: GuardrailResult) -> Json:
    """The document; the keys are in docs/guardrail.md."""
    from keytrail.respond.guardrail.statements import WAYS

    rail = found.guardrail
    return {
        "break_glass": list(rail.arns),
        "keys": list(rail.keys) or None,
        "denied": [{"group": one, "actions": list(WAYS[one].actions), "why": WAYS[one].why} for one in found.denied],
        "forms": [
            {
                "form": one.form.name,
                "title": one.form.title,
                "use": one.form.use,
                "files": [{"name": document.name, "text": document.text} for document in one.documents],
            }
            for one in found.written
        ],
        "simulation": None if found.simulation is None else _simulation(found.simulation),
        "locked_keys": [{"key": one.arn, "why": one.why} for one in found.lock_out.locked],
        "known_keys": found.lock_out.known,
        "warnings": list(found.warnings),
        "notes": list(found.notes),
        "not_covered": list(found.not_covered),
    }


def _simulation(tried: Simulation) -> Json:
    return {
        "since": tried.since.isoformat(),
        "until": tried.until.isoformat(),
        "examined": tried.examined,
        "calls": tried.calls,
        "refused_anyway": sum(one.refused for one in tried.certain),
        "denied": [_caller(one) for one in tried.denied],
        "let_through": dict(tried.spared),
        "without_caller": tried.untold,
    }


def _caller(one: DeniedCaller) -> Json:
    return {
        "principal": one.principal,
        "certain": one.certain,
        "by": list(one.by),
        "calls": one.calls,
        "actions": dict(one.actions),
        "refused_anyway": one.refused,
        "last": one.last.isoformat(),
        "resources": list(one.resources),
        "events": list(one.examples),
    }
