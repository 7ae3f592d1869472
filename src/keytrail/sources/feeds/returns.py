"""What was given back: when it may come again, and what is set aside because trying again does not help."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

from keytrail.aws.failures import error_code
from keytrail.errors import KeytrailError, SourceError
from keytrail.sources.feeds.limits import FeedSettings
from keytrail.sources.feeds.model import Delivery
from keytrail.sources.feeds.timing import FeedClock, Trouble, pause

_REMEMBERED = 10_000
_TOLD = 5
_GONE = frozenset({"NoSuchKey", "404"})
# These are about the one object, as damage is; what else AWS or the network said may be over soon.
_OF_THE_OBJECT = _GONE | {"InvalidObjectState", "PreconditionFailed", "412", "InvalidRange", "416"}
_FIRST_PAUSE_SECONDS = 15.0
_LONGEST_PAUSE_SECONDS = 1800.0


def is_gone(error: BaseException) -> bool:
    """Whether the object does not exist any more (or not yet)."""
    return error.__cause__ is not None and error_code(error.__cause__) in _GONE


def may_pass(error: BaseException) -> bool:
    """Whether what failed may work later with the object as it is: denied, throttled, cut, a file we may not open."""
    from botocore.exceptions import BotoCoreError, ClientError

    cause = error.__cause__
    if isinstance(cause, BotoCoreError | ClientError):
        return error_code(cause) not in _OF_THE_OBJECT
    return isinstance(error, SourceError) or (isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError))


class Later:
    """Deliveries that were given back, until they are due; of more than `most` the oldest are dropped."""

    def __init__(self, clock: FeedClock, most: int | None = None) -> None:
        self._clock = clock
        self._held: deque[tuple[float, Delivery]] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._held)

    def add(self, delivery: Delivery, seconds: float) -> None:
        """Keep it for so long."""
        self._held.append((self._clock.monotonic() + seconds, delivery))

    def due(self) -> list[Delivery]:
        """Those whose time has come, which are no longer kept."""
        now = self._clock.monotonic()
        due = [delivery for until, delivery in self._held if until <= now]
        if due:
            left = [held for held in self._held if held[0] > now]
            self._held.clear()
            self._held.extend(left)
        return due


@dataclass(slots=True)
class _Try:
    failures: int
    until: float


class Returned:
    """Deliveries by what tells them apart (an identity), each with its tries; bounded, the oldest are forgotten.

    What is forgotten, here or by a restart, is tried once more. `trouble` holds the last failure that may pass, until
    something is settled; one that would meet every object asks for a pause.
    """

    def __init__(self, settings: FeedSettings, clock: FeedClock) -> None:
        self._max_tries, self._clock = settings.max_tries, clock
        self._tries: OrderedDict[str, _Try] = OrderedDict()
        self._aside: OrderedDict[str, None] = OrderedDict()
        self._told: deque[str] = deque(maxlen=_TOLD)
        self.trouble = Trouble(clock, settings.first_pause_seconds, settings.longest_pause_seconds)
        self.set_aside = 0

    def give_back(self, identity: str, name: str, error: KeytrailError, *, failures: int = 0) -> float | None:
        """Note a failure; the seconds until it may come again, None when it is set aside.

        `failures` is how many there were before, where somebody else counts too.
        """
        known = self._tries.pop(identity, None)
        before = max(known.failures if known else 0, failures)
        if isinstance(error, SourceError):
            self.trouble.failed(error)
        elif may_pass(error):
            self.trouble.note(error)
        elif before + 1 >= self._max_tries:
            self.put_aside(identity, name, error.what)
            return None
        seconds = pause(before, _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._tries[identity] = _Try(before + 1, self._clock.monotonic() + seconds)
        if len(self._tries) > _REMEMBERED:
            self._tries.popitem(last=False)
        return seconds

    def put_aside(self, identity: str, name: str, reason: str) -> bool:
        """Count it as set aside, once; whether it was not yet."""
        if identity in self._aside:
            self._aside.move_to_end(identity)
            return False
        self._aside[identity] = None
        if len(self._aside) > _REMEMBERED:
            self._aside.popitem(last=False)
        self.set_aside += 1
        self._told.append(f"set aside: {name}: {reason}")
        return True

    def held(self, identity: str) -> bool:
        """Whether it is not to be handed out now."""
        if self.is_aside(identity):
            return True
        known = self._tries.get(identity)
        return known is not None and known.until > self._clock.monotonic()

    def is_aside(self, identity: str) -> bool:
        """Whether it is set aside."""
        return identity in self._aside

    def settled(self, identity: str) -> None:
        """It worked in the end."""
        self._tries.pop(identity, None)
        self._aside.pop(identity, None)
        self.trouble.worked()

    @property
    def notes(self) -> tuple[str, ...]:
        """The last ones set aside, each with its reason."""
        return tuple(self._told)
