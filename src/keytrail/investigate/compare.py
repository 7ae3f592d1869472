"""One change of a key's policy as a whole: before, after, what is proved about both, and what was tried around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keytrail.investigate.change import KeyName, PolicyChange
from keytrail.investigate.events import Event
from keytrail.investigate.history import KeyHistory, history_of, version_of
from keytrail.investigate.limits import Limits
from keytrail.investigate.model import ComparedChange, PolicyVersion
from keytrail.investigate.unseen import unseen_of
from keytrail.policy import Change, ChangeFacts, Comparison, KeyPolicy, PrincipalKind, assess, compare
from keytrail.settings import Accounts
from keytrail.store import Coverage

_MOST_PROOFS = 5  # policies that are compared with one policy to see whether they mean the same
_MOST_TEXTS = 50  # policies that are read for it


def compare_change(
    change: PolicyChange,
    histories: Mapping[str, KeyHistory],
    *,
    accounts: Accounts,
    coverage: Coverage,
    logging: Sequence[Event],
    limits: Limits,
) -> ComparedChange:
    """Compare the policies before and after a change, with the facts of its event.

    `histories` are those of the key and of its copies in other Regions, by ARN; `logging` the events of LOGGING_QUERY.
    Trust is judged at the time of the change.
    """
    history = histories.get(change.key.arn) or history_of(change.key, [change.event])
    change = history.told(change)
    owner = change.key.account
    unseen = unseen_of(change.key, logging, coverage, logged=history.logged(), organisation=tuple(accounts.names))
    before, after = history.before(change, unseen), history.after(change)
    comparison = _compared(change, histories, before, after, accounts)
    unchanged = before.policy is not None and comparison is not None and comparison.unchanged
    if unchanged and (doubt := history.unordered(change)):
        # What one of two changes in a second gave is told as if it was known; that it gave nothing is not proved.
        before = replace(before, status="gap", reason="; ".join(filter(None, (before.reason, doubt))))
        comparison = _compared(change, histories, before, after, accounts)
    notes = list(history.notes(change))
    if comparison is None:
        notes.append(f"the policy after the change is not known, so nothing is compared: {after.reason}")
    elif before.status in ("unknown", "gap"):
        against = "nothing" if before.policy is None else "the last policy that is known"
        notes.append(f"the policy before the change is not known, it is compared with {against}: {before.reason}")
    refused = _refused_before(change, history, after, accounts)
    changed = comparison is None or not comparison.unchanged
    reverted = _reverted_by(change, history, before, accounts, limits) if changed else None
    following = history.next(change)
    return ComparedChange(
        before=before,
        after=after,
        comparison=comparison,
        baseline="nothing" if before.policy is None else "before",
        history=history.entries(limits.max_timeline, change),
        history_total=len(history.steps),
        refused_before=tuple(one.event.id for one in refused[-limits.max_event_ids :]),
        refused_total=len(refused),
        reverted_by=reverted.id if reverted else None,
        reverted_at=reverted.time if reverted else None,
        in_force_until=following.time if following else None,
        notes=tuple(notes),
        owner=owner,
        since_creation=any(step.change is not None and step.change.creates for step in history.steps),
    )


def _compared(
    change: PolicyChange,
    histories: Mapping[str, KeyHistory],
    before: PolicyVersion,
    after: PolicyVersion,
    accounts: Accounts,
) -> Comparison | None:
    if after.policy is None:
        return None
    owner, moment = change.key.account, change.event.time
    return assess(
        before.policy,
        after.policy,
        owner,
        org=accounts.organisation,
        # The owner's own identities are no outsiders whose gains trust makes milder.
        trusted_accounts=[one for one in accounts.trusted_at(moment) if one != owner],
        facts=facts_of(change, histories, before),
        at=moment,
    )


def facts_of(change: PolicyChange, histories: Mapping[str, KeyHistory], before: PolicyVersion) -> ChangeFacts:
    """What the events say about a change besides the policies; `histories` as in `compare_change`."""
    event, key = change.event, change.key
    versions = {arn: one.at(event.time) for arn, one in sorted(histories.items()) if arn != key.arn}
    siblings = {arn: one.policy for arn, one in versions.items() if one is not None and one.policy is not None}
    source = before.source if before.policy is not None else None
    return ChangeFacts(
        caller=event.caller,
        bypass_lockout_check=change.bypassed_lockout_check,
        before_known=before.status not in ("unknown", "gap"),
        before_date=source.time.date() if source is not None and source.time is not None else None,
        replicas=tuple(siblings.items()),
        primary=siblings.get(_primary(change)),
    )


def gained_principals(compared: ComparedChange) -> tuple[str, ...]:
    """Who gained access by a change: ARNs, services, `*` for everyone; an account's root ARN for all in it. Sorted.

    Where nothing could be compared with, only principals from outside the key's account.
    """
    if compared.comparison is None:
        return ()
    gains = compared.comparison.gains
    found = [(name, account, change) for change in gains for name, account in _gaining(change)]
    # Whoever gains as one of everyone, by the same statements, is not named beside `*`.
    for_all = {change.statements for name, _, change in found if name == "*"}
    first = compared.baseline == "nothing"
    return tuple(
        sorted(
            {
                name
                for name, account, change in found
                if not (first and account == compared.owner)
                and (change.statements not in for_all or name in {"*", *_named(change)})
            }
        )
    )


def _gaining(change: Change) -> Iterator[tuple[str, str | None]]:
    """Who gained by one change, and of which account each is."""
    for group in change.classes:
        caller = group.caller
        if group.sort in ("stranger", "other service"):
            yield "*", None
        elif group.sort == "service":
            yield caller.name, None
        elif group.sort == "root" or (group.sort == "other" and caller.session is None):
            yield _root(caller.partition, group.account), group.account
        else:
            yield caller.arn, group.account


def _named(change: Change) -> Iterator[str]:
    """The principals that the statements behind a gain name, as gains are named."""
    partition = next((group.caller.partition for group in change.classes if group.account is not None), "aws")
    for statement in change.statements:
        for principal in statement.principals or ():
            is_account = principal.kind is PrincipalKind.ACCOUNT
            yield _root(partition, principal.account) if is_account else principal.value


def _root(partition: str, account: str | None) -> str:
    return f"arn:{partition}:iam::{account}:root"


def _primary(change: PolicyChange) -> str:
    """The ARN of the key that a ReplicateKey copied, "" for other changes."""
    if change.event.name != "ReplicateKey":
        return ""
    sent = change.event.parameters.get("keyId")
    named = KeyName.parse(sent) if isinstance(sent, str) else None
    return (named or KeyName(change.key.partition, change.event.region, change.key.account, change.key.id)).arn


# The same change before, the same policy again ----------------------------------------------------------------------


@dataclass
class _Same:
    """Whether other policies mean the same as one: by their text, their document, or a proof, of which there are few.

    What is beyond the bounds is taken for another policy.
    """

    version: PolicyVersion
    owner: str
    organisation: str | None
    answers: dict[str | None, bool] = field(default_factory=dict)
    proofs: int = 0

    def holds(self, other: PolicyVersion) -> bool:
        if other.policy is None or self.version.policy is None:
            return False
        if other.digest not in self.answers:
            self.answers[other.digest] = other.digest == self.version.digest or self._proved(
                self.version.policy, other.policy
            )
        return self.answers[other.digest]

    def _proved(self, one: KeyPolicy, other: KeyPolicy) -> bool:
        if one == other:
            return True
        self.proofs += 1
        return self.proofs <= _MOST_PROOFS and compare(one, other, self.owner, org=self.organisation).unchanged


def _refused_before(
    change: PolicyChange, history: KeyHistory, after: PolicyVersion, accounts: Accounts
) -> list[PolicyChange]:
    """The attempts at the same policy that failed before the change, by time."""
    same = _Same(after, change.key.account, accounts.organisation)
    texts: dict[str, bool] = {} if change.policy is None else {change.policy: after.policy is not None}
    found = []
    for attempt in reversed(history.refused):  # the nearest first: these are compared, if not all can be
        if attempt.event.time >= change.event.time or attempt.policy is None:
            continue
        if attempt.policy not in texts and len(texts) <= _MOST_TEXTS:
            texts[attempt.policy] = same.holds(version_of(attempt))
        if texts.get(attempt.policy):
            found.append(attempt)
    return found[::-1]


def _reverted_by(
    change: PolicyChange, history: KeyHistory, before: PolicyVersion, accounts: Accounts, limits: Limits
) -> Event | None:
    """The first change within `limits.revert` that gave the key the policy back that it had before."""
    same = _Same(before, change.key.account, accounts.organisation)
    for step in history.steps[history.place(change) + 1 :]:
        if step.time - change.event.time > limits.revert:
            return None
        if step.change is not None and same.holds(step.version):
            return step.change.event
    return None
