"""Plans that replace the key's policy: the call, what is proved about the result, and who may make it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keytrail.respond.authority import authority
from keytrail.respond.edits import Edited, NotPossible
from keytrail.respond.facts import MOST_POLICY_BYTES, Current
from keytrail.respond.model import Basis, Call, Kind, NoPlan, Plan
from keytrail.respond.proofs import losses, owner_manages, rogue_gone, services_keep
from keytrail.respond.situation import Situation, sentence

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
    size = len(edited.text.encode("utf-8", "surrogatepass"))
    if size > MOST_POLICY_BYTES:
        return NoPlan(kind, f"The policy would have {size:,} bytes, and KMS takes {MOST_POLICY_BYTES:,}.")
    call = Call(
        "kms",
        "PutKeyPolicy",
        {"KeyId": subject.key.arn, "PolicyName": "default", "Policy": edited.text},
        subject.key.account,
        subject.key.region,
        subject.key.arn,
        undo=f"PutKeyPolicy with the policy that this plan found (digest {current.digest[:12]}), which it keeps.",
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
        warnings=(*warnings, *_warnings(current)),
    )


def _warnings(current: Current) -> Iterator[str]:
    if current.read_at is None:
        yield (
            f"The policy that the key has now was not read from AWS; the newest that is known is from {current.origin}."
            " The plan is refused if the key has another one."
        )


__all__ = ["READ_IT", "UNKNOWN", "replacement"]
