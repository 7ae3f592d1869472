"""What a comparison says: who gained and who lost which access, how far each part is proved, and a witness."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from keytrail.policy.model import Statement
from keytrail.policy.prover.classes import PrincipalClass
from keytrail.policy.requests import Request

if TYPE_CHECKING:
    from keytrail.policy.findings import Finding

Proof = Literal["proved", "witnessed", "possible"]
"""proved: no request differs. witnessed: this one does, the evaluator agrees. possible: neither could be shown."""

Bound = Literal["strict", "upper bound"]
"""upper bound: new even if IAM of every account already allows everything. strict: only no longer needs that IAM."""


@dataclass(frozen=True, slots=True)
class Change:
    """One gain or loss: callers who can (or can no longer) do something, by the same statements on the same conditions.

    For a gain `statements` are the Allow statements of the policy after that give it and `denials` the Deny statements
    of the policy before that stood in the way; for a loss the policies change places, and `lifted_by` lists what now
    denies it. `conditions` are those of `statements`, as a person would write them.
    """

    principals: tuple[str, ...]
    classes: tuple[PrincipalClass, ...]
    actions: tuple[str, ...]
    groups: tuple[str, ...]
    conditions: tuple[str, ...]
    statements: tuple[Statement, ...]
    denials: tuple[Statement, ...]
    bound: Bound
    needs_iam: bool
    proof: Proof
    witness: Request | None

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values; statements by their number from 0 and Sid."""
        return {
            "principals": list(self.principals),
            "actions": list(self.actions),
            "groups": list(self.groups),
            "conditions": list(self.conditions),
            "statements": [{"index": s.index, "sid": s.sid} for s in self.statements],
            "denials": [{"index": s.index, "sid": s.sid} for s in self.denials],
            "bound": self.bound,
            "needs_iam": self.needs_iam,
            "proof": self.proof,
            "witness": None if self.witness is None else self.witness.to_witness(),
        }


@dataclass(frozen=True, slots=True)
class Proofs:
    """How each Boolean of a comparison stands."""

    new_access: Proof
    lost_access: Proof
    upper_bound_new_access: Proof
    upper_bound_lost_access: Proof
    public: Proof
    external_accounts: Proof

    def to_dict(self) -> dict[str, object]:
        """By name of the Boolean."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference between two key policies, by the formal model (1.9). What is not proved is on the safe side."""

    new_access: bool
    lost_access: bool
    upper_bound_new_access: bool
    upper_bound_lost_access: bool
    public: bool
    external_accounts: tuple[str, ...]
    witness: Request | None
    lost_witness: Request | None
    gains: tuple[Change, ...]
    losses: tuple[Change, ...]
    proof: Proofs
    incomplete: tuple[str, ...]
    public_witness: Request | None = None
    findings: tuple[Finding, ...] = ()  # filled by keytrail.policy.assess, gravest first
    work: int = field(default=0, compare=False)

    @property
    def unchanged(self) -> bool:
        """Whether it is proved that the policies allow the same requests."""
        return self.proof.new_access == "proved" and self.proof.lost_access == "proved"

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values, with the names of the truth cases."""
        return {
            "new_access": self.new_access,
            "lost_access": self.lost_access,
            "upper_bound_new_access": self.upper_bound_new_access,
            "upper_bound_lost_access": self.upper_bound_lost_access,
            "public": self.public,
            "external_accounts": list(self.external_accounts),
            "witness": None if self.witness is None else self.witness.to_witness(),
            "lost_witness": None if self.lost_witness is None else self.lost_witness.to_witness(),
            "gains": [change.to_dict() for change in self.gains],
            "losses": [change.to_dict() for change in self.losses],
            "proof": self.proof.to_dict(),
            "incomplete": list(self.incomplete),
            "findings": [finding.to_dict() for finding in self.findings],
        }
