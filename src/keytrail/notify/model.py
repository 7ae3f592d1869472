"""What is told, and what tells it: messages about alerts, and sinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from keytrail.errors import KeytrailError

Json = dict[str, object]

Reason = Literal["new", "raised", "test"]


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to tell about one alert.

    `id` is stable: the same when it is sent again, so that receivers can drop repeats. `alert` is the alert document,
    with `keytrail.investigation` where there is one. `reason` says whether the alert is new, or its verdict was raised.
    """

    id: str
    alert: Mapping[str, object]
    reason: Reason = "new"


class DeliveryError(KeytrailError):
    """A sink did not take a message; `retry` says whether it may another time, `after_seconds` when it asked for it."""

    def __init__(self, what: str, *, retry: bool, after_seconds: float | None = None, advice: str = "") -> None:
        super().__init__(what, advice=advice)
        self.retry = retry
        self.after_seconds = after_seconds


class Sink(Protocol):
    """Where messages go. Safe to use again after a failure; secrets of it are in no error, log or repr."""

    name: str
    kind: str
    most: int
    """How many messages it takes in one call."""

    def send(self, messages: Sequence[Message]) -> None:
        """Deliver all, or raise DeliveryError: then none counts as delivered, and all may come again."""
        ...

    def send_digest(self, messages: Sequence[Message], total: int) -> None:
        """Deliver one summary in place of `total` messages, of which these are the gravest. Raises DeliveryError."""
        ...

    def close(self) -> None: ...
