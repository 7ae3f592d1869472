"""The service control policy: holds back everybody in the accounts that it is attached to, their root users too."""

from __future__ import annotations

from keytrail.respond.guardrail.forms.form import Form, policy_text
from keytrail.respond.guardrail.model import Document, Guardrail, Json
from keytrail.respond.guardrail.statements import document

NAME = "keytrail-key-policy-scp"
TYPE = "SERVICE_CONTROL_POLICY"

MOST_CHARACTERS = 10_240
"""Characters that Organizations takes in a service control policy; until May 2026 it took 5,120."""


def policy(guardrail: Guardrail) -> Json:
    """The policy as a document. Raises UsageError if it is too large."""
    found = document(guardrail, "scp")
    policy_text(found, most=MOST_CHARACTERS, what="service control policy")
    return found


def _write(guardrail: Guardrail) -> tuple[Document, ...]:
    text = policy_text(document(guardrail, "scp"), most=MOST_CHARACTERS, what="service control policy")
    return (Document("scp.json", text),)


FORM = Form(
    "scp",
    "service control policy",
    ("scp",),
    _write,
    f"aws organizations create-policy --type {TYPE} --name {NAME} --description 'Key policies: break-glass roles only'"
    " --content file://scp.json, then attach-policy to a test account first, then to organisational units or the root",
    (
        "the management account is under no service control policy: whoever works there can do all of this, and take"
        " the policy away",
        "it does not hold back service-linked roles, nor AWS services that call by themselves",
        "callers from accounts outside the organisation are held back by a resource control policy only",
        "what is shared through RAM already, and people added to such a share, is not covered; see the AWS_RAM policies"
        " of keys",
    ),
)
