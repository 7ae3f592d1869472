"""The remedies that a policy itself can be: restored, rid of what was added, or put back where it was weakened.

Pure: texts and policies in, a new text with what the prover says about it out. Every question is bounded by the
budget of the prover; what it could not decide is claimed as open, never as proved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from keytrail.errors import PolicyError, UsageError
from keytrail.phrases import joined
from keytrail.policy import Change, Comparison, KeyPolicy, Outcome, Principal, Request, Statement, compare, evaluate
from keytrail.policy.prover import BUDGET
from keytrail.policy.prover.comparison import Proof
from keytrail.respond.documents import Document, Splice, deleted_principals, fit
from keytrail.respond.likeness import Pairs, common, kept_principals, pairs, shape_of
from keytrail.respond.model import Claim

MAX_TRIALS = 30
"""Comparisons made to find out what of a re-conditioning is not needed; what is left then is put back untried."""

_EXAMPLES = 3
_RESTORE = "Restore a good version of the policy."


@dataclass(frozen=True, slots=True)
class Edited:
    """A policy after an edit, and what is claimed of it. `steps` say what was changed, as clauses without a full stop.

    Steps and claims may hold text that an attacker wrote.
    """

    text: str
    policy: KeyPolicy
    steps: tuple[str, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class NotPossible:
    """Why a policy cannot be edited so, and what would do instead."""

    why: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class _Prover:
    """Questions about the key of one owner."""

    owner: str
    org: str | None
    trusted: tuple[str, ...]
    budget: int

    def compare(self, before: KeyPolicy, after: KeyPolicy) -> Comparison:
        return compare(before, after, self.owner, org=self.org, trusted_accounts=self.trusted, budget=self.budget)

    def allows(self, policy: KeyPolicy, request: Request) -> bool:
        return evaluate(policy, request, self.owner).outcome is Outcome.ALLOWED


def restoration(
    good_text: str, owner: str, *, org: str | None = None, trusted: tuple[str, ...] = (), budget: int = BUDGET
) -> Edited | NotPossible:
    """The good policy itself, byte for byte but for the ids of deleted users and roles, which AWS refuses.

    `owner` is the account of the key, `org` its organisation, `trusted` its other accounts. Claims `equals`.
    """
    prover = _Prover(owner, org, trusted, budget)

    def edit() -> Edited | NotPossible:
        good = Document.of(good_text, name="good policy")
        begun = _Start.of(good)
        result = fit(begun.document)
        return _offered(result, begun.steps, (_equals(prover, good.policy, result.policy),))

    return _attempt(edit)


def removal(
    good: KeyPolicy | None,
    current_text: str,
    owner: str,
    *,
    org: str | None = None,
    trusted: tuple[str, ...] = (),
    budget: int = BUDGET,
) -> Edited | NotPossible:
    """The current policy without the statements, or the principals in them, that give access beyond `good`.

    Of a statement that good has too, but for principals that were added, only these go. Claims `nothing_beyond` and
    `nothing_taken`. Arguments as for `restoration`.
    """
    prover = _Prover(owner, org, trusted, budget)
    if good is None:
        return NotPossible(
            "no good version of the policy is known, so nothing says which of its statements are beyond it",
            "Mark a version of the policy as good, or remove the statements by hand.",
        )

    def edit() -> Edited | NotPossible:
        return _removal(prover, good, Document.of(current_text, name="current policy"))

    return _attempt(edit)


def reconditioning(
    good: KeyPolicy,
    current_text: str,
    owner: str,
    *,
    org: str | None = None,
    trusted: tuple[str, ...] = (),
    budget: int = BUDGET,
) -> Edited | NotPossible:
    """The current policy with the statements that were weakened put back to good's own text, and lost Denies added.

    Only as much as it takes to give nothing beyond `good`, conditions alone where these do. Claims `nothing_beyond`
    and `nothing_taken`. Arguments as for `restoration`.
    """
    prover = _Prover(owner, org, trusted, budget)

    def edit() -> Edited | NotPossible:
        return _reconditioning(prover, good, Document.of(current_text, name="current policy"))

    return _attempt(edit)


def _attempt(edit: Callable[[], Edited | NotPossible]) -> Edited | NotPossible:
    try:
        return edit()
    except PolicyError as error:
        return NotPossible(f"the policy cannot be read: {error.what}", error.advice)
    except UsageError as error:  # an edit that its document does not allow
        return NotPossible(error.what, error.advice)


@dataclass(frozen=True, slots=True)
class _Start:
    """A document without the ids that AWS refuses, and what its statements were called before."""

    document: Document
    labels: tuple[str, ...]
    steps: tuple[str, ...]

    @classmethod
    def of(cls, document: Document) -> _Start:
        deleted = deleted_principals(document)
        gone = document.emptied_by(deleted)
        steps = tuple(
            f"{document.statements[index].label} names only deleted users and roles and is dropped"
            if index in gone
            else f"out of {document.statements[index].label}, {_listed(principals)} {_is(principals)} dropped: "
            "what deleted users and roles leave behind"
            for index, principals in deleted.items()
        )
        labels = tuple(each.label for each in document.statements if each.index not in gone)
        return cls(document.without(deleted) if deleted else document, labels, steps)


# Removal -------------------------------------------------------------------------------------------------------------


def _removal(prover: _Prover, good: KeyPolicy, current: Document) -> Edited | NotPossible:
    begun = _Start.of(current)
    base = result = begun.document
    kept = kept_principals(good, base.policy)
    removed: dict[int, frozenset[Principal] | None] = {}
    while True:
        found = prover.compare(good, result.policy)
        gone = base.emptied_by(removed)
        alive = [index for index in range(len(base.statements)) if index not in gone]
        giving = {alive[statement.index] for change in found.gains for statement in change.statements}
        more = {
            index: beyond
            for index in sorted(giving - removed.keys())
            if (beyond := _beyond(base.statements[index], kept.get(index))) is None or beyond
        }
        if not more:
            break
        removed |= more
        result = base.without(removed)
    if found.proof.new_access == "witnessed":
        return _not_by_removal(found, some=bool(removed))
    if not removed:
        return _nothing_to_do(found)
    gone = base.emptied_by(removed)
    steps = tuple(
        f"{begun.labels[index]} is removed"
        if index in gone
        else f"out of {begun.labels[index]}, {_listed(principals or ())} {_is(principals or ())} removed"
        for index, principals in sorted(removed.items())
    )
    return _offered(result, (*begun.steps, *steps), _claims(prover, good, base.policy, result.policy))


def _beyond(statement: Statement, kept: frozenset[Principal] | None) -> frozenset[Principal] | None:
    """The principals that were added to a statement; None where it is not good's but for principals."""
    if kept is None:
        return None
    added = frozenset(each for each in statement.principals or () if each not in kept and not each.kind.names_nobody)
    return added if kept or not added else None


