"""The ledger: what was planted, so that every answer about the archive can be checked against the truth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields

from keytrail.simulation.cast import Keys
from keytrail.simulation.expected import expected_alerts
from keytrail.simulation.organisation import (
    ACCOUNTS,
    FORMER_PARTNER,
    ORGANISATION,
    PARTNER,
    Site,
    iso,
)
from keytrail.simulation.policies import Json
from keytrail.simulation.story import Change, Planted, Version

REVERT_SECONDS = 3600

ABOUT = {
    "about": "What was planted in this example archive. Times are UTC event times, ids are CloudTrail event ids.",
    "archive": "How the archive was made: the same values give the same bytes.",
    "organisation": (
        "Accounts of the organisation and outside accounts that it approved; a change after `expires` is not approved."
    ),
    "counts": (
        "Records by event name, each event once; `duplicates` are records delivered a second time, on top of `events`. "
        "`asides` are digest and insight objects, which hold no events."
    ),
    "alerts": "Rule id of the built-in pack -> ids of the events it must report.",
    "keys": "The keys of the story by the part they play. Three regions of one multi-Region key share its id.",
    "changes": (
        "Every successful change of a key's policy, by time. `before` and `after`: status known, default (created "
        "without a policy), none (the key is new) or unknown, with the event the document comes from. `gained` and "
        "`lost` name principals (`*` is everyone, `limit` what a condition leaves of it); of a new key only principals "
        "beyond the owner's account are named. `outside_accounts` are those gained that are not of the "
        "organisation. `data_at_stake` counts successful earlier uses of the key by encryption context. "
        "`refused_before`: the same change tried before; `reverted_by`: a change within the hour that restores "
        "`before`; `used_since`: successful later uses by accounts from outside that gained; `surviving_grants`: "
        "grants to accounts that this change shuts out, never revoked."
    ),
    "events": "Every planted event, by time: its place in the story, and the objects (paths from here) that hold it.",
}

APPROVED_ACCOUNTS = (
    (PARTNER, "Partner of the exchange", 400),
    (FORMER_PARTNER, "Former partner, contract ended", -31),
)

_SERVICES = {  # Encryption context key -> service (AWS KMS developer guide)
    "aws:s3:arn": "s3",
    "SecretARN": "secretsmanager",
    "PARAMETER_ARN": "ssm",
    "aws:ebs:id": "ebs",
    "aws:rds:db-id": "rds",
    "aws:dynamodb:tableName": "dynamodb",
    "aws:sqs:arn": "sqs",
    "aws:redshift:arn": "redshift",
}


def ledger(
    planted: list[Planted],
    keys: Keys,
    objects: Mapping[str, list[str]],
    *,
    archive: Mapping[str, object],
    counts: Mapping[str, object],
    start: int,
) -> bytes:
    """Return the ledger as JSON text. `objects` gives for an event id the paths of the objects that hold it."""
    by_time = sorted(planted, key=lambda one: (one.moment, one.event_id))
    alerts = expected_alerts(by_time)
    rules_of: dict[str, list[str]] = {}
    for rule, ids in alerts.items():
        for event_id in ids:
            rules_of.setdefault(event_id, []).append(rule)
    content = {
        "about": ABOUT,
        "archive": dict(archive),
        "organisation": {
            "id": ORGANISATION,
            "accounts": ACCOUNTS,
            "approved_accounts": [
                {"account": account, "reason": reason, "expires": iso(start + days * 86400)}
                for account, reason, days in APPROVED_ACCOUNTS
            ],
        },
        "counts": dict(counts),
        "alerts": alerts,
        "keys": {
            field.name: {"arn": key.arn, "alias": key.alias, **_site(key.site)}
            for field in fields(keys)
            for key in [getattr(keys, field.name)]
        },
        "changes": [_change(one, one.change, by_time) for one in by_time if one.change],
        "events": [
            {
                "event_id": one.event_id,
                "time": iso(one.moment),
                **_site(one.site),
                "provider": one.provider,
                "event_name": one.name,
                "step": one.step,
                "what": one.what,
                "principal": one.principal,
                **_caller(one),
                "error": one.error,
                "key": one.key.arn if one.key else None,
                "context": one.context,
                "alerts": rules_of.get(one.event_id, []),
                "objects": objects[one.event_id],
            }
            for one in by_time
        ],
    }
    return (json.dumps(content, indent=1, ensure_ascii=True) + "\n").encode()


def accounts_toml(start: int) -> bytes:
    """Return the accounts.toml of the organisation, as the ledger knows it: who is trusted, and until when."""
    lines = ["# Who is trusted in this example archive.", f'organisation = "{ORGANISATION}"', "", "[accounts]"]
    lines += [f'"{account}" = "{name}"' for account, name in ACCOUNTS.items()]
    for account, reason, days in APPROVED_ACCOUNTS:
        expires = iso(start + days * 86400)
        lines += ["", "[[approved]]", f'account = "{account}"', f'reason = "{reason}"', f"expires = {expires}"]
    return ("\n".join(lines) + "\n").encode()


def _change(one: Planted, change: Change, story: list[Planted]) -> Json:
    assert one.key is not None
    same_key = [other for other in story if other.key == one.key]
    gained = {gain.principal for gain in change.gained}
    outside = _outside(gained)
    lost = _outside(set(change.lost))
    policy = _policy_sent(one)
    return {
        "event_id": one.event_id,
        "time": iso(one.moment),
        **_site(one.site),
        "event_name": one.name,
        "step": one.step,
        "principal": one.principal,
        "key": one.key.arn,
        "before": _version(change.before),
        "after": _version(change.after),
        "bypassed_lockout_check": change.bypassed_lockout_check,
        "gained": [asdict(gain) for gain in change.gained],
        "lost": list(change.lost),
        "outside_accounts": sorted(outside),
        "data_at_stake": _data_at_stake([other for other in same_key if other.moment < one.moment]),
        "refused_before": [
            other.event_id
            for other in same_key
            if other.error and other.moment < one.moment and policy and _policy_sent(other) == policy
        ],
        "reverted_by": next(
            (
                other.event_id
                for other in same_key
                if other.change
                and 0 < other.moment - one.moment <= REVERT_SECONDS
                and change.before.policy is not None
                and other.change.after.policy == change.before.policy
            ),
            None,
        ),
        "used_since": [
            other.event_id
            for other in same_key
            if other.moment > one.moment and _is_use(other) and _account(other.principal) in outside
        ],
        "surviving_grants": [
            other.event_id
            for other in same_key
            if other.name == "CreateGrant" and other.moment < one.moment and _account(_grantee(other)) in lost
        ],
    }


def _data_at_stake(earlier: list[Planted]) -> list[Json]:
    """Return the encryption contexts of successful uses, most used first."""
    groups: dict[str, list[Planted]] = {}
    for one in earlier:
        if one.context and one.error is None:
            groups.setdefault(json.dumps(one.context, sort_keys=True), []).append(one)
    rows: list[Json] = [
        {
            "service": _SERVICES[next(iter(uses[0].context or ()))],
            "context": uses[0].context,
            "count": len(uses),
            "first": iso(uses[0].moment),
            "last": iso(uses[-1].moment),
            "principals": sorted({one.principal for one in uses}),
        }
        for uses in groups.values()
    ]
    return sorted(rows, key=lambda row: (-int(str(row["count"])), json.dumps(row["context"], sort_keys=True)))


def _is_use(one: Planted) -> bool:
    return one.context is not None and one.error is None and one.name != "CreateGrant"


def _outside(principals: set[str]) -> set[str]:
    return {account for account in map(_account, principals) if account and account not in ACCOUNTS}


def _account(principal: str) -> str:
    """Return the account of an ARN, "" when it has none (`*`, a service)."""
    parts = principal.split(":")
    return parts[4] if len(parts) > 5 else ""


def _grantee(one: Planted) -> str:
    return str(json.loads(one.text)["requestParameters"]["granteePrincipal"])


def _caller(one: Planted) -> Json:
    """Return where a call came from, with what program and access key, as its record says."""
    record = json.loads(one.text)
    return {
        "address": record["sourceIPAddress"],
        "agent": record["userAgent"],
        "access_key": record["userIdentity"].get("accessKeyId"),
    }


def _policy_sent(one: Planted) -> str | None:
    if one.name != "PutKeyPolicy":
        return None
    policy = json.loads(one.text)["requestParameters"].get("policy")
    return str(policy) if policy is not None else None


def _version(version: Version) -> Json:
    return asdict(version)


def _site(site: Site) -> Json:
    return {"account": site.account, "region": site.region}
