"""The resource control policy: holds back everybody who calls for a key of the accounts that it is attached to."""

from __future__ import annotations

from keytrail.respond.guardrail.forms.form import Form, policy_text
from keytrail.respond.guardrail.model import Document, Guardrail, Json
from keytrail.respond.guardrail.statements import document

NAME = "keytrail-key-policy-rcp"
TYPE = "RESOURCE_CONTROL_POLICY"

MOST_CHARACTERS = 5_120
"""Characters that Organizations takes in a resource control policy."""


def policy(guardrail: Guardrail) -> Json:
    """The policy as a document. Raises UsageError if it is too large."""
    found = document(guardrail, "rcp")
    policy_text(found, most=MOST_CHARACTERS, what="resource control policy")
    return found


def _write(guardrail: Guardrail) -> tuple[Document, ...]:
    text = policy_text(document(guardrail, "rcp"), most=MOST_CHARACTERS, what="resource control policy")
    return (Document("rcp.json", text),)


FORM = Form(
    "rcp",
    "resource control policy",
    ("rcp",),
    _write,
    f"aws organizations create-policy --type {TYPE} --name {NAME} --description 'Key policies: break-glass roles only'"
    " --content file://rcp.json, then attach-policy to a test account first, then to organisational units or the root",
    (
        "keys of the management account are under no resource control policy, and neither are AWS managed keys",
        "it does not hold back service-linked roles, nor AWS services that call by themselves",
        "it knows no actions of IAM and RAM: sharing and the takeover of break-glass roles are the service control"
        " policy's",
    ),
)
