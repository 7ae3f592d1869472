"""What keytrail can run as it is meant, and why not the rest: never a rule run without a part that narrows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

# Elastic's names for its own data: <kind>-<data set>-<namespace>, beats, and hidden indices. Of these only the first
# two below hold CloudTrail. An index of any other name is a team's own, and may.
_CLOUDTRAIL = ("logs-aws.cloudtrail-default", "filebeat-0")
_ELASTIC = (
    "logs-*", "metrics-*", "traces-*", "apm-*", "auditbeat*", "endgame-*", "heartbeat*", "metricbeat*", "packetbeat*",
    "winlogbeat*", ".*",
)  # fmt: skip


def unsupported_reason(data: Mapping[str, Any]) -> str:
    """Return why keytrail cannot run a valid rule (the API's form) as it is meant; empty if it can."""
    kind = data["type"]
    if kind not in ("query", "saved_query"):
        return f"rules of type {kind} are not supported yet"
    if data.get("language", "kuery") != "kuery":
        return f"queries in the language {data['language']} are not supported yet"
    if kind == "saved_query" and not data.get("query", "").strip():
        return "its query is saved in Kibana and not in the rule"
    filters = [one for one in data.get("filters", ()) if not is_disabled(one)]
    if filters:
        return f"it has Kibana filters beside its query ({len(filters)}), which are not supported yet"
    index = data.get("index", ())
    if index and not data.get("data_view_id") and not may_hold_cloudtrail(index):
        return f"it reads {', '.join(index[:3])}, which holds no CloudTrail events"
    return ""


def is_disabled(kibana_filter: Mapping[str, object]) -> bool:
    """Whether somebody switched the filter off in Kibana; such a filter has no effect."""
    meta = kibana_filter.get("meta")
    return isinstance(meta, Mapping) and meta.get("disabled") is True


def may_hold_cloudtrail(patterns: Sequence[str]) -> bool:
    """Whether CloudTrail events may lie in an index that one of `patterns` names (a leading - takes away).

    >>> may_hold_cloudtrail(["filebeat-*", "logs-okta*"]), may_hold_cloudtrail(["our-audit-logs"])
    (True, True)
    >>> may_hold_cloudtrail(["logs-endpoint.events.*", "winlogbeat-*"])
    False
    """
    return any(_may_hold(pattern.rpartition(":")[2]) for pattern in patterns if not pattern.startswith("-"))


def _may_hold(pattern: str) -> bool:
    if pattern.startswith("logs-aws.cloudtrail") or any(fnmatchcase(name, pattern) for name in _CLOUDTRAIL):
        return True
    if pattern.startswith("filebeat-"):
        return True
    return not any(fnmatchcase(pattern, elastic) for elastic in _ELASTIC)
