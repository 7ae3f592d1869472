"""Detection: what a match of a rule becomes. Exceptions, suppression, severity, reason and the alert document."""

from keytrail.detect.alerts import Assessment, Execution, alert_id, assess, build_alert, reason
from keytrail.detect.budget import Counted, Counts, Match, NewAlert, Outcome, spend
from keytrail.detect.exceptions import Exceptions, check_exceptions, compile_exceptions
from keytrail.detect.suppression import Group, Suppression, Window, groups_of
from keytrail.detect.value_lists import VALUE_TYPES, ValueList, read_value_list

__all__ = [
    "VALUE_TYPES",
    "Assessment",
    "Counted",
    "Counts",
    "Exceptions",
    "Execution",
    "Group",
    "Match",
    "NewAlert",
    "Outcome",
    "Suppression",
    "ValueList",
    "Window",
    "alert_id",
    "assess",
    "build_alert",
    "check_exceptions",
    "compile_exceptions",
    "groups_of",
    "read_value_list",
    "reason",
    "spend",
]
