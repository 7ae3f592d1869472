"""Pairs of policies made to be hard: overlapping globs, chained variables, many statements, puzzles in Denys."""

from __future__ import annotations

import json
import random

Json = dict[str, object]

OWNER = "111122223333"
ROLE = {"AWS": f"arn:aws:iam::{OWNER}:role/App"}


def policy(*statements: Json) -> Json:
    """A policy of these statements, about this key."""
    return {"Version": "2012-10-17", "Statement": [{"Resource": "*", **statement} for statement in statements]}


def allow(condition: Json | None = None, principal: object = None, action: object = "kms:Decrypt") -> Json:
    """An Allow statement."""
    return _statement("Allow", condition, principal, action)


def deny(condition: Json | None = None, principal: object = None, action: object = "kms:Decrypt") -> Json:
    """A Deny statement."""
    return _statement("Deny", condition, principal, action)


def _statement(effect: str, condition: Json | None, principal: object, action: object) -> Json:
    statement: Json = {"Effect": effect, "Principal": principal or ROLE, "Action": action}
    return {**statement, "Condition": condition} if condition else statement


def _tag(name: object) -> str:
    return f"aws:PrincipalTag/{name}"


def overlapping_globs(number: int, seed: int = 0) -> tuple[Json, Json]:
    """Many globs with several stars each on one key, against a few of them taken away."""
    pick = random.Random(seed)
    globs = ["*" + "*".join(pick.choice("abc") * pick.randrange(1, 3) for _ in range(3)) + "*" for _ in range(number)]
    before = policy(allow({"StringLike": {_tag("t"): globs}}), deny({"StringNotLike": {_tag("t"): globs[::2]}}))
    after = policy(
        allow({"StringLike": {_tag("t"): globs[1:]}}), *(deny({"StringLike": {_tag("t"): glob}}) for glob in globs[::3])
    )
    return before, after


