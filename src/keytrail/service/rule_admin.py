"""The rules of the service: where they come from, what people decided about them, and how far each is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from sqlalchemy.engine import Connection

from keytrail import rules as rule_room
from keytrail.errors import Place, RuleError, UsageError
from keytrail.rules import Rule, RuleSet, export_ndjson, reference_key, references, rule_from_dict
from keytrail.service.exceptions import Author, default_list, import_exceptions
from keytrail.service.rules import load_rules, query_problem
from keytrail.settings import Settings
from keytrail.store.lake.model import Segment
from keytrail.store.state import exceptions as kept
from keytrail.store.state.alerts import log
from keytrail.store.state.catalog import SqlCatalog
from keytrail.store.state.database import Database
from keytrail.store.state.rule_states import (
    Choice,
    RuleState,
    choices,
    documents,
    hold_choices,
    put_choice,
    put_document,
    rule_states,
    stretches_of,
)
from keytrail.store.state.triage import AuditLine, last_lines

IMPORTED = "imported"
"""The file of the place at which an imported rule stands."""

_KIND = "rule"
_DECISIONS = ("enable", "disable")


def all_rules(
    settings: Settings, connection: Connection, *, paths: Sequence[str] | None = None, builtin: bool | None = None
) -> RuleSet:
    """Every rule of the service, `enabled` as decided: those of files, then imported ones, then the built-in pack.

    The first of an id counts. `paths` and `builtin` stand for what [watch] says, where they are given. Exception lists
    and items are those of the state and of files; of one key that of the state counts. What is wrong is in `errors`.
    """
    files = [str(path) for path in settings.watch.rules] if paths is None else paths
    found = load_rules(files, builtin=False)
    found = rule_room.merge(found, _imported(connection))
    if settings.watch.builtin if builtin is None else builtin:
        found = rule_room.merge(rule_room.merge(found, load_rules()), rule_room.of_service())
    decided = choices(connection)
    lists, items = kept.all_lists(connection), kept.all_items(connection)
    list_keys, item_keys = {one.key for one in lists}, {one.key for one in items}
    return replace(
        found,
        rules=tuple(_as_decided(rule, decided) for rule in found.rules),
        exception_lists=(*lists, *(one for one in found.exception_lists if one.key not in list_keys)),
        exception_items=(*items, *(one for one in found.exception_items if one.key not in item_keys)),
    )


def _imported(connection: Connection) -> RuleSet:
    rules: list[Rule] = []
    errors: list[RuleError] = []
    for document in documents(connection):
        try:
            rule = rule_from_dict(document, Place(IMPORTED))
        except RuleError as error:  # of an earlier version of keytrail
            errors.append(error)
            continue
        problem = query_problem(rule)
        if problem is None:
            rules.append(rule)
        else:
            errors.append(problem)
    return RuleSet(tuple(rules), tuple(errors))


def _as_decided(rule: Rule, decided: Mapping[str, Choice]) -> Rule:
    choice = decided.get(rule.rule_id)
    return rule if choice is None or choice.enabled is None else replace(rule, enabled=choice.enabled)


def named(rules: Iterable[Rule], id: str) -> Rule:
    """The rule of an id or a name, or of the beginning of an id, if it is the only one. Raises UsageError."""
    known = list(rules)
    exact = [rule for rule in known if id in (rule.rule_id, rule.name)]
    found = exact or [rule for rule in known if id and rule.rule_id.startswith(id)]
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(rule.rule_id for rule in found[:5])
        raise UsageError(f"{id!r} names {len(found):,} rules", advice=f"such as {some}")
    raise UsageError(f"no rule {id!r}", advice="see `keytrail rules list`")


def all_named(rules: Sequence[Rule], ids: Iterable[str]) -> tuple[Rule, ...]:
    """The rules that ids or names name, each once. Raises UsageError if one names none."""
    return tuple({found.rule_id: found for found in (named(rules, one) for one in ids)}.values())


# -- what people decide -----------------------------------------------------------------------------------------------


def decide(
    connection: Connection, rules: Sequence[Rule], *, enabled: bool, catch_up: bool, author: Author
) -> tuple[str, ...]:
    """Enable or disable rules, whatever their files say; returns the ids of those that were not decided so already.

    `catch_up`: a rule that is enabled goes on where it was, and does not begin anew.
    """
    hold_choices(connection)
    before = choices(connection)
    changed: list[str] = []
    for rule in rules:
        old = before.get(rule.rule_id, Choice())
        new = replace(old, enabled=enabled, catch_up=catch_up)
        if old == new:
            continue
        put_choice(connection, rule.rule_id, new)
        was = rule.enabled if old.enabled is None else old.enabled
        detail = {"before": {"enabled": was}, "after": {"enabled": enabled, "catch_up": catch_up}}
        _log(connection, author, rule.rule_id, "enable" if enabled else "disable", detail)
        changed.append(rule.rule_id)
    return tuple(changed)


def snooze(connection: Connection, rules: Sequence[Rule], until: datetime | None, author: Author) -> tuple[str, ...]:
    """Tell nobody of the alerts of rules until a time, or (None) tell again; returns the ids of those that changed."""
    hold_choices(connection)
    before = choices(connection)
    changed: list[str] = []
    for rule in rules:
        old = before.get(rule.rule_id, Choice())
        if old.snoozed_until == until:
            continue
        put_choice(connection, rule.rule_id, replace(old, snoozed_until=until))
        detail = {
            "before": {"snoozed_until": _text(old.snoozed_until)}, "after": {"snoozed_until": _text(until)},
        }  # fmt: skip
        _log(connection, author, rule.rule_id, "snooze", detail)
        changed.append(rule.rule_id)
    return tuple(changed)


# -- files ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import stored, and what it did not, with place and reason."""

    rules: int
    lists: int
    items: int
    errors: tuple[UsageError, ...]
    notes: tuple[str, ...]


