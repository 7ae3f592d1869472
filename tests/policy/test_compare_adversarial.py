"""Policies made to be hard: an exact answer, or `incomplete` and the safe side, within a counted amount of work."""

from __future__ import annotations

import pytest

from keytrail.policy import KeyPolicy
from keytrail.policy.prover import BUDGET, compare
from tests.policy.adversarial import HARD, OWNER, pigeons

_SLACK = 100_000  # of one step that is counted after it is done


@pytest.mark.parametrize("name", HARD)
def test_a_hard_pair_is_exact_or_says_that_it_is_not(name: str) -> None:
    before, after = map(KeyPolicy.parse, HARD[name])
    result = compare(before, after, OWNER)
    assert result.work <= BUDGET + _SLACK
    proofs = result.proof
    for changed, proof in ((result.new_access, proofs.new_access), (result.lost_access, proofs.lost_access)):
        assert changed is (proof != "proved")
        if proof == "possible":
            assert result.incomplete


@pytest.mark.parametrize(
    ("name", "new", "lost"),
    [
        ("30 overlapping globs", "witnessed", "witnessed"),
        ("40 globs at once", "witnessed", "proved"),
        ("20 globs and a contradiction", "proved", "proved"),
        ("chain of 40 variables", "proved", "proved"),
        ("5 pigeons", "proved", "proved"),
        ("1,000 principals", "witnessed", "proved"),
        ("1,000 principals in conditions", "witnessed", "proved"),
        ("200 networks", "proved", "proved"),
        ("case puzzle", "witnessed", "proved"),
    ],
)
def test_what_looks_hard_but_is_not_is_exact(name: str, new: str, lost: str) -> None:
    before, after = map(KeyPolicy.parse, HARD[name])
    result = compare(before, after, OWNER)
    assert (result.proof.new_access, result.proof.lost_access, result.incomplete) == (new, lost, ())


def test_a_puzzle_beyond_the_budget_is_not_called_safe() -> None:
    before, after = map(KeyPolicy.parse, pigeons(9))
    result = compare(before, after, OWNER)
    assert result.new_access
    assert result.proof.new_access == "possible"
    assert "incomplete: budget" in result.incomplete
