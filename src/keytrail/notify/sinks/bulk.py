"""Sink: an index of Elasticsearch or OpenSearch, by the `_bulk` API.

A new alert is created under its own id, so that a repeat is a conflict (409), which is as good as delivered. A raised
verdict updates that document's investigation and nothing else of it: what a team has done with the alert stays.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from keytrail.fields import INVESTIGATION
from keytrail.investigate.glance import Glance
from keytrail.investigate.reading import Json, inner, investigation_of, objects, text
from keytrail.notify.batches import Prepared, reveal, send_in_batches
from keytrail.notify.cloud import refused
from keytrail.notify.documents import document_of, json_bytes, shrunk
from keytrail.notify.model import DeliveryError, Message
from keytrail.notify.sinks.base import Means, WebSink
from keytrail.settings.notify import BulkSettings

_MOST = 500
_MOST_BYTES: Final = 8 * 1024 * 1024
_MOST_ID: Final = 512  # bytes; Elasticsearch refuses a longer _id
_CONFLICT = 409
_PATH = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"


class BulkSink(WebSink):
    """Creates a document for each alert, and updates it when its verdict is raised."""

    kind = "bulk"
    most = _MOST
    send_digest = None

    def __init__(self, settings: BulkSettings, means: Means) -> None:
        super().__init__(settings.name, means.web)
        self._settings = settings

    def send(self, messages: Sequence[Message], now: datetime) -> None:
        """Index all messages; those that the cluster says have failed are told one by one."""
        send_in_batches(map(self._prepared, messages), self._index, most=_MOST, most_bytes=_MOST_BYTES)

    def _prepared(self, message: Message) -> Prepared[bytes]:
        document = shrunk(document_of(message), _MOST_BYTES - 1024)
        alert_id = Glance.of(message.alert).alert_id or message.id
        raised = message.reason == "raised"
        action: dict[str, object] = {"_index": self._settings.index, "_id": alert_id}
        if raised and self._settings.data_stream:  # which takes nothing but new documents
            lines: list[object] = [{"create": action | {"_id": message.id}}, document]
        elif raised:
            change = {name: value for name, value in document.items() if name.startswith("keytrail.message.")}
            change[INVESTIGATION] = dict(investigation_of(document))
            lines = [{"update": action}, {"doc": change, "upsert": document}]
        else:
            lines = [{"create": action}, document]
        body = b"".join(json_bytes(line) + b"\n" for line in lines)
        return Prepared(message, body, len(body))

    def _index(self, batch: Sequence[Prepared[bytes]]) -> Mapping[str, DeliveryError]:
        headers = {"Content-Type": "application/x-ndjson", **self._login()}
        secrets = [value.partition(" ")[2] for name, value in headers.items() if name == "Authorization"]
        url = self._settings.url.rstrip("/") + _PATH
        answer = self._web.post(url, b"".join(one.entry for one in batch), headers, secrets, path_is_secret=False)
        items = _items(answer.body)
        if len(items) != len(batch):
            raise DeliveryError(
                "the cluster does not answer as _bulk does", retry=True, advice="Check the URL of this sink."
            )
        failed = ((one.message.id, _failure(self.name, item)) for one, item in zip(batch, items, strict=True))
        return {id: error for id, error in failed if error is not None}

    def _login(self) -> Mapping[str, str]:
        if key := reveal(self._settings.secret_of("api_key")):
            return {"Authorization": f"ApiKey {key}"}
        if password := reveal(self._settings.secret_of("password")):
            pair = f"{self._settings.user}:{password}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}


def _items(body: bytes) -> tuple[tuple[str, Json], ...]:
    """What became of each action: its kind and its result; nothing when the answer is none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    items = objects(answer, "items") if isinstance(answer, dict) else ()
    return tuple((kind, inner(item, kind)) for item in items for kind in (next(iter(item), ""),))


def _failure(name: str, item: tuple[str, Json]) -> DeliveryError | None:
    kind, result = item
    status = result.get("status")
    if not isinstance(status, int):
        return DeliveryError(f"{name}: the cluster does not say what became of a document", retry=True)
    if 200 <= status < 300 or (status == _CONFLICT and kind == "create"):
        return None
    error = inner(result, "error")
    # A conflict of an update is another writer's: it is gone the next time.
    retry = status in (_CONFLICT, 429) or status >= 500
    return refused(name, f"{status} {text(error, 'type')}", text(error, "reason"), retry=retry)
