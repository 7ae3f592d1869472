"""Texts as attackers would choose them, and the sample full of them."""

from __future__ import annotations

from collections.abc import Mapping

from keytrail.report import ReportItem
from tests.report.sample import Texts, investigated

TEXTS = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror=document.title="owned">',
    "' onmouseover='document.title=1",
    "</title></style></svg></details><iframe src=//example.invalid>",
    "javascript:document.title='owned'",
    "{{7*7}}{% raw %}${7*7}",
    "]]>--><!--",
    "\x1b[31mred\x1b[0m\x07",
    "user\u202etxt.exe\u200b\u2066",
    "=cmd|'/C calc'!A0",
    "```\n# heading\n~~~~\n````diff",
    "[click](javascript:alert(1)) ![x](http://example.invalid/x.png) @team #1 :tada:",
    "line one\r\n| a | b |\n| --- | --- |",
    "x" * 20_000,
    "\ud800 lone",
)


def everywhere(text: str) -> ReportItem:
    """The sample's alert with the text in the place of every string that an attacker may have chosen, and more."""
    item = investigated(Texts(sid=text[:5_000].encode("utf-8", "replace").decode()))
    alert = {name: _replaced(value, text) for name, value in item.alert.items() if name not in _KEPT}
    kept = {name: item.alert[name] for name in _KEPT if name in item.alert}
    return ReportItem(alert | kept, text)


# What decides how an alert is shown. That an unknown verdict or severity does no harm is another test.
_KEPT = ("kibana.alert.original_time", "kibana.alert.severity")
_SHAPE = {"time", "first", "last", "created", "verdict", "lane", "index", "event_id", "status", "compared_with"}


def _replaced(value: object, text: str) -> object:
    if isinstance(value, str):
        return text
    if isinstance(value, Mapping):
        return {name: item if name in _SHAPE else _replaced(item, text) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(item, text) for item in value]
    return value
