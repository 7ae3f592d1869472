"""Mail against a real SMTP server: plain, TLS, STARTTLS, with a login, and with refusals."""

from __future__ import annotations

import email
import email.policy
import socket
from collections.abc import Iterator
from email.message import EmailMessage

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from keytrail.notify import DeliveryError, Sink, digest_of
from tests.notify.conftest import NOW, Certificate, hostile, message, opened

TO = ("team@example.com", "lead@example.com")


class Post:
    """A post office that keeps the mail it gets, and refuses what it is told to."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.refuse: dict[str, str] = {}
        self.refuse_data = ""

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refuse_data:
            return self.refuse_data
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append((list(envelope.rcpt_tos), mail))
        return "250 OK"


def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"mailer", b"pass-word")
    return AuthResult(success=good, handled=good)


@pytest.fixture
def post() -> Post:
    return Post()


def serving(post: Post, **options: object) -> Iterator[int]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = int(unused.getsockname()[1])
    controller = Controller(post, hostname="127.0.0.1", port=port, **options)  # type: ignore[arg-type]
    controller.start()
    yield port
    controller.stop()


@pytest.fixture
def plain(post: Post) -> Iterator[int]:
    yield from serving(post)


@pytest.fixture
def starttls(post: Post, certificate: Certificate) -> Iterator[int]:
    yield from serving(
        post, tls_context=certificate.context(), require_starttls=True, authenticator=authenticate, auth_required=True
    )


def sink(port: int, security: str = "none", certificate: Certificate | None = None, **more: object) -> Sink:
    table = {
        "kind": "email", "host": "127.0.0.1", "port": port, "security": security, "sender": "keytrail@example.com",
        "to": TO, **more,
    }  # fmt: skip
    return opened(table, ca_file=certificate.file if certificate else None, read_timeout_seconds=5)


def failing(one: Sink) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        one.send([message()], NOW)
    return caught.value


def test_mail_has_a_subject_both_parts_and_a_stable_id(post: Post, plain: int) -> None:
    one = sink(plain)
    one.send([message(), message(reason="raised")], NOW)
    one.send([message()], NOW)
    (recipients, mail), (_, raised), (_, again) = post.mails
    assert recipients == list(TO)
    assert mail["Subject"] == "[HIGH] malicious: KMS key policy changed - alias/orders (111122223333)"
    assert (mail["From"], mail["To"]) == ("keytrail@example.com", ", ".join(TO))
    assert mail["Date"] == "Sat, 07 Mar 2026 12:00:00 +0000"
    assert mail["Message-ID"] == again["Message-ID"] != raised["Message-ID"]
    assert mail["References"] == raised["References"], "told of one alert, they stand together"
    text, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert page is not None
    assert f"keytrail alerts show {1:064x}" in text.get_content()
    assert "<td>alias/orders</td>" in page.get_content()


def test_hostile_texts_add_no_header_no_part_and_no_recipient(post: Post, plain: int) -> None:
    one = sink(plain)
    one.send([hostile()], NOW)
    assert one.send_digest is not None
    one.send_digest(digest_of([hostile(1), hostile(2)]), NOW)
    for recipients, mail in post.mails:
        assert recipients == list(TO)
        assert "Bcc" not in mail
        assert len(mail.get_all("Subject") or ()) == 1
        assert [part.get_content_type() for part in mail.walk()] == [
            "multipart/alternative", "text/plain", "text/html",
        ]  # fmt: skip
        for part in mail.walk():
            if not part.is_multipart():
                content = part.get_content()
                assert "://" not in content
                assert (
                    "<script>" not in content.replace("&lt;script&gt;", "") or part.get_content_type() == "text/plain"
                )
                assert "\u202e" not in content


def test_starttls_with_a_login(post: Post, starttls: int, certificate: Certificate) -> None:
    sink(starttls, "starttls", certificate, user="mailer", password="pass-word").send([message()], NOW)
    assert len(post.mails) == 1


def test_a_wrong_password_is_not_tried_again_and_not_told(starttls: int, certificate: Certificate) -> None:
    error = failing(sink(starttls, "starttls", certificate, user="mailer", password="wrong-word"))
    assert not error.retry
    assert "refuses the login" in error.what
    assert "wrong-word" not in str(error)


def test_tls_from_the_start(post: Post, certificate: Certificate) -> None:
    for port in serving(post, ssl_context=certificate.context()):
        sink(port, "tls", certificate).send([message()], NOW)
    assert len(post.mails) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(post: Post, starttls: int, certificate: Certificate) -> None:
    error = failing(sink(starttls, "starttls"))
    assert error.retry
    assert "no trusted TLS connection" in error.what
    assert post.mails == []


def test_a_server_without_starttls_gets_no_mail(post: Post, plain: int) -> None:
    error = failing(sink(plain, "starttls"))
    assert not error.retry
    assert "does not offer STARTTLS" in error.what
    assert post.mails == []


def test_who_was_refused_for_now_gets_it_later_and_the_others_not_again(post: Post, plain: int) -> None:
    one = sink(plain)
    post.refuse = {TO[1]: "450 mailbox busy"}
    error = failing(one)
    assert error.retry
    assert "lead@example.com: 450 mailbox busy" in error.what
    post.refuse = {}
    one.send([message()], NOW)
    assert [recipients for recipients, _ in post.mails] == [[TO[0]], [TO[1]]]
    one.send([message(2)], NOW)
    assert post.mails[-1][0] == list(TO)


@pytest.mark.parametrize(("answer", "retry"), [("450 later", True), ("550 never", False)])
def test_refusals_of_everyone_or_of_the_mail(answer: str, retry: bool, post: Post, plain: int) -> None:
    post.refuse = dict.fromkeys(TO, answer)
    assert failing(sink(plain)).retry is retry
    post.refuse, post.refuse_data = {}, answer
    error = failing(sink(plain))
    assert error.retry is retry
    assert answer in error.what


def test_nobody_there_and_nobody_answering() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        table = {"kind": "email", "host": "127.0.0.1", "port": port, "security": "none", "sender": "a@b.c", "to": TO}
        error = failing(opened(table, read_timeout_seconds=0.1))
        assert error.retry
        assert "in time" in error.what
    assert failing(sink(port)).retry


def test_a_server_that_is_rude_after_the_mail_does_not_make_it_come_twice(post: Post) -> None:
    class Rude(Controller):
        def factory(self) -> SMTP:
            class Server(SMTP):
                async def smtp_QUIT(self, arg: str) -> None:
                    await self.push("500 no goodbye")

            return Server(self.handler)

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = int(unused.getsockname()[1])
    controller = Rude(post, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        sink(port).send([message()], NOW)
    finally:
        controller.stop()
    assert len(post.mails) == 1
