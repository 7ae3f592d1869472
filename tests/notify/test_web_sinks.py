"""Sinks over HTTP against a real server: what arrives, and what each kind of failure means."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Callable

import pytest

from keytrail.notify import DeliveryError, Sink, digest_of
from tests.notify.conftest import NOW, Reply, Request, WebServer, hostile, message, opened


def webhook(web: WebServer, **more: object) -> Sink:
    return opened({"kind": "webhook", "url": f"{web.url}/hook", **more}, read_timeout_seconds=5)


def failing(sink: Sink) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        sink.send([message()], NOW)
    assert caught.value.of(message()) is not None
    return caught.value


def test_a_webhook_gets_json_with_a_stable_id_and_a_signature(web: WebServer) -> None:
    sink = webhook(web, secret="key")
    sink.send([message()], NOW)
    sink.send([message()], NOW)
    first, second = web.requests
    assert first.headers["X-Keytrail-Id"] == second.headers["X-Keytrail-Id"] == "message-1-new"
    timestamp = first.headers["X-Keytrail-Timestamp"]
    assert timestamp == str(int(NOW.timestamp()))
    expected = hmac.new(b"key", timestamp.encode() + b"." + first.body, hashlib.sha256).hexdigest()
    assert first.headers["X-Keytrail-Signature"] == f"v1={expected}"
    told = json.loads(first.body)
    assert told["alert"] == message().alert
    assert (told["schema"], told["id"], told["reason"]) == ("keytrail.message/1", "message-1-new", "new")
    assert told["subject"].startswith("[HIGH] malicious")


def test_a_webhook_without_a_secret_is_not_signed(web: WebServer) -> None:
    webhook(web).send([message()], NOW)
    assert "X-Keytrail-Signature" not in web.requests[0].headers


def test_a_webhook_gets_a_digest_unless_it_wants_every_alert(web: WebServer) -> None:
    digest = digest_of(message(n) for n in range(30))
    tell = webhook(web).send_digest
    assert tell is not None
    tell(digest, NOW)
    told = json.loads(web.requests[0].body)
    assert (told["reason"], told["total"], told["verdicts"]) == ("digest", 30, {"malicious": 30})
    assert web.requests[0].headers["X-Keytrail-Id"] == digest.id == told["id"]
    assert webhook(web, digest=False).send_digest is None


def test_several_messages_fail_one_by_one(web: WebServer) -> None:
    web.reply = lambda request: Reply(400 if b'"message-2-new"' in request.body else 200)
    with pytest.raises(DeliveryError) as caught:
        webhook(web).send([message(1), message(2), message(3)], NOW)
    error = caught.value
    assert error.of(message(1)) is None
    assert error.of(message(3)) is None
    refused = error.of(message(2))
    assert refused is not None
    assert not refused.retry
    assert error.what.startswith("1 of 3 messages were not taken")


@pytest.mark.parametrize("kind", ["slack", "teams"])
def test_chats_get_messages_and_digests(kind: str, web: WebServer) -> None:
    sink = opened({"kind": kind, "url": f"{web.url}/services/T/B/x"})
    sink.send([hostile(), message(2)], NOW)
    assert sink.send_digest is not None
    sink.send_digest(digest_of([message(1), hostile(2)]), NOW)
    assert [request.path for request in web.requests] == ["/services/T/B/x"] * 3
    bodies = [json.loads(request.body) for request in web.requests]
    if kind == "slack":
        assert bodies[1]["blocks"][0]["text"]["text"].startswith("[HIGH] malicious")
        assert bodies[2]["blocks"][0]["text"]["text"].startswith("2 alerts")
    else:
        [attachment] = bodies[1]["attachments"]
        assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
        title = attachment["content"]["body"][0]["inlines"][0]["text"]
        assert title.startswith("[HIGH] malicious")


def test_a_connector_of_teams_that_says_200_and_means_no(web: WebServer) -> None:
    said = b"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429"
    web.reply = lambda request: Reply(200, said)
    error = failing(opened({"kind": "teams", "url": f"{web.url}/x"}))
    assert error.retry
    assert "429" in error.what


@pytest.mark.parametrize(
    ("reply", "retry", "after"),
    [
        (Reply(429, b"slow", {"Retry-After": "7"}), True, 7.0),
        (Reply(429, b"slow", {"Retry-After": "99999999"}), True, 86_400.0),
        (Reply(429, b"slow", {"Retry-After": "soon"}), True, None),
        (Reply(503, b"", {"Retry-After": "Fri, 01 Jan 1999 00:00:00 GMT"}), True, 0.0),
        (Reply(500, b"oops"), True, None),
        (Reply(408), True, None),
        (Reply(400, b"bad"), False, None),
        (Reply(401), False, None),
        (Reply(404, b"no_service", {"Retry-After": "7"}), False, None),
        (Reply(413), False, None),
        (Reply(broken=True), True, None),
    ],
)
@pytest.mark.parametrize("kind", ["webhook", "slack", "teams", "bulk"])
def test_what_is_worth_another_time(kind: str, reply: Reply, retry: bool, after: float | None, web: WebServer) -> None:
    web.reply = lambda request: reply
    sink = opened({"kind": kind, "url": f"{web.url}/x", **({"index": "alerts"} if kind == "bulk" else {})})
    error = failing(sink)
    assert (error.retry, error.after_seconds) == (retry, after)
    assert error.advice
    assert "127.0.0.1" in error.what
    web.reply = ok_of(kind)
    sink.send([message()], NOW)


def ok_of(kind: str) -> Callable[[Request], Reply]:
    return lambda request: Reply(200, b'{"items":[{"create":{"status":201}}]}' if kind == "bulk" else b"ok")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int, web: WebServer) -> None:
    web.reply = lambda request: Reply(status, b"", {"Location": f"{web.url}/elsewhere"})
    error = failing(webhook(web))
    assert [request.path for request in web.requests] == ["/hook"]
    assert not error.retry
    assert "redirect" in error.what


def test_an_answer_is_read_up_to_a_bound(web: WebServer) -> None:
    web.reply = lambda request: Reply(200, b"x" * 100_000)
    sink = opened({"kind": "webhook", "url": web.url}, max_answer_bytes=2048)
    error = failing(sink)
    assert error.retry
    assert "more than 2048 bytes" in error.what
    web.reply = lambda request: Reply(400, b"x" * 100_000)
    assert len(failing(sink).what) < 400
    web.reply = lambda request: Reply()
    sink.send([message()], NOW)  # what was left of the long answers is not taken for this one


@pytest.mark.parametrize("reply", [Reply(pause=30), Reply(body=b"x" * 1000, drip=0.05)])
def test_a_slow_server_does_not_hold_the_others_up(reply: Reply, web: WebServer) -> None:
    web.reply = lambda request: reply
    error = failing(opened({"kind": "webhook", "url": web.url}, read_timeout_seconds=0.2))
    assert error.retry
    assert "did not answer in time" in error.what


def test_what_cannot_be_reached_is_tried_again() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    error = failing(opened({"kind": "webhook", "url": f"http://127.0.0.1:{port}/secret-path"}))
    assert error.retry
    assert "cannot be reached" in error.what
    assert "secret-path" not in str(error)


def test_a_server_that_does_not_speak_http(web: WebServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sink = opened({"kind": "webhook", "url": f"http://127.0.0.1:{listener.getsockname()[1]}/"})

        def speak() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        assert failing(sink).retry
        thread.join()


# The bulk API -------------------------------------------------------------------------------------------------------


class Cluster:
    """An index that behaves as Elasticsearch's `_bulk` does: create conflicts, update merges, upserts."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, object]] = {}
        self.refuse: dict[str, int] = {}

    def __call__(self, request: Request) -> Reply:
        assert request.body.endswith(b"\n")
        lines = [json.loads(line) for line in request.body.splitlines()]
        items = []
        for action, source in zip(lines[::2], lines[1::2], strict=True):
            [(kind, about)] = action.items()
            assert about["_index"] == "alerts"
            status = self.refuse.get(about["_id"]) or self.apply(kind, about["_id"], source)
            result: dict[str, object] = {"status": status}
            if status >= 300:
                result["error"] = {"type": "some_exception", "reason": "because <b>"}
            items.append({kind: result})
        return Reply(200, json.dumps({"errors": True, "items": items}).encode())

    def apply(self, kind: str, id: str, source: dict[str, dict[str, object]]) -> int:
        if kind == "create":
            if id in self.documents:
                return 409
            self.documents[id] = source  # type: ignore[assignment]
            return 201
        assert kind == "update"
        if id not in self.documents:
            self.documents[id] = source["upsert"]
            return 201
        self.documents[id] |= source["doc"]
        return 200


