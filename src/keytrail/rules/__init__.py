"""Rules: the rule object, the file formats it comes in, and the pack that is built in."""

from keytrail.rules.files import LoadLimits
from keytrail.rules.loading import builtin, load, merge
from keytrail.rules.model import SEVERITIES, RiskScoreMapping, Rule, RuleSet, SeverityMapping, TextPlace

__all__ = [
    "SEVERITIES",
    "LoadLimits",
    "RiskScoreMapping",
    "Rule",
    "RuleSet",
    "SeverityMapping",
    "TextPlace",
    "builtin",
    "load",
    "merge",
]
