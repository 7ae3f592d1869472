"""Plans: what is to be changed in AWS, for which version of what is there now, and what is proved about the result.

A plan is a value: it is made from what was read, shown, kept in the state, and applied only by its id. The id is that
of the calls, of what they were made for and of what is proved, so a plan for another version, with other calls or with
other answers, has another id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import TypeAdapter

Json: TypeAlias = dict[str, object]
Parameters: TypeAlias = Mapping[str, object]

Kind = Literal["restore", "remove", "recondition", "revoke-grants", "disable-key", "quarantine", "revoke-sessions"]
Answer = Literal["proved", "refuted", "open"]
"""refuted: an example shows the opposite. open: neither could be shown, and `sentence` says why."""
Permission = Literal["allowed", "with-iam", "denied", "unknown"]
"""allowed: by the key policy alone. with-iam: if IAM of the caller's account allows it."""

ID_LENGTH = 12
"""Hex digits of a plan's id."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of AWS that changes something: `service` is boto3's name, `parameters` are as boto3 takes them.

    `undo` says in words how to take it back. `resource` is the ARN that IAM has to allow it on.
    """

    service: str
    operation: str  # as AWS writes it: PutKeyPolicy
    parameters: Parameters
    account: str
    region: str  # "" for a service without Regions
    resource: str
    undo: str = ""

    @property
    def action(self) -> str:
        """The IAM action that it needs: `kms:PutKeyPolicy`."""
        return f"{self.service}:{self.operation}"

    def to_dict(self) -> Json:
        """As plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Basis:
    """What a plan was made for. `digest` is that of the key's policy (`PolicyVersion.digest`), "" where none counts.

    `read_at` is when it was read from AWS; None when only records tell it, and `origin` says which.
    """

    digest: str
    read_at: datetime | None
    origin: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that is to hold after the plan, and how far it is shown. `examples` are requests that show it."""

    code: str  # rogue_gone, equals, nothing_beyond, nothing_taken, owner_manages, services_keep
    sentence: str
    answer: Answer
    examples: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Loss:
    """Who can do what no longer. `meant` says whether that is what the plan is for: the access was rogue."""

    principals: tuple[str, ...]
    actions: tuple[str, ...]
    meant: bool
    recent: str = ""  # in words: how it was used last, "" where no record shows a use


@dataclass(frozen=True, slots=True)
class Authority:
    """Whether who applies the plan may: before it on what is there, and after it again on the result.

    `caller` is "" when it is not known who will. `others` are those who could, where it may not; `sentence` is for
    people.
    """

    caller: str
    now: Permission
    afterwards: Permission
    others: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A remedy: the calls, before and after, and what is proved. Texts of records in it are hostile.

    `subject` is the ARN of the key or the principal that is changed, `key_arn` the key that the alert is about.
    `before` and `after` are the policy documents as text where the plan replaces one.
    """

    kind: Kind
    alert_id: str
    key_arn: str
    subject: str
    title: str
    why: str
    basis: Basis
    calls: tuple[Call, ...]
    before: str | None = None
    after: str | None = None
    claims: tuple[Claim, ...] = ()
    losses: tuple[Loss, ...] = ()
    authority: Authority | None = None
    warnings: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The same for the same calls on the same version for the same alert, as long as as much is proved of them."""
        told = {
            "alert": self.alert_id,
            "kind": self.kind,
            "digest": self.basis.digest,
            "calls": [call.to_dict() for call in self.calls],
            "answers": [[claim.code, claim.answer] for claim in self.claims],
        }
        canonical = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:ID_LENGTH]

    @property
    def sound(self) -> bool:
        """Whether nothing that is claimed is refuted."""
        return all(claim.answer != "refuted" for claim in self.claims)

    @property
    def unproved(self) -> tuple[Claim, ...]:
        """The claims that are open, and without which nobody knows whether the plan does what it is for.

        Whether those who use the key keep their access is about others: where no record tells, that is a warning.
        """
        return tuple(one for one in self.claims if one.answer == "open" and one.code != "services_keep")

    def to_dict(self) -> Json:
        """As plain JSON values; `plan_of` reads it back."""
        plain: Json = _PLANS.dump_python(self, mode="json")
        return {"id": self.id} | plain


@dataclass(frozen=True, slots=True)
class NoPlan:
    """Why there is no plan of a kind for an alert, in words, and what would make one possible."""

    kind: Kind
    why: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What was found for an alert: the plans, the best first, and the kinds that there is none of."""

    plans: tuple[Plan, ...]
    without: tuple[NoPlan, ...] = ()
    notes: tuple[str, ...] = field(default=())


def plan_of(data: Mapping[str, object]) -> Plan:
    """The plan that `to_dict` wrote. Raises ValueError for anything else."""
    plan: Plan = _PLANS.validate_python({name: value for name, value in data.items() if name != "id"})
    if plan.id != data.get("id"):
        raise ValueError("the plan is not what its id says")
    if plan.after is not None and not any(plan.after in call.parameters.values() for call in plan.calls):
        raise ValueError("the plan does not do what it shows")
    return plan


_PLANS = TypeAdapter(Plan)
