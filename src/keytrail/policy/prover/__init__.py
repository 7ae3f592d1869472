"""The prover: which requests one key policy allows and another does not, exactly, with a witness."""

from keytrail.policy.prover.compare import BUDGET, compare
from keytrail.policy.prover.comparison import Change, Comparison, Proofs

__all__ = ["BUDGET", "Change", "Comparison", "Proofs", "compare"]
