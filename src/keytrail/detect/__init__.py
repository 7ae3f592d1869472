"""Detection: rules over records. Dispatch, the fast passes over objects, worker processes, alert documents."""

from keytrail.detect.alerts import Assessment, Execution, alert_id, assess, build_alert, reason
from keytrail.detect.examine import Counts, Match, Options, Result
from keytrail.detect.patterns import Pattern, dispatch
from keytrail.detect.workers import Listing, Plan, Pool, Sizes, available_cores, run

__all__ = [
    "Assessment",
    "Counts",
    "Execution",
    "Listing",
    "Match",
    "Options",
    "Pattern",
    "Plan",
    "Pool",
    "Result",
    "Sizes",
    "alert_id",
    "assess",
    "available_cores",
    "build_alert",
    "dispatch",
    "reason",
    "run",
]
