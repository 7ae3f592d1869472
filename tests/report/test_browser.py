"""The page in a real browser: it fits, it has its picture, and hostile text does nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from keytrail.report import html_report
from tests.conftest import require
from tests.report import chromium
from tests.report.hostile import TEXTS, everywhere
from tests.report.sample import investigated, plain


@pytest.fixture(scope="module", autouse=True)
def browser() -> None:
    if chromium.BINARY is None:
        require("chromium", "chromium from your system's packages")


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return tmp_path / "profile"


def test_the_page_is_read_as_it_was_meant(tmp_path: Path, profile: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html_report([investigated(), plain()], title="A report", generated=None))
    found = chromium.dom(page, profile)
    assert found.texts["title"][0] == "A report"
    assert found.texts["h2"] == ["All alerts, the gravest first", "AWS KMS Key Policy Updated via PutKeyPolicy",
                                 "AWS KMS Grant Created by Direct Call"]  # fmt: skip
    lanes = {"Key policy", "Attempts", "Who did it", "Who was let in", "The key", "The data"}
    assert lanes <= set(found.texts["text"])
    assert any(text.startswith("2026-03-06 22:27:30 KeyAdministrator") for text in found.texts["title"])


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_fits_its_window(tmp_path: Path, profile: Path, width: int) -> None:
    html = html_report([investigated(), everywhere("x" * 3_000), plain()], title="A report", generated=None)
    assert chromium.measured_width(html, profile, tmp_path, width) <= width
    page = tmp_path / "report.html"
    page.write_text(html)
    picture = chromium.screenshot(page, profile, width, tmp_path / "report.png")
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 50_000  # a blank page is a few thousand bytes


def test_hostile_texts_do_nothing_in_a_browser(tmp_path: Path, profile: Path) -> None:
    page = tmp_path / "report.html"
    html = html_report([everywhere(text) for text in TEXTS], title=TEXTS[0], generated=TEXTS[1], notes=TEXTS)
    # Without its policy: what must hold by itself is that there is nothing to run.
    page.write_text(html.replace("Content-Security-Policy", "x-nothing"))
    found = chromium.dom(page, profile)
    assert found.texts["title"][0] == TEXTS[0]
    assert not found.tags & {"script", "img", "iframe", "object", "embed", "form", "link", "base"}
    assert not any(name.startswith("on") or name in ("src", "style") for _, each in found.elements for name in each)
    links = [each["href"] or "" for _, each in found.elements if "href" in each]
    assert links
    assert all(link.startswith("#alert-") for link in links)
