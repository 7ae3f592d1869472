"""A headless Chromium: the page as a browser understands it."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
)  # fmt: skip

BINARY = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def run(page: Path, profile: Path, *options: str) -> str:
    """Open a page from disk; what Chromium prints."""
    assert BINARY is not None
    command = [BINARY, *_OPTIONS, f"--user-data-dir={profile}", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return done.stdout.decode()


def dom(page: Path, profile: Path) -> Dom:
    """The document as the browser has it after loading, scripts run."""
    parsed = Dom()
    parsed.feed(run(page, profile, "--dump-dom", "--window-size=1280,900"))
    return parsed


def screenshot(page: Path, profile: Path, width: int, out: Path) -> bytes:
    """A picture of the page in a window so many pixels wide."""
    run(page, profile, f"--window-size={width},3000", f"--screenshot={out}")
    return out.read_bytes()


def measured_width(html: str, profile: Path, folder: Path, width: int) -> int:
    """How wide the page's content is in a frame of `width` pixels: more than that is overflow.

    A frame, since a window is never narrower than 500 pixels. The copy that is measured may run a script; the page
    itself may not.
    """
    relaxed = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    script = "<script>onload = () => parent.postMessage(document.documentElement.scrollWidth, '*')</script>"
    (folder / "inner.html").write_text(relaxed.replace("</body>", f"{script}</body>"))
    outer = folder / "outer.html"
    outer.write_text(
        "<!doctype html><title>waiting</title><script>onmessage = (e) => { document.title = e.data }</script>"
        f'<iframe src="inner.html" width="{width}" height="900" style="border:0"></iframe>'
    )
    printed = run(outer, profile, "--dump-dom", "--window-size=1400,1000", "--virtual-time-budget=5000")
    found = re.search("<title>(\\d+)</title>", printed)
    assert found is not None, printed[:500]
    return int(found[1])


class Dom(HTMLParser):
    """The elements of a serialised document with their attributes, and the text of some."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        while tag in self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag in dict.fromkeys(self._open):
            self.texts[tag][-1] += data

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    @property
    def text(self) -> str:
        """All text of the body."""
        return "".join(self.texts["body"])