def import_rules(
    settings: Settings, database: Database, paths: Sequence[str], author: Author, *, overwrite: bool
) -> Imported:
    """Take over the rules and exceptions of files, as Kibana's import does (elastic-engine.md, section 5.3).

    What is wrong, or is there already, is an error, and the rest goes on; `overwrite` replaces what is there, but for
    rules of the service's own files. Everything that is sound is stored in one transaction.
    """
    loaded = rule_room.load(paths)
    errors: list[UsageError] = list(loaded.errors)
    stored = 0
    with database.write() as connection:
        exceptions = import_exceptions(
            connection, loaded.exception_lists, loaded.exception_items, author, overwrite=overwrite
        )
        errors += exceptions.errors
        known = {rule.rule_id: rule for rule in all_rules(settings, connection).rules}
        list_types = {(one.key, one.type) for one in kept.all_lists(connection)}
        for rule in loaded.rules:
            problem = query_problem(rule) or _conflict(rule, known.get(rule.rule_id), overwrite=overwrite)
            if problem is not None:
                errors.append(problem)
                continue
            whole, lost = _without_lost_references(rule, list_types)
            errors += lost
            put_document(connection, rule.rule_id, whole.to_dict(), author.now)
            detail = {"name": rule.name, "replaced": rule.rule_id in known, "file": rule.origin.file}
            _log(connection, author, rule.rule_id, "import", detail)
            stored += 1
    return Imported(stored, exceptions.lists, exceptions.items, tuple(errors), loaded.notes)


def _conflict(rule: Rule, there: Rule | None, *, overwrite: bool) -> RuleError | None:
    if there is None:
        return None
    if there.origin.file != IMPORTED and not there.immutable:
        return RuleError(
            f"rule {rule.name!r}: the id {rule.rule_id!r} is that of a rule in a file",
            place=rule.origin,
            advice=f"Change the file: {there.origin}.",
        )
    if overwrite:
        return None
    return RuleError(
        f"rule {rule.name!r}: a rule has the id {rule.rule_id!r} already",
        place=rule.origin,
        advice="--overwrite replaces it.",
    )


def _without_lost_references(rule: Rule, list_types: Iterable[tuple[kept.Key, str]]) -> tuple[Rule, list[RuleError]]:
    """The rule without references to exception lists that there are not, with an error for each."""
    known = set(list_types)
    good = [one for one in rule.exceptions_list if (reference_key(one), str(one.get("type"))) in known]
    lost = [one for one in rule.exceptions_list if one not in good]
    # The words of the reference engine, which its clients look for.
    errors = [
        RuleError(
            f'rule {rule.name!r} references a non existent exception list (list_id: "{one["list_id"]}"): '
            "it was imported without",
            place=rule.origin,
        )
        for one in lost
    ]
    return replace(rule, exceptions_list=tuple(good)), errors


