"""What an investigation says: small immutable values, each with its JSON form. The published schema is beside it.

Texts are those of the records. Whoever shows an investigation makes them safe (`keytrail.text`).
"""

from keytrail.investigate.model.accounts import AccountFact, Relation
from keytrail.investigate.model.data import DataAtStake, DataSummary, StakedData
from keytrail.investigate.model.investigation import (
    SCHEMA_VERSION,
    VERDICTS,
    CoverageFacts,
    Investigation,
    Judgement,
    Reason,
    TimelineEntry,
    Truncated,
    Verdict,
)
from keytrail.investigate.model.key import Alias, Fact, InventoryEntry, KeyFacts
from keytrail.investigate.model.people import Act, ActKind, Actor, Seen
from keytrail.investigate.model.policy import BeforeStatus, ComparedChange, HistoryEntry, PolicyVersion, VersionSource
from keytrail.investigate.model.related import Grant, PrincipalActivity, RelatedActivity, Run, Usage
from keytrail.investigate.model.values import Capped, JsonObject, plain

__all__ = [
    "SCHEMA_VERSION",
    "VERDICTS",
    "AccountFact",
    "Act",
    "ActKind",
    "Actor",
    "Alias",
    "BeforeStatus",
    "Capped",
    "ComparedChange",
    "CoverageFacts",
    "DataAtStake",
    "DataSummary",
    "Fact",
    "Grant",
    "HistoryEntry",
    "InventoryEntry",
    "Investigation",
    "JsonObject",
    "Judgement",
    "KeyFacts",
    "PolicyVersion",
    "PrincipalActivity",
    "Reason",
    "RelatedActivity",
    "Relation",
    "Run",
    "Seen",
    "StakedData",
    "TimelineEntry",
    "Truncated",
    "Usage",
    "Verdict",
    "VersionSource",
    "plain",
]
