"""The truth cases: what `compare` says about each pair of policies, and that its witnesses are right by evaluation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from keytrail.policy import KeyPolicy, Outcome, Request, evaluate
from keytrail.policy.prover import Comparison, compare

CASES = Path(__file__).parents[2] / "../shared/data/policy-cases.json"
SAME = (
    "new_access",
    "lost_access",
    "public",
    "external_accounts",
    "upper_bound_new_access",
    "upper_bound_lost_access",
)

if not CASES.exists():
    pytest.skip(f"the truth cases are not at {CASES}", allow_module_level=True)


def _compare(case: dict[str, object], *, swapped: bool = False) -> Comparison:
    before, after = (None if case[side] is None else KeyPolicy.parse(case[side]) for side in ("before", "after"))
    if swapped:
        before, after = after, before
    return compare(before, after, case["account"])


@pytest.mark.parametrize("case", json.loads(CASES.read_text("utf-8")), ids=lambda case: case["name"])
def test_a_truth_case_holds_and_is_proved(case: dict[str, object]) -> None:
    result = _compare(case)
    answer = result.to_dict()
    assert {name: answer[name] for name in SAME} == {name: case["expect"][name] for name in SAME}, case["why"]
    assert result.incomplete == ()
    assert "possible" not in result.proof.to_dict().values()
    assert (result.witness is not None) == result.new_access
    assert (result.lost_witness is not None) == result.lost_access
    if case["before"] is not None:
        for witness, yes, no in (("witness", "after", "before"), ("lost_witness", "before", "after")):
            if answer[witness] is not None:
                # Read back from its JSON form, so that the form says everything.
                request = Request.from_witness(answer[witness])
                assert evaluate(KeyPolicy.parse(case[yes]), request, case["account"]).allowed
                refused = evaluate(KeyPolicy.parse(case[no]), request, case["account"]).outcome
                assert refused in (Outcome.DENIED, Outcome.NOT_ALLOWED)


@pytest.mark.parametrize(
    "case",
    [case for case in json.loads(CASES.read_text("utf-8")) if case["before"] is not None],
    ids=lambda case: case["name"],
)
def test_the_other_way_round_gains_and_losses_change_places(case: dict[str, object]) -> None:
    there, back = _compare(case), _compare(case, swapped=True)
    assert (there.new_access, there.lost_access) == (back.lost_access, back.new_access)
    # Which of the possible witnesses is shown may differ.
    assert [replace(gain, witness=None) for gain in there.gains] == [
        replace(loss, witness=None) for loss in back.losses
    ]