def bulk(web: WebServer, **more: object) -> Sink:
    return opened({"kind": "bulk", "url": web.url, "index": "alerts", **more})


def test_bulk_creates_an_alert_once_and_a_repeat_counts_as_delivered(web: WebServer) -> None:
    web.reply = cluster = Cluster()
    sink = bulk(web, api_key="a2V5")
    sink.send([message(1), hostile(2)], NOW)
    sink.send([message(1), message(3)], NOW)
    assert set(cluster.documents) == {f"{n:064x}" for n in (1, 2, 3)}
    request = web.requests[0]
    assert request.path.partition("?")[0] == "/_bulk"
    assert request.headers["Authorization"] == "ApiKey a2V5"
    assert request.headers["Content-Type"] == "application/x-ndjson"


def test_bulk_logs_in_with_a_password(web: WebServer) -> None:
    web.reply = Cluster()
    bulk(web, user="elastic", password="pass").send([message()], NOW)
    assert web.requests[0].headers["Authorization"] == "Basic ZWxhc3RpYzpwYXNz"


def test_a_raised_verdict_changes_the_investigation_and_leaves_what_a_team_did(web: WebServer) -> None:
    web.reply = cluster = Cluster()
    sink = bulk(web)
    sink.send([message(verdict="review")], NOW)
    cluster.documents[f"{1:064x}"]["kibana.alert.workflow_status"] = "acknowledged"
    sink.send([message(reason="raised"), message(5, "raised")], NOW)
    document = cluster.documents[f"{1:064x}"]
    assert document["keytrail.investigation"]["verdict"] == "malicious"  # type: ignore[index]
    assert document["kibana.alert.workflow_status"] == "acknowledged"
    assert cluster.documents[f"{5:064x}"]["kibana.alert.rule.name"] == "KMS key policy changed"


def test_a_data_stream_gets_a_raised_verdict_as_a_document_of_its_own(web: WebServer) -> None:
    web.reply = cluster = Cluster()
    bulk(web, data_stream=True).send([message(), message(reason="raised")], NOW)
    assert set(cluster.documents) == {f"{1:064x}", "message-1-raised"}


def test_bulk_tells_exactly_what_failed(web: WebServer) -> None:
    web.reply = cluster = Cluster()
    cluster.refuse = {f"{2:064x}": 429, f"{3:064x}": 400}
    with pytest.raises(DeliveryError) as caught:
        bulk(web).send([message(1), message(2), message(3)], NOW)
    error = caught.value
    assert error.retry
    assert error.of(message(1)) is None
    again, never = error.of(message(2)), error.of(message(3))
    assert again is not None
    assert again.retry
    assert never is not None
    assert not never.retry
    assert "some_exception: because <b>" in never.what


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"items":[]}', b'{"items":[5]}', b"[" * 100_000, b'{"items":[{"create":{}}]}']
)
def test_an_answer_that_says_nothing_is_no_delivery(body: bytes, web: WebServer) -> None:
    web.reply = lambda request: Reply(200, body)
    assert failing(bulk(web)).retry
