"""Rules of AWS Config: IAM policies that give the power over every key's policy, and keys that are public."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from keytrail.respond.guardrail.forms.form import Form, plain_json
from keytrail.respond.guardrail.model import Document, Guardrail, Json
from keytrail.respond.guardrail.statements import WAYS


@dataclass(frozen=True, slots=True)
class ManagedRule:
    """One of AWS's managed rules as it is to run: its name here, its identifier, and its parameters."""

    name: str
    identifier: str
    description: str
    resource_types: tuple[str, ...]
    parameters: dict[str, str]

    def to_dict(self) -> Json:
        """As `aws configservice put-config-rule` takes it, the parameters still an object."""
        found: Json = {
            "ConfigRuleName": self.name,
            "Description": self.description,
            "Scope": {"ComplianceResourceTypes": list(self.resource_types)},
            "Source": {"Owner": "AWS", "SourceIdentifier": self.identifier},
        }
        return found | ({"InputParameters": self.parameters} if self.parameters else {})


def rules(guardrail: Guardrail) -> Iterator[ManagedRule]:
    """The rules that tell how far a guardrail is needed still."""
    # Grants are left out: services need kms:CreateGrant, and these rules would name every policy that gives it.
    groups = [group for group in ("policy", "replicas") if group in guardrail.groups]
    blocked = {"blockedActionsPatterns": ",".join(action for group in groups for action in WAYS[group].actions)}
    yield ManagedRule(
        "keytrail-managed-policies",
        "IAM_CUSTOMER_POLICY_BLOCKED_KMS_ACTIONS",
        "Customer managed IAM policies that allow changing the policy of every KMS key",
        ("AWS::IAM::Policy",),
        blocked,
    )
    yield ManagedRule(
        "keytrail-inline-policies",
        "IAM_INLINE_POLICY_BLOCKED_KMS_ACTIONS",
        "Inline IAM policies that allow changing the policy of every KMS key",
        ("AWS::IAM::Group", "AWS::IAM::Role", "AWS::IAM::User"),
        blocked,
    )
    yield ManagedRule(
        "keytrail-public-keys",
        "KMS_KEY_POLICY_NO_PUBLIC_ACCESS",
        "KMS keys whose policy lets everybody in",
        ("AWS::KMS::Key",),
        {},
    )


def _write(guardrail: Guardrail) -> tuple[Document, ...]:
    return tuple(Document(f"config-{one.name.removeprefix('keytrail-')}.json", _text(one)) for one in rules(guardrail))


def _text(rule: ManagedRule) -> str:
    found = rule.to_dict()
    if "InputParameters" in found:
        found["InputParameters"] = json.dumps(found["InputParameters"])  # the API takes them as a text
    return plain_json(found)


FORM = Form(
    "config",
    "rules of AWS Config",
    (),
    _write,
    "aws configservice put-config-rule --config-rule file://… for each file, in every account and Region with keys;"
    " those about IAM only where Config records IAM",
    (
        "they tell afterwards and prevent nothing, and only of what Config records",
        "those about IAM know no break-glass roles: they name the policies of these roles too",
    ),
)
