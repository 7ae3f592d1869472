"""What an answer rests on: which part of the key's story the store has seen, and what of it may be missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keytrail.investigate.change import PolicyChange
from keytrail.investigate.model import ComparedChange, CoverageFacts
from keytrail.investigate.names import at
from keytrail.phrases import count
from keytrail.policy import listed
from keytrail.store import Coverage


def coverage_of(
    change: PolicyChange, compared: ComparedChange, coverage: Coverage, logging_gaps: Sequence[str] = ()
) -> CoverageFacts:
    """From when to when the key's account and Region were seen, and in words what may be missing from the answer.

    `coverage` is the store's, of all times. `logging_gaps` are sentences about trails that were stopped or that leave
    events of KMS out.
    """
    account, region = change.key.account, change.key.region
    seen = coverage.of(account, region)
    damage = coverage.damage_of(account, region)
    gaps = [
        *_beginning(change, compared, coverage),
        *_versions(compared),
        *logging_gaps,
        *_damage(tuple(one.what for one in damage)),
        *_other_sides(change, compared, coverage),
    ]
    return CoverageFacts(
        account,
        region,
        None if seen is None else seen.first,
        None if seen is None else seen.last,
        tuple(sorted({one.account for one in coverage.seen})),
        len(damage),
        tuple(dict.fromkeys(gaps)),
    )


def _beginning(change: PolicyChange, compared: ComparedChange, coverage: Coverage) -> Iterator[str]:
    """The key is older than the events, so that earlier changes, uses and grants of it are not known."""
    if change.creates or compared.since_creation:
        return
    seen = coverage.of(change.key.account, change.key.region)
    site = f"account {change.key.account} in {change.key.region}"
    if seen is None:
        yield f"No event of {site} was seen but those of the key itself."
    else:
        yield f"The events of {site} begin at {at(seen.first)}: what was done to the key before is not known."


def _versions(compared: ComparedChange) -> Iterator[str]:
    for which, version in (("before", compared.before), ("after", compared.after)):
        if version.reason:
            yield f"The policy {which} the change is not certain: {version.reason.rstrip('.')}."


def _damage(objects: Sequence[str]) -> Iterator[str]:
    if objects:
        yield (
            f"{count(len(objects), 'object')} that may hold events of the key could not be read, or not whole: "
            f"{listed(objects)}."
        )


def _other_sides(change: PolicyChange, compared: ComparedChange, coverage: Coverage) -> Iterator[str]:
    """Accounts that gained by name, of whom only what touches the owner's accounts can be seen."""
    if compared.comparison is None:
        return
    gains = [gain.classes for gain in compared.comparison.gains]
    by_name = [groups for groups in gains if all(group.sort != "stranger" for group in groups)]
    gained = {group.account for groups in by_name for group in groups if group.account}
    for account in sorted(gained - {change.key.account} - {one.account for one in coverage.seen}):
        yield (
            f"No event of account {account} was seen: what its identities did shows only where it touched the accounts "
            "that were seen."
        )
