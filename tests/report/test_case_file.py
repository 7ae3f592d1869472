"""The report of a case: its head before the alerts, as a page, for a ticket and in a terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from keytrail.report import (
    Moment,
    PlanLine,
    case_opening,
    case_title,
    html_report,
    markdown_report,
    plain_sections,
)
from keytrail.report.blocks import Opening
from keytrail.store.state.case_files import CaseFile
from tests.conftest import require
from tests.report import chromium
from tests.report.hostile import TEXTS, everywhere
from tests.report.sample import CHANGED, KEY, investigated, plain

FILE = CaseFile("C-7", 7, "The ledger is open", "closed", "Put back\n\nand told them", CHANGED, "ada", CHANGED, "bo")
PLAN = PlanLine("0123456789ab", "Put it back", "f" * 64, (("kms:PutKeyPolicy", KEY),), (("proved", "Gone"),), "applied")


def moment(minutes: int, text: str, **changes: object) -> Moment:
    return replace(Moment(CHANGED + timedelta(minutes=minutes), "note", "f" * 64, "ada", text), **changes)  # type: ignore[arg-type]


def opening(*texts: str, plans: tuple[PlanLine, ...] = (PLAN,), most: int = 99) -> Opening:
    moments = [moment(number, text) for number, text in enumerate(texts)]
    return case_opening(FILE, alerts=2, moments=moments, plans=plans, most_moments=most)


def test_facts_moments_and_plans_come_first_in_every_form() -> None:
    items, title = [investigated(), plain()], case_title(FILE)
    head = opening("asked the team", "they say\ntheir migration")
    html = html_report(items, title=title, generated=None, opening=head)
    markdown = markdown_report(items, title=title, generated=None, opening=head)
    text = "\n".join(line for heading, body in plain_sections(head.sections) for line in (heading, *body))
    for page in (html, markdown, text):
        order = ["Put back", "and told them", "asked the team", "they say", "their migration", "Put it back"]
        places = [page.index(part, page.index("Facts")) for part in order]
        assert places == sorted(places)
    assert html.index("The case") < html.index("All alerts")
    assert markdown.startswith("# Case C-7 – The ledger is open\n\n## The case\n\n### Facts\n")
    assert markdown.index("their migration") < markdown.index("## Malicious")


def test_a_report_without_an_opening_has_no_place_for_one() -> None:
    assert "opening-1" not in html_report([plain()], title="A report", generated=None)
    assert "opening-1" in html_report([plain()], title="A report", generated=None, opening=opening("x"))


def test_long_texts_are_whole_and_long_lists_say_what_they_leave_out() -> None:
    long = "".join(f"{number:05d} " for number in range(400))
    for write in (html_report, markdown_report):
        page = write([], title="A case", generated=None, opening=opening(long, "second", "third", most=2))
        assert all(f"{number:05d}" in page for number in range(400))
        assert "third" not in page
        assert "1 more moment" in page


def test_what_is_half_applied_stands_out() -> None:
    half = replace(PLAN, standing="half applied")
    page = html_report([], title="A case", generated=None, opening=opening(plans=(half, PLAN)))
    assert '<p class="warning">Half applied: 1 plan.' in page
    assert "1 half applied, 1 applied" in page


def _hostile(text: str) -> Opening:
    file = replace(FILE, title=text, outcome=text, opened_by=text, closed_by=text)
    plan = PlanLine(text, text, text, ((text, text),), ((text, text),), "half applied")
    told = [moment(0, text, about=text, who=text)]
    return case_opening(file, alerts=1, moments=told, plans=[plan], most_moments=9)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:20]))
def test_hostile_texts_do_nothing_for_a_ticket_or_a_terminal(text: str) -> None:
    shown = "".join(line for heading, body in plain_sections(_hostile(text).sections) for line in (heading, *body))
    written = markdown_report([], title=case_title(replace(FILE, title=text)), generated=None, opening=_hostile(text))
    assert not {"\x1b", "\x07", "\u202e", "\u200b", "\r"} & set(shown + written)
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(written)
    kinds = {child.type for token in tokens for child in (token, *(token.children or ()))}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "fence", "code_block"}


def test_hostile_cases_do_nothing_in_a_browser(tmp_path: Path) -> None:
    if chromium.BINARY is None:
        require("chromium", "chromium from your system's packages")
    sections = tuple(section for text in TEXTS for section in _hostile(text).sections)
    html = html_report(
        [everywhere(TEXTS[0])],
        title=case_title(replace(FILE, title=TEXTS[0])),
        generated=None,
        opening=Opening(TEXTS[1], sections),
    )
    page = tmp_path / "case.html"
    # Without its policy: what must hold by itself is that there is nothing to run.
    page.write_text(html.replace("Content-Security-Policy", "x-nothing"))
    found = chromium.dom(page, tmp_path / "profile")
    assert found.texts["title"][0] == f"Case C-7 – {TEXTS[0]}"
    assert TEXTS[3] in found.text
    assert not found.tags & {"script", "img", "iframe", "object", "embed", "form", "link", "base"}
    assert not any(name.startswith("on") or name in ("src", "style") for _, each in found.elements for name in each)
    assert all((each["href"] or "").startswith("#alert-") for _, each in found.elements if "href" in each)
    assert chromium.measured_width(html, tmp_path / "profile", tmp_path, 400) <= 400
