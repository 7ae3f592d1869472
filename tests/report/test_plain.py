"""The report of one alert as plain text: all that is found, the gravest first, and nothing that acts on a terminal."""

from __future__ import annotations

from typing import Any

import pytest

from keytrail.report import ReportItem, plain_report
from tests.report.hostile import TEXTS, everywhere
from tests.report.sample import investigated, plain


def test_the_verdict_comes_first_then_who_gained_what_and_why() -> None:
    item = investigated()
    sections = list(plain_report(item))
    found: Any = item.alert["keytrail.investigation"]
    heading, first = sections[0]
    assert heading.lower().startswith(found["verdict"])
    assert " ".join(found["summary"].split()[:6]) in " ".join(" ".join(first).split())
    titles = [title for title, _ in sections]
    assert titles.index("Who gained access") < titles.index("Why this verdict") < titles.index("Time line")
    text = " ".join(" ".join(line.split()) for _, lines in sections for line in lines)
    for reason in found["reasons"]:
        assert reason["sentence"] in text


def test_an_alert_without_an_investigation_has_its_facts() -> None:
    item = plain()
    (heading, first), *sections = plain_report(item)
    assert (heading, first) == (item.alert["kibana.alert.rule.name"], [])
    assert [title for title, _ in sections] == ["Facts", "Alert and event"]
    assert any(str(item.alert["kibana.alert.uuid"]) in line for line in sections[1][1])


@pytest.mark.parametrize("text", TEXTS, ids=[repr(text[:24]) for text in TEXTS])
def test_whatever_an_attacker_writes_is_shown_as_text(text: str) -> None:
    lines = [line for title, body in plain_report(everywhere(text)) for line in (title, *body)]
    assert len(lines) > 10
    assert all(line.isprintable() for line in lines)


def test_an_odd_document_is_shown_as_far_as_it_goes() -> None:
    for odd in ({}, {"keytrail.investigation": {"verdict": 1, "timeline": {"items": [{}]}, "reasons": "x"}}):
        assert list(plain_report(ReportItem(odd)))
