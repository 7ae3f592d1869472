"""`python -m tests.policy.long_run N [SEED]`: N random pairs of policies, the prover against the evaluator."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from keytrail.policy.evaluate import Outcome, evaluate
from keytrail.policy.model import KeyPolicy
from keytrail.policy.prover import Change, Comparison, compare
from keytrail.policy.prover.witness import confirms
from keytrail.policy.requests import Request
from tests.policy.generator import OWNER, Generator

SAMPLES = 40


def problems(seed: int, *, samples: int = SAMPLES, counts: Counter[str] | None = None) -> Iterator[str]:
    """Everything that is wrong with the comparison of the pair that `seed` makes."""
    generator = Generator(seed)
    old, new = generator.pair()
    before, after = KeyPolicy.parse(old), KeyPolicy.parse(new)
    result = compare(before, after, OWNER)
    if counts is not None:
        counts["pairs"] += 1
        for name, proof in result.proof.to_dict().items():
            counts[f"{name} {proof}"] += 1
    yield from _witnesses(result, before, after)
    yield from _sampled(generator, result, before, after, samples)
    mirrored = compare(after, before, OWNER)
    if _sides(result) != _sides(mirrored)[::-1]:
        yield f"not mirrored: {_sides(result)} {_sides(mirrored)}"
    same = compare(before, KeyPolicy.parse(generator.equivalent(old)), OWNER)
    if same.proof.new_access == "witnessed" or same.proof.lost_access == "witnessed":
        yield f"a policy differs from itself: {same.witness or same.lost_witness}"
    if same.incomplete == () and not same.unchanged:
        yield f"a policy is not proved equal to itself: {same.proof}"


def _sides(result: Comparison) -> tuple[tuple[object, ...], tuple[object, ...]]:
    proof = result.proof
    return (
        (result.new_access, result.upper_bound_new_access, proof.new_access, proof.upper_bound_new_access),
        (result.lost_access, result.upper_bound_lost_access, proof.lost_access, proof.upper_bound_lost_access),
    )


def _witnesses(result: Comparison, before: KeyPolicy, after: KeyPolicy) -> Iterator[str]:
    if any("not confirmed" in reason for reason in result.incomplete):
        yield "the evaluator did not confirm a witness"
    for changes, yes, no in ((result.gains, after, before), (result.losses, before, after)):
        for change in changes:
            if change.witness is not None and not confirms(change.witness, yes, no, OWNER):
                yield f"a witness is wrong: {change.witness.to_witness()}"
            if change.witness is not None and not _covers(change, change.witness):
                yield f"a witness is not of its own change: {change.witness.to_witness()}"
    if result.public_witness is not None and not evaluate(after, result.public_witness, OWNER).allowed:
        yield f"the public witness is wrong: {result.public_witness.to_witness()}"


def _sampled(
    generator: Generator, result: Comparison, before: KeyPolicy, after: KeyPolicy, samples: int
) -> Iterator[str]:
    for _ in range(samples):
        request = generator.request((before, after))
        first, second = evaluate(before, request, OWNER), evaluate(after, request, OWNER)
        if first.unstated or second.unstated:
            continue
        pairs = (
            ("gain", first, second, result.gains, result.upper_bound_new_access),
            ("loss", second, first, result.losses, result.upper_bound_lost_access),
        )
        for word, no, yes, changes, upper in pairs:
            if not yes.allowed or no.outcome not in (Outcome.DENIED, Outcome.NOT_ALLOWED):
                continue
            if not any(_covers(change, request) for change in changes):
                yield f"a {word} was missed: {request.to_witness()}"
            if request.needs_iam and not upper:
                yield f"an upper bound {word} was missed: {request.to_witness()}"
        outsider = request.caller.account not in (None, OWNER)
        if outsider and second.allowed and not result.external_accounts and not request.context.get("aws:userid"):
            yield f"an external account was missed: {request.to_witness()}"


def _covers(change: Change, request: Request) -> bool:
    """Whether the change is about the request's caller and action."""
    if request.action not in change.actions:
        return False
    caller = request.caller
    for group in change.classes:
        if group.caller.kind is not caller.kind or group.account not in (None, caller.account):
            continue
        if group.caller.session not in (None, caller.session):
            continue
        text = caller.principal_arn or caller.name
        if group.domain is None:
            if group.caller == replace(caller, session=group.caller.session):
                return True
        elif text in group.domain and (group.excluded is None or text not in group.excluded):
            return True
    return False


def main() -> int:
    """Run, print what is wrong with its seed, and how answers stood."""
    number = int(sys.argv[1])
    start = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    counts: Counter[str] = Counter()
    wrong = 0
    began = time.monotonic()
    for seed in range(start, start + number):
        try:
            for problem in problems(seed, counts=counts):
                wrong += 1
                print(f"seed {seed}: {problem}", flush=True)
        except Exception as error:  # noqa: BLE001 - a crash is a problem of this seed, not the end of the run
            wrong += 1
            print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)
    print(json.dumps(dict(sorted(counts.items())), indent=1))
    print(f"{number} pairs, {wrong} problems, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
