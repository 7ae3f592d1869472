"""Reports of alerts and investigations for people: one HTML file to read, Markdown for a ticket."""

from keytrail.report.alerts import ReportItem
from keytrail.report.case_file import Moment, PlanLine, case_opening, case_title
from keytrail.report.markdown import markdown_report
from keytrail.report.page import html_report
from keytrail.report.plain import plain_report, plain_sections

__all__ = [
    "Moment",
    "PlanLine",
    "ReportItem",
    "case_opening",
    "case_title",
    "html_report",
    "markdown_report",
    "plain_report",
    "plain_sections",
]
