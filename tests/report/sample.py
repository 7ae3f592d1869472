"""An alert with an investigation, made by hand from the values of `investigate.model`, and one without."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from keytrail.cloudtrail import normalize
from keytrail.detect import Execution, alert_id, build_alert
from keytrail.investigate import model as m
from keytrail.policy import Caller, ChangeFacts, KeyPolicy, assess
from keytrail.report import ReportItem
from keytrail.rules import builtin

OWNER, OUTSIDE = "444455556666", "999988887777"
KEY_ID = "784b40cb-e733-4a7f-a154-e291429847f8"
KEY = f"arn:aws:kms:eu-central-1:{OWNER}:key/{KEY_ID}"
ACTOR = f"arn:aws:sts::{OWNER}:assumed-role/KeyAdministrator/build-agent-17"
ROLE = f"arn:aws:iam::{OWNER}:role/KeyAdministrator"
SSO = "AWSReservedSSO_PlatformAdmin_0123456789abcdef"
ADMIN = f"arn:aws:iam::{OWNER}:role/aws-reserved/sso.amazonaws.com/{SSO}"
API, BATCH = f"arn:aws:iam::{OWNER}:role/payments-api", f"arn:aws:iam::{OWNER}:role/payments-batch"
AGENT = "aws-cli/2.15.30 Python/3.11.8 Linux/6.5.0 exe/x86_64"
CHANGE_ID = "2cf46172-b01c-4e47-a562-143da6dc4082"
CHANGED = datetime(2026, 3, 6, 22, 27, 30, tzinfo=UTC)
RESTORED = datetime(2026, 3, 7, 8, 40, 19, tzinfo=UTC)
POLICY_RULE = "AWS KMS Key Policy Updated via PutKeyPolicy"
GRANT_RULE = "AWS KMS Grant Created by Direct Call"

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Texts:
    """What an attacker chooses in the sample."""

    sid: str = "Partner access"
    agent: str = AGENT
    session: str = "build-agent-17"
    alias: str = "alias/payments-data"
    resource: str = "arn:aws:s3:::example-payments-ledger/2026/03/cards.parquet"
    sentence: str = "decrypted an object of example-payments-ledger"
    name: str = "Decrypt"


def policies(sid: str = "Partner access") -> tuple[Json, Json]:
    """The policy before, and after: an outside account was let in and a role shut out."""
    uses = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    handles = ["kms:DescribeKey", "kms:DisableKey", "kms:EnableKey", "kms:Get*", "kms:List*", "kms:PutKeyPolicy"]

    def statement(sid: str, principal: object, action: object, **more: object) -> Json:
        return {
            "Sid": sid, "Effect": "Allow", "Principal": {"AWS": principal}, "Action": action, "Resource": "*", **more
        }  # fmt: skip

    root = statement("Enable IAM User Permissions", f"arn:aws:iam::{OWNER}:root", "kms:*")
    admin = statement("Key administrators", ADMIN, handles)
    kept = {"StringEquals": {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com"}}
    before = [root, admin, statement("Use of the key", [API, BATCH], uses)]
    partner = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
    after = [
        root,
        admin,
        statement("Use of the key", API, uses),
        statement(sid, f"arn:aws:iam::{OUTSIDE}:root", partner),
        statement("Reader", f"arn:aws:iam::{OUTSIDE}:role/reader", "kms:ReEncrypt*", Condition=kept),
    ]
    return tuple({"Version": "2012-10-17", "Id": "example-team-policy", "Statement": one} for one in (before, after))  # type: ignore[return-value]


def record(name: str, parameters: Json, texts: Texts = Texts(), *, event_id: str = CHANGE_ID) -> Json:
    """A record as CloudTrail writes it."""
    return {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": f"AROAJLN4L57NGSBXB7QDZ:{texts.session}",
            "arn": ACTOR.replace("build-agent-17", texts.session),
            "accountId": OWNER,
            "accessKeyId": "ASIAU7EQJZDFSEXAMPLE",
            "sessionContext": {"sessionIssuer": {"type": "Role", "arn": ROLE, "accountId": OWNER}},
        },
        "eventTime": "2026-03-06T22:27:30Z",
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": "eu-central-1",
        "sourceIPAddress": "198.51.100.77",
        "userAgent": texts.agent,
        "requestParameters": parameters,
        "responseElements": None,
        "eventID": event_id,
        "readOnly": False,
        "resources": [{"accountId": OWNER, "type": "AWS::KMS::Key", "ARN": KEY}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": OWNER,
    }


def alert(record: Json, name: str) -> Json:
    """The alert document of a built-in rule."""
    [rule] = [rule for rule in builtin().rules if rule.name == name]
    at = Execution("run-1", datetime(2026, 4, 1, tzinfo=UTC))
    return dict(build_alert(rule, normalize(record), id=alert_id(rule.rule_id, record), execution=at))


def investigated(texts: Texts = Texts(), *, event_id: str = CHANGE_ID) -> ReportItem:
    """The alert about the change, with its investigation."""
    _, after = policies(texts.sid)
    sent = {"keyId": KEY_ID, "policyName": "default", "policy": json.dumps(after)}
    raw = record("PutKeyPolicy", sent, texts, event_id=event_id)
    found = investigation(texts).to_dict()
    return ReportItem(alert(raw, POLICY_RULE) | {"keytrail.investigation": found}, json.dumps(raw))


def plain(number: int = 0) -> ReportItem:
    """An alert that is not investigated."""
    raw = record(
        "CreateGrant", {"keyId": KEY, "granteePrincipal": API}, event_id=f"9ec42dbb-0000-4000-8000-{number:012}"
    )
    return ReportItem(alert(raw, GRANT_RULE), json.dumps(raw))


def act(minutes: float, name: str, sentence: str, *, who: str = ACTOR, error: str = "", kind: str = "other") -> m.Act:
    """An act so many minutes after the change."""
    time = CHANGED + timedelta(minutes=minutes)
    return m.Act(
        time=time,
        event_id=f"{abs(hash_of(name, minutes)):08x}-0000-4000-8000-000000000001",
        event_name=name,
        provider="kms.amazonaws.com",
        account=OWNER,
        region="eu-central-1",
        who=who,
        address="198.51.100.77",
        outcome="failure" if error else "success",
        error=error,
        kind=kind,
        sentence=sentence,
    )


def hash_of(name: str, minutes: float) -> int:
    """A number that is the same in every run."""
    return sum(ord(character) * (at + 7) for at, character in enumerate(name)) * 7919 + int(minutes * 60) + 10**7


def entry(one: m.Act, lane: str, count: int = 1) -> m.TimelineEntry:
    """An act as a line of the time line."""
    return m.TimelineEntry(
        one.time, one.event_id, one.event_name, lane, one.who, one.sentence, bool(one.error), count  # type: ignore[arg-type]
    )  # fmt: skip


def datum(service: str, kind: str, resource: str, count: int, basis: str = "encryption_context") -> m.DataAtStake:
    """A resource under the key."""
    return m.DataAtStake(
        service=service,
        kind=kind,
        resource=resource,
        context={},
        basis=basis,  # type: ignore[arg-type]
        count=count,
        first=CHANGED - timedelta(days=4, hours=3),
        last=CHANGED - timedelta(hours=5),
        principals=m.Capped.of((API, BATCH)[: 1 + count % 2], 5),
        operations=("Decrypt", "GenerateDataKey"),
        example="53d0a3c1-0000-4000-8000-000000000001",
        note="" if basis != "inferred" else "the bucket's default encryption names the key",
    )


def summed(one: m.DataAtStake) -> m.DataSummary:
    """What is said of a resource, or a bucket, as a whole."""
    contexts = 55 if one.kind == "bucket" else 1
    return m.DataSummary(one.service, one.kind, one.resource, contexts, one.count, one.first, one.last)


def investigation(texts: Texts = Texts()) -> m.Investigation:
    """An outside account was let in at night by a session that was new, read data, and kept a grant."""
    old, new = policies(texts.sid)
    before, after = KeyPolicy.parse(json.dumps(old)), KeyPolicy.parse(json.dumps(new))
    facts = ChangeFacts(caller=Caller.parse(ROLE))
    comparison = assess(before, after, OWNER, org="o-exampleorgid", facts=facts, at=CHANGED)
    stranger = f"arn:aws:sts::{OUTSIDE}:assumed-role/collector/{texts.session}"
    attempts = [
        act(m_, "PutKeyPolicy", "tried to set the same policy and was refused", error="AccessDenied")
        for m_ in (-5.9, -5.4)
    ]
    change = replace(act(0, "PutKeyPolicy", "replaced the policy of the key"), event_id=CHANGE_ID)
    looks = [
        act(-23.3, "GetCallerIdentity", "asked who it is"),
        act(-22.4, "ListUsers", "listed users"),
        act(-21.2, "ListRoles", "listed roles"),
        act(-19.1, "ListKeys", "listed keys", kind="look"),
        act(-18.9, "GetKeyPolicy", "read the policy of the key", kind="look"),
        act(-9.5, "AssumeRole", "assumed the role KeyAdministrator", kind="role"),
    ]
    reads = [act(m_ / 4, texts.name, texts.sentence, who=stranger, kind="use") for m_ in range(12, 80, 4)]
    later = [
        act(60 * h, texts.name, "decrypted by a grant", who=stranger, kind="use") for h in (11.6, 12.6, 13.6, 38.6)
    ]
    granted = act(0.7, "CreateGrant", "created a grant for the outside account")
    restored = replace(act(0, "PutKeyPolicy", "put the policy before back", who=ADMIN), time=RESTORED)
    used = act(-60 * 24 * 3, "Decrypt", "decrypted", who=API)
    line = [
        entry(used, "key", 41),
        *(entry(one, "actor") for one in looks),
        *(entry(one, "attempt") for one in attempts),
        entry(change, "change"),
        entry(granted, "access"),
        *(entry(one, "access") for one in reads),
        entry(act(5, "GetObject", "read cards.parquet", who=stranger), "data", 7),
        entry(act(28.3, "UpdateAlias", "moved the alias to another key"), "key"),
        entry(restored, "change"),
        *(entry(one, "access") for one in later),
    ]
    usage = m.Usage(
        principal=stranger,
        action="kms:Decrypt",
        count=21,
        in_force=17,
        after_revert=4,
        first=reads[0].time,
        last=later[-1].time,
        event_ids=m.Capped.of([one.event_id for one in reads], 5),
        resources=m.Capped.of([texts.resource], 5),
    )
    grant = m.Grant(
        grant_id="0c237476b39f8bc44e45212e08498fbe3151305030726c0590dd8d3e9f3d6a60",
        grantee=f"arn:aws:iam::{OUTSIDE}:role/collector",
        operations=("Decrypt", "GenerateDataKey"),
        created=granted.time,
        event_id=granted.event_id,
        created_by=ACTOR,
    )
    listed = [
        datum("s3", "object", texts.resource, 5),
        datum("s3", "object", "arn:aws:s3:::example-payments-ledger/2026/02/closing.parquet", 5),
        datum(
            "secretsmanager",
            "secret",
            f"arn:aws:secretsmanager:eu-central-1:{OWNER}:secret:prod/payments/db-a1B2c3",
            12,
        ),
        datum("dynamodb", "table", "payments-v2", 4),
        datum("ebs", "volume", "vol-0a91f3c5d7e52b114", 1, "request"),
        datum("s3", "bucket", "arn:aws:s3:::example-payments-ledger", 1, "inferred"),
    ]
    version = m.VersionSource(
        "event", CHANGED - timedelta(days=3), "a78ff29c-7256-4f57-aacc-487678ffa6aa", "PutKeyPolicy", ADMIN
    )
    now = m.VersionSource("event", CHANGED, CHANGE_ID, "PutKeyPolicy", ACTOR)
    created = m.Fact("2026-03-02T08:02:11Z", CHANGED - timedelta(days=4), "c580f59d-61c1-4e0e-a53c-d2d9f5f6a7e5")
    return m.Investigation(
        event_id=CHANGE_ID,
        judgement=m.Judgement(
            "malicious",
            96,
            f"Account {OUTSIDE}, which is outside the organisation and not approved, can decrypt with this key and "
            "create grants for it since the change, and it did: 21 times, 4 of them after the policy was put back.",
            (
                m.Reason(
                    "outside",
                    "An account outside the organisation that nobody approved gained decryption.",
                    40,
                    ("KMS-P02", "KMS-P05"),
                ),
                m.Reason(
                    "used", "It used the access 21 times.", 25, ("KMS-P31",), tuple(one.event_id for one in reads[:8])
                ),
                m.Reason(
                    "refused",
                    "The same change was tried and refused twice just before.",
                    15,
                    (),
                    tuple(one.event_id for one in attempts),
                ),
                m.Reason("known_actor", "The role had handled this key before.", -4),
            ),
            (
                f"An approval of account {OUTSIDE} in accounts.toml that holds at the time of the change.",
                "A change request that names the event.",
            ),
        ),
        key=m.KeyFacts(
            arn=KEY,
            arn_source="resources",
            key_id=KEY_ID,
            account=OWNER,
            region="eu-central-1",
            multi_region=False,
            aliases=(m.Alias(texts.alias, CHANGED - timedelta(days=4), "e-alias", True),),
            state=m.Fact("Enabled", CHANGED, CHANGE_ID),
            origin=m.Fact("AWS_KMS", CHANGED - timedelta(days=4), "e-create"),
            created=created,
            inventory=(m.InventoryEntry(texts.alias, "team payments", "ledger", "PCI", "inventory.csv:12"),),
        ),
        change=m.ComparedChange(
            before=m.PolicyVersion("known", before, old, version),
            after=m.PolicyVersion("known", after, new, now),
            comparison=comparison,
            refused_before=tuple(one.event_id for one in attempts),
            in_force_until=RESTORED,
        ),
        accounts=(
            m.AccountFact(OUTSIDE, "outside", True, actions=("kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKey")),
            m.AccountFact(OWNER, "owner", False, name="payments"),
        ),
        data_at_stake=m.StakedData(
            tuple(listed),
            61,
            summary=m.Capped.of([summed(one) for one in listed[1:]], 50),
            by_service={"s3": 57, "secretsmanager": 1, "dynamodb": 1, "ebs": 1},
            complete=False,
        ),
        actor=m.Actor(
            who=ACTOR.replace("build-agent-17", texts.session),
            principal=ROLE,
            type="AssumedRole",
            account=OWNER,
            session_issuer=ROLE,
            session_created=CHANGED - timedelta(minutes=9),
            mfa=False,
            address=m.Seen("198.51.100.77", False, False),
            agent=m.Seen(texts.agent, False, True),
            access_key="ASIAU7EQJZDFSEXAMPLE",
            access_key_kind="temporary",
            access_key_first_seen=CHANGED - timedelta(minutes=9),
            access_key_age_seconds=570,
            before_on_key=True,
            account_seen_since=CHANGED - timedelta(days=4, hours=22),
            chain=(looks[-1],),
            acts=m.Capped.of([*looks, *attempts, granted], 100),
            acts_by_kind={"look": 2, "role": 1, "other": 6},
        ),
        related=m.RelatedActivity(
            principals=m.Capped.of([m.PrincipalActivity(stranger, data_access=m.Capped.of(reads[:3], 2))], 25),
            uses=(usage,),
            grants_since=(grant,),
            surviving_grants=(grant,),
            used_event_ids=tuple(one.event_id for one in reads),
        ),
        timeline=m.Capped.of(line, 200),
        findings=comparison.findings,
        coverage=m.CoverageFacts(
            account=OWNER,
            region="eu-central-1",
            first=CHANGED - timedelta(days=4, hours=22),
            last=CHANGED + timedelta(days=2),
            accounts_seen=("111122223333", OWNER),
            unreadable=2,
            gaps=(
                "Nothing before 2026-03-02 00:00 was read.",
                f"No trail of account {OUTSIDE} was read: what it did there is not seen.",
            ),
        ),
        truncated=(m.Truncated("data_at_stake", len(listed), 61),),
    )
