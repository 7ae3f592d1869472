"""Plans that replace the key's policy: the call, what is proved about the result, and who may make it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keytrail.names import short_digest
from keytrail.policy import KeyPolicy
from keytrail.respond.authority import authority
from keytrail.respond.edits import Edited, NotPossible
from keytrail.respond.facts import Current
from keytrail.respond.model import Basis, Kind, NoPlan, Plan
from keytrail.respond.proofs import losses, owner_manages, rogue_gone, services_keep, still_lets_in
from keytrail.respond.situation import Situation, key_call, sentence
from keytrail.respond.subject import Subject

UNKNOWN = "It is not known what policy the key has now."
READ_IT = "Let keytrail read the live policy: it needs kms:GetKeyPolicy on the key."


def replacement(
    situation: Situation,
    kind: Kind,
    current: Current,
    edited: Edited | NotPossible,
    *,
    title: str,
    why: str,
    warnings: Sequence[str] = (),
) -> Plan | NoPlan:
    """The plan that gives the key an edited policy, or why there is none."""
    subject = situation.subject
    if isinstance(edited, NotPossible):
        return NoPlan(kind, sentence(edited.why), edited.advice)
    call = key_call(
        subject,
        "PutKeyPolicy",
        PolicyName="default",
        Policy=edited.text,
        undo=f"PutKeyPolicy with the policy that this plan found (digest {short_digest(current.digest)}), which it"
        " keeps.",
    )
    return Plan(
        kind=kind,
        alert_id=subject.alert_id,
        key_arn=subject.key.arn,
        subject=subject.key.arn,
        title=title,
        why=" ".join((why, *(sentence(one) for one in edited.steps))),
        basis=Basis(current.digest, current.read_at, current.origin),
        calls=(call,),
        before=current.text,
        after=edited.text,
        claims=(
            *edited.claims,
            rogue_gone(situation, edited.policy),
            owner_manages(situation, edited.policy),
            services_keep(situation, edited.policy),
        ),
        losses=losses(situation, edited.policy),
        authority=authority(situation, result=edited.policy),
        warnings=(*warnings, *_warnings(subject, current, edited.policy)),
    )


def _warnings(subject: Subject, current: Current, result: KeyPolicy) -> Iterator[str]:
    good = subject.good
    if good is not None and not good.marked and (who := still_lets_in(subject, current.policy, result)):
        yield (
            f"Afterwards the policy still lets in {who}, which nobody vouches for: the version before the change does"
            " so as well, and nobody marked it as good. Look who let them in."
        )
    if current.read_at is None:
        yield (
            f"The policy that the key has now was not read from AWS; the newest that is known is from {current.origin}."
            " The plan is refused if the key has another one."
        )


__all__ = ["READ_IT", "UNKNOWN", "replacement"]
