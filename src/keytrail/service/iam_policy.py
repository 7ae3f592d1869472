"""The least that IAM has to allow for what the settings name: a policy for each identity that is used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from shlex import quote

from keytrail.errors import UsageError
from keytrail.phrases import joined
from keytrail.respond.accounts import ACTIONS_TO_FIND_ACCOUNTS, ACTIONS_TO_FIND_REGIONS, role_arn
from keytrail.respond.config_history import ACTION as CONFIG_HISTORY
from keytrail.respond.keys import ACTIONS_TO_LIST, ACTIONS_TO_READ
from keytrail.settings import Settings
from keytrail.settings.notify import EventBridgeSettings, OcsfSettings, SecurityHubSettings, SinkSettings, SnsSettings
from keytrail.settings.respond import PoliciesSettings
from keytrail.sources.feeds import FeedSettings, iam_needs

Json = dict[str, object]

# What each action is for, as the Sid of its statement, in the order of the policy.
_PURPOSES = {
    "s3:ListBucket": "ListTheTrail",
    "s3:GetObject": "ReadTheTrail",
    "sqs:GetQueueUrl": "ReceiveFromQueues",
    "sqs:GetQueueAttributes": "ReceiveFromQueues",
    "sqs:ReceiveMessage": "ReceiveFromQueues",
    "sqs:ChangeMessageVisibility": "ReceiveFromQueues",
    "sqs:DeleteMessage": "ReceiveFromQueues",
    "cloudtrail:LookupEvents": "LookUpEvents",
    "ec2:DescribeRegions": "FindTheRegions",
    "organizations:ListAccounts": "FindTheAccounts",
    "kms:ListKeys": "ListKeys",
    "kms:ListAliases": "ListKeys",
    "kms:DescribeKey": "ReadKeys",
    "kms:ListKeyPolicies": "ReadKeys",
    "kms:GetKeyPolicy": "ReadKeys",
    "kms:ListGrants": "ReadKeys",
    "kms:ListResourceTags": "ReadKeys",
    "kms:GetKeyRotationStatus": "ReadKeys",
    CONFIG_HISTORY: "ReadConfigHistory",
    "sns:Publish": "TellBySns",
    "events:PutEvents": "TellByEventBridge",
    "securityhub:BatchImportFindings": "TellBySecurityHub",
    "s3:PutObject": "WriteFindings",
    "sts:AssumeRole": "UseOtherRoles",
}
_ANY_QUEUE_OBJECT = "arn:aws:s3:::*/AWSLogs/*"


@dataclass(frozen=True, slots=True)
class IdentityPolicy:
    """What one identity needs: the ARN of a role, or "" for the one that keytrail is started with.

    `document` is a policy as IAM takes it, None where the identity needs nothing. `notes` say what the policy cannot.
    """

    identity: str
    document: Json | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Need:
    action: str
    resource: str


def iam_policies(settings: Settings, feeds: FeedSettings) -> tuple[IdentityPolicy, ...]:
    """The policies that the feeds of [watch], the looks of [policies] and the sinks of [notify] need, the one of the
    starting identity first.

    `feeds` are what the feeds are opened with. Asks nobody. Raises UsageError for a feed that cannot be one.
    """
    needs: dict[str, list[_Need]] = {"": []}
    working = settings.aws.role_arn or ""
    if working:
        needs[""].append(_Need("sts:AssumeRole", working))
    for text in settings.watch.sources:
        of_feed = [_Need(*one) for one in iam_needs(text, feeds)]
        roles = [one.resource for one in of_feed if one.action == "sts:AssumeRole"]
        # The roles of LookupEvents are assumed with what keytrail is started with, not with the role of [aws].
        needs[""] += [_Need("sts:AssumeRole", role) for role in roles]
        needs.setdefault(working, []).extend(one for one in of_feed if one.action != "sts:AssumeRole")
        for role in roles:
            needs.setdefault(role, []).extend(_Need(*one) for one in iam_needs(_without_roles(text), _own(feeds)))
    _add_keys(needs, settings, working)
    for sink in settings.notify.sinks:
        needs.setdefault(working, []).extend(_of_sink(sink, settings.aws.region or ""))
    partition = _partition(settings.aws.region or "")
    return tuple(_policy(identity, each, partition, needs) for identity, each in needs.items())


def policy_for(policies: Iterable[IdentityPolicy], identity: str) -> IdentityPolicy:
    """The policy of an identity; of an organisation's roles any may be named.

    Raises UsageError for a role that the settings do not name.
    """
    known = {one.identity: one for one in policies}
    named = next((name for name in known if name == identity or fnmatchcase(identity, name)), None)
    if named is None:
        roles = [one for one in known if one]
        raise UsageError(
            f"the settings do not name the role {identity!r}",
            advice=f"They name {joined(roles)}." if roles else "They name no role.",
        )
    return known[named]


# -- needs ------------------------------------------------------------------------------------------------------------


def _without_roles(text: str) -> str:
    return text.partition("?")[0]


def _own(feeds: FeedSettings) -> FeedSettings:
    return replace(feeds, lookup_role_arns=())


def _add_keys(needs: dict[str, list[_Need]], settings: Settings, working: str) -> None:
    """What it takes to look at the keys of [policies], where it says whose or how often."""
    told = settings.policies
    if not (told.every_hours or told.accounts or told.organisation):
        return
    partition = _partition(settings.aws.region or (told.regions[0] if told.regions else ""))
    if told.organisation:
        needs.setdefault(working, []).extend(_Need(action, "*") for action in ACTIONS_TO_FIND_ACCOUNTS)
    reached = told.accounts or (("*",) if told.organisation else ())
    if told.role_name and reached:
        for account in reached:
            role = role_arn(account, told.role_name, partition)
            # Roles are assumed with what keytrail is started with, not with the role of [aws].
            needs[""].append(_Need("sts:AssumeRole", role))
            needs.setdefault(role, []).extend(_of_keys(told, account, partition))
    if not told.accounts or not told.role_name or told.organisation:
        # The account of the credentials is one of them, and reached without a role.
        needs.setdefault(working, []).extend(_of_keys(told, "*", partition))


def _of_keys(told: PoliciesSettings, account: str, partition: str) -> Iterator[_Need]:
    for action in ACTIONS_TO_LIST if told.regions else (*ACTIONS_TO_FIND_REGIONS, *ACTIONS_TO_LIST):
        yield _Need(action, "*")
    for region in told.regions or ("*",):
        for action in ACTIONS_TO_READ:
            yield _Need(action, f"arn:{partition}:kms:{region}:{account}:key/*")
    if told.config_history:
        yield _Need(CONFIG_HISTORY, "*")


def _of_sink(sink: SinkSettings, region: str) -> Iterator[_Need]:
    match sink:
        case SnsSettings():
            yield _Need("sns:Publish", sink.topic_arn)
        case EventBridgeSettings():
            yield _Need("events:PutEvents", sink.bus_arn)
        case SecurityHubSettings():
            where = sink.region or region
            # The account is that of the credentials, which nobody is asked for here.
            product = f"arn:{_partition(where)}:securityhub:{where or '*'}:*:product/*/default"
            yield _Need("securityhub:BatchImportFindings", product)
        case OcsfSettings() if sink.path.startswith("s3://"):
            bucket, _, prefix = sink.path.removeprefix("s3://").partition("/")
            below = f"{re.sub(r'[*?$]', '?', prefix.rstrip('/'))}/*".lstrip("/")
            yield _Need("s3:PutObject", f"arn:aws:s3:::{bucket}/{below}")
        case _:
            return


def _partition(region: str) -> str:
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


# -- documents --------------------------------------------------------------------------------------------------------


def _policy(identity: str, needs: list[_Need], partition: str, all_needs: dict[str, list[_Need]]) -> IdentityPolicy:
    # The ARN of a bucket tells no Region, and so not its partition either.
    placed = [_Need(one.action, one.resource.replace("arn:aws:s3:::", f"arn:{partition}:s3:::")) for one in needs]
    statements = list(_statements(placed))
    document: Json | None = {"Version": "2012-10-17", "Statement": statements} if statements else None
    roles = [role for role in all_needs if role] if not identity else []
    notes = list(_notes(needs, roles))
    if roles and not _reads_keys(needs) and any(_reads_keys(all_needs[role]) for role in roles):
        notes.append(
            "in the account of the credentials no role is assumed to read its keys: if it is one of the accounts of "
            "[policies], this identity needs what that role needs"
        )
    return IdentityPolicy(identity, document, tuple(notes))


def _reads_keys(needs: list[_Need]) -> bool:
    return any(one.action == "kms:GetKeyPolicy" for one in needs)


def _statements(needs: list[_Need]) -> Iterator[Json]:
    """One statement for each purpose and set of actions, with all the resources that these are for."""
    order = list(_PURPOSES)
    purposes: dict[tuple[str, str], set[str]] = {}
    for one in needs:
        purposes.setdefault((_PURPOSES[one.action], one.resource), set()).add(one.action)
    grouped: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for (purpose, resource), actions in purposes.items():
        grouped.setdefault((purpose, tuple(sorted(actions, key=order.index))), set()).add(resource)
    seen: dict[str, int] = {}
    for (purpose, wanted), resources in sorted(grouped.items(), key=lambda one: order.index(one[0][1][0])):
        seen[purpose] = number = seen.get(purpose, 0) + 1
        yield {
            "Sid": purpose if number == 1 else f"{purpose}{number}",
            "Effect": "Allow",
            "Action": list(wanted),
            "Resource": sorted(resources),
        }


def _notes(needs: list[_Need], roles: list[str]) -> Iterator[str]:
    actions = {one.action for one in needs}
    for role in roles:
        yield (
            f"{role} needs a policy of its own (keytrail config iam-policy --role {quote(role)}), and a trust policy "
            "that lets this identity assume it"
        )
    services = [name for name, action in (("s3", "s3:GetObject"), ("sqs", "sqs:ReceiveMessage")) if action in actions]
    if services:
        yield (
            "where the trail or a queue is encrypted by a KMS key of yours, allow kms:Decrypt on the ARN of that key, "
            f"with the condition StringEquals kms:ViaService {_via(services)}; the key's policy has to allow it too"
        )
    written = [name for name, action in (("s3", "s3:PutObject"), ("sns", "sns:Publish")) if action in actions]
    if written:
        yield (
            "where what is written to is encrypted by a KMS key of yours, allow kms:GenerateDataKey and kms:Decrypt on "
            f"the ARN of that key, with the condition StringEquals kms:ViaService {_via(written)}"
        )
    if any(one.resource == _ANY_QUEUE_OBJECT for one in needs):
        yield (
            "a queue does not tell which buckets it speaks of: name them as sqs_buckets in [feeds], or put their ARNs "
            f"in the place of {_ANY_QUEUE_OBJECT}"
        )
    if any(":sqs:" in one.resource and "*" in one.resource for one in needs):
        yield "sqs://NAME tells neither Region nor account: name the queue by its URL to have its own ARN here"
    if "cloudtrail:LookupEvents" in actions:
        yield (
            "cloudtrail:LookupEvents knows no resources; the condition StringEquals aws:RequestedRegion narrows it to "
            "Regions"
        )
    if "kms:GetKeyPolicy" in actions:
        yield (
            "a key policy that does not leave the account's access to IAM has to allow the actions on keys itself; "
            "what it denies is told, and the rest is read"
        )
    if "securityhub:BatchImportFindings" in actions:
        yield "put the id of the account in the place of each * in the ARN of Security Hub's product"


def _via(services: list[str]) -> str:
    return joined([f"{name}.REGION.amazonaws.com" for name in services], "or")
