"""A web service that takes what it is told of alerts, if it feels like it: a webhook on a bad day."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

Mood = Literal["well", "failing", "hanging", "closing", "forgetting"]
MOODS: tuple[Mood, ...] = ("well", "failing", "hanging", "closing", "forgetting")


class Receiver:
    """Listens on this machine. `mood` is what it does with requests; `told` are the message ids it took, by alert."""

    def __init__(self) -> None:
        self.mood: Mood = "well"
        self.told: dict[str, set[str]] = defaultdict(set)
        self.requests = 0
        self._awake = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # whoever called was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/alerts"

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.feel("well")
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def feel(self, mood: Mood) -> None:
        """From now on it does this; who hangs in it is let go."""
        self.mood = mood
        self._awake.set()
        self._awake = threading.Event()

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        mood, awake = self.mood, self._awake
        self.requests += 1
        if mood == "hanging":
            awake.wait(10)
            request.close_connection = True
            return
        if mood == "closing":
            request.close_connection = True
            return
        if mood == "failing":
            self._answer(request, 503)
            return
        told: Any = json.loads(body)
        self.told[told["alert"]["kibana.alert.uuid"]].add(request.headers["X-Keytrail-Id"])
        if mood == "forgetting":  # It took the message, and says nothing of it.
            request.close_connection = True
            return
        self._answer(request, 200)

    def _answer(self, request: BaseHTTPRequestHandler, status: int) -> None:
        request.send_response(status)
        request.send_header("Content-Length", "0")
        request.end_headers()
