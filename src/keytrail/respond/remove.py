"""The plan to take out of the policy only what gave the rogue access, and leave the rest byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keytrail.policy import KeyPolicy, Statement
from keytrail.respond.edits import Edited, NotPossible, removal
from keytrail.respond.facts import Current
from keytrail.respond.model import Kind, NoPlan, Plan
from keytrail.respond.proofs import outsiders
from keytrail.respond.replacement import READ_IT, UNKNOWN, replacement
from keytrail.respond.situation import Situation
from keytrail.respond.subject import Subject

_SAME = "The rest of the policy stays as it is, byte for byte."


def remove(situation: Situation) -> Iterator[Plan | NoPlan]:
    """Take out the statements, or the principals in them, that give more than the good version.

    Where none is known, those that let in accounts that nobody vouches for.
    """
    subject = situation.subject
    current, good = subject.current, subject.good
    if current is None:
        yield NoPlan("remove", UNKNOWN, READ_IT)
    elif nothing := nothing_beyond(subject, "remove"):
        yield nothing
    elif good is not None:
        edited = _removal(subject, good.policy, current)
        why = f"{_SAME} What counts as rogue is what goes beyond the good version. {good.why}"
        yield _plan(situation, current, edited, why, (good.gap,) if good.gap else ())
    elif not outsiders(subject, subject.compare(None, current.policy)):
        why = "No good version of the policy is known, and the policy of now lets in nobody from outside"
        yield NoPlan("remove", f"{why} whom nobody vouches for.", "Mark a version that is good.")
    else:
        edited = _removal(subject, _vouched_for(subject, current.policy), current)
        if isinstance(edited, Edited):
            edited = replace(edited, claims=())  # they are about a good version
        why = f"{_SAME} No good version is known: taken out is only who is of an account that nobody vouches for."
        yield _plan(situation, current, edited, why)


def nothing_beyond(subject: Subject, kind: Kind) -> NoPlan | None:
    """Why there is nothing to take back, when the policy is proved to give nothing beyond the good version."""
    if subject.good is None or subject.current is None:
        return None
    found = subject.compare(subject.good.policy, subject.current.policy)
    if found.gains or found.incomplete or found.proof.new_access != "proved":
        return None
    return NoPlan(kind, "The key's policy gives nobody more than the good version does, proved.")


def _plan(
    situation: Situation, current: Current, edited: Edited | NotPossible, why: str, warnings: tuple[str, ...] = ()
) -> Plan | NoPlan:
    title = f"Remove only the rogue access from the policy of key {situation.subject.called}"
    return replacement(situation, "remove", current, edited, title=title, why=why, warnings=warnings)


def _removal(subject: Subject, good: KeyPolicy, current: Current) -> Edited | NotPossible:
    organisation, trusted = subject.accounts.organisation, subject.trusted()
    return removal(good, current.text, subject.owner, org=organisation, trusted=trusted)


def _vouched_for(subject: Subject, policy: KeyPolicy) -> KeyPolicy:
    """A policy without whom nobody vouches for."""
    kept = [one for statement in policy.statements if (one := _trusted_part(subject, policy, statement)) is not None]
    return replace(policy, statements=tuple(replace(one, index=index) for index, one in enumerate(kept)), source=None)


def _trusted_part(subject: Subject, policy: KeyPolicy, statement: Statement) -> Statement | None:
    alone = replace(policy, statements=(replace(statement, index=0),), source=None)
    if statement.effect == "Deny" or not outsiders(subject, subject.compare(None, alone)):
        return statement
    known = tuple(one for one in statement.principals or () if one.value != "*" and subject.is_trusted(one.account))
    return replace(statement, principals=known) if known else None


__all__ = ["nothing_beyond", "remove"]