def _not_by_removal(found: Comparison, *, some: bool) -> NotPossible:
    what = "what would be left gives" if some else "the policy gives"
    left = [change for change in found.gains if change.witness is not None]
    denials = dict.fromkeys(f"{each.label} of the good policy" for change in left for each in change.denials)
    if denials:
        return NotPossible(
            f"{what} access beyond the good policy because of what is gone or weaker: {joined([*denials])}, a Deny; "
            "removing statements does not bring it back",
            "Re-condition the policy, which puts the Deny back, or restore a good version of it.",
        )
    statements = dict.fromkeys(each.label for change in left for each in change.statements)
    return NotPossible(
        f"{what} access beyond the good policy through what stands in both: {joined([*statements])}",
        "Re-condition the policy, or restore a good version of it.",
    )


# Re-conditioning -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Option:
    """One way to put one thing back; the one without `step` leaves it as it is."""

    step: str = ""
    splices: tuple[Splice, ...] = ()
    added: tuple[tuple[int, str], ...] = ()


def _reconditioning(prover: _Prover, good: KeyPolicy, current: Document) -> Edited | NotPossible:
    begun = _Start.of(current)
    base = begun.document
    found = prover.compare(good, base.policy)
    if not found.new_access:
        return _nothing_to_do(found)
    source = _Start.of(Document.of_policy(good))
    between = pairs(source.document.policy, base.policy)
    options = _options(begun, source, between)
    if not options:
        return NotPossible(
            "no statement of the good policy is there in a weaker form, and no Deny is gone",
            "Remove the statements or principals that were added, or restore a good version of the policy.",
        )
    chosen = [each[-1] for each in options]
    result = _applied(base, chosen)
    found = prover.compare(good, result.policy)
    if found.proof.new_access == "witnessed":
        statements = dict.fromkeys(each.label for change in found.gains for each in change.statements)
        return NotPossible(
            "putting back what was weakened is not enough: statements or principals that were added give access beyond "
            f"the good policy ({joined([*statements])} of what would be left)",
            _RESTORE,
        )
    if not found.new_access:
        result = _least(prover, good, base, options, chosen)
    steps = tuple(option.step for option in chosen if option.step)
    return _offered(result, (*begun.steps, *steps), _claims(prover, good, base.policy, result.policy))


def _least(
    prover: _Prover, good: KeyPolicy, base: Document, options: Sequence[Sequence[_Option]], chosen: list[_Option]
) -> Document:
    """Take back, in `chosen`, whatever nothing beyond good depends on; one thing after the other, the least first."""
    result = _applied(base, chosen)
    trials = ((at, option) for at, each in enumerate(options) for option in (_Option(), *each[:-1]))
    settled: set[int] = set()
    for at, option in islice(trials, MAX_TRIALS):
        if at in settled:
            continue
        attempt = [*chosen[:at], option, *chosen[at + 1 :]]
        candidate = _applied(base, attempt)
        if not prover.compare(good, candidate.policy).new_access:
            settled.add(at)
            chosen[:] = attempt
            result = candidate
    return result


def _applied(base: Document, options: Sequence[_Option]) -> Document:
    additions = [addition for option in options for addition in option.added]
    # Additions come first: where another edit begins at the same place, it is behind the list of statements.
    return base.edited([*base.addition(additions), *(splice for option in options for splice in option.splices)])


