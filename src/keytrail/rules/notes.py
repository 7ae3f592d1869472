"""What a person should be told about a set of rules: said once for many rules, with the first few named."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from keytrail.rules.checks import shown
from keytrail.rules.exceptions import ExceptionItem, ExceptionList, references
from keytrail.rules.model import Rule
from keytrail.rules.schema import FIELDS, TYPES

_NAMED = 3
_KNOWN = {*FIELDS, "type"}.union(*(kind.required.keys() | kind.optional.keys() for kind in TYPES.values()))

_LONGEST = max(map(len, _KNOWN)) + 2


def about_rules(rules: Sequence[Rule]) -> list[str]:
    """Return what is not as the rules' authors may expect, one note for each kind of it."""
    notes: list[str] = []
    reasons = Counter(rule.unsupported_reason for rule in rules if not rule.supported)
    if reasons:
        why = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(_NAMED))
        rest = f"; and {len(reasons) - _NAMED} other reasons" if len(reasons) > _NAMED else ""
        notes.append(f"{_count(sum(reasons.values()), 'rule')} listed but not run: {why}{rest}")
    running = [rule for rule in rules if rule.supported]
    for what, those in (
        ("disabled, listed but not run", [rule for rule in rules if not rule.enabled]),
        (
            "with alert suppression, which a scan does not apply: it reports every match",
            [rule for rule in running if rule.alert_suppression],
        ),
        (
            "of type saved_query, run with the query in the file, which may differ from the one saved in Kibana",
            [rule for rule in running if rule.type == "saved_query"],
        ),
        (
            "with a Kibana data view, which is not looked up: all CloudTrail events are searched",
            [rule for rule in running if rule.data_view_id],
        ),
    ):
        if those:
            notes.append(f"{_count(len(those), 'rule')} {what}: {_first(shown(rule.name) for rule in those)}")
    for rule in rules:
        notes.extend(_misspelt(rule))
    return notes


def about_exceptions(
    rules: Sequence[Rule], lists: Sequence[ExceptionList], items: Sequence[ExceptionItem]
) -> list[str]:
    """Return which references lead to no list, and which items to none."""
    known = {one.key for one in lists}
    notes: list[str] = []
    applied = [rule for rule in rules if rule.supported and known.intersection(references(rule))]
    if applied:
        named = _first(shown(rule.name) for rule in applied)
        notes.append(
            f"{_count(len(applied), 'rule')} with exception lists, which a scan does not apply: "
            f"expect alerts on what they except: {named}"
        )
    lost: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        for key in references(rule):
            if key not in known:
                lost.setdefault(key, []).append(rule)
    # The words of the reference engine, which its clients look for (elastic-engine.md, section 5.3).
    notes.extend(
        f"{_count(len(those), 'rule')}{', each of which' if len(those) > 1 else ''} "
        f"references a non existent exception list (list_id: {json.dumps(list_id)}), "
        f"expect alerts on what it excepts: {_first(shown(rule.name) for rule in those)}"
        for (list_id, _), those in lost.items()
    )
    if orphans := [item for item in items if item.list_key not in known]:
        named = _first(shown(item.name) for item in orphans)
        notes.append(f"{_count(len(orphans), 'exception item')} of lists that no file has: {named}")
    return notes


def about_files(
    skipped: Mapping[str, int], foreign: Sequence[str], hidden: Sequence[str], deprecated: Sequence[str]
) -> list[str]:
    """Return what was passed over while reading: parts of exports by kind, and files and folders by path."""
    notes = []
    if skipped:
        kinds = ", ".join(f"{kind} ({count:,})" for kind, count in skipped.items())
        notes.append(f"passed over what is neither rule nor exception in exports: {kinds}")
    for paths, what in (
        (foreign, "files without rules"),
        (hidden, "hidden files"),
        (deprecated, "folders of deprecated rules"),
    ):
        if paths:
            notes.append(f"passed over {what} ({len(paths):,}): {_first(paths)}")
    return notes


def about_override(own: Rule, builtin: Rule) -> str:
    """Return that the user's rule takes the place of a built-in one with the same rule_id."""
    state = "" if own.enabled else " and is disabled"
    return f"rule {shown(own.name)} ({own.origin}) replaces the built-in rule {shown(builtin.name)}{state}"


def _misspelt(rule: Rule) -> list[str]:
    """Return a note for each unknown field that looks like a known one: a filter not applied, a limit not kept."""
    rule_type = TYPES[rule.type]
    # Comparing is slow; a slip of the pen is short, and there are few.
    unknown = [name for name in rule.extra if name not in _KNOWN and len(name) <= _LONGEST][:_NAMED]
    if not unknown:
        return []
    from difflib import get_close_matches  # slow to import, hardly ever needed

    own = {*rule_type.required, *rule_type.optional}
    notes = []
    for name in unknown:
        if close := get_close_matches(name, [*FIELDS, "type", *own], 1, 0.8):
            notes.append(
                f"rule {shown(rule.name)} ({rule.origin}): the field {shown(name)} is not known and has no effect; "
                f"did you mean {shown(close[0])}?"
            )
    return notes


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def _first(names: Iterable[str]) -> str:
    every = list(names)
    rest = len(every) - _NAMED
    return ", ".join(every[:_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
