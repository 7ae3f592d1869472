"""Sinks tried out: a message that says that it is a test, to each of those asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from keytrail.errors import KeytrailError, UsageError
from keytrail.notify import open_sinks, test_message
from keytrail.phrases import joined
from keytrail.service.running import aws_settings
from keytrail.settings import Settings


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a test: `error` is None if the message was delivered. It holds no secret of the sink."""

    name: str
    kind: str
    error: KeytrailError | None


def try_sinks(settings: Settings, names: Sequence[str], now: datetime) -> Iterator[Tried]:
    """Send a test to the sinks named, or to all; yields each as it is done. The state is not touched.

    Raises UsageError for a name that no sink has, and where there are none, before anything is sent.
    """
    known = {one.name: one for one in settings.notify.sinks}
    if not known:
        raise UsageError("there are no sinks", advice="Name one as [[notify.sinks]] in keytrail.toml.")
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no sink is called {unknown[0]}", advice=f"There is {joined(list(known))}.")
    return _tries(settings, frozenset(names or known), now)


def _tries(settings: Settings, names: frozenset[str], now: datetime) -> Iterator[Tried]:
    for sink in open_sinks(settings.notify, aws_settings(settings)):
        if sink.name not in names:
            continue
        error: KeytrailError | None = None
        try:
            sink.send([test_message(now)], now)
        except KeytrailError as problem:
            error = problem
        finally:
            sink.close()
        yield Tried(sink.name, sink.kind, error)
