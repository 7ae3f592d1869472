"""The kinds of plans, in the order in which somebody who answers an alert should look at them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from keytrail.respond.disable import disable_key
from keytrail.respond.grants import revoke_grants
from keytrail.respond.model import Kind, NoPlan, Plan
from keytrail.respond.quarantine import quarantine, revoke_sessions
from keytrail.respond.recondition import recondition
from keytrail.respond.remove import remove
from keytrail.respond.restore import restore
from keytrail.respond.situation import Situation

KINDS: Mapping[Kind, Callable[[Situation], Iterable[Plan | NoPlan]]] = {
    "restore": restore,
    "remove": remove,
    "recondition": recondition,
    "revoke-grants": revoke_grants,
    "revoke-sessions": revoke_sessions,
    "quarantine": quarantine,
    "disable-key": disable_key,
}

__all__ = ["KINDS"]
