"""The calls of AWS that a plan may make: what each may say, how its result is read back, and what IAM has to allow.

A plan comes out of the state, and what it says comes from records: nothing that is not here is ever sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from keytrail.errors import PolicyError, UsageError
from keytrail.policy.digest import digest_of_text, document_of
from keytrail.respond.model import Call, Json
from keytrail.respond.sameness import same_policy

Standing = Literal["before", "after", "other"]
"""How AWS stands to a call: as it was before it, as it is after it, or as neither says."""

Reading = Literal["key policy", "grant", "key state", "role policy", "user policy", "access key"]

_AGAIN = "Ask for the plan again: keytrail respond ALERT."

ENABLED, DISABLED = "Enabled", "Disabled"
ACTIVE, INACTIVE = "Active", "Inactive"

_KEY = re.compile(r"arn:[a-z0-9-]+:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]{1,128}", re.ASCII)
GRANT_ID = re.compile(r"[A-Za-z0-9]{1,128}", re.ASCII)
ACCESS_KEY_ID = re.compile(r"AKIA[A-Z0-9]{12,124}", re.ASCII)
"""Of a long-lived one."""

# The option that a name follows on a command line must not be taken for another one.
IAM_NAME = re.compile(r"[A-Za-z0-9_+=,.@][A-Za-z0-9_+=,.@-]{0,127}", re.ASCII)
"""Of a user, a role or an inline policy, without a path."""

_DEFAULT, _INACTIVE = re.compile("default"), re.compile(INACTIVE)
_DOCUMENT = re.compile(r"\s*\{.*", re.DOTALL)
_MOMENT = re.compile(r'"aws:TokenIssueTime"\s*:\s*"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z)"', re.ASCII)


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of AWS: `parameters` are all that it says, each with the form of its value.

    `document` names the parameter that holds a policy. `reads` says what shows whether the call was made, `actions` are
    the IAM actions that this takes.
    """

    service: Literal["kms", "iam"]
    name: str
    parameters: Mapping[str, re.Pattern[str]]
    reads: Reading
    actions: tuple[str, ...]
    document: str = ""


_ROLE_POLICY = {"RoleName": IAM_NAME, "PolicyName": IAM_NAME, "PolicyDocument": _DOCUMENT}
_USER_POLICY = {"UserName": IAM_NAME, "PolicyName": IAM_NAME, "PolicyDocument": _DOCUMENT}
_KEY_STATUS = {"UserName": IAM_NAME, "AccessKeyId": ACCESS_KEY_ID, "Status": _INACTIVE}
OPERATIONS: Mapping[str, Operation] = {
    f"{one.service}:{one.name}": one
    for one in (
        Operation(
            "kms",
            "PutKeyPolicy",
            {"KeyId": _KEY, "PolicyName": _DEFAULT, "Policy": _DOCUMENT},
            "key policy",
            ("kms:GetKeyPolicy",),
            "Policy",
        ),
        Operation("kms", "RevokeGrant", {"KeyId": _KEY, "GrantId": GRANT_ID}, "grant", ("kms:ListGrants",)),
        Operation("kms", "DisableKey", {"KeyId": _KEY}, "key state", ("kms:DescribeKey",)),
        Operation("iam", "PutRolePolicy", _ROLE_POLICY, "role policy", ("iam:GetRolePolicy",), "PolicyDocument"),
        Operation("iam", "PutUserPolicy", _USER_POLICY, "user policy", ("iam:GetUserPolicy",), "PolicyDocument"),
        Operation("iam", "UpdateAccessKey", _KEY_STATUS, "access key", ("iam:ListAccessKeys",)),
    )
}
"""By the IAM action, which is the call's as well."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What AWS holds where a call changes something: a policy's text, a grant's id, the state of a key or access key.

    `value` is None where there is nothing of the kind.
    """

    value: str | None


def operation_of(call: Call) -> Operation:
    """The operation of a call, all that it says being as it has to be. Raises UsageError for any other call."""
    known = OPERATIONS.get(call.action)
    if known is None:
        raise UsageError(
            f"a plan does not make the call {call.action!r}", advice=f"calls of plans: {', '.join(OPERATIONS)}"
        )
    if set(call.parameters) != set(known.parameters):
        odd = sorted(set(call.parameters) ^ set(known.parameters))
        raise UsageError(
            f"the plan's call of {call.action} does not say what it has to, and nothing else: {', '.join(odd)}",
            advice=_AGAIN,
        )
    for name, form in known.parameters.items():
        value = call.parameters[name]
        if not isinstance(value, str) or not form.fullmatch(value):
            raise UsageError(f"the plan's call of {call.action} has a {name} that AWS would not take", advice=_AGAIN)
    if known.service == "iam" and known.document and not _only_denies(parameter(call, known.document)):
        raise UsageError("the plan's policy for IAM does not only deny", advice=_AGAIN)
    if not _is_about(call, known):
        raise UsageError(f"the plan's call of {call.action} is not for {call.resource}, as it says", advice=_AGAIN)
    return known


