"""Sink: mail by SMTP, as text and as HTML."""

from __future__ import annotations

import email.policy
import hashlib
import smtplib
import ssl
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from keytrail.investigate.glance import Glance
from keytrail.notify.batches import reveal
from keytrail.notify.model import DeliveryError, Digest, Message
from keytrail.notify.safe import for_html, inert, without
from keytrail.notify.sinks.base import Means, send_each
from keytrail.notify.web import tls_context
from keytrail.notify.words import Text, digest_text, text_of
from keytrail.settings.notify import EmailSettings

# A line has place for a whole subject: what is folded, some readers show with the blank of the fold.
_POLICY = email.policy.SMTP.clone(max_line_length=200, cte_type="7bit")
_PORTS: Mapping[str, int] = {"starttls": 587, "tls": 465, "none": 25}
_REMEMBERED = 1000  # messages that some recipients got and others did not yet


class EmailSink:
    """Mails each message, or a digest, to all recipients; one that was refused for now gets it another time, alone."""

    kind = "email"
    most = 1

    def __init__(self, settings: EmailSettings, means: Means) -> None:
        self.name = settings.name
        self._settings = settings
        self._web = means.web
        self._reached: OrderedDict[str, frozenset[str]] = OrderedDict()

    @property
    def _port(self) -> int:
        return self._settings.port or _PORTS[self._settings.security]

    def __repr__(self) -> str:
        return f"EmailSink({self.name!r})"

    def send(self, messages: Sequence[Message], now: datetime) -> None:
        """Mail each message by itself."""

        def mail(message: Message) -> None:
            thread = Glance.of(message.alert).alert_id if message.reason != "test" else ""
            self._deliver(message.id, self._mail(message.id, text_of(message), now, thread))

        send_each(messages, mail)

    def send_digest(self, digest: Digest, now: datetime) -> None:
        """Mail a digest."""
        self._deliver(digest.id, self._mail(digest.id, digest_text(digest), now))

    def close(self) -> None:
        """Nothing is kept open."""

    def _mail(self, id: str, text: Text, now: datetime, thread: str = "") -> EmailMessage:
        mail = EmailMessage(_POLICY)
        mail["From"] = self._settings.sender
        mail["To"] = ", ".join(self._settings.to)
        mail["Subject"] = text.subject
        mail["Date"] = format_datetime(now)
        mail["Message-ID"] = _message_id(id)
        if thread:  # what is told later of the same alert stands with it
            mail["References"] = _message_id(f"alert {thread}")
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Keytrail-Id"] = _digest(id)
        mail.set_content(text.plain())
        mail.add_alternative(html(text), subtype="html")
        return mail

    def _deliver(self, id: str, mail: EmailMessage) -> None:
        settings = self._settings
        password = reveal(settings.secret_of("password"))
        reached = self._reached.get(id, frozenset())
        recipients = [address for address in settings.to if address not in reached]
        with self._explained(password), self._connection() as server:
            if settings.user is not None:
                server.login(settings.user, password)
            refused = server.send_message(mail, settings.sender, recipients)
        if not refused:
            self._reached.pop(id, None)
            return
        # Some were refused, the others have it.
        again = any(code < 500 for code, _ in refused.values())
        self._reached[id] = reached | (set(recipients) - set(refused))
        while len(self._reached) > _REMEMBERED:
            self._reached.popitem(last=False)
        raise self._refusal(refused, password, retry=again)

    @contextmanager
    def _connection(self) -> Iterator[smtplib.SMTP]:
        settings = self._settings
        seconds = self._web.read_seconds
        server: smtplib.SMTP
        if settings.security == "tls":
            context = tls_context(self._web.ca_file)
            server = smtplib.SMTP_SSL(settings.host, self._port, timeout=seconds, context=context)
        else:
            server = smtplib.SMTP(settings.host, self._port, timeout=seconds)
        try:
            if settings.security == "starttls":
                server.starttls(context=tls_context(self._web.ca_file))
            yield server
            # The mail is taken: a server that is rude at the end must not make it be sent again.
            with suppress(smtplib.SMTPException, OSError):
                server.quit()
        finally:
            server.close()

    @contextmanager
    def _explained(self, password: str) -> Iterator[None]:
        place = f"the mail server {self._settings.host}:{self._port}"
        failure: DeliveryError
        try:
            yield
            return
        except smtplib.SMTPRecipientsRefused as error:
            retry = any(code < 500 for code, _ in error.recipients.values())
            failure = self._refusal(error.recipients, password, retry=retry)
        except smtplib.SMTPAuthenticationError as error:
            advice = "Check user and password of this sink; some services want an app password."
            failure = DeliveryError(f"{place} refuses the login", retry=error.smtp_code < 500, advice=advice)
        except smtplib.SMTPNotSupportedError:
            advice = 'Check security ("tls", "starttls") and the port of this sink.'
            failure = DeliveryError(f"{place} does not offer STARTTLS, or no login", retry=False, advice=advice)
        except smtplib.SMTPResponseException as error:
            said = _said(error.smtp_code, error.smtp_error, password)
            failure = DeliveryError(f"{place} answers {said}", retry=error.smtp_code < 500)
        except ssl.SSLError:
            advice = "Check host, port and security; [notify] ca_file names a private certificate authority."
            failure = DeliveryError(f"no trusted TLS connection to {place}", retry=True, advice=advice)
        except ValueError:
            what = "user, password or an address has a character that mail does not allow"
            failure = DeliveryError(f"{place}: {what}", retry=True, advice="Check them.")
        except (smtplib.SMTPException, OSError) as error:
            # smtplib says that the server went away when it did not answer in time.
            late = isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)
            what = "did not answer in time" if late else "cannot be reached, or broke off the connection"
            failure = DeliveryError(f"{place} {what}", retry=True, advice="Check host, port and the network.")
        raise failure from None

    def _refusal(self, refused: dict[str, tuple[int, bytes]], password: str, *, retry: bool) -> DeliveryError:
        said = "; ".join(f"{address}: {_said(code, text, password)}" for address, (code, text) in refused.items())
        advice = "They are tried again." if retry else "Check the addresses of this sink."
        return DeliveryError(f"the mail server refuses {inert(said)}", retry=retry, advice=advice)


def html(text: Text) -> str:
    """The message as an HTML page without a link, a picture or a script."""
    rows = "".join(
        f'<tr><th align="left" valign="top">{for_html(label)}</th><td>{for_html(value)}</td></tr>'
        for label, value in text.lines
    )
    more = "".join(f"<li>{for_html(line)}</li>" for line in text.more)
    commands = "".join(f"<pre>{for_html(command)}</pre>" for command in text.commands)
    return (
        '<!doctype html><html><head><meta charset="utf-8"><meta name="format-detection" content="telephone=no">'
        f"</head><body><p><b>{for_html(text.subject)}</b></p><p>{for_html(text.summary)}</p>"
        f"<table>{rows}</table>{f'<ol>{more}</ol>' if more else ''}{commands}</body></html>\n"
    )


def _message_id(text: str) -> str:
    return f"<{_digest(text)[:40]}@keytrail.invalid>"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _said(code: int, text: bytes | str, password: str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {inert(without(words, [password]), 120)}"
