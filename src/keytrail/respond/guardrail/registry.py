"""Every form that a guardrail can be written in: one line each."""

from __future__ import annotations

from collections.abc import Iterable

from keytrail.errors import UsageError
from keytrail.respond.guardrail.forms import boundary, cloudformation, config, eventbridge, rcp, scp, terraform
from keytrail.respond.guardrail.forms.form import Form

FORMS: tuple[Form, ...] = (
    scp.FORM,
    rcp.FORM,
    boundary.FORM,
    eventbridge.FORM,
    config.FORM,
    cloudformation.FORM,
    terraform.FORM,
)
"""In the order in which they are shown."""


def forms_of(names: Iterable[str]) -> tuple[Form, ...]:
    """The forms of these names, in their own order; all of them for none. Raises UsageError for a name that is none."""
    asked = list(names)
    known = {one.name: one for one in FORMS}
    for name in asked:
        if name not in known:
            raise UsageError(f"there is no form {name!r}", advice=f"The forms are {', '.join(known)}.")
    return tuple(one for one in FORMS if not asked or one.name in asked)


__all__ = ["FORMS", "Form", "forms_of"]
