"""What a verdict is made from, and the questions about it that more than one signal asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from keytrail.investigate.accounts import relation_of, untrusted_gains
from keytrail.investigate.change import PolicyChange
from keytrail.investigate.events import Event
from keytrail.investigate.model import (
    AccountFact,
    Act,
    Actor,
    Capped,
    ComparedChange,
    CoverageFacts,
    DataAtStake,
    HistoryEntry,
    KeyFacts,
    RelatedActivity,
    Relation,
    Usage,
)
from keytrail.policy import Finding
from keytrail.settings import Accounts


@dataclass(frozen=True, slots=True)
class Evidence:
    """All sections of an investigation but the verdict, which is made from them.

    The accounts that gained are judged by `accounts`; `trust` says who those are that used the key. `remade` are the
    creations of roles and users that have the name of one that the policy before let in (`remade.remade_of`).
    """

    change: PolicyChange
    key: KeyFacts
    compared: ComparedChange
    accounts: Sequence[AccountFact]
    data: Capped[DataAtStake]
    actor: Actor
    related: RelatedActivity
    coverage: CoverageFacts
    findings: Sequence[Finding]
    trust: Accounts = field(default_factory=Accounts)
    remade: Sequence[Event] = ()

    @property
    def owner(self) -> str:
        """The account of the key."""
        return self.change.key.account

    @property
    def before_is_known(self) -> bool:
        """Whether it is certain what the policy before was, or that there was none."""
        return self.compared.before.status not in ("unknown", "gap")

    @property
    def untrusted(self) -> tuple[AccountFact, ...]:
        """The accounts that gained and that nobody vouches for."""
        return untrusted_gains(self.accounts)

    def approving(self) -> Evidence:
        """The same, if the accounts that gained by name were approved."""
        approved = tuple(
            replace(one, relation="approved") if one.relation in ("outside", "expired") else one
            for one in self.accounts
        )
        return replace(self, accounts=approved)

    @property
    def is_harmful(self) -> bool:
        """Whether somebody untrusted gained, or the owner lost hold of the key."""
        return bool(self.untrusted or self.of("KMS-P18") or self.of("KMS-P20"))

    def of(self, id_: str) -> tuple[Finding, ...]:
        """The findings with an id that are about this change, and not about what stood before."""
        return tuple(one for one in self.findings if one.id == id_ and not one.standing)

    def relation(self, principal: str) -> Relation:
        """What the account of a principal is to the owner."""
        return relation_of(principal, self.change, self.accounts, self.trust)

    def uses_by(self, *relations: Relation) -> tuple[Usage, ...]:
        """Uses of gained access by accounts that are one of these to the owner."""
        return tuple(one for one in self.related.uses if self.relation(one.principal) in relations)

    def earlier(self) -> Iterator[HistoryEntry]:
        """The versions of the policy before this change, the one it replaced left out."""
        replaced = self.compared.before.source
        for one in self.compared.history:
            if one.source.time is not None and one.source.time < self.change.event.time and one.source != replaced:
                yield one

    def restores(self) -> bool:
        """Whether the policy is, to the letter, one that the key had before the one it replaces."""
        digest = self.compared.after.digest
        return (
            digest is not None
            and digest != self.compared.before.digest
            and digest in {one.digest for one in self.earlier()}
        )

    def acts(self, names: frozenset[str]) -> tuple[Act, ...]:
        """The actor's acts around the change with one of these event names.

        Those who opened its session count as the actor, and whoever came from its address, if nobody had before.
        """
        actor = self.actor
        who = {actor.who, *(one.who for one in actor.chain)}
        theirs = (one for one in actor.acts.items if one.who in who or actor.address.is_new)
        return tuple(one for one in theirs if one.event_name in names)


@dataclass(frozen=True, slots=True)
class Said:
    """What a signal says when it applies; `would_change` names the fact that would take it away, "" if none would."""

    sentence: str
    findings: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()
    would_change: tuple[str, ...] = ()
