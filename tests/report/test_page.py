"""The HTML report: what it tells, and that it stays bounded."""

from __future__ import annotations

import base64
import hashlib
import re

from keytrail.report import ReportItem, html_report
from keytrail.report.page import PageBounds
from tests.report.chromium import Dom
from tests.report.sample import CHANGE_ID, KEY, OUTSIDE, investigated, plain

ALL = PageBounds()


def page(*items: ReportItem, bounds: PageBounds = ALL) -> tuple[str, Dom]:
    html = html_report(
        items, title="A report", generated="Made today", notes=["2 files could not be read"], bounds=bounds
    )
    parsed = Dom()
    parsed.feed(html)
    return html, parsed


def test_an_investigation_is_told_from_the_verdict_to_the_raw_event() -> None:
    _, parsed = page(investigated())
    assert parsed.texts["h3"] == [
        "Who gained access", "Who lost access", "Time line", "Why this verdict", "Findings and remedies",
        "What changed in the policy", "Accounts", "Data at stake", "What happened since", "Who did it", "The key",
        "What is not known", "Alert and event",
    ]  # fmt: skip
    told = " ".join(parsed.text.split())
    for fact in (
        "Malicious 96 of 100",
        f"arn:aws:iam::{OUTSIDE}:root",
        "Needs IAM of the caller's account to allow it as well.",
        "proved by an example",
        "outside, not approved",
        "Remedy: Put the previous policy back",
        "T1537 Transfer Data to Cloud Account",
        "arn:aws:s3:::example-payments-ledger",
        "4 after it was put back",
        "new in the account",
        "Nothing before 2026-03-02 00:00 was read.",
        "Data at stake: the first 6 of 61 are kept.",
        "team payments",
        CHANGE_ID,
        KEY,
        "Made today",
        "2 files could not be read",
    ):
        assert fact in told, fact


def test_the_difference_of_the_statements_has_signs_beside_colours() -> None:
    _, parsed = page(investigated())
    assert '−       "arn:aws:iam::444455556666:role/payments-batch"' in parsed.texts["del"]
    assert '+   "Sid": "Partner access",' in parsed.texts["ins"]


def test_the_page_can_load_nothing_and_run_nothing() -> None:
    html, parsed = page(investigated(), plain())
    [style] = parsed.texts["style"]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    [policy] = [each["content"] for tag, each in parsed.elements if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not parsed.tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert "url(" not in style
    assert "@import" not in style
    names = {name for _, attributes in parsed.elements for name in attributes}
    assert not names & {"style", "src", "srcset", "action", "xlink:href"}
    quoted = re.findall(r'<[a-z][a-z0-9]*(?:\s+[a-zA-Z0-9-]+="[^"]*")*\s*/?>', html)
    assert len(quoted) == len(parsed.elements)


def test_every_table_has_headings_and_every_picture_a_description() -> None:
    html, parsed = page(investigated(), plain())
    assert html.count("<table>") == html.count("<thead>") > 5
    ids = {attributes.get("id") for _, attributes in parsed.elements}
    pictures = [attributes for tag, attributes in parsed.elements if tag == "svg"]
    assert all(each["role"] == "img" for each in pictures)
    labels = " ".join(each.get("aria-labelledby") or "" for each in pictures).split()
    assert len(labels) == 2
    assert set(labels) <= ids
    assert len(ids - {None}) == sum(attributes.get("id") is not None for _, attributes in parsed.elements)


def test_alerts_are_listed_the_gravest_first_and_lead_to_their_details() -> None:
    _, parsed = page(plain(1), investigated())
    links = [attributes["href"] for tag, attributes in parsed.elements if tag == "a"]
    places = {attributes.get("id") for _, attributes in parsed.elements}
    assert links == ["#alert-1", "#alert-2"]
    assert {link.removeprefix("#") for link in links if link} <= places
    assert parsed.texts["a"] == ["AWS KMS Key Policy Updated via PutKeyPolicy", "AWS KMS Grant Created by Direct Call"]
    assert '"granteePrincipal"' in parsed.text  # of one that is not investigated, the event and facts


def test_many_alerts_are_all_listed_and_the_gravest_shown() -> None:
    bounds = PageBounds(rows=1_500, investigated=1, others=2)
    items = [investigated(), investigated(event_id="other"), *(plain(number) for number in range(1_600))]
    html, parsed = page(*items, bounds=bounds)
    told = " ".join(parsed.text.split())
    assert html.count("<article") == 3
    assert html.count("<tr>") - html.count("<thead>") >= 1_500
    assert "102 more alerts are not listed" in told
    assert "1,599 alerts are without details below" in told
    assert "1602 alerts" in told
    assert len(html) < 2_000_000


def test_an_event_that_two_rules_reported_is_investigated_once() -> None:
    _, parsed = page(investigated(), investigated())
    assert parsed.texts["h3"].count("Who gained access") == 1
    assert parsed.texts["h3"].count("Alert and event") == 2
    assert "Another rule reported the same event" in parsed.text


def test_no_alerts_are_said_to_be_none() -> None:
    _, parsed = page()
    assert "No alerts." in parsed.text


def test_an_investigation_of_which_almost_everything_is_missing_is_shown_as_far_as_it_goes() -> None:
    found = {
        "verdict": "review",
        "score": 40,
        "summary": "The policy after is not known.",
        "after": {"reason": "omitted."},
    }
    _, parsed = page(ReportItem({"keytrail.investigation": found}))
    told = " ".join(parsed.text.split())
    assert "Review 40 of 100" in told
    assert "It cannot be told: omitted." in told
