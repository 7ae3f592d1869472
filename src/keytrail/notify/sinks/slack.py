"""Sink: a channel of Slack, or of a chat that takes Slack's incoming webhooks, told in blocks.

Limits and rules are those of Slack's reference of blocks and text objects: 150 characters of a header, 3000 of a
section's text, ten fields of 2000. Texts of records stand only where there is no markup: in `plain_text` objects and
in code spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from keytrail.notify.documents import json_bytes
from keytrail.notify.model import Digest, Json, Message
from keytrail.notify.safe import fitted, for_chat, for_slack, slack_code
from keytrail.notify.sinks.base import Means, WebSink, send_each
from keytrail.notify.words import Text, digest_text, text_of
from keytrail.settings.notify import SlackSettings

_MOST_HEADER = 150
_MOST_TEXT = 2900
_MOST_FIELDS = 10


class SlackSink(WebSink):
    """Posts each message, or a digest, to the webhook."""

    kind = "slack"

    def __init__(self, settings: SlackSettings, means: Means) -> None:
        super().__init__(settings.name, means.web)
        self._settings = settings

    def send(self, messages: Sequence[Message], now: datetime) -> None:
        """Post each message by itself."""
        send_each(messages, lambda message: self._post(text_of(message)))

    def send_digest(self, digest: Digest, now: datetime) -> None:
        """Post a digest."""
        self._post(digest_text(digest))

    def _post(self, text: Text) -> None:
        url = self._address(self._settings.secret_of("url"))
        self._web.post(url, json_bytes(payload(text)), {"Content-Type": "application/json"})


def payload(text: Text) -> Json:
    """The request: blocks, and a text for notifications and for chats that know no blocks."""
    blocks: list[Json] = [
        {"type": "header", "text": _plain(text.subject, _MOST_HEADER)},
        {"type": "section", "text": _plain(text.summary, _MOST_TEXT)},
    ]
    if fields := [_code(f"*{label}*\n", [value]) for label, value in text.lines[:_MOST_FIELDS]]:
        blocks.append({"type": "section", "fields": fields})
    if text.more:
        blocks.append({"type": "section", "text": _code("", text.more)})
    if text.commands:
        blocks.append({"type": "context", "elements": [_code("", text.commands)]})
    told = [
        text.subject,
        text.summary,
        *(f"{label}: {value}" for label, value in text.lines),
        *text.more,
        *text.commands,
    ]
    return {
        "text": fitted("\n".join(told), for_chat, _MOST_TEXT),
        "blocks": blocks,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _plain(text: str, most: int) -> Json:
    return {"type": "plain_text", "text": fitted(text, for_slack, most), "emoji": False}


def _code(label: str, values: Sequence[str]) -> Json:
    """Each value as a code span on a line of its own, as many as fit; `verbatim`: no links, no mentions."""
    text = label
    for value in values:
        line = slack_code(value)
        if len(text) + len(line) > _MOST_TEXT:
            text += "…"
            break
        text += line + "\n"
    return {"type": "mrkdwn", "text": text.rstrip("\n"), "verbatim": True}
