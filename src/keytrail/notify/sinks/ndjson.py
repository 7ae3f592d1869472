"""Sink: a file of alert documents, one on a line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from keytrail.notify.documents import document_of, json_bytes
from keytrail.notify.files import append_lines
from keytrail.notify.model import Message
from keytrail.notify.sinks.base import Means
from keytrail.settings.notify import NdjsonSettings


class NdjsonSink:
    """Appends alert documents; `keytrail.message.id` in each tells what a crash made come twice."""

    kind = "ndjson"
    most = 1000
    send_digest = None

    def __init__(self, settings: NdjsonSettings, means: Means) -> None:
        self.name = settings.name
        self._path = settings.path

    def __repr__(self) -> str:
        return f"NdjsonSink({self.name!r})"

    def send(self, messages: Sequence[Message], now: datetime) -> None:
        """Append all messages at once."""
        append_lines(self._path, [json_bytes(document_of(message)) for message in messages])

    def close(self) -> None:
        """Nothing is kept open."""
