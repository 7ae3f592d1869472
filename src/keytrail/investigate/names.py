"""Short names for people, for sentences: the role without its path, the account only when it is another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from keytrail.investigate.model import Alias, KeyFacts
from keytrail.investigate.requests import caller_of
from keytrail.names import role_name
from keytrail.phrases import count
from keytrail.policy import CallerKind


def short(principal: str, owner: str) -> str:
    """A caller or principal, as seen from the account `owner`.

    >>> short("arn:aws:sts::111122223333:assumed-role/Admin/dana@example.com", "111122223333")
    'role Admin (session dana@example.com)'
    >>> short("arn:aws:iam::999988887777:role/etl/Job", "111122223333")
    'role Job of account 999988887777'
    >>> short("arn:aws:iam::999988887777:root", "111122223333"), short("backup.amazonaws.com", "111122223333")
    ('account 999988887777', 'the AWS service backup.amazonaws.com')
    """
    caller = caller_of(principal)
    if caller is None:
        return principal
    if caller.kind is CallerKind.ROOT:
        return f"account {caller.account}"
    if caller.account is None:
        return f"the AWS service {caller.name}"
    name = role_name(caller.name.rpartition("/")[2])
    kind = caller.kind.replace("-", " ")
    of = "" if caller.account == owner else f" of account {caller.account}"
    session = f" (session {caller.session})" if caller.session else ""
    return f"{kind} {name}{of}{session}"


def key_name(key: KeyFacts) -> str:
    """The alias of the key that was set last and is in use, else its id."""
    current: Sequence[Alias] = sorted((one for one in key.aliases if one.current), key=lambda one: (one.time, one.name))
    return current[-1].name if current else key.key_id


def times(number: int) -> str:
    """How often.

    >>> times(1), times(16)
    ('once', '16 times')
    """
    return "once" if number == 1 else f"{number:,} times"


def length(span: timedelta) -> str:
    """How long something took, in the unit that fits.

    >>> length(timedelta(seconds=40)), length(timedelta(minutes=6, seconds=10)), length(timedelta(hours=50))
    ('40 seconds', '6 minutes', '2 days')
    """
    seconds = int(span.total_seconds())
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= unit:
            return count(seconds // unit, name)
    return count(seconds, "second")


def at(moment: datetime) -> str:
    """A time in a sentence.

    >>> from datetime import UTC
    >>> at(datetime(2026, 3, 6, 22, 27, 30, tzinfo=UTC))
    '2026-03-06 22:27:30 UTC'
    """
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
