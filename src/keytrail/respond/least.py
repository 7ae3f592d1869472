"""The least IAM policy that a plan needs: its calls, and what reads their results, on exactly what they are for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keytrail.respond.model import Json, Plan
from keytrail.respond.operations import operation_of

# What showing plans reads of a key.
_SHOWING = ("kms:GetKeyPolicy", "kms:ListGrants", "kms:DescribeKey")
# The lock-out check is never bypassed, so nobody who applies plans has to be able to. KMS may leave the key out.
_NO_BYPASS: Json = {"BoolIfExists": {"kms:BypassPolicyLockoutSafetyCheck": "false"}}


def least_policies(plans: Iterable[Plan], key_arn: str) -> dict[str, Json]:
    """By account, what the identity that is used there has to be allowed to show plans for a key and apply these.

    Raises UsageError for a plan that makes other calls than plans make. sts:GetCallerIdentity needs no permission.
    """
    needs: dict[str, set[tuple[str, str]]] = {key_arn.split(":")[4]: {(action, key_arn) for action in _SHOWING}}
    for plan in plans:
        for call in plan.calls:
            known = operation_of(call)
            own = needs.setdefault(call.account, set())
            own.update((action, call.resource) for action in (call.action, *known.actions))
    return {
        account: {"Version": "2012-10-17", "Statement": list(_statements(each))}
        for account, each in sorted(needs.items())
    }


def _statements(needs: set[tuple[str, str]]) -> Iterator[Json]:
    """One statement for each set of actions that are needed on the same things; the changing ones by themselves."""
    actions: dict[tuple[str, str], set[str]] = {}
    for action, resource in needs:
        actions.setdefault((_purpose(action), resource), set()).add(action)
    grouped: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (purpose, resource), each in sorted(actions.items()):
        grouped.setdefault((purpose, tuple(sorted(each))), []).append(resource)
    seen: dict[str, int] = {}
    for (purpose, each_action), resources in sorted(grouped.items(), reverse=True):
        seen[purpose] = number = seen.get(purpose, 0) + 1
        statement: Json = {
            "Sid": purpose if number == 1 else f"{purpose}{number}",
            "Effect": "Allow",
            "Action": list(each_action),
            "Resource": resources,
        }
        yield statement | ({"Condition": _NO_BYPASS} if purpose == "SetThePolicy" else {})


def _purpose(action: str) -> str:
    verb = action.partition(":")[2]
    if verb.startswith(("Get", "List", "Describe")):
        return "ReadWhatIsThere"
    return "SetThePolicy" if action == "kms:PutKeyPolicy" else "ApplyThePlan"
