"""The report as one HTML file: no script, no network, every text escaped and every invisible character shown."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from keytrail.investigate.reading import investigation_of
from keytrail.phrases import count
from keytrail.report import words
from keytrail.report.alerts import AlertRow, ReportItem, alert_sections, raw_section
from keytrail.report.blocks import Bounds, Facts, Opening, Section
from keytrail.report.case import case_facts, case_sections
from keytrail.report.picture import picture
from keytrail.text import for_terminal, shorten

LONGEST = 800
"""Characters of one text in the page; only the event as it was stored may have more."""


@dataclass(frozen=True, slots=True)
class PageBounds:
    """How much of many alerts is shown: rows of the overview, and alerts in detail."""

    rows: int = 10_000
    investigated: int = 200
    others: int = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """An alert in the page. `anchor` is our own name for its place, "" for one that is in the overview only.

    `same_as` is the place of the investigation, where that of the same event is shown already.
    """

    row: AlertRow
    anchor: str
    facts: Facts | None
    sections: tuple[Section, ...]
    same_as: str = ""


def html_report(
    items: Sequence[ReportItem],
    *,
    title: str,
    generated: str | None,
    notes: Sequence[str] = (),
    opening: Opening | None = None,
    bounds: PageBounds = PageBounds(),
) -> str:
    """One self-contained page about alerts and their investigations, the gravest first.

    `generated` says when and by what it was made, `notes` what the reader must know of the run, `opening` stands before
    the alerts. Texts may be anything: the page escapes them.
    """
    entries = _entries(items, bounds)
    styles = _styles()
    return (
        _templates()
        .get_template("page.html.j2")
        .render(
            title=title,
            generated=generated,
            notes=notes,
            opening=opening,
            entries=entries[: bounds.rows],
            detailed=[entry for entry in entries if entry.anchor],
            left_out=len(entries) - min(len(entries), bounds.rows),
            undetailed=sum(not entry.anchor for entry in entries),
            counts=_counts(entry.row for entry in entries),
            styles=Markup(styles),  # noqa: S704 - a file of ours
            policy=f"default-src 'none'; style-src '{_digest(styles)}'; base-uri 'none'; form-action 'none'",
        )
    )


def _entries(items: Sequence[ReportItem], bounds: PageBounds) -> list[Entry]:
    ranked = sorted(((AlertRow.of(item.alert), item) for item in items), key=lambda pair: pair[0].rank)
    left = {True: bounds.investigated, False: bounds.others}
    shown: dict[tuple[str, str, str], str] = {}
    entries = []
    for number, (row, item) in enumerate(ranked, 1):
        if left[row.investigated] <= 0:
            entries.append(Entry(row, "", None, ()))
            continue
        left[row.investigated] -= 1
        anchor = f"alert-{number}"
        found = investigation_of(item.alert)
        if not found:
            entries.append(Entry(row, anchor, None, alert_sections(item, row)))
        elif row.event in shown:
            entries.append(Entry(row, anchor, None, (raw_section(item, row),), shown[row.event]))
        else:
            shown[row.event] = anchor
            sections = case_sections(item, row, found, Bounds())
            entries.append(Entry(row, anchor, case_facts(item, row, found), sections))
    return entries


def _counts(rows: Iterable[AlertRow]) -> list[tuple[str, str, int]]:
    """How many alerts have each verdict: its word, its tone and the number."""
    found: dict[str, int] = {}
    for row in rows:
        found[row.verdict] = found.get(row.verdict, 0) + 1
    counts = [(*words.VERDICTS[name], found.pop(name)) for name in words.VERDICTS if name in found]
    return [*counts, *((name or "Not investigated", "plain", number) for name, number in found.items())]


# Safety -------------------------------------------------------------------------------------------------------------


def shown(value: object) -> object:
    """What the page shows for a value, before HTML escaping: one line, nothing invisible, not without end.

    >>> shown("a\\u202eb\\x1b[0m")
    'a\\\\u202eb\\\\x1b[0m'
    """
    if value is None:
        return ""
    return for_terminal(shorten(value, LONGEST)) if isinstance(value, str) and not isinstance(value, Markup) else value


def lines(value: str) -> Markup:
    """A text of many lines, escaped; line feeds and tabs stay."""
    return escape(for_terminal(value, lines=True))


def breakable(value: str) -> Markup:
    """A name, escaped, that may go on in a new line after its slashes, and an ARN after its colons.

    >>> breakable("role/<app>")
    Markup('role/<wbr>&lt;app&gt;')
    """
    after = "[^:/]*[:/]+|[^:/]+" if value.startswith("arn:") else "[^/]*/+|[^/]+"
    return Markup("<wbr>").join(re.findall(after, str(shown(value))))


@lru_cache(maxsize=1)
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("keytrail.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "breakable": breakable,
        "lines": lines,
        "picture": picture,
        "shorten": shorten,
        "count": count,
    }
    return environment


@lru_cache(maxsize=1)
def _styles() -> str:
    return files("keytrail.report").joinpath("templates/page.css").read_text("utf-8").strip()


def _digest(styles: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()}"
