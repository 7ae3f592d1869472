"""Where events are kept and found again: one protocol for archives, memory and, later, the lake and OpenSearch."""

from keytrail.store.archive import ArchiveStore
from keytrail.store.memory import MemoryStore
from keytrail.store.model import (
    Batch,
    Coverage,
    Damage,
    EventStore,
    Interval,
    Selector,
    Sighting,
    StoredRecord,
    Want,
    strings_of,
)

__all__ = [
    "ArchiveStore",
    "Batch",
    "Coverage",
    "Damage",
    "EventStore",
    "Interval",
    "MemoryStore",
    "Selector",
    "Sighting",
    "StoredRecord",
    "Want",
    "strings_of",
]
