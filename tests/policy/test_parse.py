"""Parsing: every legal spelling, every illegal one with its place, and nothing but PolicyError whatever comes."""

from __future__ import annotations

import json
import pickle
import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keytrail.errors import PolicyError
from keytrail.policy import Condition, KeyPolicy, Operator, PrincipalKind, lint
from keytrail.policy.parse import MAX_PROBLEMS, MAX_SIZE, MAX_STATEMENTS, parse_principal

OWNER = "111122223333"
ILLEGAL = tomllib.loads((Path(__file__).parent / "cases" / "illegal.toml").read_text("utf-8"))["case"]


def one(**elements: object):
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", **elements}}
    from_text, from_dict = KeyPolicy.parse(json.dumps(document)), KeyPolicy.parse(document)
    assert from_text == from_dict
    return from_text.statements[0]


@pytest.mark.parametrize("case", ILLEGAL, ids=lambda case: case.get("statement") or case["text"])
def test_what_is_not_legal_is_said_with_its_place(case):
    text = case.get("text")
    if text is None:
        text = '{"Version": "2012-10-17", "Statement": [\n' + case["statement"] + "\n]}"
    with pytest.raises(PolicyError) as raised:
        KeyPolicy.parse(text, name="p.json")
    problems = raised.value.problems
    found = [(f"{p.place.line}:{p.place.column}", p.path, p.what) for p in problems]
    assert [(place, path) for place, path, _ in found] == [(place, path) for place, path, _ in case["problems"]]
    for (_, _, what), (_, _, part) in zip(found, case["problems"], strict=True):
        assert part in what
    assert str(problems[0].place).startswith("p.json:")
    assert raised.value.advice


def test_the_error_says_the_first_problem_and_how_many_more():
    with pytest.raises(PolicyError, match=r"^p.json:1:13: Version: must be .* \(and 1 more\)\n"):
        KeyPolicy.parse('{"Version": "x"}', name="p.json")


def test_the_error_survives_the_way_between_processes():
    with pytest.raises(PolicyError) as raised:
        KeyPolicy.parse("[]")
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.problems) == (str(raised.value), raised.value.problems)


def test_a_document_that_is_no_text_has_paths_but_no_lines():
    with pytest.raises(PolicyError) as raised:
        KeyPolicy.parse({"Statement": [{"Effect": "Allow"}]})
    assert str(raised.value.problems[0]) == (
        "policy: Statement[0]: a statement of a key policy needs Principal or NotPrincipal"
    )


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (" " * (MAX_SIZE + 1), "larger than"),
        (b" " * 10_000_000, "larger than"),
        (b'{"Statement": "\xff"}', "not UTF-8"),
        ("[" * 500_000, "nested too deeply"),
        ('{"Statement":' * 70_000, "nested too deeply|not JSON"),
        (json.dumps({"Statement": [{}] * (MAX_STATEMENTS + 1)}), "more than"),
    ],
)
def test_bounds(source, what):
    with pytest.raises(PolicyError, match=what):
        KeyPolicy.parse(source)


def test_a_policy_of_nothing_but_problems_lists_the_first():
    with pytest.raises(PolicyError) as raised:
        KeyPolicy.parse({"Statement": [7] * 1000})
    assert len(raised.value.problems) == MAX_PROBLEMS


# -- legal spellings -----------------------------------------------------------------------------------------------


def test_a_single_value_stands_for_a_list():
    assert one(Action="kms:*") == one(Action=["kms:*"])
    assert one(Principal={"AWS": OWNER}) == one(Principal={"AWS": [OWNER]})
    assert one(Resource="*") == one(Resource=["*"])
    assert one(Condition={"Bool": {"a:b": "true"}}) == one(Condition={"Bool": {"a:b": ["true"]}})
    statement = {"Effect": "Allow", "Principal": "*"}
    assert KeyPolicy.parse({"Statement": statement}) == KeyPolicy.parse({"Statement": [statement]})


