"""The permissions boundary: the same for single users and roles, where there is no organisation."""

from __future__ import annotations

from keytrail.respond.guardrail.forms.form import Form, policy_text
from keytrail.respond.guardrail.model import Document, Guardrail, Json
from keytrail.respond.guardrail.statements import BOUNDARY_NAME, document

MOST_CHARACTERS = 6_144
"""Characters, blanks not counted, that IAM takes in a managed policy."""


def policy(guardrail: Guardrail) -> Json:
    """The policy as a document. Raises UsageError if it is too large."""
    found = document(guardrail, "boundary")
    policy_text(found, most=MOST_CHARACTERS, what="permissions boundary")
    return found


def _write(guardrail: Guardrail) -> tuple[Document, ...]:
    text = policy_text(document(guardrail, "boundary"), most=MOST_CHARACTERS, what="permissions boundary")
    return (Document("boundary.json", text),)


FORM = Form(
    "boundary",
    "permissions boundary, for accounts without AWS Organizations",
    ("boundary",),
    _write,
    f"aws iam create-policy --policy-name {BOUNDARY_NAME} --policy-document file://boundary.json, then"
    " put-user-permissions-boundary and put-role-permissions-boundary for every user and role but the break-glass ones",
    (
        "a boundary holds back only the users and roles that have it; the root user of an account can have none",
        "identities that are made without it are held back from the moment on that their makers have it",
    ),
)
