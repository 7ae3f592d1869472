"""What finding functions are given: the change, and what the events around it tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from keytrail.investigate.accounts import relation_of
from keytrail.investigate.change import PolicyChange
from keytrail.investigate.events import Event
from keytrail.investigate.model import (
    AccountFact,
    Capped,
    ComparedChange,
    DataAtStake,
    KeyFacts,
    RelatedActivity,
    Relation,
)
from keytrail.settings import Accounts


@dataclass(frozen=True, slots=True)
class Case:
    """One change. `attempts` are the events that tried it before and were refused, as far as they are at hand."""

    change: PolicyChange
    compared: ComparedChange
    related: RelatedActivity
    key: KeyFacts
    data: Capped[DataAtStake] = field(default_factory=Capped)
    accounts: Sequence[AccountFact] = ()
    attempts: Sequence[Event] = ()
    trust: Accounts = field(default_factory=Accounts)

    @property
    def owner(self) -> str:
        """The account of the key."""
        return self.change.key.account

    @property
    def before_is_certain(self) -> bool:
        """Whether it is known what the policy before allowed."""
        return self.compared.before.status not in ("unknown", "gap")

    def relation(self, principal: str) -> Relation:
        """What the account of a principal is to the owner of the key."""
        return relation_of(principal, self.change, self.accounts, self.trust)
