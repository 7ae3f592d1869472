"""Which sinks get a message: by severity, rule, account and verdict. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Protocol

from keytrail.investigate.glance import SEVERITIES, Glance
from keytrail.notify.model import Message


class Route(Protocol):
    """Which messages a sink gets; an empty tuple is no condition. The settings of a sink are one."""

    @property
    def name(self) -> str: ...
    @property
    def min_severity(self) -> str: ...
    @property
    def rules(self) -> Sequence[str]: ...
    @property
    def accounts(self) -> Sequence[str]: ...
    @property
    def verdicts(self) -> Sequence[str]: ...


def routes(message: Message, sinks: Iterable[Route]) -> tuple[str, ...]:
    """The names of the sinks that get a message, in their order. A test goes to all of them."""
    facts = Glance.of(message.alert)
    return tuple(sink.name for sink in sinks if message.reason == "test" or _takes(sink, facts))


def _takes(sink: Route, facts: Glance) -> bool:
    return (
        _grave_enough(facts.severity, sink.min_severity)
        and (not sink.rules or any(_is_rule(facts, pattern) for pattern in sink.rules))
        and (not sink.accounts or facts.account in sink.accounts)
        and (not sink.verdicts or (facts.verdict or "none") in sink.verdicts)
    )


def _grave_enough(severity: str, least: str) -> bool:
    """A severity that nobody knows is told, rather than lost."""
    return severity not in SEVERITIES or SEVERITIES.index(severity) <= SEVERITIES.index(least)


def _is_rule(facts: Glance, pattern: str) -> bool:
    return pattern == facts.rule_id or fnmatchcase(facts.rule.casefold(), pattern.casefold())