def export_rules(rules: RuleSet, ids: Sequence[str]) -> str:
    """NDJSON of rules with their exceptions that Kibana and `import_rules` read: of these ids, or all not built in."""
    by_id = {rule.rule_id: rule for rule in rules.rules}
    chosen = [by_id[one] for one in ids if one in by_id] if ids else [one for one in rules.rules if not one.immutable]
    known = {one.key: one for one in rules.exception_lists}
    whole = [_with_own_list(rule, known.keys()) for rule in chosen]
    keys = dict.fromkeys(key for rule in whole for key in references(rule))
    lists = [known[key] for key in keys if key in known]
    items = [item for item in rules.exception_items if item.list_key in keys and item.list_key in known]
    return export_ndjson(whole, lists, items, missing_rule_ids=[one for one in ids if one not in by_id])


def _with_own_list(rule: Rule, known: Iterable[kept.Key]) -> Rule:
    """The rule with the list of its own named in it, where there is one that it does not name."""
    key = default_list(rule)
    if key not in known or key in references(rule):
        return rule
    named_so = {"id": key[0], "list_id": key[0], "type": "rule_default", "namespace_type": key[1]}
    return replace(rule, exceptions_list=(*rule.exceptions_list, named_so))


# -- how far each is --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RuleStanding:
    """A rule with where it is: None where the service has not run it yet. `behind` counts records it has not examined.

    `decided` is the last time that somebody enabled or disabled it.
    """

    rule: Rule
    state: RuleState | None
    choice: Choice
    behind: int
    decided: AuditLine | None


def standings(connection: Connection, rules: Iterable[Rule], head: int) -> tuple[RuleStanding, ...]:
    """Where rules are; `head` is the position behind the last record."""
    states, decided = rule_states(connection), choices(connection)
    lines = last_lines(connection, _KIND, _DECISIONS)
    found = []
    for rule in rules:
        state = states.get(rule.rule_id)
        behind = 0 if state is None or not state.running else max(head - state.cursor, 0)
        choice = decided.get(rule.rule_id, Choice())
        found.append(RuleStanding(rule, state, choice, behind, lines.get(rule.rule_id)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the order of arrival, `first` to `end` (exclusive), and what the rule did with its records.

    `kind` is searched, disabled (passed over while it was), waiting (still to come), or gap, which there should be none
    of. `since` and `until` are when its records arrived, None where they are not in the lake any more.
    """

    kind: str
    first: int
    end: int
    since: datetime | None = None
    until: datetime | None = None


def coverage(connection: Connection, catalog: SqlCatalog, rule_id: str) -> tuple[Part, ...]:
    """Which records a rule examined and which it did not, by position, from where it began."""
    state = rule_states(connection).get(rule_id)
    if state is None:
        return ()
    head = catalog.head()
    told = [
        Part(kind, first, state.cursor if end is None else end)
        for kind, first, end in stretches_of(connection, rule_id)
    ]
    parts = _in_order([one for one in told if one.first < one.end])
    if state.running and state.cursor < head:
        parts.append(Part("waiting", state.cursor, head))
    arrived = catalog.arrived()
    return tuple(
        replace(
            part,
            since=min((one.ingested for one in arrived if _meets(one.segment, part)), default=None),
            until=max((one.ingested for one in arrived if _meets(one.segment, part)), default=None),
        )
        for part in parts
    )


def _meets(segment: Segment, part: Part) -> bool:
    return segment.first_sequence < part.end and segment.end > part.first


def _in_order(told: Sequence[Part]) -> list[Part]:
    """Parts that do not overlap, searched ones before others, with what none of them has as gaps."""
    marks = sorted({at for one in told for at in (one.first, one.end)})
    parts: list[Part] = []
    for first, end in pairwise(marks):
        kinds = {one.kind for one in told if one.first <= first and end <= one.end}
        kind = "searched" if "searched" in kinds else min(kinds, default="gap")
        if parts and parts[-1].kind == kind:
            parts[-1] = replace(parts[-1], end=end)
        else:
            parts.append(Part(kind, first, end))
    return parts


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _log(connection: Connection, author: Author, subject: str, action: str, detail: Mapping[str, object]) -> None:
    log(connection, who=author.who, kind=_KIND, subject=subject, action=action, detail=detail, now=author.now)
