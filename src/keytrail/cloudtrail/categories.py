"""How the event went and what sort of event it was: event.outcome, event.category, event.type."""

from __future__ import annotations

from keytrail.cloudtrail.flat import Flat
from keytrail.cloudtrail.records import Json
from keytrail.cloudtrail.scrub import at, text_at

# (category, types) -> event names, whatever the provider. Source: spec, section 8 with the changes of section 14.
_TABLE: dict[tuple[str, tuple[str, ...]], str] = {
    ("authentication", ("info",)): "AssumeRole ConsoleLogin GetCallerIdentity",
    ("iam", ("group", "change")): (
        "AddUserToGroup AttachGroupPolicy DeleteGroupPolicy DetachGroupPolicy PutGroupPolicy RemoveUserFromGroup "
        "UpdateGroup"
    ),
    ("iam", ("group", "creation")): "CreateGroup",
    ("iam", ("group", "deletion")): "DeleteGroup",
    ("iam", ("group", "info")): "GetGroup GetGroupPolicy ListAttachedGroupPolicies ListGroupPolicies ListGroups",
    ("iam", ("user", "creation")): "CreateUser",
    ("iam", ("user", "deletion")): "DeleteUser",
    ("iam", ("user", "change")): (
        "AttachUserPolicy ChangePassword CreateAccessKey CreateVirtualMFADevice DeactivateMFADevice DeleteAccessKey "
        "DeleteSSHPublicKey DeleteUserPermissionsBoundary DeleteUserPolicy DeleteVirtualMFADevice DetachUserPolicy "
        "EnableMFADevice PutUserPermissionsBoundary PutUserPolicy TagUser UntagUser UpdateAccessKey "
        "UpdateLoginProfile UpdateSSHPublicKey UpdateUser"
    ),
    ("iam", ("user", "info")): (
        "GetUser GetUserPolicy ListAttachedUserPolicies ListGroupsForUser ListUserPolicies ListUsers ListUserTags"
    ),
    ("iam", ("admin", "creation")): "CreateKeyPair",
    ("iam", ("admin", "change")): (
        "SetDefaultPolicyVersion SetSecurityTokenServicePreferences UpdateAccountPasswordPolicy UpdateRole"
    ),
    ("iam", ("info",)): "ListRoles GetPolicy ListAttachedRolePolicies",
    ("iam", ("creation",)): "CreatePolicy",
    ("iam", ("change",)): "AttachRolePolicy",
    ("file", ("creation",)): "CreateBucket CreateDocument",
    ("file", ("deletion",)): "DeleteBucket DeleteObject",
    ("file", ("info",)): "ListBuckets ListObjects HeadObject GetObject",
    ("file", ("change",)): "PutObject",
    ("host", ("info",)): "DescribeInstances DescribeVolumes ListInstanceAssociations",
    ("network", ("info",)): (
        "DescribeSecurityGroups DescribeNetworkInterfaces DescribeVpcs DescribeNetworkAcls DescribeLoadBalancers"
    ),
    ("network", ("access",)): "AuthorizeSecurityGroupIngress",
    ("api", ("info",)): "DescribeRegions Publish Converse",
    ("process", ("start",)): "SendCommand",
    ("configuration", ("info",)): "DescribeTrails",
    ("configuration", ("creation",)): "CreateTopic",
    ("configuration", ("change",)): "Subscribe",
    ("configuration", ("deletion",)): "DeleteTrail",
    ("package", ("info",)): "ListFunctions",
    ("database", ("info",)): "ListTables DescribeDBInstances",
    ("session", ("start",)): ("StartSession CreateControlChannel OpenControlChannel CreateDataChannel OpenDataChannel"),
    ("session", ("end",)): "TerminateSession",
}

CATEGORIES = {name: kind for kind, names in _TABLE.items() for name in names.split()}
"""Event name -> (event.category, event.type)."""


def outcome(record: Json) -> str:
    """event.outcome: failure where an error is told; a console login says so itself. Nearly every rule asks for it."""
    if record.get("eventName") == "ConsoleLogin":
        answer = text_at(record, "responseElements", "ConsoleLogin")
        if answer:
            return answer.lower()
    if "errorCode" not in record and "errorMessage" not in record:
        return "success"
    failed = at(record, "errorCode") is not None or at(record, "errorMessage") is not None
    return "failure" if failed else "success"


def category_fields(record: Json, problems: list[str]) -> Flat:
    """event.category and event.type, by the event's name alone, for failures as well."""
    kind = CATEGORIES.get(text_at(record, "eventName"))
    if kind is None:
        return {"event.type": ["info"]}
    category, types = kind
    return {"event.category": [category], "event.type": list(types)}