def test_an_account_has_two_spellings_and_quotes_are_optional():
    root = one(Principal={"AWS": f"arn:aws:iam::{OWNER}:root"})
    assert root == one(Principal={"AWS": OWNER}) == one(Principal={"AWS": int(OWNER)})
    assert str(root.principals[0]) == f"arn:aws:iam::{OWNER}:root"
    assert one(Condition={"Bool": {"a:b": True}}) == one(Condition={"Bool": {"a:b": "true"}})
    assert one(Condition={"NumericEquals": {"a:b": 7}}) == one(Condition={"NumericEquals": {"a:b": "7"}})
    assert one(Condition={"NumericEquals": {"a:b": 7.5}}).conditions[0].values == ("7.5",)


def test_a_number_keeps_its_form():
    text = '{"Statement": {"Effect": "Allow", "Principal": "*", "Condition": {"NumericEquals": {"a:b": 7.50}}}}'
    assert KeyPolicy.parse(text).statements[0].conditions[0].values == ("7.50",)


def test_version_id_and_sid():
    policy = KeyPolicy.parse({"Id": "x", "Statement": [{"Sid": "Enable IAM", "Effect": "Deny", "Principal": "*"}]})
    assert (policy.version, policy.id, policy.has_variables) == (None, "x", False)
    assert KeyPolicy.parse({"Version": "2012-10-17", "Statement": []}).has_variables
    assert not KeyPolicy.parse({"Version": "2008-10-17", "Statement": []}).has_variables
    assert policy.statements[0].label == 'statement 1 "Enable IAM"'


def test_absent_and_empty_are_not_the_same():
    assert one().actions is None
    assert one(Action=[]).actions == ()
    assert one(Principal={}).principals == ()
    assert one(Principal={"AWS": []}).principals == ()


def test_statements_keep_their_order_and_index():
    policy = KeyPolicy.parse({"Statement": [{"Effect": e, "Principal": "*"} for e in ("Allow", "Deny", "Allow")]})
    assert [(s.index, s.effect) for s in policy.statements] == [(0, "Allow"), (1, "Deny"), (2, "Allow")]


def test_conditions_are_cut_into_their_parts():
    conditions = one(
        Condition={
            "ForAnyValue:StringLikeIfExists": {"aws:CalledVia": ["a*", "b"], "aws:tagkeys": "x"},
            "Null": {"aws:SourceVpc": True},
            "Frobnicate": {"a:b": "c"},
        }
    ).conditions
    like = Operator("StringLike", "ForAnyValue", True)
    assert conditions == (
        Condition(like, "aws:CalledVia", ("a*", "b")),
        Condition(like, "aws:tagkeys", ("x",)),
        Condition(Operator("Null"), "aws:SourceVpc", ("true",)),
        Condition(Operator("Frobnicate", known=False), "a:b", ("c",)),
    )
    assert str(conditions[0].operator) == "ForAnyValue:StringLikeIfExists"


@pytest.mark.parametrize(
    ("kind", "text", "expected", "account"),
    [
        ("AWS", "*", PrincipalKind.EVERYONE, None),
        ("AWS", OWNER, PrincipalKind.ACCOUNT, OWNER),
        ("AWS", f"arn:aws-us-gov:iam::{OWNER}:root", PrincipalKind.ACCOUNT, OWNER),
        ("AWS", f"arn:aws:iam::{OWNER}:role/a/b", PrincipalKind.ROLE, OWNER),
        ("AWS", f"arn:aws:iam::{OWNER}:user/bob", PrincipalKind.USER, OWNER),
        ("AWS", f"arn:aws:sts::{OWNER}:assumed-role/App/s", PrincipalKind.SESSION, OWNER),
        ("AWS", f"arn:aws:sts::{OWNER}:federated-user/ann", PrincipalKind.FEDERATED_USER, OWNER),
        ("AWS", "AROAEXAMPLEEXAMPLE123", PrincipalKind.DELETED, None),
        ("AWS", "AIDAEXAMPLEEXAMPLE123", PrincipalKind.DELETED, None),
        ("AWS", f"arn:aws:iam::{OWNER}:group/g", PrincipalKind.INVALID, None),
        ("AWS", f"arn:aws:iam::{OWNER}:role/*", PrincipalKind.INVALID, None),
        ("AWS", f"arn:aws:sts::{OWNER}:assumed-role/App/*", PrincipalKind.INVALID, None),
        ("AWS", "arn:aws:iam::1111:root", PrincipalKind.INVALID, None),
        ("AWS", "11112222333", PrincipalKind.INVALID, None),
        ("AWS", "١١١١٢٢٢٢٣٣٣٣", PrincipalKind.INVALID, None),
        ("AWS", "", PrincipalKind.INVALID, None),
        ("Service", "sns.amazonaws.com", PrincipalKind.SERVICE, None),
        ("Service", "*", PrincipalKind.INVALID, None),
        ("Federated", "cognito-identity.amazonaws.com", PrincipalKind.FEDERATED, None),
        ("CanonicalUser", "79a59d900b949e55", PrincipalKind.CANONICAL, None),
    ],
)
def test_principals(kind, text, expected, account):
    principal = parse_principal(kind, text)
    assert (principal.kind, principal.account) == (expected, account)
    assert str(principal) == text
    nobody = ("deleted", "invalid", "federated", "canonical")
    assert principal.kind.names_nobody is (expected in nobody)


