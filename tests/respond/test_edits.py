"""The remedies of a policy, by the prover and by the evaluator: nothing beyond good is left, nothing else is taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail.policy import KeyPolicy, Outcome, PrincipalKind, Statement, compare, evaluate
from keytrail.respond.documents import Document
from keytrail.respond.edits import Edited, NotPossible, reconditioning, removal, restoration
from tests.policy.generator import OWNER, Generator
from tests.policy.ordinary import ordinary_pair
from tests.respond.spelling import loosened, spelled

SEEDS = st.integers(min_value=0, max_value=2**40)
CASES = Path(__file__).parents[2] / "../shared/data/policy-cases.json"
FIXTURES = sorted((Path(__file__).parent / "edits").glob("*.json"))
NO = (Outcome.DENIED, Outcome.NOT_ALLOWED)
SAMPLES = 40

Json = dict[str, object]
Answer = Edited | NotPossible


def edits(good: str, current: str, owner: str, budget: int = 250_000) -> dict[str, Answer]:
    policy = KeyPolicy.parse(good)
    return {
        "restore": restoration(good, owner, budget=budget),
        "remove": removal(policy, current, owner, budget=budget),
        "recondition": reconditioning(policy, current, owner, budget=budget),
    }


def answers(edited: Edited) -> dict[str, str]:
    return {claim.code: claim.answer for claim in edited.claims}


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_a_pair_is_edited_as_written_down(path: Path) -> None:
    """Each file: `good` and `current` as lines, and per kind the lines that it gives, or a part of why it cannot."""
    case = json.loads(path.read_text("utf-8"))
    good, current = ("\n".join(case[name]) for name in ("good", "current"))
    found = edits(good, current, case.get("owner", OWNER))
    assert found.keys() == case["expect"].keys()
    for kind, expected in case["expect"].items():
        edited = found[kind]
        if isinstance(expected, str):
            assert isinstance(edited, NotPossible), kind
            assert expected in edited.why
        else:
            assert isinstance(edited, Edited), (kind, edited)
            assert edited.text.split("\n") == expected["text"], kind
            assert list(edited.steps) == expected["steps"]
            assert set(answers(edited).values()) == {expected.get("claims", "proved")}


@pytest.mark.skipif(not CASES.exists(), reason=f"the truth cases are not at {CASES}")
def test_whatever_is_offered_for_a_truth_case_is_proved() -> None:
    offered = dict.fromkeys(("restore", "remove", "recondition"), 0)
    for case in json.loads(CASES.read_text("utf-8")):
        if case["before"] is None:
            continue
        good, current = (json.dumps(case[side], indent=2) for side in ("before", "after"))
        for kind, edited in edits(good, current, case["account"]).items():
            if isinstance(edited, Edited):
                offered[kind] += 1
                assert set(answers(edited).values()) == {"proved"}, (case["name"], kind)
            else:
                assert kind != "restore", (case["name"], edited)
            if not case["expect"]["new_access"] and kind != "restore":
                assert isinstance(edited, NotPossible), (case["name"], kind)
    print(offered)
    assert min(offered.values()) > 0


def pair(seed: int) -> tuple[str, str, Generator]:
    """A good policy and what became of it, written anyhow."""
    generator = Generator(seed)
    both = generator.pair() if seed % 3 else ordinary_pair(seed)
    good, current = (spelled(loosened(policy, generator.random), generator.random) for policy in both)
    return good, current, generator


@given(SEEDS)
def test_restoration_equals_the_good_policy(seed: int) -> None:
    text, _, generator = pair(seed)
    edited = restoration(text, OWNER)
    if isinstance(edited, NotPossible):
        assert any(why in edited.why for why in ("no statement would be left", "NotPrincipal", "bytes")), edited
        return
    good = KeyPolicy.parse(text)
    assert edited.policy == KeyPolicy.parse(edited.text)
    assert (edited.text == text) == (not edited.steps)
    found = compare(good, edited.policy, OWNER)
    assert found.unchanged or found.incomplete
    assert answers(edited) == {"equals": "open" if found.incomplete and edited.policy != good else "proved"}
    for _ in range(SAMPLES):
        request = generator.request((good, edited.policy))
        assert evaluate(good, request, OWNER).outcome is evaluate(edited.policy, request, OWNER).outcome


@given(SEEDS)
def test_removal_leaves_nothing_beyond_and_takes_nothing_that_was_good(seed: int) -> None:
    good, current, generator = pair(seed)
    edited = removal(KeyPolicy.parse(good), current, OWNER)
    if isinstance(edited, Edited):
        check(edited, good, current, generator)
        rest = iter(current)
        assert all(char in rest for char in edited.text)  # only taken away from, nothing moved


@given(SEEDS)
def test_reconditioning_leaves_nothing_beyond_and_takes_nothing_that_was_good(seed: int) -> None:
    good, current, generator = pair(seed)
    edited = reconditioning(KeyPolicy.parse(good), current, OWNER)
    if isinstance(edited, Edited):
        check(edited, good, current, generator)


def check(edited: Edited, good_text: str, current_text: str, generator: Generator) -> None:
    """What the claims say, without the code that made them."""
    good, current, result = map(KeyPolicy.parse, (good_text, current_text, edited.text))
    assert result == edited.policy
    assert edited.steps
    claimed = answers(edited)
    assert "refuted" not in claimed.values()
    known = compare(good, result, OWNER)
    assert known.proof.new_access == "proved" or claimed["nothing_beyond"] == "open"
    both = unchanged(good_text, current_text)
    untouched, left = document_statements(current_text), document_statements(edited.text)
    for index in both:
        assert untouched[index] in left or deleted(current.statements[index])
    statements = [s for s in current.statements if s.effect == "Deny" or s.index in both]
    kept = KeyPolicy(tuple(statements), current.version)
    for _ in range(SAMPLES):
        request = generator.request((good, current, result))
        decisions = {name: evaluate(p, request, OWNER) for name, p in (("good", good), ("kept", kept), ("now", result))}
        if any(decision.unstated for decision in decisions.values()):
            continue
        if claimed["nothing_beyond"] == "proved" and decisions["now"].allowed:
            assert decisions["good"].outcome not in NO, request.to_witness()
        if claimed["nothing_taken"] == "proved" and decisions["good"].allowed and decisions["kept"].allowed:
            assert decisions["now"].outcome not in NO, request.to_witness()


def deleted(statement: Statement) -> bool:
    return any(each.kind is PrincipalKind.DELETED for each in statement.all_principals())


def document_statements(text: str) -> list[str]:
    document = Document.of(text)
    return [document.statement_text(index) for index in range(len(document.statements))]


def unchanged(good_text: str, current_text: str) -> set[int]:
    """The Allow statements of the current policy that stand in the good one, in whatever spelling."""
    good, current = KeyPolicy.parse(good_text), KeyPolicy.parse(current_text)
    if good.has_variables != current.has_variables:
        return set()

    def said(statement: Statement) -> str:
        return json.dumps({**statement.to_dict(), "Sid": None}, sort_keys=True)

    known = {said(statement) for statement in good.statements}
    return {s.index for s in current.statements if s.effect == "Allow" and said(s) in known}


def principal_added(policy: Json) -> Json:
    for statement in policy["Statement"]:  # type: ignore[attr-defined]
        named = statement.get("Principal")
        if statement["Effect"] == "Allow" and isinstance(named, dict) and "AWS" in named:
            old = named["AWS"] if isinstance(named["AWS"], list) else [named["AWS"]]
            named["AWS"] = [*old, "arn:aws:iam::999999999999:role/rogue"]
    return policy


def statement_added(policy: Json) -> Json:
    rogue = {"Effect": "Allow", "Principal": {"AWS": "999999999999"}, "Action": "kms:*", "Resource": "*"}
    policy["Statement"].insert(1, rogue)  # type: ignore[attr-defined]
    return policy


def conditions_lost(policy: Json) -> Json:
    for statement in policy["Statement"]:  # type: ignore[attr-defined]
        statement.pop("Condition", None)
    return policy


def denials_lost(policy: Json) -> Json:
    policy["Statement"] = [each for each in policy["Statement"] if each["Effect"] == "Allow"]  # type: ignore[attr-defined]
    return policy


ATTACKS: dict[str, tuple[str, Callable[[Json], Json]]] = {
    "a principal added": ("remove", principal_added),
    "a statement added": ("remove", statement_added),
    "conditions lost": ("recondition", conditions_lost),
    "Deny statements lost": ("recondition", denials_lost),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_kind_that_is_for_an_attack_is_possible_and_proved(attack: str) -> None:
    """For policies as people write them. Nothing is in the result that is in neither of the two."""
    kind, change = ATTACKS[attack]
    possible = 0
    for seed in range(40):
        policy = ordinary_pair(seed)[0]
        good = json.dumps(policy, indent=1)
        current = json.dumps(change(json.loads(good)), indent=1)
        if len(current) > 20_000 or json.loads(current) == policy or not json.loads(current)["Statement"]:
            continue
        before, owner = KeyPolicy.parse(good), OWNER
        edited = removal(before, current, owner) if kind == "remove" else reconditioning(before, current, owner)
        if isinstance(edited, NotPossible):
            assert "nothing beyond" in edited.why, (seed, edited)
            continue
        possible += 1
        assert set(answers(edited).values()) == {"proved"}
        if attack == "a statement added":
            assert edited.text == good
        elif attack == "a principal added":
            given = compare(before, edited.policy, OWNER)
            assert given.unchanged
        else:
            assert {*document_statements(edited.text)} <= {*document_statements(good), *document_statements(current)}
    assert possible >= 10


def test_without_a_good_version_nothing_can_be_told_apart() -> None:
    text = json.dumps(KeyPolicy.default(OWNER).to_dict())
    assert isinstance(removal(None, text, OWNER), NotPossible)


@pytest.mark.parametrize("text", ["", "{}", '{"Statement": []}', '{"Statement": [{"Effect": "Allow"}]}'])
def test_what_is_no_policy_is_not_edited(text: str) -> None:
    good = KeyPolicy.default(OWNER)
    found = (restoration(text, OWNER), removal(good, text, OWNER), reconditioning(good, text, OWNER))
    assert all(isinstance(each, NotPossible) for each in found)


def test_what_the_budget_does_not_reach_is_open_and_never_proved() -> None:
    seen = set()
    for seed in range(120):
        good, current = (json.dumps(policy) for policy in Generator(seed).pair())
        for kind, edited in edits(good, current, OWNER, budget=1).items():
            if isinstance(edited, Edited) and edited.text != good:
                full = compare(KeyPolicy.parse(good), edited.policy, OWNER, budget=1)
                if full.incomplete:
                    seen.add(kind)
                    first = edited.claims[0]
                    assert first.answer == "open", (seed, kind)
                    assert "budget" in first.sentence
    assert seen
