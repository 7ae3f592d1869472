"""HTTP by POST: within time-outs and bounds, without redirects, with TLS verified; failures are DeliveryErrors."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from keytrail import __version__
from keytrail.notify.model import DeliveryError
from keytrail.notify.safe import inert, without

_RETRIED = frozenset({408, 425, 429})
_LONGEST_WAIT_SECONDS: Final = 86_400.0
_SAID = 200  # characters of an answer that an error repeats
_CHUNK_BYTES = 16 * 1024
_ADVICE = {
    400: "It does not like what it is sent; compare its version and settings with docs/notify.md.",
    401: "Check the secret, key or password of this sink.",
    403: "Check the secret, key or password of this sink, and what it may do.",
    404: "Check the URL of this sink; the webhook may have been deleted.",
    410: "The webhook was deleted: make a new one.",
    413: "The service takes only smaller requests.",
}


class _Quiet(logging.Filter):
    """Drops what urllib3 logs of our requests: it tells their paths, and the path of a chat's webhook is its secret."""

    def __init__(self) -> None:
        super().__init__()
        self.local = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(self.local, "silent", False)

    @contextmanager
    def on(self) -> Iterator[None]:
        self.local.silent = True
        try:
            yield
        finally:
            self.local.silent = False


_quiet = _Quiet()
for _name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry", "urllib3.poolmanager"):
    logging.getLogger(_name).addFilter(_quiet)


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Bounds on one request: the answer must be whole within connect and read seconds together."""

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    answer_bytes: int = 1024 * 1024
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer: its status and its body, whole."""

    status: int
    body: bytes


class Web:
    """Connections to web services, kept between requests. HTTPS_PROXY, HTTP_PROXY and NO_PROXY are obeyed."""

    def __init__(self, limits: WebLimits) -> None:
        self._limits = limits
        self._managers: dict[str, urllib3.PoolManager] = {}

    def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        secrets: Sequence[str] = (),
        *,
        path_is_secret: bool = True,
    ) -> Answer:
        """Send `body` and return the answer.

        Raises DeliveryError for anything but 2xx; `secrets` and, unless told otherwise, the path of the URL are kept
        out of it.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        hidden = [*secrets, *([url, *_parts_of(f"{parts.path}?{parts.query}")] if path_is_secret else [])]
        try:
            with _quiet.on():
                response = self._manager(parts.scheme, host).request(
                    "POST",
                    url,
                    body=body,
                    headers={"User-Agent": f"keytrail/{__version__}", **headers},
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    timeout=urllib3.Timeout(connect=self._limits.connect_seconds, read=self._limits.read_seconds),
                )
                text, whole = self._read(response)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            # urllib3's words hold the URL, so nothing of them is repeated and nothing is chained.
            what, advice = _explained(error, host)
            failure = DeliveryError(what, retry=True, advice=advice)
        else:
            if 200 <= response.status < 300:
                if whole:
                    return Answer(response.status, text)
                what = f"{host} answers with more than {self._limits.answer_bytes} bytes"
                failure = DeliveryError(what, retry=True, advice="[notify] max_answer_bytes allows more.")
            else:
                failure = _refusal(response.status, response.headers, text, host, hidden)
        raise failure

    def close(self) -> None:
        """Close what connections there are."""
        for manager in self._managers.values():
            manager.clear()

    def _read(self, response: urllib3.BaseHTTPResponse) -> tuple[bytes, bool]:
        """The body, and whether it is whole: it is read up to a bound."""
        end = monotonic() + self._limits.read_seconds
        body = bytearray()
        whole = False
        try:
            while chunk := response.read1(_CHUNK_BYTES, decode_content=False):  # what is there, without waiting for all
                body += chunk
                if len(body) > self._limits.answer_bytes:
                    return bytes(body), False
                if monotonic() > end:
                    raise TimeoutError
            whole = True
            return bytes(body), True
        finally:
            if not whole:  # what is left unread must not be taken for the next answer
                response.close()

    def _manager(self, scheme: str, host: str) -> urllib3.PoolManager:
        proxy = "" if proxy_bypass(host) else getproxies().get(scheme, "")
        if (made := self._managers.get(proxy)) is None:
            context = tls_context(self._limits.ca_file)
            if proxy:
                address = proxy if "://" in proxy else f"http://{proxy}"
                user = urlsplit(address)
                login = urllib3.make_headers(proxy_basic_auth=f"{user.username}:{user.password or ''}")
                made = urllib3.ProxyManager(
                    address, proxy_headers=login if user.username else None, ssl_context=context, maxsize=1
                )
            else:
                made = urllib3.PoolManager(ssl_context=context, maxsize=1)
            self._managers[proxy] = made
        return made


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """TLS with certificates and host names verified. Raises DeliveryError when `ca_file` cannot be read."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError):
            raise DeliveryError(
                f"{ca_file}: no certificates can be read from it", retry=True, advice="Look at [notify] ca_file."
            ) from None
    return context


def _explained(error: Exception, host: str) -> tuple[str, str]:
    e = urllib3.exceptions
    cause = error.reason if isinstance(error, e.MaxRetryError) and error.reason else error
    network = "Check the network, the host of the URL and a firewall or proxy between."
    match cause:
        case e.NameResolutionError():
            return f"{host} is not known to the name server", network
        case e.NewConnectionError() | ConnectionRefusedError():
            return f"{host} cannot be reached", network
        case e.TimeoutError() | TimeoutError():
            return f"{host} did not answer in time", f"{network} [notify] read_timeout_seconds gives it longer."
        case e.SSLError() | ssl.SSLError():
            return (
                f"no trusted TLS connection to {host}",
                "Check the host and its certificate; [notify] ca_file names a private certificate authority.",
            )
        case e.ProxyError():
            return f"the proxy on the way to {host} cannot be used", "Check HTTPS_PROXY and NO_PROXY."
        case e.ProtocolError() | OSError():
            return f"{host} broke off the connection", network
        case ValueError() if not isinstance(cause, e.HTTPError):
            return (
                f"the request to {host} cannot be made: a secret or the URL has a character that HTTP does not allow",
                "Check the secrets of this sink for line ends and letters that are not ASCII.",
            )
    return f"{host} did not answer as HTTP does ({type(cause).__name__})", network


def _refusal(status: int, headers: Mapping[str, str], body: bytes, host: str, hidden: Sequence[str]) -> DeliveryError:
    if 300 <= status < 400:
        return DeliveryError(
            f"{host} answers {status}: a redirect, which is not followed",
            retry=False,
            advice="Write the address it leads to as the URL of this sink, if you trust it.",
        )
    said = inert(without(body[: 4 * _SAID].decode("utf-8", "replace"), hidden), _SAID)
    retry = status in _RETRIED or status >= 500 or status < 200
    return DeliveryError(
        f"{host} answers {status}{': ' + said if said.strip() else ''}",
        retry=retry,
        after_seconds=retry_after(headers) if retry else None,
        advice="It is tried again." if retry else _ADVICE.get(status, "Check the URL and the settings of this sink."),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait, None when it does not say; a date counts from that of the answer."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return min(float(value), _LONGEST_WAIT_SECONDS)
    try:
        wait = (parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(wait, 0.0), _LONGEST_WAIT_SECONDS)


def _parts_of(path: str) -> list[str]:
    """What of a path could be its secret: all of it, and each long part."""
    split = path.replace("?", "/").replace("=", "/").replace("&", "/").split("/")
    return [path.rstrip("?"), *(part for part in split if len(part) >= 6)] if path.strip("/?") else []
