"""Sections of an investigation, made by hand: a plain honest change, of which a test says what is different."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from keytrail.investigate.accounts import account_facts
from keytrail.investigate.change import PolicyChange
from keytrail.investigate.events import Event
from keytrail.investigate.evidence import Evidence
from keytrail.investigate.findings import findings_of
from keytrail.investigate.model import (
    Act,
    Actor,
    Capped,
    ComparedChange,
    CoverageFacts,
    DataAtStake,
    Grant,
    HistoryEntry,
    Judgement,
    KeyFacts,
    PolicyVersion,
    RelatedActivity,
    Seen,
    Usage,
    VersionSource,
)
from keytrail.investigate.verdict import judge
from keytrail.policy import ChangeFacts, KeyPolicy, assess
from keytrail.settings.trust import Accounts, ApprovedAccount
from tests.investigate import records

Json = records.Json

PARTNER, FORMER = "777788889999", "888899990000"
APP = records.role_arn("App")
ORG = "o-a1b2c3d4e5"
NOW = records.moment("12:00")
TRUST = Accounts(
    organisation=ORG,
    names={records.OWNER: "payments", "222233334444": "security"},
    approved=(
        ApprovedAccount(PARTNER, "Partner of the exchange", NOW + timedelta(days=400)),
        ApprovedAccount(FORMER, "Contract ended", NOW - timedelta(days=31)),
    ),
)
ROOT = records.allow(records.root_arn(records.OWNER), Sid="Root")
READ = ("kms:Decrypt", "kms:DescribeKey")


def lets_in(account: str, actions: Sequence[str] = READ) -> Json:
    return records.allow(records.root_arn(account), list(actions))


def changed(*statements: Json, by: Json | None = None, **more: object) -> PolicyChange:
    """PutKeyPolicy at noon, by a session of the role Admin."""
    who = by or records.session("Admin", name="dana")
    return records.change(records.put_policy("12:00", who, records.policy(*statements), **more))


def version(statements: Sequence[Json] | None, when: str = "09:00", *, author: str = "somebody") -> PolicyVersion:
    """A version that an event gave; None for one that nobody knows."""
    if statements is None:
        return PolicyVersion("unknown", reason="nothing earlier was seen")
    document = records.policy(*statements)
    source = VersionSource("event", records.moment(when), f"put-{when}", "PutKeyPolicy", author)
    return PolicyVersion("known", KeyPolicy.parse(document), document, source)


def compared(
    change: PolicyChange, before: PolicyVersion, *, history: Sequence[PolicyVersion] = (), **more: object
) -> ComparedChange:
    """What is proved about a change, with the history, oldest first, that leads up to it."""
    event = change.event
    source = VersionSource("event", event.time, event.id, event.name, event.who)
    if change.policy is None:
        after, comparison = PolicyVersion("unknown", source=source, reason="CloudTrail left it out"), None
    else:
        document = json.loads(change.policy)
        after = PolicyVersion("known", KeyPolicy.parse(document), document, source)
        comparison = assess(
            before.policy,
            KeyPolicy.parse(document),
            change.key.account,
            org=TRUST.organisation,
            trusted_accounts=TRUST.trusted_at(event.time),
            facts=ChangeFacts(
                caller=event.caller,
                bypass_lockout_check=change.bypassed_lockout_check,
                before_known=before.status not in ("unknown", "gap"),
            ),
            at=event.time,
        )
    entries = tuple(
        HistoryEntry(one.status, one.source, one.digest) for one in (*history, before) if one.source is not None
    )
    baseline = "before" if before.policy is not None else "nothing"
    return ComparedChange(before, after, comparison, baseline, entries, **more)  # type: ignore[arg-type]


def actor(change: PolicyChange, **more: object) -> Actor:
    """Somebody known on the key, from a known address; nothing else was done."""
    event = change.event
    usual: dict[str, object] = {
        "who": event.who,
        "principal": event.principal,
        "type": "AssumedRole",
        "account": event.caller_account,
        "session_issuer": event.principal,
        "session_created": None,
        "mfa": True,
        "address": Seen(event.address, True, True),
        "agent": Seen(event.agent, True, True),
        "access_key": event.access_key,
        "access_key_kind": "temporary",
        "access_key_first_seen": NOW - timedelta(hours=1),
        "access_key_age_seconds": 3600,
        "before_on_key": True,
        "account_seen_since": NOW - timedelta(days=90),
        "chain": (),
        "acts": Capped(),
    }
    return Actor(**(usual | more))  # type: ignore[arg-type]


def acts(who: str, *names: str, outcome: str = "success") -> Capped[Act]:
    found = [
        Act(NOW, f"{name}-1", name, "x.amazonaws.com", records.OWNER, records.REGION, who, "192.0.2.10", outcome, "",
            "other", name)  # type: ignore[arg-type]
        for name in names
    ]  # fmt: skip
    return Capped.of(found, 100)


def usage(principal: str, count: int = 3, *, after_revert: int = 0, first: datetime | None = None) -> Usage:
    begin = first or NOW + timedelta(minutes=3)
    ids = [f"use-{number}" for number in range(count)]
    return Usage(
        principal, "kms:Decrypt", count, count - after_revert, after_revert, begin, begin + timedelta(minutes=10),
        Capped.of(ids, 25), Capped.of(["arn:aws:s3:::ledger/2026.parquet"], 10),
    )  # fmt: skip


def grant(grantee: str, name: str = "grant-1") -> Grant:
    return Grant(name, grantee, ("Decrypt", "CreateGrant"), NOW - timedelta(hours=1), f"{name}-event", "somebody")


def related(
    *, uses: Sequence[Usage] = (), since: Sequence[Grant] = (), surviving: Sequence[Grant] = ()
) -> RelatedActivity:
    ids = tuple(id_ for use in uses for id_ in use.event_ids.items)
    return RelatedActivity(Capped(), tuple(uses), tuple(since), tuple(surviving), ids)


def key(**more: object) -> KeyFacts:
    usual: dict[str, object] = {
        "arn": records.KEY,
        "arn_source": "resources",
        "key_id": records.KEY.rpartition("/")[2],
        "account": records.OWNER,
        "region": records.REGION,
        "multi_region": False,
    }
    return KeyFacts(**(usual | more))  # type: ignore[arg-type]


def data(*services: str) -> Capped[DataAtStake]:
    rows = [
        DataAtStake(service, "object", f"{service}-{number}", {}, "encryption_context", 1, NOW, NOW, Capped(), (), "e")
        for number, service in enumerate(services)
    ]
    return Capped.of(rows, 50)


def covered() -> CoverageFacts:
    return CoverageFacts(records.OWNER, records.REGION, NOW - timedelta(days=90), NOW, (records.OWNER,), 0, ())


def judged(
    change: PolicyChange,
    known: ComparedChange,
    *,
    by: Actor | None = None,
    around: RelatedActivity | None = None,
    about: KeyFacts | None = None,
    stake: Capped[DataAtStake] | None = None,
    trust: Accounts = TRUST,
    remade: Sequence[Event] = (),
) -> Judgement:
    """The verdict, with accounts and findings as the sections themselves make them."""
    accounts = account_facts(change, known, trust)
    around, about, stake = around or related(), about or key(), stake or data()
    findings = findings_of(change, known, around, about, stake, accounts, trust=trust)
    return judge(
        Evidence(change, about, known, accounts, stake, by or actor(change), around, covered(), findings, trust, remade)
    )
