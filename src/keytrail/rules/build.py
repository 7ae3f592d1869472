"""From the fields a file gives to a Rule: every field checked, defaults filled in, all that is wrong told at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from keytrail.errors import Place, RuleError
from keytrail.rules.checks import Check, Path, Problem, json_values, shown
from keytrail.rules.contents import Found
from keytrail.rules.model import Rule
from keytrail.rules.schema import FIELDS, NOT_KEPT, REQUIRED, TOGETHER, TYPES, RuleType
from keytrail.rules.support import unsupported_reason

# More would bury the first ones.
MAX_PROBLEMS_PER_RULE = 20

_ADVICE: Mapping[Path, str] = {
    ("rule_id",): "Give the rule an id of its own, such as the output of `uuidgen`, and keep it: alerts are told apart "
    "by it.",
    ("query",): 'Write query = "" if every event is to match.',
}

# Months and years at their longest, as a look-back that may be too short is the mistake to find.
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 2_678_400, "y": 31_622_400}
_BEFORE_NOW = re.compile(r"now-(\d{1,9})([smhdwMy])", re.ASCII)


def build(found: Found, *, immutable: bool = False) -> tuple[Rule | None, list[RuleError]]:
    """Return the rule that a file describes, or None and everything that is wrong with it."""
    data: dict[str, Any] = {
        name: value for name, value in found.data.items() if value is not None and name not in NOT_KEPT
    }
    problems = list(islice(_all_problems(data), MAX_PROBLEMS_PER_RULE))
    if problems:
        return None, [_error(problem, data, found) for problem in problems]
    return _rule(data, found, immutable), []


def label(data: Mapping[str, object]) -> str:
    """Return what a message calls a rule whose fields are not checked yet.

    >>> label({"name": "Key opened"}), label({})
    ("rule 'Key opened'", 'rule without a name')
    """
    name = data.get("name") or data.get("rule_id")
    return f"rule {shown(name)}" if isinstance(name, str) else "rule without a name"


def _rule(data: Mapping[str, Any], found: Found, immutable: bool) -> Rule:
    known: dict[str, Any] = {}
    extra: dict[str, object] = {}
    for name, value in data.items():
        if name == "type":
            known[name] = value
        elif field := FIELDS.get(name):
            known[field.attribute or name] = field.keep(value)
        else:
            extra[name] = value
    languages = TYPES[data["type"]].languages
    known.setdefault("language", languages[0] if languages else "")
    origin = found.places.of(())
    return Rule(
        **known,
        extra=extra,
        immutable=immutable,
        origin=Place(origin.file, line=origin.line),
        query_text=found.places.text(("query",)),
        unsupported_reason=unsupported_reason(data),
    )


def _all_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    unsound = list(islice(json_values(dict(data)), MAX_PROBLEMS_PER_RULE))
    yield from unsound
    # What is said about a value of no sound kind is enough.
    said = {problem.path[:1] for problem in unsound}
    yield from (problem for problem in _problems(data) if problem.path[:1] not in said)


def _problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    for name in REQUIRED:
        if name not in data:
            yield Problem((name,), "is missing")
    for name, field in FIELDS.items():
        if name in data:
            yield from field.check(data[name], (name,))
    kind = data.get("type")
    if kind is None:
        return
    rule_type = TYPES.get(kind) if isinstance(kind, str) else None
    if rule_type is None:
        yield Problem(("type",), f"must be {' or '.join(TYPES)}, not {shown(kind)}")
        return
    yield from _of_type(data, rule_type)
    language = data.get("language")
    if isinstance(language, str) and rule_type.languages and language not in rule_type.languages:
        allowed = " or ".join(rule_type.languages)
        yield Problem(("language",), f"must be {allowed} in a rule of type {kind}, not {shown(language)}")
    yield from _across_fields(data, kind)


def _of_type(data: Mapping[str, Any], rule_type: RuleType) -> Iterator[Problem]:
    for name, check in (dict(rule_type.required) | dict(rule_type.optional)).items():
        if name in data:
            # A field of all types is checked already; what only this type asks of it comes on top.
            if name not in FIELDS or not _wrong(FIELDS[name].check, data, name):
                yield from check(data[name], (name,))
        elif name in rule_type.required:
            yield Problem((name,), f"is missing; a rule of type {data['type']} needs it")


def _across_fields(data: Mapping[str, Any], kind: str) -> Iterator[Problem]:
    for first, second in TOGETHER:
        if (first in data) != (second in data):
            there, missing = (first, second) if first in data else (second, first)
            yield Problem((there,), f"needs {missing} beside it")
    suppression = data.get("alert_suppression")
    if isinstance(suppression, dict):
        if kind == "threshold":
            if suppression.keys() != {"duration"}:
                yield Problem(("alert_suppression",), "must hold duration and nothing else in a rule of type threshold")
        elif "group_by" not in suppression:
            yield Problem(("alert_suppression", "group_by"), "is missing")
    exceptions = data.get("exceptions_list")
    if isinstance(exceptions, list):
        defaults = [one for one in exceptions if isinstance(one, dict) and one.get("type") == "rule_default"]
        if len(defaults) > 1:
            yield Problem(("exceptions_list",), f"must hold at most one list of type rule_default, not {len(defaults)}")
    if kind == "new_terms":
        history, start = _seconds(data.get("history_window_start")), _seconds(data.get("from", "now-6m"))
        if history is not None and start is not None and history <= start:
            yield Problem(("history_window_start",), "must be earlier than from")


def _wrong(check: Check, data: Mapping[str, object], name: str) -> bool:
    return next(check(data[name], (name,)), None) is not None


def _seconds(text: object) -> int | None:
    """Return how long before now a plain date math such as now-6m is; None for any other."""
    match = _BEFORE_NOW.fullmatch(text) if isinstance(text, str) else None
    return int(match[1]) * _SECONDS[match[2]] if match else None


def _error(problem: Problem, data: Mapping[str, object], found: Found) -> RuleError:
    missing = problem.what.startswith("is missing")
    return RuleError(
        f"{label(data)}: {problem}",
        place=found.places.of(problem.path),
        advice=_ADVICE.get(problem.path, "") if missing else "",
    )
