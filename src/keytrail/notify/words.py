"""What people are told: a subject, a few labelled lines and the commands that say more; all of it inert."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keytrail.investigate.glance import Glance
from keytrail.investigate.reading import text
from keytrail.notify.model import Counts, Digest, Message
from keytrail.notify.safe import inert
from keytrail.phrases import VERDICTS, count
from keytrail.text import shorten

MOST_SUBJECT = 150
"""Characters of a subject."""
MOST_SUMMARY = 590
"""Characters of a summary: escaped fivefold it still fits the 3000 of a Slack block."""
_MOST_VALUE = 300
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True, slots=True)
class Text:
    """A message for people; every text is inert, but not yet escaped for a format.

    `lines` are labels with their values; `more` lines without a label, such as the gravest alerts of a digest.
    """

    subject: str
    summary: str
    lines: tuple[tuple[str, str], ...]
    more: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    def plain(self) -> str:
        """All of it as lines of plain text."""
        width = max((len(label) for label, _ in self.lines), default=0) + 2
        parts = [
            self.summary,
            "\n".join(f"{label + ':':<{width}}{value}" for label, value in self.lines),
            "\n".join(self.more),
            "\n".join(f"  {command}" for command in self.commands),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def text_of(message: Message) -> Text:
    """What people are told of one alert."""
    facts = Glance.of(message.alert)
    lines = (
        ("Severity", facts.severity + (f", risk score {facts.risk_score}" if facts.risk_score else "")),
        ("Verdict", _verdict(message, facts)),
        ("Rule", facts.rule),
        ("What", f"{facts.action} {facts.outcome}".strip()),
        ("Key", facts.key),
        ("Who", facts.who),
        ("From", facts.address),
        ("Account", f"{facts.account} {facts.region}".strip()),
        ("Time", f"{facts.time:%Y-%m-%d %H:%M:%S} UTC" if facts.time else ""),
        ("Alert", facts.alert_id),
    )
    return Text(
        subject=subject(message, facts),
        summary=inert(_summary(message, facts), MOST_SUMMARY),
        lines=tuple((label, inert(value, _MOST_VALUE)) for label, value in lines if value),
        commands=_commands(message, facts),
    )


def subject(message: Message, facts: Glance) -> str:
    """One line that says how grave it is, what the investigation found, what happened to which key, and where."""
    grave = f"[{facts.severity.upper()}] " if facts.severity else ""
    found = VERDICTS.get(facts.verdict, facts.verdict)
    if message.reason == "test":
        grave, found = "[TEST] ", "this is a test"
    elif message.reason == "raised":
        found = f"verdict raised to {found or 'unknown'}"
    rule = shorten(facts.rule or facts.rule_id or "alert", 70)  # so that key and account are not what is cut
    key = f" - {shorten(facts.key, 45)}" if facts.key else ""
    account = f" ({facts.account})" if facts.account else ""
    return inert(f"{grave}{found + ': ' if found else ''}{rule}{key}{account}", MOST_SUBJECT)


def digest_text(digest: Digest) -> Text:
    """What people are told in place of a flood."""
    lines = (("Verdicts", digest.verdicts), ("Rules", digest.rules), ("Accounts", digest.accounts))
    gravest = [(message, Glance.of(message.alert)) for message in digest.gravest]
    worst = f", gravest: {subject(*gravest[0])}" if gravest else ""
    return Text(
        subject=inert(f"{count(digest.total, 'alert')}{worst}", MOST_SUBJECT),
        summary=f"{count(digest.total, 'alert')} in a short time, told in one message.",
        lines=tuple((label, _counted(counts)) for label, counts in lines if counts),
        more=tuple(inert(f"{subject(one, facts)} {facts.alert_id}", _MOST_VALUE) for one, facts in gravest),
        commands=("keytrail alerts list",),
    )


def verdict_words(code: str) -> str:
    """A verdict as people read it; "" is that of an alert without an investigation."""
    return VERDICTS.get(code, code) or "not investigated"


def score_words(facts: Glance) -> str:
    """The score of the verdict, "" of an alert without an investigation."""
    return str(facts.score) if facts.verdict else ""


def _verdict(message: Message, facts: Glance) -> str:
    raised = "raised to " if message.reason == "raised" else ""
    score = score_words(facts)
    return f"{raised}{verdict_words(facts.verdict)}{', score ' + score if score else ''}"


def _summary(message: Message, facts: Glance) -> str:
    if message.reason == "test":
        return "This is a test of keytrail: nothing has happened, and alerts will come like this."
    said = facts.summary or text(message.alert, "kibana.alert.reason")
    raised = f"The verdict was raised to {verdict_words(facts.verdict)}. " if message.reason == "raised" else ""
    return raised + (" ".join(said.split()) or "The alert says no more.")


def _commands(message: Message, facts: Glance) -> tuple[str, ...]:
    """Commands to paste into a shell, so only for an id that is safe in one."""
    if not _PLAIN_ID.fullmatch(facts.alert_id) or message.reason == "test":
        return ()
    show = f"keytrail alerts show {facts.alert_id}"
    return (show, f"keytrail investigate {facts.alert_id}") if facts.verdict else (show,)


def _counted(counts: Counts) -> str:
    """How often each occurs, the names that do not fit counted.

    >>> _counted((("malicious", 3), ("review", 1)))
    '3 malicious, 1 review'
    """
    shown: list[str] = []
    for name, number in counts:
        part = f"{number} {inert(name, 80)}"
        if sum(map(len, shown)) + len(part) > _MOST_VALUE - 40:
            shown.append(f"and {len(counts) - len(shown)} more")
            break
        shown.append(part)
    return ", ".join(shown)
