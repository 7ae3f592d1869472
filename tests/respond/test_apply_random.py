"""Whatever goes wrong, and wherever a process dies: what is told is what was done, and doing it again ends well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from keytrail.errors import KeytrailError, SourceError
from keytrail.respond.apply import WHOLE, Applied, Applying, Step, apply_plan
from keytrail.respond.calls import Identity
from keytrail.respond.model import Call, Plan
from keytrail.respond.operations import Seen
from tests.respond.kit import ACCOUNT, FOREIGN, GOOD, REGION, ROGUE, Clock, disable, make_plan, put_policy, revoke

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
GRANTS = ("grant1", "grant2")
PLAN = make_plan(
    "remove", KEY, put_policy(KEY, GOOD), *(revoke(KEY, one) for one in GRANTS), disable(KEY), before=ROGUE, after=GOOD
)


class Died(Exception):
    """The process is no more."""


@dataclass
class Troubled:
    """A key in memory that answers as it is told: `troubles` has a word for each question, in order; then all is well.

    refused: nothing is done. lost: it is done, and the answer does not arrive. unread: a look does not arrive. stale: a
    look shows what was there at the beginning. dies: the process dies before; died: after.
    """

    troubles: list[str]
    policy: str = ROGUE
    grants: set[str] = field(default_factory=lambda: set(GRANTS))
    enabled: bool = True
    asked: list[str] = field(default_factory=list)
    noted: list[Step] = field(default_factory=list)

    def caller(self, call: Call) -> Identity:
        return Identity(f"arn:aws:iam::{ACCOUNT}:role/responder", ACCOUNT)

    def look(self, call: Call) -> Seen:
        trouble = self._next()
        if trouble in ("refused", "unread", "lost"):
            raise SourceError("no answer")
        self._die(trouble, "dies", "died")
        old = trouble == "stale"
        if call.operation == "PutKeyPolicy":
            return Seen(ROGUE if old else self.policy)
        if call.operation == "RevokeGrant":
            grant = str(call.parameters["GrantId"])
            return Seen(grant if old or grant in self.grants else None)
        return Seen("Enabled" if old or self.enabled else "Disabled")

    def do(self, call: Call) -> None:
        trouble = self._next()
        # Whoever comes later has to find in the log that it was begun.
        number = PLAN.calls.index(call)
        last = [one for one in self.noted if one.step == number][-1]
        assert last.state == "begun"
        self._die(trouble, "dies")
        if trouble == "refused":
            raise SourceError("denied")
        self.asked.append(call.operation)
        if call.operation == "PutKeyPolicy":
            self.policy = str(call.parameters["Policy"])
        elif call.operation == "RevokeGrant":
            self.grants.discard(str(call.parameters["GrantId"]))
        else:
            self.enabled = False
        self._die(trouble, "died")
        if trouble == "lost":
            raise SourceError("no answer")

    def holds(self, number: int) -> bool:
        """Whether the result of a call is there."""
        return [self.policy == GOOD, "grant1" not in self.grants, "grant2" not in self.grants, not self.enabled][number]

    def _next(self) -> str:
        return self.troubles.pop(0) if self.troubles else "well"

    def _die(self, trouble: str, *words: str) -> None:
        if trouble in words:
            raise Died


def attempt(plan: Plan, aws: Troubled, record: Callable[[Step], None]) -> Applied | None:
    """One run; None when it was refused before anything, or died."""
    clock = Clock()
    try:
        return apply_plan(plan, Applying(aws, record, clock.now, clock.pause, 20.0))
    except (KeytrailError, Died):
        return None


TROUBLES = st.lists(
    st.sampled_from(["well", "well", "well", "refused", "lost", "unread", "stale", "dies", "died"]), max_size=60
)


@given(TROUBLES)
def test_doing_it_again_ends_well_whatever_went_wrong(troubles: list[str]) -> None:
    aws = Troubled(list(troubles))
    for _ in range(len(troubles) + 2):
        before = len(aws.noted)
        result = attempt(PLAN, aws, aws.noted.append)
        if result is None:
            continue
        assert list(result.steps) == aws.noted[before:]
        assert all(aws.holds(number) for number in result.done)
        assert sorted((*result.done, *result.left)) == [0, 1, 2, 3]
        assert result.well == (result.outcome in ("agreed", "there already"))
        if result.well:
            assert not result.left
            break
    # Whatever was in the way, nothing is left of it, and the end is what the plan wants.
    final = attempt(PLAN, Troubled([], aws.policy, aws.grants, aws.enabled), lambda step: None)
    assert final is not None
    assert final.outcome in ("there already", "agreed")


@given(TROUBLES, st.integers(0, 20))
def test_another_author_is_never_overwritten_by_a_plan_for_what_was_there(troubles: list[str], when: int) -> None:
    aws = Troubled([])
    result = attempt(make_plan("remove", KEY, put_policy(KEY, GOOD), before=ROGUE, after=GOOD), aws, aws.noted.append)
    assert result is not None
    assert result.well
    aws.policy, aws.troubles = FOREIGN, [one for one in troubles if one != "stale"][:when]
    aws.asked.clear()
    for _ in range(len(troubles) + 1):
        attempt(PLAN, aws, aws.noted.append)
    assert aws.policy == FOREIGN
    assert not aws.asked


@given(TROUBLES)
def test_every_run_says_first_that_it_was_checked_and_last_how_it_ended(troubles: list[str]) -> None:
    aws = Troubled(troubles)
    result = attempt(PLAN, aws, aws.noted.append)
    if result is None:
        return
    assert (result.steps[0].step, result.steps[0].state) == (WHOLE, "checked")
    begun = [one.step for one in result.steps if one.state == "begun"]
    assert begun == sorted(set(begun))
    for number in begun:
        after = [one.state for one in result.steps if one.step == number][1:]
        assert after[0] in ("done", "failed")
