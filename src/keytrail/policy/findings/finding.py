"""What a finding is: one dangerous thing about a change of a key policy, said for a person, with what proves it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from keytrail.policy.model import KeyPolicy, Statement
from keytrail.policy.requests import Caller, Request

Severity = Literal["critical", "high", "medium", "low", "info"]
Standing = Literal["proved", "witnessed", "possible"]

SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")
"""Gravest first."""

TECHNIQUES: Mapping[str, str] = {
    "T1070": "Indicator Removal",
    "T1098": "Account Manipulation",
    "T1098.003": "Additional Cloud Roles",
    "T1199": "Trusted Relationship",
    "T1485": "Data Destruction",
    "T1486": "Data Encrypted for Impact",
    "T1490": "Inhibit System Recovery",
    "T1530": "Data from Cloud Storage",
    "T1531": "Account Access Removal",
    "T1537": "Transfer Data to Cloud Account",
    "T1548.005": "Temporary Elevated Cloud Access",
    "T1555.006": "Cloud Secrets Management Stores",
    "T1562": "Impair Defenses",
    "T1565": "Data Manipulation",
}
"""The MITRE ATT&CK techniques the catalogue of findings uses (spec/key-policy.md section 5), by id."""


@dataclass(frozen=True, slots=True)
class StatementRef:
    """A statement of one of the two policies; `index` counts from 0."""

    side: Literal["before", "after"]
    index: int
    sid: str | None

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        return {"side": self.side, "index": self.index, "sid": self.sid}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. Texts hold names from the policies as they stand there: whoever shows them makes them safe.

    `proof`: "witnessed" when `witness` shows it and the evaluator agrees; "proved" when it needs no request, being
    about the text or about requests that the prover excluded; "possible" when neither could be reached within what is
    documented or the budget. `standing` is True where nothing about it is new. `bound` is "strict" where IAM could
    give the access already and it only became direct. For a gain the witness is a request that the policy after allows
    and the one before does not; for a loss the reverse; for a standing finding one that the policy after allows.
    """

    id: str
    title: str
    severity: Severity
    techniques: tuple[str, ...]
    sentence: str
    remedy: str
    principals: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    statements: tuple[StatementRef, ...] = ()
    witness: Request | None = None
    proof: Standing = "proved"
    bound: Literal["strict", "upper bound"] | None = None
    standing: bool = False

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            "id": self.id,
            "title": self.title,
            "severity": self.severity,
            "techniques": [{"id": id_, "name": TECHNIQUES[id_]} for id_ in self.techniques],
            "sentence": self.sentence,
            "remedy": self.remedy,
            "principals": list(self.principals),
            "actions": list(self.actions),
            "statements": [statement.to_dict() for statement in self.statements],
            "witness": None if self.witness is None else self.witness.to_witness(),
            "proof": self.proof,
            "bound": self.bound,
            "standing": self.standing,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """What a finding function yields; a registry adds id, title and, unless they are given here, techniques."""

    severity: Severity
    sentence: str
    remedy: str
    principals: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    statements: tuple[StatementRef, ...] = ()
    witness: Request | None = None
    proof: Standing = "proved"
    bound: Literal["strict", "upper bound"] | None = None
    standing: bool = False
    techniques: tuple[str, ...] | None = None

    def named(self, id_: str, title: str, techniques: tuple[str, ...]) -> Finding:
        """The finding, under the name that a line of a registry gives it."""
        return Finding(
            id=id_,
            title=title,
            severity=self.severity,
            techniques=techniques if self.techniques is None else self.techniques,
            sentence=self.sentence,
            remedy=self.remedy,
            principals=self.principals,
            actions=self.actions,
            statements=self.statements,
            witness=self.witness,
            proof=self.proof,
            bound=self.bound,
            standing=self.standing,
        )


@dataclass(frozen=True, slots=True)
class ChangeFacts:
    """What is known about a change besides the two policies, mostly from the event that made it (3.2).

    `caller` made the change. `before_known` False: the policy before could not be had, so None stands for "unknown" and
    not for a new key. `before_date` is since when the policy before had been in force. `replicas` are the last known
    policies of the same multi-Region key elsewhere, by key ARN; `primary` is that of the primary when this key is a
    new replica. `auditors` are the ARNs of roles and users that watch over keys.
    """

    caller: Caller | None = None
    bypass_lockout_check: bool = False
    policy_name: str = "default"
    before_known: bool = True
    before_date: date | None = None
    replicas: tuple[tuple[str, KeyPolicy], ...] = ()
    primary: KeyPolicy | None = None
    auditors: tuple[str, ...] = ()


def references(side: Literal["before", "after"], statements: Iterable[Statement]) -> tuple[StatementRef, ...]:
    """References to statements of one side, each once, in order of the document."""
    found = {statement.index: StatementRef(side, statement.index, statement.sid) for statement in statements}
    return tuple(found[index] for index in sorted(found))


def step(severity: Severity, steps: int) -> Severity:
    """A severity some steps lower (or with a negative number higher), but never info unless it was that.

    >>> step("critical", 1), step("low", 2), step("medium", -1)
    ('high', 'low', 'high')
    """
    at = SEVERITIES.index(severity)
    return severity if severity == "info" else SEVERITIES[max(0, min(at + steps, SEVERITIES.index("low")))]
