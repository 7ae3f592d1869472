"""Rules and their exceptions: the objects, the file formats they come in, and the pack that is built in."""

from keytrail.rules.documents import rule_from_dict
from keytrail.rules.exceptions import (
    Entry,
    ExceptionItem,
    ExceptionList,
    ExistsEntry,
    LeafEntry,
    ListEntry,
    MatchAnyEntry,
    MatchEntry,
    NestedEntry,
    WildcardEntry,
    entry_dict,
    items_for,
    reference_key,
    references,
)
from keytrail.rules.exceptions_build import item_from_dict, list_from_dict
from keytrail.rules.export import export_ndjson
from keytrail.rules.files import LoadLimits
from keytrail.rules.loading import builtin, load, merge, of_service
from keytrail.rules.model import SEVERITIES, RiskScoreMapping, Rule, RuleSet, SeverityMapping, TextPlace

__all__ = [
    "SEVERITIES",
    "Entry",
    "ExceptionItem",
    "ExceptionList",
    "ExistsEntry",
    "LeafEntry",
    "ListEntry",
    "LoadLimits",
    "MatchAnyEntry",
    "MatchEntry",
    "NestedEntry",
    "RiskScoreMapping",
    "Rule",
    "RuleSet",
    "SeverityMapping",
    "TextPlace",
    "WildcardEntry",
    "builtin",
    "entry_dict",
    "export_ndjson",
    "item_from_dict",
    "items_for",
    "list_from_dict",
    "load",
    "merge",
    "of_service",
    "reference_key",
    "references",
    "rule_from_dict",
]