def test_a_byte_order_mark_does_no_harm():
    text = '{"Statement": []}'
    assert KeyPolicy.parse("\ufeff" + text) == KeyPolicy.parse(text.encode("utf-8-sig")) == KeyPolicy.parse(text)


def test_unusual_characters_are_kept():
    sid = "\u202e\ud800\x00é"
    text = json.dumps({"Statement": {"Sid": sid, "Effect": "Deny", "Principal": {"AWS": sid}}})
    statement = KeyPolicy.parse(text).statements[0]
    assert statement.sid == sid
    assert statement.principals[0].value == sid


def test_a_policy_is_written_as_it_was_read():
    document = {
        "Version": "2012-10-17",
        "Id": "key-1",
        "Statement": [
            {"Sid": "a b", "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": ["*", "arn:x"]},
            {
                "Effect": "Deny",
                "NotPrincipal": {"AWS": [OWNER, f"arn:aws:iam::{OWNER}:root"], "Service": "*"},
                "NotAction": [],
                "NotResource": "*",
                "Condition": {"ForAnyValue:StringLikeIfExists": {"a:b": "x", "a:c": []}, "Frob": {"a:b": ["x", "y"]}},
            },
            {"Effect": "Allow", "Principal": {"Federated": "x", "CanonicalUser": ["y", "z"]}},
        ],
    }
    policy = KeyPolicy.parse(document)
    assert policy.to_dict() == document
    assert KeyPolicy.parse(json.dumps(policy.to_dict())) == policy


def test_the_default_policy_is_what_aws_writes():
    root = {"AWS": f"arn:aws:iam::{OWNER}:root"}
    statement = {"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}
    default = KeyPolicy.default(OWNER)
    assert KeyPolicy.parse(default.to_dict()) == default
    assert {**default.to_dict()["Statement"][0], "Sid": None} == {**statement, "Sid": None}


# -- whatever comes ------------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["Version", "Id", "Statement", "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource",
     "NotResource", "Condition", "AWS", "Service", "StringEquals", "ForAllValues:Null", "kms:ViaService",
     "KMS:viaservice"]
)  # fmt: skip
WORDS = st.sampled_from(["Allow", "Deny", "*", "2012-10-17", "kms:*", OWNER, "sns.amazonaws.com", "${aws:username}"])
NEARLY = st.recursive(
    WORDS | SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=25,
)


def parses_or_says_why(source: str | bytes | dict) -> None:
    try:
        lint(KeyPolicy.parse(source))
    except PolicyError as error:
        problems = error.problems
    else:
        return
    assert problems


@settings(max_examples=300, deadline=None)
@given(JSON | NEARLY)
@example({"Statement": {"Effect": "Allow", "Principal": {"AWS": 10**5000}, "Condition": {"Bool": {"a": 10**5000}}}})
def test_no_document_breaks_it(document):
    parses_or_says_why(document)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=60) | st.text(max_size=60) | NEARLY.map(lambda d: json.dumps(d).replace("NotAction", "Action"))
)
def test_no_text_breaks_it(text):
    parses_or_says_why(text)
