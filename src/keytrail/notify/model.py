"""What is told, and what tells it: messages about alerts, digests of many, and sinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
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


Counts = tuple[tuple[str, int], ...]
"""How often each of some names occurs, the most frequent first."""


@dataclass(frozen=True, slots=True)
class Digest:
    """One summary in place of `total` messages: how many by rule, verdict and account, and the gravest few.

    `id` is the same for the same messages in any order.
    """

    id: str
    total: int
    rules: Counts
    verdicts: Counts
    accounts: Counts
    gravest: tuple[Message, ...]


class DeliveryError(KeytrailError):
    """A sink did not take messages; `retry` says whether it may another time, `after_seconds` when it asked for it.

    Where only some messages of a call failed, `parts` has what befell each of them by message id; the others are
    delivered. Empty, all failed alike.
    """

    def __init__(
        self,
        what: str,
        *,
        retry: bool,
        after_seconds: float | None = None,
        advice: str = "",
        parts: Mapping[str, DeliveryError] | None = None,
    ) -> None:
        super().__init__(what, advice=advice)
        self.retry = retry
        self.after_seconds = after_seconds
        self.parts: Mapping[str, DeliveryError] = dict(parts or {})

    def of(self, message: Message) -> DeliveryError | None:
        """What befell one message of the call, None when it was delivered."""
        return self.parts.get(message.id) if self.parts else self


class Sink(Protocol):
    """Where messages go. Safe to use again after a failure; secrets of it are in no error, log or repr.

    One thread uses a sink at a time. `now` is the moment of sending, aware, in UTC.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def most(self) -> int:
        """How many messages it takes in one call."""
        ...

    def send(self, messages: Sequence[Message], now: datetime) -> None:
        """Deliver all, or raise DeliveryError: it tells of each message (`DeliveryError.of`) whether it was delivered.

        What was not may come again; what was must not.
        """
        ...

    @property
    def send_digest(self) -> Callable[[Digest, datetime], None] | None:
        """Delivers one summary in place of a flood, or raises DeliveryError. None: a machine that counts them all."""
        ...

    def close(self) -> None:
        """Let go of connections; the sink may be used again."""
        ...
