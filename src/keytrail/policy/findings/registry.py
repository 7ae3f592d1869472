"""All findings, in the order of the catalogue (spec/key-policy.md section 5), and the function that runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from keytrail.policy.findings import constructs, lockout, losses, outsiders, powers, scope, services, weakened
from keytrail.policy.findings.case import Case
from keytrail.policy.findings.finding import SEVERITIES, ChangeFacts, Finding, Found
from keytrail.policy.model import KeyPolicy
from keytrail.policy.prover.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the catalogue: its title, its ATT&CK techniques, and the function that decides it."""

    title: str
    techniques: tuple[str, ...]
    decide: Callable[[Case], Iterator[Found]]


FINDINGS: Mapping[str, Kind] = {
    "KMS-P00": Kind("No change of access (proved)", (), scope.changes_nothing),
    "KMS-P01": Kind("Key is public", ("T1537",), outsiders.is_public),
    "KMS-P02": Kind("Outside account added", ("T1199", "T1537"), outsiders.is_new_outside),
    "KMS-P03": Kind("Outside access widened", ("T1199",), outsiders.is_wider_outside),
    "KMS-P04": Kind("Organisation boundary lost", ("T1537",), outsiders.leaves_organisation),
    "KMS-P05": Kind("New principal can decrypt", ("T1555.006", "T1530"), powers.can_decrypt),
    "KMS-P06": Kind("Administration broadened", ("T1098", "T1548.005"), powers.administers),
    "KMS-P07": Kind("Direct access past IAM", ("T1098.003",), powers.goes_past_iam),
    "KMS-P08": Kind("Creation of grants opened", ("T1098",), powers.creates_grants),
    "KMS-P09": Kind("Condition removed or weakened", ("T1562",), weakened.loses_conditions),
    "KMS-P10": Kind("New use of the key", ("T1486", "T1565"), powers.uses),
    "KMS-P11": Kind("Power to destroy or move the key", ("T1485", "T1490"), powers.destroys),
    "KMS-P12": Kind("Deny removed or weakened", ("T1562",), weakened.loses_denials),
    "KMS-P13": Kind("Caller granted itself access", ("T1098", "T1548.005"), powers.helped_itself),
    "KMS-P14": Kind("NotPrincipal or NotAction", ("T1098",), constructs.negates),
    "KMS-P15": Kind("Service without source", ("T1199",), services.lacks_source),
    "KMS-P16": Kind("Hole by choice of operator", ("T1562",), weakened.has_hole),
    "KMS-P17": Kind("Delegation to the account reduced", ("T1531",), lockout.narrows_delegation),
    "KMS-P18": Kind("Nobody can manage the key", ("T1531", "T1485"), lockout.locks_out),
    "KMS-P19": Kind("Lock-out safety check bypassed", ("T1562",), lockout.skips_check),
    "KMS-P20": Kind("Takeover or ransom", ("T1486", "T1531"), lockout.takes_over),
    "KMS-P21": Kind("Deleted principal", (), constructs.is_orphaned),
    "KMS-P22": Kind("Statement without effect", (), constructs.is_ineffective),
    "KMS-P23": Kind("Version of the policy language changed", (), constructs.is_older),
    "KMS-P24": Kind("Principal lost access", ("T1531",), losses.loses_access),
    "KMS-P25": Kind("Access narrowed", (), losses.is_narrowed),
    "KMS-P26": Kind("Analysis incomplete", (), scope.is_incomplete),
    "KMS-P27": Kind("First policy of a key", (), scope.is_first),
    "KMS-P28": Kind("Copies of the key differ", ("T1562",), scope.diverges),
    "KMS-P33": Kind("Monitoring lost sight of the key", ("T1562",), losses.blinds_monitoring),
    "KMS-P34": Kind("Wildcard grew over time", (), constructs.has_grown),
}
"""By id. A finding is one function and one line here."""


def find(
    before: KeyPolicy | None,
    after: KeyPolicy,
    owner: str,
    comparison: Comparison,
    *,
    org: str | None = None,
    trusted_accounts: Iterable[str] = (),
    facts: ChangeFacts | None = None,
    at: datetime | None = None,
) -> tuple[Finding, ...]:
    """What is dangerous (or reassuring) about a change of a key of account `owner`, gravest first, in a fixed order.

    `comparison` is what `compare` says about the same policies with the same `org`, `trusted_accounts` and `at`.
    Trusted accounts and the own organisation make findings about them milder. Never raises.
    """
    case = Case(before, after, owner, comparison, org, frozenset(trusted_accounts), facts or ChangeFacts(), at)
    with case.closing:
        found = [
            each.named(id_, kind.title, kind.techniques) for id_, kind in FINDINGS.items() for each in kind.decide(case)
        ]
    return tuple(sorted(found, key=lambda each: (SEVERITIES.index(each.severity), each.standing)))
