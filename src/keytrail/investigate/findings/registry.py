"""The findings of an investigation, those of the policies included, each as grave as the surroundings make it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from keytrail.investigate.change import PolicyChange
from keytrail.investigate.events import Event
from keytrail.investigate.findings import surroundings
from keytrail.investigate.findings.case import Case
from keytrail.investigate.model import AccountFact, Capped, ComparedChange, DataAtStake, KeyFacts, RelatedActivity
from keytrail.policy import SEVERITIES, Finding, Found, step
from keytrail.settings import Accounts


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the catalogue: its title, its ATT&CK techniques, and the function that decides it."""

    title: str
    techniques: tuple[str, ...]
    decide: Callable[[Case], Iterator[Found]]


FINDINGS: Mapping[str, Kind] = {
    "KMS-P31": Kind("Gained access was used", ("T1530", "T1555.006"), surroundings.was_used),
    "KMS-P32": Kind("Change reverted quickly", ("T1070",), surroundings.was_undone),
    "KMS-P30": Kind("Grants survive the change", ("T1098",), surroundings.leaves_grants),
    "KMS-P29": Kind("Change was tried and refused before", ("T1098",), surroundings.was_refused),
}
"""By id; what weighs most first. A finding is one function and one line here."""

GAINS = frozenset(
    {
        "KMS-P01", "KMS-P02", "KMS-P03", "KMS-P04", "KMS-P05", "KMS-P06", "KMS-P07", "KMS-P08", "KMS-P09", "KMS-P10",
        "KMS-P11", "KMS-P12", "KMS-P13", "KMS-P15", "KMS-P16",
    }
)  # fmt: skip
"""The findings about access that is gained. They weigh more on a key that protects data, less on one out of use."""

_OUT_OF_USE = frozenset({"Disabled", "PendingDeletion", "PendingReplicaDeletion"})
_ABOUT_ONE_ACCOUNT = ("KMS-P02", "KMS-P03")


def findings_of(
    change: PolicyChange,
    compared: ComparedChange,
    related: RelatedActivity,
    key: KeyFacts,
    data: Capped[DataAtStake],
    accounts: Sequence[AccountFact],
    attempts: Sequence[Event] = (),
    trust: Accounts | None = None,
) -> tuple[Finding, ...]:
    """What is dangerous about a change, gravest first: the findings about the policies and those about the events.

    `attempts` are the events of `compared.refused_before`, `trust` says who those are that used the key. Gains weigh
    one step more when data is known to be protected by the key, one less when the key was out of use
    (spec/key-policy.md section 5).
    """
    case = Case(change, compared, related, key, data, accounts, attempts, trust or Accounts())
    ours = [
        each.named(id_, kind.title, kind.techniques) for id_, kind in FINDINGS.items() for each in kind.decide(case)
    ]
    theirs = () if compared.comparison is None else compared.comparison.findings
    found = [*ours, *(_weighed(_with_approval(one, accounts), case) for one in theirs)]
    return tuple(sorted(found, key=lambda each: (SEVERITIES.index(each.severity), each.standing)))


def _weighed(finding: Finding, case: Case) -> Finding:
    if finding.id not in GAINS or finding.standing:
        return finding
    steps = (1 if _is_out_of_use(case) else 0) - (1 if case.data.total else 0)
    return replace(finding, severity=step(finding.severity, steps))


def _is_out_of_use(case: Case) -> bool:
    state = case.key.state
    return (
        state is not None
        and state.value in _OUT_OF_USE
        and (state.time is None or state.time <= case.change.event.time)
    )


def _with_approval(finding: Finding, accounts: Sequence[AccountFact]) -> Finding:
    """The finding with what accounts.toml says about the account it is about."""
    if finding.id not in _ABOUT_ONE_ACCOUNT:
        return finding
    about = [one for one in accounts if any(one.account in principal for principal in finding.principals)]
    said = " ".join(filter(None, map(_approval, about)))
    return replace(finding, sentence=f"{finding.sentence} {said}") if said else finding


def _approval(one: AccountFact) -> str:
    reason = f" ({one.reason})" if one.reason else ""
    if one.relation == "expired" and one.expires is not None:
        return f"Its approval{reason} expired on {one.expires:%Y-%m-%d}."
    if one.relation == "approved":
        until = f" until {one.expires:%Y-%m-%d}" if one.expires is not None else ""
        return f"It is approved{until}{reason}."
    return ""
