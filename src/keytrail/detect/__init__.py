"""Detection: what a match of a rule becomes. Severity, reason and the alert document."""

from keytrail.detect.alerts import Assessment, Execution, alert_id, assess, build_alert, reason

__all__ = ["Assessment", "Execution", "alert_id", "assess", "build_alert", "reason"]
