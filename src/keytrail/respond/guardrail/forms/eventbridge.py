"""The EventBridge rule: tells of calls by anybody but the break-glass roles, as soon as CloudTrail delivers them."""

from __future__ import annotations

import json

from keytrail.errors import UsageError
from keytrail.respond.guardrail.forms.form import Form, policy_text
from keytrail.respond.guardrail.model import BreakGlass, Document, Guardrail, Json
from keytrail.respond.guardrail.statements import WAYS

NAME = "keytrail-key-policies"

MOST_CHARACTERS = 2_048
"""Characters that EventBridge takes in an event pattern unless its quota was raised."""

_LINKED = "arn:{partition}:iam::*:role/aws-service-role/*"


def pattern(guardrail: Guardrail) -> Json:
    """The event pattern. Raises UsageError if it is too large."""
    kms = [_name(action) for group in ("policy", "replicas") for action in _actions(guardrail, group)]
    calls: list[object] = [{"eventSource": ["kms.amazonaws.com"], "eventName": kms}]
    if grants := _actions(guardrail, "grants"):
        # A service that passes its caller on makes the grant for a resource of its own.
        by_hand = {"invokedBy": [{"exists": False}]}
        calls.append(
            {"eventSource": ["kms.amazonaws.com"], "eventName": [*map(_name, grants)], "userIdentity": by_hand}
        )
    if sharing := _actions(guardrail, "sharing"):
        of_key = {"resourceArns": [{"prefix": f"arn:{guardrail.partition}:kms:"}]}
        calls.append(
            {"eventSource": ["ram.amazonaws.com"], "eventName": [*map(_name, sharing)], "requestParameters": of_key}
        )
    if takeover := _actions(guardrail, "takeover"):
        # IAM records no PassRole. A request names a role without its path.
        names = [_name(action) for action in takeover if action != "iam:PassRole"]
        roles = {"roleName": [_matcher(one) for one in dict.fromkeys(map(_role_name, guardrail.break_glass))]}
        calls.append({"eventSource": ["iam.amazonaws.com"], "eventName": names, "requestParameters": roles})
    spared = [*guardrail.arns, _LINKED.format(partition=guardrail.partition)]
    # Users and root users have no role: what does not exist is not "anything but".
    role = [{"anything-but": {"wildcard": spared}}, {"exists": False}]
    found: Json = {
        "detail-type": ["AWS API Call via CloudTrail"],
        "detail": {"userIdentity": {"sessionContext": {"sessionIssuer": {"arn": role}}}, "$or": calls},
    }
    if len(json.dumps(found, separators=(",", ":"))) > MOST_CHARACTERS:
        policy_text(found, most=MOST_CHARACTERS, what="event pattern")
    return found


def _actions(guardrail: Guardrail, group: str) -> tuple[str, ...]:
    return next((WAYS[one].actions for one in guardrail.groups if one == group), ())


def _name(action: str) -> str:
    return action.partition(":")[2]


def _role_name(role: BreakGlass) -> str:
    if role.name.strip("*"):
        return role.name
    raise UsageError(
        f"the event pattern cannot tell the roles {role.arn} by their names",
        advice="Write some of the name after the path, or leave out takeover with --without.",
    )


def _matcher(name: str) -> object:
    return {"wildcard": name} if "*" in name else name


def _write(guardrail: Guardrail) -> tuple[Document, ...]:
    text = policy_text(pattern(guardrail), most=MOST_CHARACTERS, what="event pattern")
    return (Document("eventbridge.json", text),)


FORM = Form(
    "eventbridge",
    "EventBridge rule",
    (),
    _write,
    f"aws events put-rule --name {NAME} --event-pattern file://eventbridge.json in every account and Region with keys,"
    " then put-targets; calls of IAM arrive in us-east-1 only",
    (
        "it tells afterwards and prevents nothing; it needs a trail that records management events, KMS's included",
        "who may change rules of EventBridge can silence it",
        "its * spans : and / too: the role BreakGlass below a path like /x:role/ is taken for role/BreakGlass",
        "it tells of attempts that were refused too, and of every key, whichever --key names",
    ),
)