def _only_denies(text: str) -> bool:
    """Whether a policy gives nothing to whom it is put on."""
    try:
        statements = document_of(text).get("Statement")
    except PolicyError:
        return False
    listed = statements if isinstance(statements, list) else [statements]
    return all(isinstance(one, dict) and one.get("Effect") == "Deny" for one in listed)


def _is_about(call: Call, known: Operation) -> bool:
    """Whether a call changes what it says that it changes, in the account and Region that it says."""
    parts = call.resource.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or (parts[2], parts[4]) != (known.service, call.account):
        return False
    if known.service == "kms":
        return call.parameters["KeyId"] == call.resource and parts[3] == call.region
    kind, _, name = parts[5].partition("/")
    return name.rpartition("/")[2] == call.parameters.get(f"{kind.capitalize()}Name")


def lowered(operation: str, between: str) -> str:
    """An operation in small letters: with "_" as boto3 names it, with "-" as the AWS CLI does.

    >>> lowered("PutKeyPolicy", "_"), lowered("GetRolePolicy", "-")
    ('put_key_policy', 'get-role-policy')
    """
    return re.sub("(?<=.)(?=[A-Z])", between, operation).lower()


def parameter(call: Call, name: str) -> str:
    """What a call says under a name, as text."""
    return str(call.parameters[name])


def standing(call: Call, seen: Seen, *, basis: str, before: str | None) -> Standing:
    """How what was seen stands to a call of a plan that was made for the policy `before`, whose digest is `basis`.

    Pure. Raises UsageError for a call that is no plan's.
    """
    known = operation_of(call)
    match known.reads:
        case "key policy":
            if same_policy(seen.value, parameter(call, known.document)):
                return "after"
            known_before = digest_of_seen(seen) == basis or (before is not None and same_policy(seen.value, before))
            return "before" if known_before else "other"
        case "grant":
            return "after" if seen.value is None else "before"
        case "key state":
            return "before" if seen.value == ENABLED else "after" if seen.value == DISABLED else "other"
        case "role policy" | "user policy":
            return _of_inline(seen.value, parameter(call, known.document))
        case "access key":
            return "before" if seen.value == ACTIVE else "after"  # one that is deleted cannot be used either


def _of_inline(seen: str | None, wanted: str) -> Standing:
    """How an inline policy stands to the one that is to be put there.

    One that ends sessions up to an earlier moment is put anew; one that ends them up to a later one does all of it.
    """
    if seen is None:
        return "before"
    if same_policy(seen, wanted):
        return "after"
    (old, ended), (new, wanted_end) = _without_moment(seen), _without_moment(wanted)
    if not ended or not wanted_end or not same_policy(old, new):
        return "other"
    return "after" if ended >= wanted_end else "before"


def _without_moment(text: str) -> tuple[str, str]:
    """A policy without the moment up to which it ends sessions, and that moment, "" where it has none or several."""
    found = _MOMENT.findall(text)
    return (_MOMENT.sub('"aws:TokenIssueTime":""', text), found[0]) if len(found) == 1 else (text, "")


def digest_of_seen(seen: Seen) -> str | None:
    """The digest of a policy that was seen, None where there is none, or none that can be read."""
    if seen.value is None:
        return None
    try:
        return digest_of_text(seen.value)
    except PolicyError:
        return None


def described(call: Call) -> str:
    """A call in words, with what is hostile in it as it is."""
    said = call.parameters
    match call.action:
        case "kms:PutKeyPolicy":
            return f"set the key policy of {said.get('KeyId')}"
        case "kms:RevokeGrant":
            return f"revoke the grant {said.get('GrantId')} on {said.get('KeyId')}"
        case "kms:DisableKey":
            return f"disable the key {said.get('KeyId')}"
        case "iam:PutRolePolicy":
            return f"put the inline policy {said.get('PolicyName')} on the role {said.get('RoleName')}"
        case "iam:PutUserPolicy":
            return f"put the inline policy {said.get('PolicyName')} on the user {said.get('UserName')}"
        case "iam:UpdateAccessKey":
            return f"switch off the access key {said.get('AccessKeyId')} of the user {said.get('UserName')}"
    return call.action


def told(seen: Seen, call: Call) -> Json:
    """What was seen, as a line of the log keeps it: a policy by its digest."""
    known = operation_of(call)
    return {known.reads: digest_of_seen(seen) if known.document else seen.value}
