"""The context of a request: what follows from the caller, what cannot be there, what is left unsaid (1.7 to 1.9)."""

from __future__ import annotations

import pytest

from keytrail.policy import Caller, KeyPolicy, Request, evaluate
from keytrail.policy.context import complete

OWNER = "111122223333"
USER = f"arn:aws:iam::{OWNER}:user/path/bob"
ROLE = f"arn:aws:iam::{OWNER}:role/path/App"


def context(caller: str = ROLE, action: str = "kms:Decrypt", **stated: object) -> dict[str, tuple[str, ...]]:
    given = {key.replace("__", ":"): (v,) if isinstance(v, str) else tuple(v) for key, v in stated.items()}
    return dict(complete(Request(Caller.parse(caller), action, given), OWNER))


@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (
            ROLE,
            {
                "aws:principalarn": ROLE,
                "aws:principalaccount": OWNER,
                "kms:calleraccount": OWNER,
                "aws:principaltype": "AssumedRole",
                "aws:principalisawsservice": "false",
                "aws:username": None,
            },
        ),
        (f"arn:aws:sts::{OWNER}:assumed-role/App/s", {"aws:principalarn": f"arn:aws:iam::{OWNER}:role/App"}),
        (USER, {"aws:principalarn": USER, "aws:principaltype": "User", "aws:username": "bob"}),
        (
            f"arn:aws:iam::{OWNER}:root",
            {"aws:principalarn": f"arn:aws:iam::{OWNER}:root", "aws:principaltype": "Account", "aws:username": None},
        ),
        ("arn:aws:iam::444455556666:role/x", {"kms:calleraccount": "444455556666", "aws:resourceaccount": OWNER}),
        (
            "service:sns.amazonaws.com",
            {
                "aws:principalisawsservice": "true",
                "aws:principalservicename": "sns.amazonaws.com",
                "aws:principalaccount": None,
                "kms:calleraccount": None,
                "aws:principalarn": None,
            },
        ),
    ],
)
def test_keys_that_follow_from_the_caller(caller, expected):
    found = context(caller)
    assert {key: found.get(key, (None,))[0] for key in expected} == expected


def test_nobody_can_state_what_follows_from_who_they_are():
    found = context(kms__CallerAccount="444455556666", aws__PrincipalArn="arn:x", aws__username="root")
    assert found["kms:calleraccount"] == (OWNER,)
    assert found["aws:principalarn"] == (ROLE,)
    assert "aws:username" not in found


@pytest.mark.parametrize(
    ("key", "on", "not_on"),
    [
        ("kms:EncryptionContext:a", "kms:Decrypt", "kms:DescribeKey"),
        ("kms:GrantIsForAWSResource", "kms:CreateGrant", "kms:Decrypt"),
        ("kms:SigningAlgorithm", "kms:Sign", "kms:GenerateMac"),
        ("kms:RequestAlias", "kms:Decrypt", "kms:PutKeyPolicy"),
        ("kms:PolicyName", "kms:GetKeyPolicy", "kms:ListKeyPolicies"),
        ("kms:RecipientAttestation:PCR0", "kms:Decrypt", "kms:Encrypt"),
    ],
)
def test_an_action_carries_only_its_own_keys(key, on, not_on):
    for action, present in ((on, True), (not_on, False)):
        assert (key.lower() in context(action=action, **{key: "x"})) is present


def test_a_service_has_no_organisation_and_a_person_is_no_service():
    assert "aws:principalorgid" not in context("service:sns.amazonaws.com", aws__PrincipalOrgID="o-1")
    assert "aws:principalservicenameslist" not in context(aws__PrincipalServiceNamesList="x")


def test_the_names_of_the_encryption_context_are_a_key_of_their_own():
    stated = {"kms:EncryptionContext:AppName": ("a",), "KMS:encryptioncontext:x:Y": ("b",)}
    found = context(**stated, kms__EncryptionContextKeys="forged")
    assert found["kms:encryptioncontextkeys"] == ("AppName", "x:Y")
    assert "kms:encryptioncontextkeys" not in context(kms__EncryptionContextKeys="forged")


def test_an_address_is_known_unless_the_call_comes_through_a_vpc_endpoint():
    assert "aws:sourceip" in context(aws__SourceIp="198.51.100.1")
    assert "aws:sourceip" not in context(aws__SourceIp="198.51.100.1", aws__SourceVpce="vpce-1")


