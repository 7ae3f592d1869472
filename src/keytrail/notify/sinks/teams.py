"""Sink: a channel of Teams, told by an adaptive card through a workflow's webhook.

Everything stands in text runs, in which cards know neither Markdown nor HTML; without `msteams.entities` there are no
mentions. Teams takes 28 KB.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from keytrail.notify.documents import json_bytes
from keytrail.notify.model import DeliveryError, Digest, Json, Message
from keytrail.notify.safe import for_card, for_chat, inert, without
from keytrail.notify.sinks.base import Means, WebSink, send_each
from keytrail.notify.words import Text, digest_text, text_of
from keytrail.settings.notify import TeamsSettings

# The connectors that workflows replace answer 200 whatever happens, and tell failures in the text.
_FAILED = b"Webhook message delivery failed"


class TeamsSink(WebSink):
    """Posts each message, or a digest, to the workflow."""

    kind = "teams"

    def __init__(self, settings: TeamsSettings, means: Means) -> None:
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
        answer = self._web.post(url, json_bytes(payload(text)), {"Content-Type": "application/json"})
        if _FAILED in answer.body[:1000]:
            said = inert(without(answer.body[:1000].decode("utf-8", "replace"), [url]))
            raise DeliveryError(
                f"Teams did not take the message: {said}",
                retry=b"429" in answer.body or b"50" in answer.body,
                advice="Replace the connector by a workflow that takes webhook requests.",
            )


def payload(text: Text) -> Json:
    """The request: a message with one adaptive card."""
    body: list[Json] = [
        _block(_run(text.subject, weight="Bolder", size="Medium")),
        _block(_run(text.summary)),
        *(_block(_run(f"{label}: ", weight="Bolder"), _run(value)) for label, value in text.lines),
        *(_block(_run(line)) for line in text.more),
        *(_block(_run(command, fontType="Monospace")) for command in text.commands),
    ]
    card: Json = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": for_chat(text.subject),
        "body": body,
        "msteams": {"width": "Full"},
    }
    attachment: Json = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


def _block(*runs: Json) -> Json:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, **style: str) -> Json:
    return {"type": "TextRun", "text": for_card(text), **style}
