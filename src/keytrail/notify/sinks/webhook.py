"""Sink: a web service of one's own, which gets JSON by POST with a stable id and a signature."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import datetime

from keytrail.notify.batches import reveal
from keytrail.notify.documents import digest_envelope, envelope, json_bytes
from keytrail.notify.model import Digest, Json, Message
from keytrail.notify.safe import ascii_only, inert
from keytrail.notify.sinks.base import Means, WebSink, send_each
from keytrail.settings.notify import WebhookSettings

ID_HEADER = "X-Keytrail-Id"
TIMESTAMP_HEADER = "X-Keytrail-Timestamp"
SIGNATURE_HEADER = "X-Keytrail-Signature"

MOST_BYTES = 4 * 1024 * 1024
"""Bytes of one request."""


class WebhookSink(WebSink):
    """Posts each message, or a digest, signed when there is a secret."""

    kind = "webhook"

    def __init__(self, settings: WebhookSettings, means: Means) -> None:
        super().__init__(settings.name, means.web)
        self._settings = settings

    def send(self, messages: Sequence[Message], now: datetime) -> None:
        """Post each message by itself."""
        send_each(messages, lambda message: self._post(message.id, envelope(message, MOST_BYTES), now))

    @property
    def send_digest(self) -> Callable[[Digest, datetime], None] | None:
        """Posts a digest, unless the settings ask for every alert."""
        return self._send_digest if self._settings.digest else None

    def _send_digest(self, digest: Digest, now: datetime) -> None:
        self._post(digest.id, digest_envelope(digest), now)

    def _post(self, id: str, told: Json, now: datetime) -> None:
        body = json_bytes(told)
        timestamp = str(int(now.timestamp()))
        headers = {
            "Content-Type": "application/json",
            ID_HEADER: ascii_only(inert(id), 300),
            TIMESTAMP_HEADER: timestamp,
        }
        secret = reveal(self._settings.secret_of("secret"))
        if secret:
            headers[SIGNATURE_HEADER] = signature(secret, timestamp, body)
        self._web.post(self._address(self._settings.secret_of("url")), body, headers, [secret])


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over the timestamp (seconds since 1970), a full stop and the body; `v1=` and its hex digits.

    >>> signature("key", "1767225600", b"{}")[:19]
    'v1=df344de429b8ee67'
    """
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