def test_an_organisation_is_the_first_part_of_its_paths():
    assert context(aws__PrincipalOrgPaths="o-1/r-1/ou-1/")["aws:principalorgid"] == ("o-1",)
    assert context(aws__PrincipalOrgPaths="o-1/r-1/", aws__PrincipalOrgID="o-2")["aws:principalorgid"] == ("o-1",)


def test_the_owner_is_in_the_organisation_of_the_key():
    assert context(aws__PrincipalOrgID="o-1")["aws:resourceorgid"] == ("o-1",)
    assert "aws:resourceorgid" not in context("arn:aws:iam::444455556666:role/x", aws__PrincipalOrgID="o-1")


def test_the_two_clocks_agree():
    assert context(aws__CurrentTime="2030-01-01T00:00:00Z")["aws:epochtime"] == ("1893456000",)
    assert context(aws__EpochTime="1893456000")["aws:currenttime"] == ("2030-01-01T00:00:00Z",)


def test_a_service_that_forwards_the_caller_is_seen():
    assert context()["aws:viaawsservice"] == ("false",)
    assert context(kms__ViaService="s3.eu-west-1.amazonaws.com")["aws:viaawsservice"] == ("true",)
    found = context(aws__CalledVia=("a.amazonaws.com", "b.amazonaws.com"))
    assert (found["aws:calledviafirst"], found["aws:calledvialast"]) == (("a.amazonaws.com",), ("b.amazonaws.com",))


@pytest.mark.parametrize(
    ("operator", "key", "action", "stated", "missing"),
    [
        ("StringEqualsIfExists", "kms:EncryptionAlgorithm", "kms:Decrypt", {}, True),
        ("StringEqualsIfExists", "kms:EncryptionAlgorithm", "kms:DescribeKey", {}, False),
        ("StringEqualsIfExists", "kms:EncryptionAlgorithm", "kms:Decrypt", {"kms:EncryptionAlgorithm": "a"}, False),
        ("ForAllValues:StringEquals", "kms:GrantOperations", "kms:CreateGrant", {}, True),
        ("StringEqualsIfExists", "aws:PrincipalTag/x", "kms:Decrypt", {}, False),
        ("StringEquals", "aws:PrincipalArn", "kms:Decrypt", {}, False),
        ("NotIpAddress", "aws:SourceIp", "kms:Decrypt", {}, True),
        ("NotIpAddress", "aws:SourceIp", "kms:Decrypt", {"aws:SourceVpce": "vpce-1"}, False),
        ("StringNotEquals", "aws:SourceVpc", "kms:Decrypt", {"aws:SourceVpce": "vpce-1"}, True),
        ("StringNotEquals", "aws:SourceVpc", "kms:Decrypt", {"aws:SourceIp": "198.51.100.1"}, False),
        ("ForAllValues:StringLike", "aws:PrincipalOrgPaths", "kms:Decrypt", {"aws:PrincipalOrgID": "o-1"}, True),
        ("ForAllValues:StringLike", "aws:PrincipalOrgPaths", "kms:Decrypt", {}, False),
    ],
)
def test_a_decision_names_the_keys_that_every_such_request_carries_and_this_one_does_not(
    operator, key, action, stated, missing
):
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "*",
        "Resource": "*",
        "Condition": {operator: {key: "a"}},
    }
    policy = KeyPolicy.parse({"Version": "2012-10-17", "Statement": statement})
    request = Request(Caller.parse(ROLE), action, {name: (value,) for name, value in stated.items()})
    assert evaluate(policy, request, OWNER).unstated == (frozenset({key.lower()}) if missing else frozenset())


def test_a_variable_is_looked_at_as_well():
    condition = {"StringEquals": {"aws:PrincipalTag/region": "${aws:RequestedRegion}"}}
    statement = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*", "Condition": condition}
    request = Request(Caller.parse(ROLE), "kms:Decrypt", {"aws:PrincipalTag/region": ("x",)})
    for version, unstated in (("2012-10-17", {"aws:requestedregion"}), ("2008-10-17", set())):
        assert (
            evaluate(KeyPolicy.parse({"Version": version, "Statement": statement}), request, OWNER).unstated == unstated
        )
