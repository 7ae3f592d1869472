"""How long a comparison of key policies takes: ordinary pairs, the truth cases, and pairs made to be hard."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from statistics import quantiles

from keytrail.policy import Comparison, KeyPolicy, assess, compare
from tests.policy import adversarial
from tests.policy.ordinary import OWNER, ordinary_pair

CASES = Path(__file__).parents[2] / "shared" / "data" / "policy-cases.json"
ORDINARY_PAIRS = 10_000
WITH_FINDINGS = 500

Json = Mapping[str, object]
Pair = tuple[Json | None, Json, str]


def truth_cases() -> Iterator[Pair]:
    """The pairs of the shared truth cases, none where they do not lie beside the checkout."""
    if CASES.exists():
        for case in json.loads(CASES.read_text()):
            yield case["before"], case["after"], case["account"]


def ordinary(number: int) -> Iterator[Pair]:
    for seed in range(number):
        before, after = ordinary_pair(seed)
        yield before, after, OWNER


def hard() -> Iterator[tuple[str, Pair]]:
    """One pair of each kind that is made to be hard, at a size that fits a key policy or lies beyond it."""
    made = {
        "overlapping globs on one key": adversarial.overlapping_globs(40),
        "all of many globs": adversarial.all_of_many_globs(40),
        "no common glob": adversarial.no_common_glob(40),
        "chained policy variables": adversarial.chained_variables(40),
        "a circle of variables": adversarial.circle_of_variables(40),
        "200 statements": adversarial.many_statements(200),
        "many networks": adversarial.many_networks(200),
        "pigeon holes": adversarial.pigeons(12),
        "1,000 principals, 200 statements": adversarial.many_principals(1000, 200),
        "a long glob": adversarial.long_glob(2000),
        "case puzzle": adversarial.case_puzzle(12),
    }
    for name, (before, after) in made.items():
        yield name, (before, after, OWNER)


Judge = Callable[[KeyPolicy | None, KeyPolicy, str], Comparison]


def seconds(pair: Pair, judge: Judge = compare) -> tuple[float, tuple[str, ...]]:
    """The time of parsing and judging, and what the answer calls incomplete."""
    before, after, owner = pair
    started = time.perf_counter()
    old = KeyPolicy.parse(dict(before)) if before is not None else None
    comparison = judge(old, KeyPolicy.parse(dict(after)), owner)
    return time.perf_counter() - started, comparison.incomplete


def distribution(name: str, pairs: Iterable[Pair], judge: Judge = compare) -> None:
    """Print percentiles in milliseconds."""
    taken: list[float] = []
    incomplete = 0
    for pair in pairs:
        took, why = seconds(pair, judge)
        taken.append(took * 1000)
        incomplete += bool(why)
    if not taken:
        print(f"{name:34} not here")
        return
    cuts = quantiles(taken, n=100)
    print(
        f"{name:34}{len(taken):8,}{cuts[49]:10.1f}{cuts[89]:10.1f}{cuts[98]:10.1f}{max(taken):10.1f}{incomplete:12,}",
        flush=True,
    )


def main() -> None:
    seconds((None, ordinary_pair(0)[1], OWNER))  # imports and catalogues
    gc.collect()
    head = f"{'pairs':>8}{'median':>10}{'90 %':>10}{'99 %':>10}{'worst':>10}{'incomplete':>12}"
    print(f"\n{'comparing key policies (ms)':34}{head}")
    distribution("truth cases", truth_cases())
    distribution("ordinary pairs up to 32 KB", ordinary(ORDINARY_PAIRS))
    distribution("  of these, with all findings", ordinary(WITH_FINDINGS), assess)
    print(f"\n{'made to be hard (ms)':34}")
    for name, pair in hard():
        took, why = seconds(pair)
        print(f"{name:34}{took * 1000:8.0f}  {'; '.join(why) or 'exact'}"[:150], flush=True)


if __name__ == "__main__":
    main()
