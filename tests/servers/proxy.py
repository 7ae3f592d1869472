"""A small HTTP proxy in front of an AWS test server, which answers some requests worse than the server would."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_PERSISTENT = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `operation` as AWS calls it (ReceiveMessage, GetObject, ListObjectsV2), `target` path and query."""

    method: str
    target: str
    headers: HTTPMessage
    body: bytes

    @property
    def operation(self) -> str:
        if named := self.headers.get("X-Amz-Target"):
            return named.rpartition(".")[2]
        parts = urlsplit(self.target)
        if self.method == "POST" and (found := re.search(rb"(?:^|&)Action=(\w+)", self.body)):
            return found[1].decode()
        if "list-type" in parse_qs(parts.query):
            return "ListObjectsV2"
        return {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject"}.get(self.method, self.method)

    def __str__(self) -> str:
        return f"{self.operation} {self.target}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. Of the body only the first `cut_after` bytes are sent, then the connection is cut."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    cut_after: int | None = None


Fault = Callable[[Request, Callable[[], Answer]], Answer]
"""Gets a request and what asks the real server; gives the answer."""


def error(code: str, status: int = 400, message: str = "as the test wants it") -> Fault:
    """AWS refuses: `AccessDenied`, `ThrottlingException`, `ExpiredToken` …, in the way of the service asked."""

    def fault(request: Request, ask: Callable[[], Answer]) -> Answer:
        if request.headers.get("X-Amz-Target"):
            body, kind = f'{{"__type": "{code}", "message": "{message}"}}'.encode(), "application/x-amz-json-1.0"
        else:
            body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
            kind = "application/xml"
        return Answer(status, (("Content-Type", kind),), b"" if request.method == "HEAD" else body)

    return fault


def cut(after: int = 0) -> Fault:
    """The connection breaks after so many bytes of the body; the server has done what was asked."""

    def fault(request: Request, ask: Callable[[], Answer]) -> Answer:
        real = ask()
        return Answer(real.status, real.headers, real.body, after)

    return fault


def slow(seconds: float) -> Fault:
    """The answer takes so long."""

    def fault(request: Request, ask: Callable[[], Answer]) -> Answer:
        time.sleep(seconds)
        return ask()

    return fault


def stale(earlier: Answer) -> Fault:
    """An answer from before, as a cache or a replica that is behind gives it."""
    return lambda request, ask: earlier


def edited(change: Callable[[bytes], bytes]) -> Fault:
    """The real answer with another body."""

    def fault(request: Request, ask: Callable[[], Answer]) -> Answer:
        real = ask()
        return Answer(real.status, real.headers, change(real.body))

    return fault


@dataclass(slots=True)
class _Planned:
    operation: re.Pattern[str]
    fault: Fault
    left: int


@dataclass(slots=True)
class Proxy:
    """Passes everything on to `upstream` (a URL), but for what was planned; notes each request and its answer."""

    upstream: str
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answers: list[tuple[Request, Answer]] = field(default_factory=list)
    _planned: list[_Planned] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def plan(self, operation: str, fault: Fault, times: int = 1) -> None:
        """Let the next `times` requests that match meet the fault; `operation` is a pattern for `Request` as text."""
        with self._lock:
            self._planned.append(_Planned(re.compile(operation), fault, times))

    def clear(self) -> None:
        """Let everything through from here on, and forget what was asked."""
        with self._lock:
            self._planned.clear()
            self.requests.clear()
            self.answers.clear()

    def count(self, operation: str) -> int:
        """How many requests there were whose text matches."""
        with self._lock:
            return sum(bool(re.match(operation, str(request))) for request in self.requests)

    def wait_for(self, operation: str, times: int = 1, timeout_seconds: float = 20.0) -> bool:
        """Wait until there were so many such requests."""
        with self._changed:
            return self._changed.wait_for(lambda: self.count(operation) >= times, timeout_seconds)

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            planned = next((one for one in self._planned if one.left > 0 and one.operation.match(str(request))), None)
            if planned is not None:
                planned.left -= 1
        with self._changed:
            self._changed.notify_all()

        def ask() -> Answer:
            return self._ask(request)

        answer = planned.fault(request, ask) if planned is not None else ask()
        with self._lock:
            self.answers.append((request, answer))
        return answer

    def _ask(self, request: Request) -> Answer:
        parts = urlsplit(self.upstream)
        assert parts.hostname is not None
        connection = HTTPConnection(parts.hostname, parts.port or 80, timeout=30)
        try:
            headers = {name: value for name, value in request.headers.items() if name.lower() != "connection"}
            connection.request(request.method, request.target, request.body or None, headers)
            response = connection.getresponse()
            body = response.read()
            kept = tuple((name, value) for name, value in response.getheaders() if name.lower() not in _PERSISTENT)
            if request.method == "HEAD" and (length := response.getheader("Content-Length")):
                kept = (*kept, ("Content-Length", length))
            return Answer(response.status, kept, body)
        finally:
            connection.close()


@contextmanager
def proxying(upstream: str) -> Iterator[Proxy]:
    """Run a proxy in front of `upstream`."""
    proxy = Proxy(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # Head and body go out one by one, and the second would wait for the first.

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = proxy.answer(Request(self.command, self.path, self.headers, body))
            try:
                self._send(answer)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # The client had enough of waiting.

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            if not any(name.lower() == "content-length" for name, _ in answer.headers):
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if answer.cut_after is None:
                self.wfile.write(answer.body)
                return
            self.wfile.write(answer.body[: answer.cut_after])
            self.wfile.flush()
            self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
