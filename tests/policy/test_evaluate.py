"""The evaluator: who, what, which key, under which context; and the witnesses of the truth cases."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from keytrail.errors import UsageError
from keytrail.policy import Caller, KeyPolicy, Outcome, Part, Request, evaluate

HERE = Path(__file__).parent
TRUTH = HERE.parents[2] / "shared" / "data" / "policy-cases.json"
OWNER = "111122223333"
APP = f"arn:aws:iam::{OWNER}:role/App"
STRANGER = "arn:aws:iam::999999999999:role/x"
KEY = f"arn:aws:kms:eu-west-1:{OWNER}:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def statement(**elements: object) -> dict[str, object]:
    """An Allow for everyone and everything, but for `elements`; None takes an element away."""
    full = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*", **elements}
    return {name: value for name, value in full.items() if value is not None}


def policy(*statements: dict[str, object], version: str = "2012-10-17") -> KeyPolicy:
    return KeyPolicy.parse({"Version": version, "Statement": list(statements)})


def outcome(of: KeyPolicy, caller: str = APP, action: str = "kms:Decrypt", **more: object) -> str:
    context = {key: (value,) if isinstance(value, str) else value for key, value in more.pop("context", {}).items()}
    return evaluate(of, Request(Caller.parse(caller), action, context, more.pop("iam", False)), OWNER, **more).outcome


# -- who (1.2, 1.9) ------------------------------------------------------------------------------------------------

PRINCIPALS = tomllib.loads((HERE / "cases" / "principals.toml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("table", "row"), [(table, row) for table, rows in PRINCIPALS.items() for row in rows], ids=str
)
def test_principals(table, row):
    element, caller, iam, expected = row
    match table:
        case "allow":
            of = policy(statement(Principal=element))
        case "allow_not":
            of = policy(statement(Principal=None, NotPrincipal=element))
        case "deny":
            of = policy(statement(), statement(Effect="Deny", Principal=element))
        case _:
            of = policy(statement(), statement(Effect="Deny", Principal=None, NotPrincipal=element))
    assert outcome(of, caller, iam=iam) == expected


def test_a_session_arn_names_a_role_by_the_last_part_of_its_name():
    of = policy(statement(Principal={"AWS": f"arn:aws:sts::{OWNER}:assumed-role/App/s"}))
    role = Caller.parse(f"arn:aws:iam::{OWNER}:role/path/App")
    caller = Caller(role.kind, role.account, role.name, "s")
    assert evaluate(of, Request(caller, "kms:Decrypt"), OWNER).allowed


# -- what (1.3) ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "action", "expected"),
    [
        ({"Action": "kms:Decrypt"}, "kms:Decrypt", "allowed"),
        ({"Action": "KMS:decrypt"}, "kms:DECRYPT", "allowed"),
        ({"Action": ["kms:Sign", "kms:De?rypt"]}, "kms:Decrypt", "allowed"),
        ({"Action": "*"}, "kms:Decrypt", "allowed"),
        ({"Action": "kms:Delete*"}, "kms:ScheduleKeyDeletion", "not allowed"),
        ({"Action": "kms:ReEncrypt*"}, "kms:ReEncryptTo", "allowed"),
        ({"Action": "kms:Decrypt"}, "kms:Encrypt", "not allowed"),
        ({"Action": "Decrypt"}, "kms:Decrypt", "not allowed"),
        ({"Action": []}, "kms:Decrypt", "not allowed"),
        ({"Action": None}, "kms:Decrypt", "not allowed"),
        ({"Action": None, "NotAction": "kms:Encrypt"}, "kms:Decrypt", "allowed"),
        ({"Action": None, "NotAction": "kms:Encrypt"}, "kms:Encrypt", "not allowed"),
        ({"Action": None, "NotAction": "s3:*"}, "kms:Decrypt", "allowed"),
        ({"Action": None, "NotAction": "kms:*"}, "kms:Decrypt", "not allowed"),
        # Only IAM can give what is not authorised on a key, and nobody what does not exist.
        ({"Action": "*"}, "kms:CreateKey", "not allowed"),
        ({"Action": "*"}, "kms:ListAliases", "not allowed"),
        ({"Action": "*"}, "s3:GetObject", "not allowed"),
        ({"Action": "kms:Frobnicate"}, "kms:Frobnicate", "not allowed"),
    ],
)
def test_actions(element, action, expected):
    assert outcome(policy(statement(**element)), action=action) == expected


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("kms:Decrypt", "allowed"),
        ("kms:CreateGrant", "allowed"),
        ("kms:Encapsulate", "allowed"),
        ("kms:PutKeyPolicy", "not allowed"),
        ("kms:ScheduleKeyDeletion", "not allowed"),
        ("kms:SynchronizeMultiRegionKey", "not allowed"),
        ("kms:GetKeyLastUsage", "not allowed"),
    ],
)
def test_some_actions_have_no_effect_for_another_account(action, expected):
    assert outcome(policy(statement()), STRANGER, action, iam=True) == expected
    assert outcome(policy(statement()), action=action) == "allowed"


# -- which key (1.4) -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "with_key", "without"),
    [
        ({"Resource": "*"}, "allowed", "allowed"),
        ({"Resource": None}, "not allowed", "not allowed"),
        ({"Resource": []}, "not allowed", "not allowed"),
        ({"Resource": KEY}, "allowed", "unknown"),
        ({"Resource": ["arn:aws:s3:::x", "*"]}, "allowed", "allowed"),
        ({"Resource": f"arn:aws:kms:*:{OWNER}:key/*"}, "allowed", "allowed"),
        ({"Resource": "arn:*"}, "allowed", "unknown"),
        ({"Resource": "arn:aws:kms:*:*:key/*"}, "allowed", "allowed"),
        ({"Resource": "arn:aws:kms:*:444455556666:key/*"}, "not allowed", "unknown"),
        ({"Resource": "arn:aws:s3:::*"}, "not allowed", "not allowed"),
        ({"Resource": "x*"}, "not allowed", "not allowed"),
        ({"Resource": KEY[:-1] + "0"}, "not allowed", "unknown"),
        ({"Resource": "arn:aws:kms:eu-west-1:444455556666:key/*"}, "not allowed", "not allowed"),
        ({"Resource": "arn:aws:kms:eu-west-1:444455556666:key/1"}, "not allowed", "not allowed"),
        ({"Resource": f"arn:aws:kms:eu-west-1:{OWNER}:alias/a"}, "not allowed", "not allowed"),
        ({"Resource": "${aws:PrincipalArn}"}, "unknown", "unknown"),
        ({"Resource": None, "NotResource": "*"}, "not allowed", "not allowed"),
        ({"Resource": None, "NotResource": "arn:aws:s3:::x"}, "allowed", "allowed"),
        ({"Resource": None, "NotResource": KEY}, "not allowed", "unknown"),
    ],
)
def test_resources(element, with_key, without):
    of = policy(statement(**element))
    assert outcome(of, key_arn=KEY) == with_key
    assert outcome(of) == without


# -- together (1.5) ------------------------------------------------------------------------------------------------


def when(**conditions: object) -> dict[str, object]:
    return {operator.replace("_", ":"): keys for operator, keys in conditions.items()}


def test_conditions_are_and_across_operators_and_keys():
    of = policy(statement(Condition=when(StringEquals={"test:a": "1", "test:b": "2"}, StringLike={"test:c": "3*"})))
    right = {"test:a": "1", "test:b": "2", "test:c": "34"}
    assert outcome(of, context=right) == "allowed"
    for key in right:
        assert outcome(of, context={**right, key: "9"}) == "not allowed"


def test_a_deny_wins_over_every_allow():
    deny = statement(Effect="Deny", Condition=when(Bool={"aws:MultiFactorAuthPresent": "false"}))
    for of in (policy(statement(), deny), policy(deny, statement())):
        assert outcome(of, context={"aws:MultiFactorAuthPresent": "false"}) == "denied"
        assert outcome(of, context={"aws:MultiFactorAuthPresent": "true"}) == "allowed"
        assert outcome(of) == "allowed"


def test_what_is_not_documented_stays_open_unless_something_else_decides():
    odd = when(StringEquals={"kms:GrantOperations": "Decrypt"})  # no set operator on a multivalued key
    context = {"kms:GrantOperations": ("Decrypt",)}
    maybe, never = statement(Condition=odd), statement(Effect="Deny", Condition=odd)
    ask = {"action": "kms:CreateGrant", "context": context}
    assert outcome(policy(maybe), **ask) == "unknown"
    assert outcome(policy(maybe, statement()), **ask) == "allowed"
    assert outcome(policy(maybe, statement(Effect="Deny")), **ask) == "denied"
    assert outcome(policy(statement(), never), **ask) == "unknown"
    assert outcome(policy(never), **ask) == "not allowed"
    assert outcome(policy(statement(Condition={**odd, "Bool": {"test:x": "true"}})), **ask) == "not allowed"


def test_an_empty_condition_is_no_condition():
    assert outcome(policy(statement(Condition={}))) == "allowed"
    assert outcome(policy(statement(Condition={"StringEquals": {}}))) == "allowed"


def test_variables_need_version_2012():
    condition = when(StringEquals={"kms:EncryptionContext:user": "${aws:username}"})
    bob = f"arn:aws:iam::{OWNER}:user/path/bob"
    for version, value, expected in [
        ("2012-10-17", "bob", "allowed"),
        ("2012-10-17", "${aws:username}", "not allowed"),
        ("2008-10-17", "bob", "not allowed"),
        ("2008-10-17", "${aws:username}", "allowed"),
    ]:
        of = policy(statement(Condition=condition), version=version)
        assert outcome(of, bob, context={"kms:EncryptionContext:user": value}) == expected


def test_a_decision_says_which_statements_decided_and_why_the_others_did_not():
    of = policy(
        statement(Sid="delegate", Principal={"AWS": OWNER}),
        statement(Principal={"AWS": STRANGER}),
        statement(Action="kms:Sign"),
        statement(Resource=None),
        statement(Condition=when(Null={"aws:SourceVpce": "false"}, StringEquals={"test:a": "b"})),
        statement(Effect="Deny", Condition=when(StringEquals={"test:a": "c"})),
    )
    decision = evaluate(of, Request(Caller.parse(APP), "kms:Decrypt", {"aws:SourceVpce": ("vpce-1",)}), OWNER)
    assert decision.outcome is Outcome.NOT_ALLOWED
    assert [(r.part, r.condition) for r in decision.results] == [
        (Part.IAM, None),
        (Part.PRINCIPAL, None),
        (Part.ACTION, None),
        (Part.RESOURCE, None),
        (Part.CONDITION, 1),
        (Part.CONDITION, 0),
    ]
    decision = evaluate(of, Request(Caller.parse(APP), "kms:Decrypt", {"test:a": ("c",)}, needs_iam=True), OWNER)
    assert [s.label for s in decision.allowed_by] == ['statement 1 "delegate"']
    assert [s.label for s in decision.denied_by] == ["statement 6"]


@pytest.mark.parametrize(
    ("caller", "action", "iam", "barrier"),
    [
        (STRANGER, "kms:PutKeyPolicy", True, "kms:PutKeyPolicy has no effect for another account"),
        (
            STRANGER,
            "kms:Decrypt",
            False,
            "IAM of account 999999999999 does not allow it, and another account needs both",
        ),
        (APP, "kms:createkey", True, "kms:CreateKey is not authorised on a key: only IAM can allow it"),
        (APP, "kms:Frobnicate", True, "kms:Frobnicate is no KMS action that the catalogue"),
        (APP, "kms:Decrypt", False, None),
        ("service:sns.amazonaws.com", "kms:PutKeyPolicy", False, None),
    ],
)
def test_a_barrier_is_named(caller, action, iam, barrier):
    found = evaluate(policy(statement()), Request(Caller.parse(caller), action, {}, iam), OWNER).barrier
    assert found is None if barrier is None else found.startswith(barrier)


def test_an_owner_that_is_no_account_breaks_nothing():
    of = policy(statement(Resource="arn:aws:kms:*:(:key/*"), statement(Resource="*"))
    assert evaluate(of, Request(Caller.parse(APP), "kms:Decrypt", {}, True), "(").allowed


# -- witnesses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"arn:aws:iam::{OWNER}:root",
        f"arn:aws:iam::{OWNER}:user/a/b",
        f"arn:aws-cn:iam::{OWNER}:role/a/b",
        f"arn:aws:sts::{OWNER}:assumed-role/App/s@x",
        f"arn:aws:sts::{OWNER}:federated-user/ann",
        "service:sns.amazonaws.com",
    ],
)
def test_callers_are_read_as_they_are_written(text):
    assert Caller.parse(text).arn == text


@pytest.mark.parametrize(
    "text",
    [
        "", "*", OWNER, "service:", f"arn:aws:iam::{OWNER}:group/g", f"arn:aws:iam::{OWNER}:role/",
        f"arn:aws:sts::{OWNER}:assumed-role/App", f"arn:aws:sts::{OWNER}:role/App", f"arn:aws:sts::{OWNER}:root",
        f"arn:aws:iam::{OWNER}:federated-user/x", "arn:aws:iam::1:root", f"arn:aws:sts::{OWNER}:assumed-role/App/a/b",
    ],
)  # fmt: skip
def test_what_is_no_caller_is_an_error(text):
    with pytest.raises(UsageError, match="is no caller"):
        Caller.parse(text)


@pytest.mark.parametrize(
    "witness",
    [{}, {"principal": APP}, {"principal": APP, "action": 1}, {"principal": APP, "action": "kms:Sign", "context": []}],
)
def test_what_is_no_witness_is_an_error(witness):
    if witness.get("context") == []:
        assert Request.from_witness(witness).context == {}
        return
    with pytest.raises(UsageError, match="a witness needs"):
        Request.from_witness(witness)


def truth_cases() -> list[dict[str, object]]:
    return json.loads(TRUTH.read_text("utf-8")) if TRUTH.exists() else []


@pytest.mark.skipif(not TRUTH.exists(), reason=f"{TRUTH} is not here")
def test_there_are_truth_cases_with_witnesses():
    assert sum(case["expect"]["witness"] is not None for case in truth_cases()) > 20


@pytest.mark.parametrize("case", truth_cases(), ids=lambda case: case["name"])
def test_the_witnesses_of_the_truth_cases(case):
    before = KeyPolicy.parse(case["before"]) if case["before"] else policy()
    after = KeyPolicy.parse(json.dumps(case["after"]))
    expected = case["expect"]
    for witness, gives, refuses in (
        (expected.get("witness"), after, before),
        (expected.get("lost_witness"), before, after),
    ):
        if witness is None:
            continue
        request = Request.from_witness(witness)
        assert request.to_witness() == witness
        given, refused = (evaluate(of, request, case["account"]) for of in (gives, refuses))
        assert given.allowed
        assert not refused.possible
        assert given.unstated == refused.unstated == frozenset()