def _options(begun: _Start, source: _Start, between: Pairs) -> list[list[_Option]]:
    """What can be put back, each with its ways, the smallest change first."""
    base, good = begun.document, source.document
    found: list[list[_Option]] = []
    if good.policy.has_variables != base.policy.has_variables:
        version = good.text_of(("Version",))
        step = "the Version of the policy, which decides what ${…} means, is put back"
        found.append([_Option(step, tuple(base.member((), "Version", version)))])
    for theirs, ours in sorted(between.changed.items(), key=lambda pair: pair[1]):
        ways = _ways(good, base, theirs, ours, begun.labels[ours])
        if ways:
            found.append(ways)
    for index in between.lost:
        if good.statements[index].effect == "Deny":
            step = f"{source.labels[index]} of the good policy, a Deny that was gone, is added again"
            found.append([_Option(step, added=((between.place(index), good.statement_text(index)),))])
    return found


def _ways(good: Document, base: Document, theirs: int, ours: int, label: str) -> list[_Option]:
    """How a statement can be put back to what it is in good; none where only principals of an Allow differ."""
    before, after = shape_of(good.statements[theirs], good.policy), shape_of(base.statements[ours], base.policy)
    different = before.differences(after)
    allow = before.effect == after.effect == "Allow"
    if not different or (allow and different == {"who"} and before.who[0] == after.who[0]):
        return []
    ways = []
    # The condition of one Deny in another Deny could deny what neither of them does.
    if "conditions" in different and (allow or different == {"conditions"}):
        condition = good.text_of((*good.path_of(theirs), "Condition"))
        step = f"the condition of {label} is put back" if condition else f"the condition of {label} is taken out again"
        ways.append(_Option(step, tuple(base.member(base.path_of(ours), "Condition", condition))))
    if different != {"conditions"}:
        step = f"{label} is put back to what it is in the good policy"
        ways.append(_Option(step, tuple(base.replacement(ours, good.statement_text(theirs)))))
    return ways


# Claims --------------------------------------------------------------------------------------------------------------


def _offered(result: Document, steps: tuple[str, ...], claims: tuple[Claim, ...]) -> Edited | NotPossible:
    """The edit, unless the prover refutes what it is for."""
    for claim in claims:
        if claim.answer == "refuted":
            return NotPossible(f"what it is for does not hold: {claim.sentence}", _RESTORE)
    return Edited(result.text, result.policy, steps, claims)


def _nothing_to_do(found: Comparison) -> NotPossible:
    known = found.proof.new_access == "proved" and not found.incomplete
    return NotPossible(
        "the current policy gives nothing beyond the good one"
        if known
        else f"it is not known that the current policy gives anything beyond the good one ({_reasons(found)})",
        "" if known else _RESTORE,
    )


def _equals(prover: _Prover, good: KeyPolicy, result: KeyPolicy) -> Claim:
    sentence = "The policy allows exactly what the good version allows"
    if result == good:
        return Claim("equals", f"{sentence}: it is the same.", "proved")
    found = prover.compare(good, result)
    proofs = (found.proof.new_access, found.proof.lost_access)
    return _claim("equals", sentence, found, proofs, (*found.gains, *found.losses))


def _claims(prover: _Prover, good: KeyPolicy, current: KeyPolicy, result: KeyPolicy) -> tuple[Claim, Claim]:
    found = prover.compare(good, result)
    sentence = "The policy allows nothing that the good version does not allow"
    beyond = _claim("nothing_beyond", sentence, found, (found.proof.new_access,), found.gains)
    # This way round, since gains are what the prover's budget goes to first.
    found = prover.compare(result, common(good, current))
    taken = [each for each in found.gains if each.witness is not None and prover.allows(good, each.witness)]
    sentence = "What the good version and the unchanged statements of the current policy both allow stays allowed"
    return beyond, _claim("nothing_taken", sentence, found, (found.proof.new_access,), taken)


def _claim(code: str, sentence: str, found: Comparison, proofs: Sequence[Proof], against: Sequence[Change]) -> Claim:
    """What a comparison says about a claim that no request is `against`, each with a witness where it counts."""
    witnesses = [change.witness for change in against if change.witness is not None]
    if witnesses:
        examples = tuple(witness.to_witness() for witness in witnesses[:_EXAMPLES])
        return Claim(code, f"{sentence}: this is not so.", "refuted", examples)
    if found.incomplete or any(proof != "proved" for proof in proofs):
        return Claim(code, f"{sentence}, as far as could be found out ({_reasons(found)}).", "open")
    return Claim(code, f"{sentence}.", "proved")


def _reasons(found: Comparison) -> str:
    reasons = [reason.removeprefix("incomplete: ") for reason in found.incomplete]
    texts = ["the budget of the prover was used up" if each == "budget" else each for each in reasons]
    return "; ".join(texts) or "the prover has no answer"


def _listed(principals: Iterable[Principal]) -> str:
    return joined(sorted(map(str, principals)))


def _is(named: Collection[object]) -> str:
    return "is" if len(named) == 1 else "are"
