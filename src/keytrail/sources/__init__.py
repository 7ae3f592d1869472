"""Sources: where stored objects come from. Files, standard input, S3, and an account's own event history."""

from keytrail.sources.model import (
    ObjectKind,
    Skipped,
    Source,
    SourceObject,
    SourceSettings,
    TimeWindow,
)
from keytrail.sources.registry import SCHEMES, open_source
from keytrail.sources.replay import ReplaySource

__all__ = [
    "SCHEMES",
    "ObjectKind",
    "ReplaySource",
    "Skipped",
    "Source",
    "SourceObject",
    "SourceSettings",
    "TimeWindow",
    "open_source",
]
