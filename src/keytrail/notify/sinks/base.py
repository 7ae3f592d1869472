"""What sinks share: their place, one message at a time, nothing to close."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from keytrail.aws import AwsSettings
from keytrail.notify.batches import Prepared, reveal, send_in_batches
from keytrail.notify.model import DeliveryError, Message
from keytrail.notify.web import Web, WebLimits
from keytrail.settings import Secret
from keytrail.settings.notify import url_problem


@dataclass(frozen=True, slots=True)
class Means:
    """What sinks are opened with: how the web is reached, and AWS."""

    web: WebLimits
    aws: AwsSettings


class WebSink:
    """A sink that posts one message at a time."""

    most = 1

    def __init__(self, name: str, web: WebLimits) -> None:
        self.name = name
        self._web = Web(web)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _address(self, url: Secret | None) -> str:
        """The URL that a secret holds, checked. Raises DeliveryError."""
        found = reveal(url)
        if problem := url_problem(found):
            what = f"sink {self.name}: url: {problem}"
            raise DeliveryError(what, retry=True, advice="Look at the variable or the file that holds it.")
        return found

    def close(self) -> None:
        """Close the connection."""
        self._web.close()


def send_each(messages: Sequence[Message], send: Callable[[Message], None]) -> None:
    """Send each message by itself. Raises DeliveryError that tells which of them failed."""

    def call(batch: Sequence[Prepared[None]]) -> Mapping[str, DeliveryError]:
        send(batch[0].message)
        return {}

    send_in_batches([Prepared(message, None, 0) for message in messages], call, most=1, most_bytes=0)
