"""What every maker of plans is given, and the words that plans share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from keytrail.investigate.names import at, short, times
from keytrail.phrases import joined, start
from keytrail.respond.model import Call
from keytrail.respond.subject import Subject
from keytrail.respond.uses import Deleted, RecentUse, RecentUses

MOST_NAMED = 5
"""Names in one sentence."""

MOST_RESOURCES = 2
"""Resources that tell what a use was for."""


@dataclass(frozen=True, slots=True)
class Situation:
    """An alert's subject, who will apply (an ARN, None when not known), what records tell of uses, and the time."""

    subject: Subject
    caller: str | None
    uses: RecentUses | None
    now: datetime

    @property
    def deleted(self) -> tuple[Deleted, ...]:
        """The principals of the policies that IAM deleted, as far as records were looked at."""
        return () if self.uses is None else self.uses.deleted

    def name(self, principal: str) -> str:
        """A principal as seen from the owner of the key."""
        return short(principal, self.subject.owner)

    def names(self, principals: Iterable[str], last: str = "and") -> str:
        """Several principals in a sentence."""
        return some([self.name(one) for one in principals], last)

    def used(self, uses: Sequence[RecentUse]) -> str:
        """How the key was used, in words: by what, how often, through what, when last; "" for no uses."""
        if not uses:
            return ""
        through = list(dict.fromkeys(one.via for one in uses if one.via))
        resources = list(dict.fromkeys(name for one in uses for name in one.resources if name))
        actions = list(dict.fromkeys(one.action for one in uses))
        said = f"{some(actions)} {times(sum(one.count for one in uses))}, last at {at(max(one.last for one in uses))}"
        said += f", through {some(through)}" if through else ""
        return said + (f", for {some(resources, most=MOST_RESOURCES)}" if resources else "")


def key_call(subject: Subject, operation: str, *, undo: str, **parameters: str) -> Call:
    """A call of KMS that changes the key of an alert."""
    key = subject.key
    return Call("kms", operation, {"KeyId": key.arn, **parameters}, key.account, key.region, key.arn, undo)


def some(names: Iterable[str], last: str = "and", most: int = MOST_NAMED) -> str:
    """Names in a sentence, each once, and how many more there are.

    >>> some(["a", "b", "a"]), some(str(number) for number in range(9))
    ('a and b', '0, 1, 2, 3, 4 and 4 more')
    """
    each = list(dict.fromkeys(names))
    if len(each) > most + 1:
        each = [*each[:most], f"{len(each) - most:,} more"]
    return joined(each, last)


def sentence(text: str) -> str:
    """Text as a sentence.

    >>> sentence("statement 1 is removed"), sentence("Statement 1 is removed.")
    ('Statement 1 is removed.', 'Statement 1 is removed.')
    """
    return f"{start(text).rstrip('.')}."


__all__ = ["MOST_NAMED", "Situation", "key_call", "sentence", "some"]
