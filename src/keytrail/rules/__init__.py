"""Rules: the rule object, the file formats it comes in, and the pack that is built in."""

from keytrail.rules.loading import builtin, load, merge
from keytrail.rules.model import SEVERITIES, RiskScoreMapping, Rule, RuleSet, SeverityMapping

__all__ = ["SEVERITIES", "RiskScoreMapping", "Rule", "RuleSet", "SeverityMapping", "builtin", "load", "merge"]
