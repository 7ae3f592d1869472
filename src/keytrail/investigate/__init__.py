"""Alert and event store -> Investigation: facts, findings, verdict. Takes values and a store; no files, no clock."""

from keytrail.investigate.change import CHANGES, PolicyChange, change_of
from keytrail.investigate.events import Event
from keytrail.investigate.history import Snapshot
from keytrail.investigate.inventory import Inventory
from keytrail.investigate.investigate import FIRST_LOOK, POLICY_EVENTS, Knowledge, investigate
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
    plain,
)

__all__ = [
    "CHANGES",
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
    "Knowledge",
    "Limits",
    "PolicyChange",
    "PolicyVersion",
    "Seen",
    "Snapshot",
    "TimelineEntry",
    "Usage",
    "change_of",
    "investigate",
    "plain",
]
