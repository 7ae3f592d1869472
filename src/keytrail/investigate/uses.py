"""The uses of a key after a change of its policy that the policy before the change did not allow."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keytrail.investigate.activity import Call, KeyActivity
from keytrail.investigate.change import KeyName, PolicyChange
from keytrail.investigate.events import USES, Event, member
from keytrail.investigate.grants import grant_of
from keytrail.investigate.limits import Limits
from keytrail.investigate.model import Capped, ComparedChange, Run, Usage
from keytrail.investigate.queries import KMS
from keytrail.investigate.requests import Pairs, Reader, Use
from keytrail.investigate.services import named_by_context
from keytrail.policy import Caller, CallerKind, KeyPolicy, evaluate
from keytrail.settings import Accounts

PAUSE = timedelta(hours=1)
"""How long after a use of the same kind another one begins a new run."""


def uses_since(
    change: PolicyChange,
    compared: ComparedChange,
    gained: Sequence[str],
    activity: KeyActivity,
    limits: Limits,
    accounts: Accounts | None = None,
) -> tuple[Usage, ...]:
    """The successful uses of the key after a change by principals that gained access, by principal and action.

    What was done in the second of the change counts as done after it: a record tells no more than the second. A use
    counts when the policy after the change may have allowed it and the policy before it did not. Where that
    hangs on something that records do not tell (a tag, MFA, the VPC endpoint), it counts unless the principal made such
    uses before the change. Of a new key, and where the policy before is not known at all, those uses count that come
    from outside the key's account and were not made before. CreateGrant counts as the use of the power to create
    grants.

    `gained` are ARNs of identities and sessions, ARNs of accounts' root users for any identity of the account, names
    of services, and "*". `accounts` tell who is in the organisation.
    """
    after = compared.after.policy
    if after is None or not gained:
        return ()
    judge = _Judge(change, compared.before.policy, after, gained, activity, accounts or Accounts())
    found: dict[tuple[str, str], _Found] = defaultdict(_Found)
    for call, more in _calls_since(change.event.time, activity):
        use = judge.use(call, more)
        if use is None or not judge.is_gain(use, call):
            continue
        undone = judge.undone(use)
        caller = call.caller.arn if call.caller is not None else ""
        each = found[caller if caller in gained else call.principal, call.name]  # one session alone may have gained
        each.calls.append((call, undone is not None and call.time >= undone))
        each.also_before |= judge.was_made_before(call)
    borders = tuple(time for time, _ in judge.later)
    usages = [each.usage(principal, name, change.key, borders, limits) for (principal, name), each in found.items()]
    return tuple(sorted(usages, key=lambda one: (one.first, one.principal, one.action)))


def undone_at(change: PolicyChange, compared: ComparedChange, activity: KeyActivity) -> datetime | None:
    """When a later policy no longer gave anything of what the change gave, by the witnesses of its gains."""
    if compared.comparison is None:
        return None
    witnesses = [gain.witness for gain in compared.comparison.gains if gain.witness is not None]
    if not witnesses:
        return None
    owner, arn = change.key.account, change.key.arn
    for time, policy in _later_policies(change, activity):
        if policy is not None and not any(evaluate(policy, one, owner, key_arn=arn).possible for one in witnesses):
            return time
    return None


def is_among(gained: str, caller: Caller) -> bool:
    """Whether a caller is a principal that gained access, or one of those it stands for.

    >>> is_among("arn:aws:iam::111122223333:root", Caller.parse("arn:aws:iam::111122223333:user/alice"))
    True
    """
    if gained == "*":
        return True
    if caller.kind is CallerKind.SERVICE:
        return gained.removeprefix("service:").lower() == caller.name.lower()
    return gained in (caller.arn, caller.principal_arn, f"arn:{caller.partition}:iam::{caller.account}:root")


class _Judge:
    """Decides each use once, however often it was made."""

    def __init__(
        self,
        change: PolicyChange,
        before: KeyPolicy | None,
        after: KeyPolicy,
        gained: Sequence[str],
        activity: KeyActivity,
        accounts: Accounts,
    ) -> None:
        self._key = change.key
        self._before = before
        self._after = after
        self._gained = gained
        self.later = tuple(_later_policies(change, activity))
        policies = [after, *(one for one in (before, *(policy for _, policy in self.later)) if one is not None)]
        self._reader = Reader(policies, change.key, accounts)
        self._earlier = {
            (call.principal, call.name)
            for call, _ in uses_of(activity)
            if call.time < change.event.time and call.succeeded
        }
        self._answers: dict[Use, bool | None] = {}
        self._undone: dict[Use, datetime | None] = {}

    def use(self, call: Call, more: Pairs) -> Use | None:
        return self._reader.use(call, USES.get(call.name, (f"kms:{call.name}",)), more)

    def is_gain(self, use: Use, call: Call) -> bool:
        """Whether only the policy after allows the use; what records leave open, the principal's past decides."""
        if use not in self._answers:
            self._answers[use] = self._decide(use)
        answer = self._answers[use]
        return not self.was_made_before(call) if answer is None else answer

    def was_made_before(self, call: Call) -> bool:
        """Whether the principal made such a use before the change."""
        return (call.principal, call.name) in self._earlier

    def undone(self, use: Use) -> datetime | None:
        """The time of the first later policy that does not allow the use."""
        if use not in self._undone:
            self._undone[use] = next(
                (time for time, policy in self.later if policy is not None and not self._reader.may(use, policy)), None
            )
        return self._undone[use]

    def _decide(self, use: Use) -> bool | None:
        if not any(is_among(one, caller) for one in self._gained for caller in use.callers):
            return False
        if not self._reader.may(use, self._after):
            return False
        if self._before is None:
            # Identities of the owner may have had it before, and are at home with a new key.
            return False if use.callers[0].account == self._key.account else None
        if not self._reader.may(use, self._before):
            return True
        return False if self._reader.must(use, self._before) else None


