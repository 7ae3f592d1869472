"""The rules of a run: the built-in pack and the user's files, merged, and their queries compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from keytrail import query as kql
from keytrail import rules as rule_room
from keytrail.cloudtrail import CATALOGUE
from keytrail.errors import QueryError, RuleError, UsageError
from keytrail.rules import Rule, RuleSet


def load_rules(paths: Sequence[str] = (), *, builtin: bool = True, rule_ids: Sequence[str] = ()) -> RuleSet:
    """The rules in `paths` and the built-in pack (unless `builtin` is false), those named by `rule_ids` only.

    Everything wrong with a file, a rule or a query is in `errors`; such a rule is left out of `rules`. Raises
    UsageError when `rule_ids` names a rule that is not there.
    """
    found = rule_room.load(paths) if paths else RuleSet()
    if builtin:
        found = rule_room.merge(found, rule_room.builtin())
    if rule_ids:
        found = _only(found, rule_ids)
    good: list[Rule] = []
    errors = list(found.errors)
    for rule in found.rules:
        error = query_problem(rule)
        if error is None:
            good.append(rule)
        else:
            errors.append(error)
    return replace(found, rules=tuple(good), errors=tuple(errors))


def query_problem(rule: Rule) -> RuleError | None:
    """What is wrong with the rule's query, at its place in the rule's file; None when it compiles or is not ours."""
    if not rule.supported or rule.language != "kuery":
        return None
    try:
        kql.compile(rule.query, CATALOGUE, now=datetime.now(UTC))
    except QueryError as error:
        return rule.query_error(error)
    return None


def runnable(found: RuleSet) -> tuple[Rule, ...]:
    """The rules that are enabled and of a supported type. Raises RuleError with every error of the set."""
    if found.errors:
        first, *others = found.errors
        if not others:
            raise first
        raise RuleError(
            "\n".join([f"{len(found.errors)} rules or rule files are not valid:", *map(str, found.errors)]),
            advice="keytrail rules validate PATH checks them without scanning.",
        )
    return found.runnable


def _only(found: RuleSet, rule_ids: Sequence[str]) -> RuleSet:
    by_id = {rule.rule_id: rule for rule in found.rules}
    missing = [one for one in rule_ids if one not in by_id]
    if missing:
        raise UsageError(
            f"no rule has the id {', '.join(missing)}",
            advice="keytrail rules list shows the rules with their ids; --rules PATH adds rules of your own.",
        )
    return replace(found, rules=tuple(by_id[one] for one in dict.fromkeys(rule_ids)))
