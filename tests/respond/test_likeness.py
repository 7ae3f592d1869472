"""Which statements are the same: never two that mean something else, and what two policies have in common."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from keytrail.policy import KeyPolicy, Outcome, compare, evaluate
from keytrail.respond.likeness import common, kept_principals, pairs, shape_of
from tests.policy.generator import OWNER, Generator
from tests.policy.ordinary import ordinary_pair
from tests.respond.spelling import loosened, spelled

SEEDS = st.integers(min_value=0, max_value=2**40)
NO = (Outcome.DENIED, Outcome.NOT_ALLOWED)


def statement(**elements: object) -> dict[str, object]:
    return {"Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"} | elements


def policy(*statements: dict[str, object], version: str = "2012-10-17") -> KeyPolicy:
    return KeyPolicy.parse({"Version": version, "Statement": list(statements)})


@given(SEEDS)
def test_statements_of_one_shape_allow_the_same(seed: int) -> None:
    generator = Generator(seed)
    old, new = generator.pair()
    before = KeyPolicy.parse(spelled(loosened(old, generator.random), generator.random))
    after = KeyPolicy.parse(new)
    for one in before.statements:
        for other in after.statements:
            if shape_of(one, before) == shape_of(other, after) and one.effect == "Allow":
                found = compare(
                    KeyPolicy((replace(one, index=0),), before.version),
                    KeyPolicy((replace(other, index=0),), after.version),
                    OWNER,
                )
                assert "witnessed" not in (found.proof.new_access, found.proof.lost_access)


@given(SEEDS)
def test_what_is_common_is_what_both_allow(seed: int) -> None:
    """Not more than both policies allow, and all that they allow by Allow statements that stand in both."""
    generator = Generator(seed)
    good, current = map(KeyPolicy.parse, generator.pair() if seed % 3 else ordinary_pair(seed))
    if good.has_variables != current.has_variables:
        return
    both = common(good, current)
    known = {json.dumps({**s.to_dict(), "Sid": 0}, sort_keys=True) for s in good.statements}
    kept = [
        s
        for s in current.statements
        if s.effect == "Deny" or json.dumps({**s.to_dict(), "Sid": 0}, sort_keys=True) in known
    ]
    unchanged = KeyPolicy(tuple(kept), current.version)
    for _ in range(40):
        request = generator.request((good, current))
        now = evaluate(both, request, OWNER)
        if now.allowed:
            assert evaluate(good, request, OWNER).outcome not in NO
            assert evaluate(current, request, OWNER).outcome not in NO
        elif now.outcome in NO:
            assert not (evaluate(good, request, OWNER).allowed and evaluate(unchanged, request, OWNER).allowed)


def test_variables_are_common_only_where_they_mean_the_same() -> None:
    """Under the older Version the text is no variable: the statement is another, and good's Deny may not count."""
    condition = {"StringEquals": {"kms:EncryptionContext:user": "${aws:username}"}}
    allow, deny = statement(Condition=condition), statement(Effect="Deny", Condition=condition)
    new, old = policy(allow, deny), policy(allow, statement(), deny, version="2008-10-17")
    assert kept_principals(new, old) == {}
    assert [each.effect for each in common(new, old).statements] == ["Deny"]
    plain = policy(statement(), deny)
    found = common(plain, policy(statement(), version="2008-10-17"))
    assert (found.version, [each.effect for each in found.statements]) == ("2012-10-17", ["Allow", "Deny"])


def test_principals_of_a_statement_that_was_split_are_all_kept() -> None:
    one, two, three = ({"AWS": f"{number}" * 12} for number in (1, 2, 3))
    good = policy(
        statement(Principal=one), statement(Principal=two, Sid="x"), statement(Principal=three, Action="kms:*")
    )
    every = {"AWS": ["1" * 12, "2" * 12, "3" * 12]}
    kept = kept_principals(good, policy(statement(Principal=every), statement(Action="kms:Encrypt")))
    assert {index: sorted(map(str, principals)) for index, principals in kept.items()} == {0: ["1" * 12, "2" * 12]}


def test_statements_are_found_again() -> None:
    """By what they say, then by Sid, of two with the same Sid the more alike, then by what they have in common."""
    weak = {"Bool": {"aws:SecureTransport": "true"}}
    good = policy(
        statement(Sid="same"),
        statement(Sid="named", Action=["kms:Sign", "kms:Verify"], Principal={"AWS": OWNER}),
        statement(Action="kms:Encrypt", Condition=weak),
        statement(Effect="Deny", Action="kms:PutKeyPolicy", Principal={"AWS": OWNER}, Condition=weak),
        statement(Sid="nobody", Principal={"AWS": "AROAEXAMPLEEXAMPLE123"}),
    )
    current = policy(
        statement(Sid="named", Action="kms:CreateGrant", Principal={"AWS": "444455556666"}, Condition=weak),
        statement(Action="kms:Encrypt"),
        statement(Sid="named", Action="kms:*", Principal={"AWS": OWNER}),
        statement(Sid="renamed"),
    )
    found = pairs(good, current)
    assert (found.same, found.changed, found.lost) == ({0: 3}, {1: 2, 2: 1}, (3,))
    assert found.place(3) == 2  # behind what stood before it
    other = statement(
        Action="kms:Sign", Principal={"AWS": "444455556666"}, Condition={"Bool": {"aws:ViaAWSService": "1"}}
    )
    assert pairs(good, policy(other)).place(3) == 0
