"""Rules and their exceptions as an NDJSON export that Kibana and `load` read (elastic-engine.md, section 5.4)."""

from __future__ import annotations

from collections.abc import Sequence

from keytrail.rules.exceptions import ExceptionItem, ExceptionList, references
from keytrail.rules.model import Rule
from keytrail.text import for_json


def export_ndjson(
    rules: Sequence[Rule],
    lists: Sequence[ExceptionList] = (),
    items: Sequence[ExceptionItem] = (),
    *,
    missing_rule_ids: Sequence[str] = (),
    details: bool = True,
) -> str:
    """Return the lines of an export: rules, the exception lists, each followed by its items, and one that counts them.

    `missing_rule_ids` are ids that were asked for and that no rule has. A list that a rule names and that is not
    among `lists` is told as missing. Without `details` the rules stand alone, as in the reference engine.
    """
    lines: list[object] = [rule.to_dict() for rule in rules]
    if details:
        known = {one.key for one in lists}
        for one in lists:
            lines.append(one.to_dict())
            lines += [item.to_dict() for item in items if item.list_key == one.key]
        orphans = [item for item in items if item.list_key not in known]
        lost = dict.fromkeys(key for rule in rules for key in references(rule) if key not in known)
        lines.append(
            {
                "exported_count": len(lines),
                "exported_rules_count": len(rules),
                "missing_rules": [{"rule_id": rule_id} for rule_id in missing_rule_ids],
                "missing_rules_count": len(missing_rule_ids),
                "exported_exception_list_count": len(lists),
                "exported_exception_list_item_count": len(items) - len(orphans),
                "missing_exception_list_item_count": len(orphans),
                "missing_exception_list_items": [{"item_id": item.item_id} for item in orphans],
                "missing_exception_lists": [{"list_id": list_id} for list_id, _ in lost],
                "missing_exception_lists_count": len(lost),
                "exported_action_connector_count": 0,
                "missing_action_connection_count": 0,
                "missing_action_connections": [],
                "excluded_action_connection_count": 0,
                "excluded_action_connections": [],
            }
        )
    return "".join(f"{for_json(line)}\n" for line in lines)
