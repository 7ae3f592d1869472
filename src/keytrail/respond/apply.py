"""Applying one plan: check everything, make the calls one by one, read the result back until it agrees.

A state machine: checking -> calling -> reading back -> ended. Each move is recorded before the next one is made, so
that whoever comes after a crash knows what was begun. KMS has no compare-and-set: between the last look and a call
somebody may come in, which the reading back tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from keytrail.errors import KeytrailError, SourceError, UsageError
from keytrail.phrases import count, joined
from keytrail.respond.calls import Identity
from keytrail.respond.identities import same_identity
from keytrail.respond.model import Call, Json, Plan
from keytrail.respond.operations import Seen, Standing, described, operation_of, standing, told
from keytrail.respond.refusals import is_definite

WHOLE = -1
"""The number of a step that is about the plan as a whole."""

State = Literal["checked", "begun", "done", "there already", "failed", "agreed", "disputed", "not seen"]
"""not seen: the call was made, and AWS still shows what was there before. disputed: it shows a third thing."""

Outcome = Literal["agreed", "there already", "failed", "disputed", "not seen"]

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 8.0
# A replica that is behind may show something older for a moment: a dispute has to be seen twice.
_LOOKS_FOR_A_DISPUTE = 2


class Aws(Protocol):
    """What applying needs of AWS; `keytrail.respond.calls.AwsCalls` is the real one. All raise KeytrailError."""

    def caller(self, call: Call) -> Identity:
        """Who would make a call."""

    def look(self, call: Call) -> Seen:
        """What is there now of what a call changes."""

    def do(self, call: Call) -> None:
        """Make a call."""


@dataclass(frozen=True, slots=True)
class Step:
    """A move: of the call with the number `step`, or of the plan as a whole (WHOLE)."""

    step: int
    state: State
    at: datetime
    caller: str
    detail: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applied:
    """How it ended. `done` are the numbers of calls that were made or were not needed, `left` those that were not made.

    `error` is what stopped it. `seen` is what AWS showed at the end for each call that does not show its result.
    """

    plan: Plan
    outcome: Outcome
    caller: str
    done: tuple[int, ...]
    left: tuple[int, ...]
    steps: tuple[Step, ...]
    error: KeytrailError | None = None
    seen: tuple[tuple[int, Seen], ...] = ()

    @property
    def well(self) -> bool:
        """Whether AWS shows what the plan wants."""
        return self.outcome in ("agreed", "there already")


class StalePlan(UsageError):
    """What is there is neither what the plan was made for nor what it makes: `seen` shows it, for the call `step`."""

    def __init__(self, what: str, *, step: int, seen: Seen, advice: str = "") -> None:
        super().__init__(what, advice=advice)
        self.step = step
        self.seen = seen


@dataclass(frozen=True, slots=True)
class Applying:
    """What applying a plan goes by: AWS, where moves are recorded, the clock, and how long results are looked for."""

    aws: Aws
    record: Callable[[Step], None]
    now: Callable[[], datetime]
    pause: Callable[[float], None]  # seconds
    read_back_seconds: float = 60.0


def apply_plan(plan: Plan, how: Applying) -> Applied:
    """Apply a plan. What is so already is left alone, so that doing it again is harmless.

    Raises UsageError (StalePlan) or SourceError before anything is changed; what goes wrong afterwards is in the
    result. An error of `record` stops it between two moves.
    """
    run = _Run(plan, how)
    todo = run.check()
    return run.read_back(todo) if run.call(todo) else run.ended()


class _Run:
    """One run through the states, with what is known so far."""

    def __init__(self, plan: Plan, how: Applying) -> None:
        self._plan = plan
        self._how = how
        self._steps: list[Step] = []
        self._caller = ""
        self._done: list[int] = []
        self._outcome: Outcome = "failed"
        self._error: KeytrailError | None = None
        self._seen: dict[int, Seen] = {}
        self._unread: dict[int, KeytrailError] = {}

    # -- checking

    def check(self) -> tuple[int, ...]:
        """The numbers of the calls that are to be made, everything being as the plan has it. Raises KeytrailError."""
        try:
            found = self._checked()
        except KeytrailError as error:
            self._move(WHOLE, "failed", {"why": error.what})
            raise
        todo = tuple(number for number, (where, _) in enumerate(found) if where == "before")
        self._move(WHOLE, "checked", {"to do": list(todo)})
        for number, (_, seen) in enumerate(found):
            if number not in todo:
                self._done.append(number)
                self._move(number, "there already", told(seen, self._plan.calls[number]))
        return todo

    def _checked(self) -> list[tuple[Standing, Seen]]:
        if not self._plan.calls:
            raise UsageError("the plan makes no call", advice="It is advice for people: do what it says by hand.")
        for call in self._plan.calls:
            operation_of(call)
        self._identify()
        found: list[tuple[Standing, Seen]] = []
        for number, call in enumerate(self._plan.calls):
            seen = self._how.aws.look(call)
            where = self._standing(call, seen)
            if where == "other":
                raise _stale(self._plan, number, seen)
            found.append((where, seen))
        return found

    def _identify(self) -> None:
        """Who calls; the credentials have to be of the account that a call is for, or it would be about another key."""
        known: dict[str, Identity] = {}
        for call in self._plan.calls:
            if call.account not in known:
                known[call.account] = who = self._how.aws.caller(call)
                self._caller = self._caller or who.arn
                if who.account != call.account:
                    raise UsageError(
                        f"the credentials are of account {who.account} ({who.arn}), and {call.resource} is of account "
                        f"{call.account}",
                        advice="Use credentials of that account: --profile, --role-arn, or [respond] role_name in"
                        " keytrail.toml, a role that is assumed there.",
                    )
            who = known[call.account]
            # Where AWS was not asked when the plan was made, nobody knew who would apply it.
            if call.service == "iam" and same_identity(who.arn, call.resource):
                raise UsageError(
                    f"{who.arn} is the identity that the plan stops: it would lock itself out",
                    advice="Apply the plan with other credentials.",
                )

    # -- calling

    def call(self, todo: tuple[int, ...]) -> bool:
        """Make the calls; False when one could not be made, and those after it were left."""
        if not todo:
            self._outcome = "there already"
            return False
        for number in todo:
            call = self._plan.calls[number]
            self._move(number, "begun", {"action": call.action, "resource": call.resource})
            try:
                self._how.aws.do(call)
            except KeytrailError as error:
                if not self._made_it(number, error):
                    return False
            else:
                self._move(number, "done")
            self._done.append(number)
        return True

    def _made_it(self, number: int, error: KeytrailError) -> bool:
        """Whether a call that failed was carried out all the same: its answer was lost, or somebody else made it."""
        call = self._plan.calls[number]
        try:
            seen = self._how.aws.look(call)
        except KeytrailError:
            where: Standing | Literal["unknown"] = "unknown"
        else:
            where = self._standing(call, seen)
        if where == "after":
            self._move(number, "done", {"answer": error.what})
            return True
        definite = is_definite(error.__cause__ or error)
        self._error = error
        self._move(number, "failed", {"why": error.what, "refused": definite, "now": where})
        self._move(WHOLE, "failed", {"at": number})
        if not definite:
            self._error = SourceError(
                f"{error.what}; whether AWS carried it out is not certain yet",
                advice=f"{error.advice}\nApply the plan again: what is done already is left alone.".lstrip(),
            )
        return False

    # -- reading back

    def read_back(self, made: tuple[int, ...]) -> Applied:
        """Look until AWS shows the result of every call that was made, or the time for that is up."""
        end = self._how.now() + timedelta(seconds=self._how.read_back_seconds)
        looks: dict[int, list[tuple[Standing, Seen]]] = {number: [] for number in made}
        for seconds in _pauses():
            for number in [one for one, seen in looks.items() if not _settled(seen)]:
                self._look_again(number, looks[number])
            left = (end - self._how.now()).total_seconds()
            if all(map(_settled, looks.values())) or left <= 0:
                break
            self._how.pause(min(seconds, left))
        for number, seen in looks.items():
            self._conclude(number, seen)
        states = {one.state for one in self._steps if one.step in made}
        self._outcome = "disputed" if "disputed" in states else "not seen" if "not seen" in states else "agreed"
        self._move(WHOLE, self._outcome)
        return self.ended()

    def _look_again(self, number: int, looks: list[tuple[Standing, Seen]]) -> None:
        call = self._plan.calls[number]
        try:
            seen = self._how.aws.look(call)
        except KeytrailError as error:
            self._unread[number] = error
            return
        self._unread.pop(number, None)
        looks.append((self._standing(call, seen), seen))

    def _conclude(self, number: int, looks: list[tuple[Standing, Seen]]) -> None:
        where, seen = looks[-1] if looks else ("before", None)
        state: State = "agreed" if where == "after" else "disputed" if where == "other" else "not seen"
        if seen is not None and state != "agreed":
            self._seen[number] = seen
        detail: Json = {} if seen is None else told(seen, self._plan.calls[number])
        if number in self._unread and state != "agreed":
            self._error = self._unread[number]
            detail |= {"why": self._error.what}
        self._move(number, state, detail)

    # -- all along

    def ended(self) -> Applied:
        left = [number for number in range(len(self._plan.calls)) if number not in self._done]
        return Applied(
            plan=self._plan,
            outcome=self._outcome,
            caller=self._caller,
            done=tuple(sorted(self._done)),
            left=tuple(left),
            steps=tuple(self._steps),
            error=self._error,
            seen=tuple(self._seen.items()),
        )

    def _standing(self, call: Call, seen: Seen) -> Standing:
        return standing(call, seen, basis=self._plan.basis.digest, before=self._plan.before)

    def _move(self, step: int, state: State, detail: Json | None = None) -> None:
        made = Step(step, state, self._how.now(), self._caller, detail or {})
        self._how.record(made)
        self._steps.append(made)


def _settled(looks: list[tuple[Standing, Seen]]) -> bool:
    if looks and looks[-1][0] == "after":
        return True
    last = looks[-_LOOKS_FOR_A_DISPUTE:]
    return len(last) == _LOOKS_FOR_A_DISPUTE and all(where == "other" for where, _ in last)


def _pauses() -> Iterator[float]:
    """Seconds between two looks, each longer than the one before."""
    seconds = FIRST_PAUSE_SECONDS
    while True:
        yield seconds
        seconds = min(seconds * 2, LONGEST_PAUSE_SECONDS)


def _stale(plan: Plan, number: int, seen: Seen) -> StalePlan:
    call = plan.calls[number]
    again = "Nothing was changed. Ask for plans for what is there now: keytrail respond ALERT."
    match operation_of(call).reads:
        case "key policy":
            what = f"the policy of {call.resource} is not the one that the plan was made for"
        case "key state":
            what = f"{call.resource} is {seen.value}, so it cannot be disabled"
            again = "Nothing was changed. A key that is pending deletion or without its material cannot be used anyway."
        case _:
            what = f"{call.resource} has another policy of the name that the plan writes"
    return StalePlan(what, step=number, seen=seen, advice=again)


def summary(result: Applied) -> tuple[str, ...]:
    """How applying ended, in sentences for people; what is hostile in them is as it is."""
    calls = result.plan.calls
    made = [one.step for one in result.steps if one.state == "done"]
    lines = [f"done: {described(calls[number])}" for number in made]
    lines += [f"there already: {described(calls[number])}" for number in result.done if number not in made]
    lines += [f"not done: {described(calls[number])}" for number in result.left]
    match result.outcome:
        case "agreed":
            lines.append("AWS shows the result.")
        case "there already":
            lines.append("Nothing had to be changed: AWS shows the result already.")
        case "disputed":
            numbers = [number for number, _ in result.seen]
            lines.append(
                "AWS shows neither what was there before nor what was asked for: somebody came between, after "
                f"{joined([f'call {number + 1}' for number in numbers])}. Ask for plans again, and look who it was."
            )
        case "not seen" if result.error is not None:
            lines.append(
                "AWS took the call, and its result could not be read back. Look at it with credentials that may read "
                "it; applying the plan again is harmless."
            )
        case "not seen":
            lines.append(
                "AWS took the call and still shows what was there before. It may take longer than was waited for: "
                "apply the plan again to see; what is done already is left alone."
            )
        case "failed":
            lines.append(
                f"It stopped half way: {count(len(result.done), 'call')} of {len(calls)} took effect. Put the cause "
                "right and apply the plan again: what is done already is left alone."
                if result.done
                else "Nothing of this plan was done."
                if _refused(result)
                else "Apply the plan again to see: what is done already is left alone."
            )
    return tuple(lines)


def _refused(result: Applied) -> bool:
    return any(one.state == "failed" and one.detail.get("refused") is True for one in result.steps)


__all__ = ["WHOLE", "Applied", "Applying", "Aws", "Outcome", "StalePlan", "State", "Step", "apply_plan", "summary"]
