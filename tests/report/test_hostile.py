"""Whatever an attacker writes is shown as text: in the parsed page and in rendered Markdown."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from keytrail.report import ReportItem, html_report, markdown_report
from keytrail.text import for_terminal
from tests.report.chromium import Dom
from tests.report.hostile import TEXTS, everywhere
from tests.report.sample import investigated

_OURS = {
    "a", "article", "b", "body", "caption", "circle", "code", "col", "colgroup", "dd", "del", "desc", "details", "div",
    "dl", "dt", "footer", "g", "h1", "h2", "h3", "head", "header", "html", "ins", "li", "line", "main", "meta", "p",
    "path", "pre", "rect", "section", "span", "strong", "style", "summary", "svg", "table", "tbody", "td", "text", "th",
    "thead", "title", "tr", "ul", "wbr",
}  # fmt: skip
_ATTRIBUTES = {"id", "class", "href"}


def parsed(html: str) -> Dom:
    found = Dom()
    found.feed(html)
    return found


def values(found: Dom) -> set[tuple[str, str]]:
    return {(name, value or "") for _, each in found.elements for name, value in each.items() if name in _ATTRIBUTES}


@pytest.mark.parametrize("text", TEXTS, ids=[repr(text[:24]) for text in TEXTS])
def test_the_page_holds_no_element_and_no_attribute_of_an_attackers(text: str) -> None:
    html = html_report([everywhere(text)], title=text, generated=text, notes=[text])
    ours = parsed(html_report([everywhere("harmless")], title="x", generated="x", notes=["x"]))
    found = parsed(html)
    assert found.tags <= _OURS
    assert not any(name.startswith("on") for _, each in found.elements for name in each)
    assert values(found) <= values(ours)
    assert html.encode("utf-8")  # no lone surrogate is left
    # Shown, not dropped: as it is, or with escapes for what cannot be seen.
    assert for_terminal(text)[:200] in found.text.replace("\n", "\\n").replace("\r", "\\r") or "\n" in text
    assert all(character.isprintable() or character in "\n\t" for character in html)


def test_an_unknown_verdict_or_severity_becomes_text_and_no_class() -> None:
    item = investigated()
    found = item.alert["keytrail.investigation"]
    assert isinstance(found, dict)
    evil = '"><b class="'
    alert = dict(item.alert) | {
        "kibana.alert.severity": evil,
        "keytrail.investigation": found | {"verdict": evil, "score": 10**9, "timeline": {"items": [{"lane": evil}]}},
    }
    page = parsed(html_report([ReportItem(alert)], title="x", generated=None))
    assert evil in page.text
    assert values(page) <= values(parsed(html_report([item], title="x", generated=None))) | {
        ("class", "case tone-plain"), ("class", "mark tone-plain")
    }  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=[repr(text[:24]) for text in TEXTS])
def test_markdown_renders_as_text_only(text: str) -> None:
    source = markdown_report([everywhere(text)], title=text, generated=text, notes=[text])
    assert all(character.isprintable() or character == "\n" for character in source)
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    inside = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in [*tokens, *inside]}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "hr", "blockquote_open", "code_block"}
    plain = markdown_report([everywhere("harmless")], title="x", generated="x", notes=["x"])
    same = MarkdownIt("commonmark").enable("table").parse(plain)
    count = ("heading_open", "table_open", "fence", "tr_open", "td_open")
    assert {kind: sum(token.type == kind for token in tokens) for kind in count} == {
        kind: sum(token.type == kind for token in same) for kind in count
    }


def test_a_fence_is_longer_than_any_run_of_backticks_in_the_difference() -> None:
    source = markdown_report([everywhere("`" * 7 + " x")], title="x", generated=None)
    tokens = MarkdownIt("commonmark").parse(source)
    [fence] = [token for token in tokens if token.type == "fence"]
    assert fence.info == "diff"
    assert fence.markup == "`" * 8
    assert "`" * 7 + " x" in fence.content
