"""The fields of a rule: for each its check, and how its value becomes an attribute (elastic-engine.md, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keytrail.rules.checks import Check, choice, either, flag, many, pattern, table, text, whole
from keytrail.rules.model import SEVERITIES, RiskScoreMapping, SeverityMapping

DURATION = pattern(r"0*[1-9]\d{0,8}[smhd]", "a duration such as 30s, 5m, 1h or 1d")
# now, or a date before "||", then steps (-6m) and roundings (/d).
_STEPS = r"(?:[+-]\d{0,9}[yMwdhHms]|/[yMwdhHms])*"
DATE_MATH = pattern(
    rf"now{_STEPS}|\d{{4}}-\d\d-\d\d(?:T[\d:.]{{2,18}}(?:Z|[+-]\d\d:?\d\d)?)?(?:\|\|{_STEPS})?",
    "date math such as now-6m, or a date such as 2026-01-31T00:00:00Z",
)

_TEXT = text()
# What tables, file names and alert ids are made of is one line.
_LINE = text(lines=False)
_NAME = text(empty=False, lines=False)
_NAMES = many(_NAME)
_TEXTS = many(_TEXT)
_TABLES = many(table({}))
_ATTACK = {"id": _NAME, "name": _NAME, "reference": _TEXT}
_THREAT = table(
    {"framework": _NAME, "tactic": table(_ATTACK)},
    {"technique": many(table(_ATTACK, {"subtechnique": many(table(_ATTACK))}))},
)
_SUPPRESSION_TIME = table({"value": whole(1), "unit": choice("s", "m", "h")})


@dataclass(frozen=True, slots=True)
class Field:
    """How one field is checked and kept. `attribute` is its name on Rule where Python needs another."""

    check: Check
    keep: Callable[[Any], object] = lambda value: value
    attribute: str = ""


def _list(item: Check) -> Field:
    return Field(many(item), tuple)


def _severities(items: list[dict[str, Any]]) -> tuple[SeverityMapping, ...]:
    return tuple(SeverityMapping(i["field"], i["operator"], i["value"], i["severity"]) for i in items)


def _risk_scores(items: list[dict[str, Any]]) -> tuple[RiskScoreMapping, ...]:
    return tuple(RiskScoreMapping(i["field"], i["operator"], i["value"], i.get("risk_score")) for i in items)


def _field_names(value: dict[str, Any] | list[str]) -> tuple[str, ...]:
    # Older exports have the bare list.
    return tuple(value if isinstance(value, list) else value["field_names"])


_MAPPING = {"field": _NAME, "operator": choice("equals"), "value": _TEXT}

REQUIRED = ("rule_id", "name", "description", "type", "severity", "risk_score")

FIELDS: Mapping[str, Field] = {
    "rule_id": Field(_NAME),
    "name": Field(_NAME),
    "description": Field(text(empty=False)),
    "severity": Field(choice(*SEVERITIES)),
    "risk_score": Field(whole(0, 100)),
    "query": Field(_TEXT),
    "language": Field(choice("kuery", "lucene", "eql", "esql")),
    "index": _list(_NAME),
    "data_view_id": Field(_TEXT),
    "filters": _list(table({})),
    "saved_id": Field(_TEXT),
    "alert_suppression": Field(
        table(
            {},
            {
                "group_by": many(_NAME, least=1, most=5),
                "duration": _SUPPRESSION_TIME,
                "missing_fields_strategy": choice("suppress", "doNotSuppress"),
            },
        )
    ),
    "id": Field(_TEXT),
    "enabled": Field(flag),
    "interval": Field(DURATION),
    "from": Field(DATE_MATH, attribute="from_"),
    "to": Field(DATE_MATH),
    "max_signals": Field(whole(1)),
    "tags": _list(_LINE),
    "author": _list(_LINE),
    "license": Field(_LINE),
    "false_positives": _list(_TEXT),
    "references": _list(_TEXT),
    "threat": _list(_THREAT),
    "note": Field(_TEXT),
    "setup": Field(_TEXT),
    "investigation_fields": Field(either(many(_NAME), table({"field_names": many(_NAME, least=1)})), _field_names),
    "severity_mapping": Field(many(table(_MAPPING | {"severity": choice(*SEVERITIES)})), _severities),
    "risk_score_mapping": Field(many(table(_MAPPING, {"risk_score": whole(0, 100)})), _risk_scores),
    "rule_name_override": Field(_TEXT),
    "timestamp_override": Field(_TEXT),
    "timestamp_override_fallback_disabled": Field(flag),
    "building_block_type": Field(choice("default")),
    "exceptions_list": _list(
        table({"list_id": _NAME}, {"id": _NAME, "type": _NAME, "namespace_type": choice("single", "agnostic")})
    ),
    "actions": _list(table({})),
    "response_actions": _list(table({})),
    "throttle": Field(_TEXT),
    "related_integrations": _list(table({"package": _NAME}, {"version": _TEXT, "integration": _TEXT})),
    "required_fields": _list(table({"name": _NAME, "type": _NAME})),
    "meta": Field(table({})),
    "namespace": Field(_TEXT),
    "timeline_id": Field(_NAME),
    "timeline_title": Field(_NAME),
    "output_index": Field(_TEXT),
    "version": Field(whole(1)),
    "revision": Field(whole(0)),
    "rule_source": Field(table({})),
    "created_at": Field(_TEXT),
    "created_by": Field(_TEXT),
    "updated_at": Field(_TEXT),
    "updated_by": Field(_TEXT),
}

# What a server adds to its answers. It says nothing about the rule, or (immutable) is not to be believed.
NOT_KEPT = frozenset({"immutable", "execution_summary", "outcome", "alias_target_id", "alias_purpose"})


@dataclass(frozen=True, slots=True)
class RuleType:
    """What a type of rule adds to FIELDS. `languages`: those its query may have, the default first."""

    languages: tuple[str, ...]
    required: Mapping[str, Check]
    optional: Mapping[str, Check]


_KQL = ("kuery", "lucene")
_QUERY = text(empty=False)

TYPES: Mapping[str, RuleType] = {
    "query": RuleType(_KQL, {"query": _TEXT}, {}),
    "saved_query": RuleType(_KQL, {"saved_id": _NAME}, {}),
    "eql": RuleType(
        ("eql",),
        {"query": _QUERY, "language": choice("eql")},
        {"event_category_override": _TEXT, "timestamp_field": _TEXT, "tiebreaker_field": _TEXT},
    ),
    "threshold": RuleType(
        _KQL,
        {
            "query": _TEXT,
            "threshold": table(
                {"field": either(_TEXT, many(_NAME, most=5)), "value": whole(1)},
                {"cardinality": many(table({"field": _NAME, "value": whole(0)}))},
            ),
        },
        {},
    ),
    "new_terms": RuleType(
        _KQL,
        {"query": _TEXT, "new_terms_fields": many(_NAME, least=1, most=3), "history_window_start": DATE_MATH},
        {},
    ),
    "esql": RuleType(("esql",), {"query": _QUERY, "language": choice("esql")}, {}),
    "threat_match": RuleType(
        _KQL,
        {
            "query": _TEXT,
            "threat_query": _TEXT,
            "threat_index": _NAMES,
            "threat_mapping": many(table({"entries": many(table({"field": _NAME, "value": _NAME}))}), least=1),
        },
        {
            "threat_language": choice(*_KQL),
            "threat_filters": _TABLES,
            "threat_indicator_path": _TEXT,
            "concurrent_searches": whole(1),
            "items_per_search": whole(1),
        },
    ),
    "machine_learning": RuleType(
        (),
        {"anomaly_threshold": whole(0, 100), "machine_learning_job_id": either(_NAME, many(_NAME, least=1))},
        {},
    ),
}

# Fields of which one without the other means nothing.
TOGETHER = (("timeline_id", "timeline_title"), ("concurrent_searches", "items_per_search"))
