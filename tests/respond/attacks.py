"""What the tests of plans share: alerts of small archives, investigated as a scan does it, and what is proposed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from keytrail.fields import INVESTIGATION
from keytrail.investigate import Event, Knowledge, change_of, investigate
from keytrail.respond.facts import Current, KeyState, LiveGrant, Mark
from keytrail.respond.model import Kind, NoPlan, Plan, Proposal
from keytrail.respond.propose import propose
from keytrail.respond.situation import Situation
from keytrail.respond.subject import Subject, subject_of
from keytrail.respond.uses import RecentUses, recent_uses
from keytrail.settings import Accounts
from keytrail.store import MemoryStore
from tests.investigate import records

Json = dict[str, Any]

NOW = datetime(2026, 3, 3, 2, tzinfo=UTC)
ALERT = "ab12" * 16
CALLER = f"arn:aws:sts::{records.OWNER}:assumed-role/BreakGlass/night"

ROOT = records.root_arn(records.OWNER)
APP, ADMIN = records.role_arn("App"), records.role_arn("Admin")
OUTSIDE = records.root_arn(records.OUTSIDE)

OWNERS = records.allow(ROOT, Sid="Owner")
APPS = records.allow(APP, ["kms:Decrypt", "kms:GenerateDataKey"], Sid="App")
GOOD = records.policy(OWNERS, APPS)
OPENED = records.adding(GOOD, records.allow(OUTSIDE, "kms:Decrypt", Sid="Rogue"))
"""The good policy, and one that an outside account was let into."""


@dataclass(frozen=True)
class Attack:
    """A key's history as records, and what is known besides. `last` is the record that the alert is about."""

    told: tuple[Json, ...]
    last: Json
    accounts: Accounts = field(default_factory=Accounts)

    def alert(self) -> Json:
        """The alert with its investigation."""
        event = Event.of(self.last)
        assert event is not None
        change = change_of(event)
        assert change is not None
        [(_, found)] = investigate([change], self.store(), Knowledge(accounts=self.accounts))
        return {"kibana.alert.uuid": ALERT, INVESTIGATION: found.to_dict()}

    def store(self) -> MemoryStore:
        return MemoryStore(self.told)

    def subject(
        self,
        *,
        live: Json | str | None = None,
        marks: Sequence[Mark] = (),
        grants: Sequence[LiveGrant] | None = None,
        state: KeyState | None = None,
    ) -> Subject:
        """The subject, with the policy `live` as what AWS answers now."""
        text = json.dumps(live) if isinstance(live, dict) else live
        current = None if text is None else Current.read(text, NOW, "GetKeyPolicy")
        return subject_of(
            self.alert(), accounts=self.accounts, current=current, marks=marks, live_grants=grants, key_state=state
        )

    def uses(self, subject: Subject) -> RecentUses:
        """What the records of the last ninety days tell."""
        since = NOW - timedelta(days=90)
        return recent_uses(
            self.store(), subject.key, since, NOW, subject.accounts, subject.policies, subject.identities
        )

    def situation(self, subject: Subject, caller: str | None = CALLER) -> Situation:
        return Situation(subject, caller, self.uses(subject), NOW)

    def proposal(self, subject: Subject, caller: str | None = CALLER) -> Proposal:
        return propose(subject, caller=caller, uses=self.uses(subject), now=NOW)


def attack(
    document: Json,
    *more: Json,
    before: Json | None = GOOD,
    who: Json | None = None,
    at: str = "10:00",
    accounts: Accounts | None = None,
) -> Attack:
    """Somebody (`who`, else a session of role Mallory) gives the key a policy; without `before` nothing is known of it.

    `more` are further records.
    """
    change = records.put_policy(at, who or records.session("Mallory", name="m"), document)
    earlier = [] if before is None else [records.create_key("08:00", records.session("Admin", name="dana"), before)]
    return Attack((*earlier, change, *more), change, accounts or Accounts())


def opened(*more: Json, **given: Any) -> Attack:
    """An outside account is let in by a statement of its own."""
    return attack(OPENED, *more, **given)


def plan(proposal: Proposal, kind: Kind) -> Plan:
    """The one plan of a kind."""
    [found] = plans(proposal, kind)
    return found


def plans(proposal: Proposal, kind: Kind) -> list[Plan]:
    return [one for one in proposal.plans if one.kind == kind]


def without(proposal: Proposal, kind: Kind) -> NoPlan:
    """Why there is no plan of a kind."""
    assert not plans(proposal, kind)
    [found] = [one for one in proposal.without if one.kind == kind]
    return found


def claim(one: Plan, code: str) -> tuple[str, str]:
    """The answer and the sentence of a claim."""
    [found] = [each for each in one.claims if each.code == code]
    return found.answer, found.sentence


def texts(value: object) -> Iterable[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
