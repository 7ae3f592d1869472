"""The plan to put back the conditions that statements of the policy lost."""

from __future__ import annotations

from collections.abc import Iterator

from keytrail.respond.edits import reconditioning
from keytrail.respond.model import NoPlan, Plan
from keytrail.respond.remove import nothing_beyond
from keytrail.respond.replacement import READ_IT, UNKNOWN, replacement
from keytrail.respond.situation import Situation


def recondition(situation: Situation) -> Iterator[Plan | NoPlan]:
    """Put back into the statements of now the conditions that they have in the good version."""
    subject = situation.subject
    current, good = subject.current, subject.good
    if good is None:
        yield NoPlan("recondition", "No good version of the policy is known, so no condition is known to be lost.")
    elif current is None:
        yield NoPlan("recondition", UNKNOWN, READ_IT)
    elif nothing := nothing_beyond(subject, "recondition"):
        yield nothing
    else:
        yield replacement(
            situation,
            "recondition",
            current,
            reconditioning(
                good.policy,
                current.text,
                subject.owner,
                org=subject.accounts.organisation,
                trusted=subject.trusted(),
            ),
            title=f"Put back the conditions that the policy of key {subject.called} lost",
            why=f"The statements stay, with the conditions of the good version. {good.why}",
            warnings=(good.gap,) if good.gap else (),
        )


__all__ = ["recondition"]
