"""Secrets are in nothing that is logged, raised or shown, whatever goes wrong; TLS is verified."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator

import pytest

from keytrail.notify import DeliveryError, Sink
from tests.notify.conftest import NOW, Certificate, Reply, Request, WebServer, message, opened

SECRET = "hush-hush-0123456789"
USER = "mailer"


def tables(url: str) -> list[dict[str, object]]:
    host, _, port = url.partition("://")[2].partition(":")
    return [
        {"kind": "webhook", "url": f"{url}/in/{SECRET}?token={SECRET}", "secret": SECRET},
        {"kind": "slack", "url": f"{url}/services/{SECRET}"},
        {"kind": "teams", "url": f"{url}/workflows/{SECRET}?sig={SECRET}"},
        {"kind": "bulk", "url": url, "index": "alerts", "api_key": SECRET},
        {"kind": "bulk", "url": url, "index": "alerts", "user": USER, "password": SECRET},
        {
            "kind": "email", "host": host, "port": int(port), "security": "tls", "sender": "a@example.com",
            "to": ["b@example.com"], "user": USER, "password": SECRET,
        },
    ]  # fmt: skip


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("trouble", ["none", "echoed", "broken", "redirect", "late", "gone"])
def test_a_secret_is_told_to_nobody(number: int, trouble: str, web: WebServer, log: pytest.LogCaptureFixture) -> None:
    def reply(request: Request) -> Reply:
        said = f"{request.path} {request.headers} ".encode() + request.body
        match trouble:
            case "echoed":
                return Reply(403, said[:600])
            case "redirect":
                return Reply(302, b"", {"Location": request.path})
            case "late":
                return Reply(pause=5)
        return Reply(broken=trouble == "broken")

    web.reply = reply
    sink = opened(tables(web.url)[number], read_timeout_seconds=0.2)
    if trouble == "gone":
        web.close()
    shown = [repr(sink), str(sink), str(vars(sink))]
    try:
        sink.send([message()], NOW)
    except DeliveryError as error:
        shown += [str(error), repr(error), repr(error.parts), "".join(traceback.format_exception(error))]
    shown.append(log.text)
    for text in shown:
        assert SECRET not in text
        assert "aHVzaC1" not in text, "nor in Base64"


def test_the_secret_reached_the_server_all_the_same(web: WebServer) -> None:
    for table in tables(web.url)[:3]:
        opened(table).send([message()], NOW)
    assert all(SECRET in request.path for request in web.requests)


def test_a_secret_that_is_not_there_yet_is_waited_for(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = opened({"kind": "slack", "url_env": "KT_SLACK"})
    with pytest.raises(DeliveryError, match="sink ops: url: the environment variable KT_SLACK is not set") as caught:
        sink.send([message()], NOW)
    assert caught.value.retry
    monkeypatch.setenv("KT_SLACK", web.url)
    sink.send([message()], NOW)
    assert len(web.requests) == 1


def test_a_url_from_a_variable_is_checked_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KT_SLACK", f"file:///etc/{SECRET}")
    with pytest.raises(DeliveryError, match="sink ops: url: not a URL") as caught:
        opened({"kind": "slack", "url_env": "KT_SLACK"}).send([message()], NOW)
    assert SECRET not in str(caught.value)


def test_a_secret_that_no_header_can_hold_is_not_told(
    web: WebServer, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    for secret in (f"{SECRET}\r\nX-Evil: 1", f"{SECRET}\u20ac"):
        monkeypatch.setenv("KT_KEY", secret)
        sink = opened({"kind": "bulk", "url": web.url, "index": "alerts", "api_key_env": "KT_KEY"})
        with pytest.raises(DeliveryError, match="a character that HTTP does not allow") as caught:
            sink.send([message()], NOW)
        assert SECRET not in "".join(traceback.format_exception(caught.value)) + log.text
    assert web.requests == []


@pytest.fixture
def secure(certificate: Certificate) -> Iterator[WebServer]:
    server = WebServer(certificate.context())
    yield server
    server.close()


def own(server: WebServer, **notify: object) -> Sink:
    return opened({"kind": "webhook", "url": server.url}, **notify)


def test_a_certificate_that_nobody_vouches_for_is_refused(secure: WebServer) -> None:
    with pytest.raises(DeliveryError, match="no trusted TLS connection") as caught:
        own(secure).send([message()], NOW)
    assert caught.value.retry
    assert secure.requests == []


def test_a_certificate_of_an_authority_that_is_named_is_taken(secure: WebServer, certificate: Certificate) -> None:
    own(secure, ca_file=certificate.file).send([message()], NOW)
    assert len(secure.requests) == 1


def test_a_certificate_for_another_host_is_refused(secure: WebServer, certificate: Certificate) -> None:
    url = secure.url.replace("127.0.0.1", "localhost")
    with pytest.raises(DeliveryError, match="no trusted TLS connection"):
        opened({"kind": "webhook", "url": url}, ca_file=certificate.file).send([message()], NOW)


def test_a_file_of_authorities_that_cannot_be_read_says_so(secure: WebServer, certificate: Certificate) -> None:
    for path in ("/nonexistent", certificate.key):
        with pytest.raises(DeliveryError, match="no certificates can be read"):
            own(secure, ca_file=path).send([message()], NOW)


def test_a_proxy_of_the_environment_is_used(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", web.url.replace("http://", f"http://{USER}:{SECRET}@"))
    opened({"kind": "webhook", "url": "http://webhook.example/x"}).send([message()], NOW)
    [request] = web.requests
    assert request.path == "http://webhook.example/x"
    assert request.headers["proxy-authorization"].startswith("Basic ")
