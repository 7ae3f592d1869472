"""Reports of alerts and investigations for people: one HTML file to read, Markdown for a ticket."""

from keytrail.report.alerts import ReportItem
from keytrail.report.markdown import markdown_report
from keytrail.report.page import html_report
from keytrail.report.plain import plain_report

__all__ = ["ReportItem", "html_report", "markdown_report", "plain_report"]
