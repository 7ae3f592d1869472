"""Random pairs of policies: the prover against sampled requests and the evaluator, against itself and its mirror."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.policy.long_run import problems

ROOT = Path(__file__).parents[2]


@settings(max_examples=400, deadline=None)
@given(st.integers(min_value=0, max_value=2**40))
def test_no_sampled_request_contradicts_the_comparison(seed: int) -> None:
    assert list(problems(seed, samples=30)) == []


SCRIPT = """
import json, sys
from keytrail.policy import KeyPolicy
from keytrail.policy.prover import compare
from tests.policy.generator import OWNER, Generator

for seed in range(60):
    before, after = Generator(seed).pair()
    result = compare(KeyPolicy.parse(before), KeyPolicy.parse(after), OWNER)
    print(json.dumps([result.to_dict(), result.work]))
"""


def test_answers_do_not_depend_on_the_order_of_hashes() -> None:
    """Strings hash differently in every process; nothing of an answer, not even the work, may follow from that."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for seed in ("1", "2")
    ]
    assert len(outputs[0]) == 60
    for first, second in zip(*outputs, strict=True):
        assert json.loads(first) == json.loads(second)
