"""A digest instead of a flood: when one is due, and what it says. Pure."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from keytrail.investigate.glance import Glance
from keytrail.notify.model import Counts, Digest, Message
from keytrail.text import shorten

MOST_GRAVEST = 5
"""Messages that a digest names one by one."""

_MOST_NAMES = 50
_MOST_NAME = 300  # characters; a rule may take its name from the event


def pace(*, sent: int, digested: bool, waiting: int, digest_after: int) -> Literal["single", "digest", "wait"]:
    """How what is waiting for a sink is to go: each by itself, all in one digest, or not yet.

    `sent` counts the messages that went singly within the window that ends now, `digested` tells whether a digest went
    within it. A window has place for `digest_after` single messages and one digest, so that a flood that goes on is
    told once in each window, and nothing waits longer than one.

    >>> pace(sent=3, digested=False, waiting=17, digest_after=20)
    'single'
    >>> pace(sent=3, digested=False, waiting=18, digest_after=20)
    'digest'
    >>> pace(sent=20, digested=True, waiting=1, digest_after=20)
    'wait'
    """
    if sent + waiting <= digest_after:
        return "single"
    return "wait" if digested else "digest"


def digest_of(messages: Iterable[Message]) -> Digest:
    """One summary of many messages; they are read one by one and only the gravest are kept."""
    ids: list[str] = []
    rules: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    accounts: Counter[str] = Counter()
    gravest: list[tuple[Glance, Message]] = []
    for message in messages:
        facts = Glance.of(message.alert)
        ids.append(message.id)
        rules[shorten(facts.rule or facts.rule_id or "(no rule)", _MOST_NAME)] += 1
        verdicts[shorten(facts.verdict.replace("_", " ") or "not investigated", _MOST_NAME)] += 1
        accounts[shorten(facts.account or "(no account)", _MOST_NAME)] += 1
        gravest = heapq.nsmallest(MOST_GRAVEST, [*gravest, (facts, message)], key=lambda one: (one[0].rank, one[1].id))
    name = hashlib.sha256("\0".join(sorted(ids)).encode("utf-8", "surrogatepass")).hexdigest()
    return Digest(
        f"digest-{name}",
        len(ids),
        _counts(rules),
        _counts(verdicts),
        _counts(accounts),
        tuple(message for _, message in gravest),
    )


def _counts(counter: Counter[str]) -> Counts:
    """The most frequent first; the rest of very many counted together."""
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
    kept, rest = ordered[:_MOST_NAMES], ordered[_MOST_NAMES:]
    return (*kept, *([(f"(of {len(rest)} others)", sum(count for _, count in rest))] if rest else []))