@dataclass(slots=True)
class _Found:
    """The calls of one principal and name that count, by time, and whether each came after what it used was undone."""

    calls: list[tuple[Call, bool]] = field(default_factory=list)
    also_before: bool = False

    def usage(self, principal: str, name: str, key: KeyName, borders: Sequence[datetime], limits: Limits) -> Usage:
        calls = [call for call, _ in self.calls]
        late = sum(is_late for _, is_late in self.calls)
        contexts = dict.fromkeys(one for call in calls for one in call.contexts)
        resources = dict.fromkeys(named_by_context(dict(one), key).resource for one in contexts)
        most = limits.max_event_ids
        return Usage(
            principal=principal,
            action=f"kms:{name}",
            count=len(calls),
            in_force=len(calls) - late,
            after_revert=late,
            first=calls[0].time,
            last=calls[-1].time,
            event_ids=Capped.of([call.event_id for call in calls], most),
            resources=Capped.of(list(resources), most),
            runs=Capped.of(list(self._runs(borders)), most),
            also_before=self.also_before,
        )

    def _runs(self, borders: Sequence[datetime]) -> Iterator[Run]:
        (first, was_late), count = self.calls[0], 0
        last = first
        for call, is_late in self.calls:
            crossed = bisect_right(borders, last.time) != bisect_right(borders, call.time)
            if crossed or is_late != was_late or call.time - last.time > PAUSE:
                yield Run(first.time, last.time, first.event_id, count, was_late)
                first, count = call, 0
            last, was_late, count = call, is_late, count + 1
        yield Run(first.time, last.time, first.event_id, count, was_late)


def _calls_since(time: datetime, activity: KeyActivity) -> Iterator[tuple[Call, Pairs]]:
    return ((call, more) for call, more in uses_of(activity) if call.time >= time and call.succeeded)


def uses_of(activity: KeyActivity) -> Iterator[tuple[Call, Pairs]]:
    """The uses of the key by time, tried or made, each with what conditions look at besides the call itself."""
    grants = [
        (_as_call(event), _asked(event))
        for event in activity.events
        if event.provider == KMS and event.name == "CreateGrant"
    ]
    uses: list[tuple[Call, Pairs]] = [(call, ()) for call in activity.calls if call.is_use]
    yield from sorted([*uses, *grants], key=lambda one: (one[0].time, one[0].event_id))


def _as_call(event: Event) -> Call:
    constraints = member(event.parameters, "constraints")
    context = member(constraints, "encryptionContextEquals") or member(constraints, "encryptionContextSubset")
    pairs = tuple(sorted((name, value) for name, value in context.items() if isinstance(value, str)))
    return Call(
        event.time,
        event.id,
        event.name,
        event.principal,
        event.caller,
        event.caller_account,
        (pairs,) if pairs else (),
        event.invoked_by,
        event.address,
        event.agent,
        event.error,
    )


def _asked(event: Event) -> Pairs:
    """The condition keys of CreateGrant (1.7)."""
    grant = grant_of(event)
    constraints = next((name for name in grant.constraints if name.startswith("encryptionContext")), "")
    found = {
        "kms:GrantOperations": grant.operations,
        "kms:GranteePrincipal": (grant.grantee,),
        "kms:RetiringPrincipal": (grant.retiring,),
        "kms:GrantIsForAWSResource": ("true" if event.invoked_by else "false",),
        "kms:GrantConstraintType": (constraints[:1].upper() + constraints[1:],),
    }
    return tuple((name, tuple(value for value in values if value)) for name, values in found.items())


def _later_policies(change: PolicyChange, activity: KeyActivity) -> Iterator[tuple[datetime, KeyPolicy | None]]:
    """The policies that the key was given after the change, by time; None for one that is not known."""
    return ((event.time, policy) for event, policy in activity.policies if event.time > change.event.time)