def all_of_many_globs(number: int) -> tuple[Json, Json]:
    """A value that must contain every one of many texts: as many conditions on one key as an operator list allows."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    denials = [
        deny({"StringNotLike": {_tag("t"): f"*{letters[i % 62]}?{letters[i * 7 % 62]}*"}}) for i in range(number)
    ]
    return policy(), policy(allow(), *denials)


def no_common_glob(number: int) -> tuple[Json, Json]:
    """As above, but with a last demand that nothing can meet."""
    before, after = all_of_many_globs(number)
    statements = after["Statement"]
    assert isinstance(statements, list)
    statements.append({"Resource": "*", **deny({"StringLike": {_tag("t"): "*b*"}})})
    statements.append({"Resource": "*", **deny({"StringNotLike": {_tag("t"): "*b*"}})})
    return before, after


def chained_variables(number: int) -> tuple[Json, Json]:
    """Every tag equals the next one; the ends must differ."""
    chain = {_tag(i): f"${{{_tag(i + 1)}}}" for i in range(number)}
    before = policy()
    after = policy(allow({"StringEquals": {**chain, _tag(number): "end"}, "StringNotLike": {_tag(0): "e*"}}))
    return before, after


def circle_of_variables(number: int) -> tuple[Json, Json]:
    """Tags that contain one another in a circle, with text around."""
    chain = {_tag(i): f"x${{{_tag((i + 1) % number)}}}*" for i in range(number)}
    return policy(), policy(allow({"StringLike": chain}))


def many_statements(number: int, seed: int = 0) -> tuple[Json, Json]:
    """Statements with four conditions each from a small set of keys, a few of them changed."""
    pick = random.Random(seed)

    def statement() -> Json:
        condition: Json = {
            pick.choice(("StringLike", "StringNotLike", "StringEquals")): {
                _tag(pick.randrange(6)): [f"{pick.choice('ab*')}{pick.choice('abc')}*" for _ in range(2)]
                for _ in range(2)
            },
            pick.choice(("IpAddress", "NotIpAddress")): {
                "aws:SourceIp": f"10.{pick.randrange(16)}.0.0/{pick.choice((12, 16))}"
            },
            "Bool": {"aws:MultiFactorAuthPresent": pick.choice(("true", "false"))},
        }
        made = allow if pick.random() < 0.6 else deny
        return made(
            condition, pick.choice((ROLE, "*", {"AWS": OWNER})), pick.choice(("kms:*", "kms:Decrypt", "kms:En*"))
        )

    statements = [statement() for _ in range(number)]
    changed = [*statements[:-3], statement(), statement()]
    pick.shuffle(changed)
    return policy(*statements), policy(*changed)


def many_networks(number: int) -> tuple[Json, Json]:
    """Nested and touching networks, one of them missing afterwards."""
    networks = [f"10.{i % 256}.{i // 256}.0/24" for i in range(number)] + ["10.0.0.0/9", "0.0.0.0/1", "128.0.0.0/2"]
    return (
        policy(allow({"IpAddress": {"aws:SourceIp": networks}})),
        policy(*(allow({"IpAddress": {"aws:SourceIp": network}}) for network in networks[1:])),
    )


def pigeons(number: int) -> tuple[Json, Json]:
    """A puzzle in Deny statements: so many pigeons in one hole less. Hard for every resolution prover."""
    holes = number - 1
    statements = [allow()]
    for pigeon in range(number):
        statements.append(deny({"Null": {_tag(f"{pigeon}-{hole}"): "true" for hole in range(holes)}}))
    for hole in range(holes):
        for one in range(number):
            for other in range(one):
                statements.append(deny({"Null": {_tag(f"{one}-{hole}"): "false", _tag(f"{other}-{hole}"): "false"}}))
    return policy(), policy(*statements)


def many_principals(number: int, statements: int, *, arns_in_conditions: bool = False) -> tuple[Json, Json]:
    """A large account: many named roles over many statements, one role moved."""
    names = [f"arn:aws:iam::{OWNER}:role/r{i}" for i in range(number)]
    groups: list[list[str]] = [[] for _ in range(statements)]
    for index, name in enumerate(names):
        groups[index % statements].append(name)
        groups[index * 7 % statements].append(name)
    actions = ("kms:Decrypt", "kms:Encrypt", "kms:*", "kms:CreateGrant", ["kms:Decrypt", "kms:GenerateDataKey*"])

    def build(groups: list[list[str]]) -> Json:
        made = []
        for index, group in enumerate(groups):
            condition: Json = {"StringEquals": {"kms:ViaService": f"s{index % 9}.us-east-1.amazonaws.com"}}
            if arns_in_conditions and index % 10 == 0:
                condition["ArnNotLike"] = {"aws:PrincipalArn": f"arn:aws:iam::{OWNER}:role/r{index}*"}
            made.append(allow(condition if index % 2 else None, {"AWS": group}, actions[index % len(actions)]))
        made.append(
            allow({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/r1*"}}, "*", "kms:DescribeKey")
            if arns_in_conditions
            else allow()
        )
        return policy(*made)

    moved = [list(group) for group in groups]
    moved[1].append(moved[0].pop())
    return build(groups), build(moved)


def long_glob(length: int) -> tuple[Json, Json]:
    """One value of many stars."""
    glob = "*a" * length + "*"
    return policy(allow({"StringLike": {_tag("t"): glob}})), policy(
        allow({"StringLike": {_tag("t"): [glob, glob[2:]]}})
    )


def case_puzzle(number: int) -> tuple[Json, Json]:
    """Long texts that may differ in case, each pinned by other globs."""
    text = "abcdefgh" * number
    denials = [deny({"StringLike": {_tag("t"): "?" * i + text[i].upper() + "*"}}) for i in range(0, len(text), 3)]
    return policy(allow({"StringEquals": {_tag("t"): text}})), policy(
        allow({"StringEqualsIgnoreCase": {_tag("t"): text}}), *denials
    )


HARD: dict[str, tuple[Json, Json]] = {
    "30 overlapping globs": overlapping_globs(30),
    "60 overlapping globs": overlapping_globs(60, 1),
    "12 globs at once": all_of_many_globs(12),
    "40 globs at once": all_of_many_globs(40),
    "20 globs and a contradiction": no_common_glob(20),
    "chain of 10 variables": chained_variables(10),
    "chain of 40 variables": chained_variables(40),
    "circle of 3 variables": circle_of_variables(3),
    "circle of 8 variables": circle_of_variables(8),
    "200 statements": many_statements(200),
    "200 other statements": many_statements(200, 1),
    "200 networks": many_networks(200),
    "5 pigeons": pigeons(5),
    "9 pigeons": pigeons(9),
    "12 pigeons": pigeons(12),
    "1,000 principals": many_principals(1000, 200),
    "1,000 principals in conditions": many_principals(1000, 200, arns_in_conditions=True),
    "a long glob": long_glob(1000),
    "a very long glob": long_glob(7000),
    "case puzzle": case_puzzle(20),
}


def size(pair: tuple[Json, Json]) -> int:
    """Bytes of the larger policy."""
    return max(len(json.dumps(each)) for each in pair)
