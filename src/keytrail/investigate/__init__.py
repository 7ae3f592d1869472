"""Alert and event store -> Investigation: facts, findings, verdict. Takes values and a store; no files, no clock.

The names are loaded when they are asked for: a scan that finds no change of a key policy does not need the prover.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keytrail.investigate.change import KeyName, PolicyChange, change_of
    from keytrail.investigate.compare import facts_of
    from keytrail.investigate.events import Event, events_of
    from keytrail.investigate.history import Snapshot, history_of
    from keytrail.investigate.inventory import Inventory
    from keytrail.investigate.investigator import POLICY_EVENTS, Knowledge, investigate
    from keytrail.investigate.limits import Limits
    from keytrail.investigate.model import (
        VERDICTS,
        AccountFact,
        Act,
        Actor,
        Capped,
        DataAtStake,
        Grant,
        InventoryEntry,
        Investigation,
        PolicyVersion,
        Seen,
        TimelineEntry,
        Usage,
    )
    from keytrail.investigate.queries import CHANGES, CHANGES_QUERY, FIRST_LOOK
    from keytrail.investigate.watched import watched_values

_HOMES = {
    "change": ("KeyName", "PolicyChange", "change_of"),
    "compare": ("facts_of",),
    "events": ("Event", "events_of"),
    "history": ("Snapshot", "history_of"),
    "inventory": ("Inventory",),
    "investigator": ("POLICY_EVENTS", "Knowledge", "investigate"),
    "limits": ("Limits",),
    "model": (
        "VERDICTS", "AccountFact", "Act", "Actor", "Capped", "DataAtStake", "Grant", "Investigation", "InventoryEntry",
        "PolicyVersion", "Seen", "TimelineEntry", "Usage",
    ),
    "queries": ("CHANGES", "CHANGES_QUERY", "FIRST_LOOK"),
    "watched": ("watched_values",),
}  # fmt: skip

__all__ = [
    "CHANGES",
    "CHANGES_QUERY",
    "FIRST_LOOK",
    "POLICY_EVENTS",
    "VERDICTS",
    "AccountFact",
    "Act",
    "Actor",
    "Capped",
    "DataAtStake",
    "Event",
    "Grant",
    "Inventory",
    "InventoryEntry",
    "Investigation",
    "KeyName",
    "Knowledge",
    "Limits",
    "PolicyChange",
    "PolicyVersion",
    "Seen",
    "Snapshot",
    "TimelineEntry",
    "Usage",
    "change_of",
    "events_of",
    "facts_of",
    "history_of",
    "investigate",
    "watched_values",
]


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"keytrail.investigate.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
