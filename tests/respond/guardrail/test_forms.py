"""Each form is what AWS takes: legal, within its size, and meaning the same as the statements that it is made of."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from moto.iam.policy_validation import IAMPolicyDocumentValidator

from keytrail.errors import UsageError
from keytrail.respond.guardrail.forms import terraform
from keytrail.respond.guardrail.registry import FORMS, Form, forms_of
from keytrail.respond.guardrail.statements import BOUNDARY_NAME, WAYS

BY_NAME: dict[str, Form] = {one.name: one for one in FORMS}
WIDE = "arn:aws:iam::*:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_BreakGlass_*"


def written(form: str, rail: Any) -> dict[str, str]:
    return {one.name: one.text for one in BY_NAME[form].write(rail)}


def policy(form: str, rail: Any) -> dict[str, Any]:
    (text,) = written(form, rail).values()
    found: dict[str, Any] = json.loads(text)
    return found


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def actions(found: dict[str, Any]) -> set[str]:
    return {action for one in found["Statement"] for action in listed(one["Action"])}


def test_the_registry_has_every_form_once() -> None:
    assert list(BY_NAME) == ["scp", "rcp", "boundary", "eventbridge", "config", "cloudformation", "terraform"]
    assert len(FORMS) == len(BY_NAME)
    assert [one.name for one in forms_of(["terraform", "scp"])] == ["scp", "terraform"]
    with pytest.raises(UsageError, match="no form 'nginx'"):
        forms_of(["nginx"])


@pytest.mark.parametrize("form", ["scp", "boundary"])
def test_policies_of_callers_are_legal_iam_policies_without_principals(form: str, rails: Any) -> None:
    (text,) = written(form, rails.make(rails.break_glass, WIDE)).values()
    IAMPolicyDocumentValidator(text).validate()
    for one in json.loads(text)["Statement"]:
        assert {"Principal", "NotPrincipal"}.isdisjoint(one)
        assert re.fullmatch(r"[A-Za-z0-9]+", one["Sid"])


def test_the_service_control_policy_denies_every_way_to_all_but_the_roles(rails: Any) -> None:
    found = policy("scp", rails.make(rails.break_glass, WIDE))
    assert found["Version"] == "2012-10-17"
    assert actions(found) == {a for group, way in WAYS.items() if group != "boundary" for a in way.actions}
    for one in found["Statement"]:
        assert one["Effect"] == "Deny"
        assert one["Condition"]["ArnNotLike"] == {"aws:PrincipalArn": [rails.break_glass, WIDE]}
    by_action = {action: one for one in found["Statement"] for action in listed(one["Action"])}
    assert by_action["kms:CreateGrant"]["Condition"]["BoolIfExists"] == {"kms:GrantIsForAWSResource": "false"}
    assert by_action["iam:UpdateAssumeRolePolicy"]["Resource"] == [rails.break_glass, WIDE]
    assert "BoolIfExists" not in by_action["kms:PutKeyPolicy"]["Condition"]


def test_the_resource_control_policy_is_one_that_aws_takes(rails: Any) -> None:
    found = policy("rcp", rails.make())
    for one in found["Statement"]:
        assert (one["Effect"], one["Principal"]) == ("Deny", "*")
        assert all(action.startswith("kms:") and "*" not in action for action in listed(one["Action"]))
        assert one["Condition"]["Bool"] == {"aws:PrincipalIsAWSService": "false"}
        assert "NotPrincipal" not in one
        assert "NotAction" not in one
    assert actions(found) == {"kms:PutKeyPolicy", "kms:ReplicateKey", "kms:UpdatePrimaryRegion", "kms:CreateGrant"}
    assert "aws:PrincipalOrgID" not in json.dumps(found)


def test_a_role_of_any_account_is_break_glass_in_the_organisation_only(rails: Any) -> None:
    for organisation, value in (("o-example", "o-example"), (None, "${aws:ResourceOrgID}")):
        found = policy("rcp", rails.make("arn:aws:iam::*:role/BreakGlass", organisation=organisation))
        (outside,) = (one for one in found["Statement"] if "StringNotEqualsIfExists" in one["Condition"])
        assert outside["Condition"]["StringNotEqualsIfExists"] == {"aws:PrincipalOrgID": value}
        assert outside["Action"] == "kms:CreateGrant"


def test_the_boundary_allows_the_rest_and_cannot_be_taken_off(rails: Any) -> None:
    found = policy("boundary", rails.make())
    assert found["Statement"][0] == {"Sid": "AllowTheRest", "Effect": "Allow", "Action": "*", "Resource": "*"}
    denied = {"Statement": found["Statement"][1:]}
    assert actions(denied) == {action for way in WAYS.values() for action in way.actions}
    (made,) = (one for one in found["Statement"] if "iam:CreateUser" in listed(one["Action"]))
    assert made["Condition"]["StringNotLike"] == {"iam:PermissionsBoundary": f"arn:aws:iam::*:policy/{BOUNDARY_NAME}"}


def test_what_is_left_out_is_in_no_form(rails: Any) -> None:
    rail = rails.make(without=("replicas", "grants", "sharing", "takeover", "boundary"))
    for form in FORMS:
        for text in written(form.name, rail).values():
            for word in ("ReplicateKey", "CreateGrant", "ResourceShare", "UpdateAssumeRolePolicy"):
                assert word not in text
    assert actions(policy("scp", rail)) == {"kms:PutKeyPolicy"}


def test_keys_narrow_the_statements_about_keys_and_no_others(rails: Any) -> None:
    for one in policy("scp", rails.make(keys=(rails.key,)))["Statement"]:
        of_kms = all(action.startswith("kms:") for action in listed(one["Action"]))
        assert (one["Resource"] == rails.key) is of_kms


@pytest.mark.parametrize(
    ("form", "most"), [("scp", 10_240), ("rcp", 5_120), ("boundary", 6_144), ("eventbridge", 2_048)]
)
def test_sizes_are_those_that_aws_takes(form: str, most: int, rails: Any) -> None:
    """Never larger; without blanks before it is refused, and refused with advice when even that is too large."""
    seen = set()
    for size in range(1, 120):
        rail = rails.make(*(f"arn:aws:iam::{number:012d}:role/BreakGlass{number:04d}" for number in range(size)))
        try:
            (text,) = written(form, rail).values()
        except UsageError:
            break
        assert len(text.rstrip("\n")) <= most
        seen.add("indented" if "\n  " in text else "compact")
    assert seen == {"indented", "compact"}
    with pytest.raises(UsageError, match=f"AWS takes {most:,}") as caught:
        written(form, rail)
    assert "--without" in caught.value.advice


# -- EventBridge ------------------------------------------------------------------------------------------------------


def tells(rails: Any, rail: Any, event: Any) -> bool:
    pattern = policy("eventbridge", rail)
    told: bool = rails.event_matches(pattern, {"detail-type": "AWS API Call via CloudTrail", "detail": event.data})
    return told


@pytest.mark.parametrize(
    "caller",
    [
        "arn:aws:iam::111122223333:role/Admin",
        "arn:aws:iam::111122223333:role/x/BreakGlass",
        "arn:aws:iam::111122223333:user/BreakGlass",
        "arn:aws:iam::111122223333:root",
    ],
)
@pytest.mark.parametrize(
    "action", ["kms:PutKeyPolicy", "kms:ReplicateKey", "kms:UpdatePrimaryRegion", "kms:CreateGrant"]
)
def test_the_event_pattern_tells_of_others(caller: str, action: str, rails: Any) -> None:
    assert tells(rails, rails.make(), rails.event(caller, action))
    assert not tells(rails, rails.make(), rails.event(caller, "kms:Decrypt"))


def test_the_event_pattern_is_silent_about_the_roles_and_services(rails: Any) -> None:
    rail = rails.make(rails.break_glass, WIDE)
    linked = "arn:aws:iam::111122223333:role/aws-service-role/backup.amazonaws.com/AWSServiceRoleForBackup"
    sso = "arn:aws:iam::444455556666:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_BreakGlass_0123"
    for caller in (rails.break_glass, linked, sso):
        assert not tells(rails, rail, rails.event(caller))
    event = rails.event("arn:aws:iam::111122223333:role/App", "kms:CreateGrant")
    passed_on = dict(event.identity) | {"invokedBy": "ec2.amazonaws.com"}
    assert tells(rails, rail, event)
    through = rails.event("arn:aws:iam::111122223333:role/App", "kms:CreateGrant", userIdentity=passed_on)
    assert not tells(rails, rail, through)


def test_the_event_pattern_tells_of_shared_keys_and_changed_roles(rails: Any) -> None:
    admin, rail = "arn:aws:iam::111122223333:role/Admin", rails.make(rails.break_glass, WIDE)
    for name, told in (("BreakGlass", True), ("AWSReservedSSO_BreakGlass_12", True), ("App", False)):
        event = rails.event(admin, "iam:UpdateAssumeRolePolicy", requestParameters={"roleName": name})
        assert tells(rails, rail, event) is told
    for arn, told in ((rails.key, True), ("arn:aws:ec2:eu-west-1:111122223333:subnet/1", False)):
        event = rails.event(admin, "ram:CreateResourceShare", requestParameters={"resourceArns": [arn]})
        assert tells(rails, rail, event) is told


def test_roles_that_only_their_path_tells_are_not_told_apart_by_events(rails: Any) -> None:
    rail = rails.make("arn:aws:iam::111122223333:role/break-glass/*")
    with pytest.raises(UsageError, match="by their names"):
        written("eventbridge", rail)


# -- Config, CloudFormation, Terraform --------------------------------------------------------------------------------


def test_config_rules_are_what_put_config_rule_takes(rails: Any) -> None:
    import boto3
    from botocore.validate import ParamValidator

    model = boto3.client("config", region_name="eu-west-1").meta.service_model.shape_for("ConfigRule")
    files = written("config", rails.make())
    assert len(files) == 3
    for text in files.values():
        rule = json.loads(text)
        assert not ParamValidator().validate(rule, model).has_errors()
        assert rule["Source"]["Owner"] == "AWS"
        if "InputParameters" in rule:
            blocked = json.loads(rule["InputParameters"])["blockedActionsPatterns"]
            assert blocked == "kms:PutKeyPolicy,kms:ReplicateKey,kms:UpdatePrimaryRegion"


def test_the_template_deploys_all_of_it_together(rails: Any) -> None:
    rail = rails.make()
    found = json.loads(written("cloudformation", rail)["cloudformation.json"])
    resources = found["Resources"]
    contents = {
        one["Properties"]["Type"]: one["Properties"]["Content"]
        for one in resources.values()
        if "Content" in one["Properties"]
    }
    assert contents == {"SERVICE_CONTROL_POLICY": policy("scp", rail), "RESOURCE_CONTROL_POLICY": policy("rcp", rail)}
    assert resources["PermissionsBoundary"]["Properties"]["PolicyDocument"] == policy("boundary", rail)
    assert resources["Calls"]["Properties"]["EventPattern"] == policy("eventbridge", rail)
    assert sum(one["Type"] == "AWS::Config::ConfigRule" for one in resources.values()) == 3
    assert all(re.fullmatch("[A-Za-z0-9]+", name) for name in (*resources, *found["Parameters"], *found["Conditions"]))
    # Everything that is referred to is there, and every condition is used.
    text = json.dumps(found["Resources"]) + json.dumps(found["Conditions"])
    references = set(re.findall(r'"Ref": "([^"]+)"', text)) - {"AWS::NoValue"}
    assert references == set(found["Parameters"])
    used = {one["Condition"] for one in resources.values()} | set(re.findall(r'"Fn::If": \["([^"]+)"', text))
    assert used == set(found["Conditions"])


def test_the_configuration_says_the_same_in_hcl(rails: Any) -> None:
    rail = rails.make("arn:aws:iam::*:role/BreakGlass", WIDE)
    text = written("terraform", rail)["guardrail.tf"]
    found = [from_hcl(text, match.end()) for match in re.finditer(r"jsonencode\(", text)]
    parameters = {"blockedActionsPatterns": "kms:PutKeyPolicy,kms:ReplicateKey,kms:UpdatePrimaryRegion"}
    assert found == [
        *(policy(form, rail) for form in ("scp", "rcp", "boundary", "eventbridge")),
        parameters,
        parameters,
    ]
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', re.sub(r"(?m)^#.*$", "", text))
    for opened, closed in ("{}", "[]", "()"):
        assert bare.count(opened) == bare.count(closed)
    declared = set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))
    assert set(re.findall(r"var\.(\w+)", bare)) == declared
    assert len(re.findall(r'^resource "aws_config_config_rule"', text, re.MULTILINE)) == 3
    assert set(re.findall(r"(aws_\w+)\.(\w+)\[0\]", bare)) <= set(
        re.findall(r'^resource "(\w+)" "(\w+)"', text, re.MULTILINE)
    )


@pytest.mark.parametrize(
    "text", ['${"x"}', "%{ if true }", 'quote " \\ back', "line\nfeed\ttab\r", "\x1b\x00\u202e", "é", "$${a}"]
)
def test_texts_of_hcl_mean_themselves(text: str) -> None:
    quoted = terraform.hcl(text)
    assert "\n" not in quoted
    assert (
        re.search(r"(?<!\$)\$\{|(?<!%)%\{", quoted.replace("$$", "\0$").replace("\0$", "$$")) is None or text == "$${a}"
    )
    assert from_hcl(quoted, 0) == text


def from_hcl(text: str, at: int) -> Any:
    """The value of an expression of HCL that holds only objects, lists, strings and constants."""
    value, _ = _value(text, at)
    return value


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \n,":
        at += 1
    return at


def _value(text: str, at: int) -> tuple[Any, int]:
    at = _blank(text, at)
    if text[at] == '"':
        return _string(text, at)
    if text[at] == "[":
        items, at = [], _blank(text, at + 1)
        while text[at] != "]":
            item, at = _value(text, at)
            items.append(item)
            at = _blank(text, at)
        return items, at + 1
    if text[at] == "{":
        members, at = {}, _blank(text, at + 1)
        while text[at] != "}":
            name, at = _string(text, at)
            at = _blank(text, at)
            assert text[at : at + 2] == "= "
            members[name], at = _value(text, at + 2)
            at = _blank(text, at)
        return members, at + 1
    word = re.compile(r"[a-z0-9.]+").match(text, at)
    assert word is not None
    return json.loads(word[0]), word.end()


def _string(text: str, at: int) -> tuple[str, int]:
    assert text[at] == '"'
    end = re.compile(r'"((?:[^"\\\n]|\\.)*)"').match(text, at)
    assert end is not None
    raw = re.sub(r"\\U([0-9a-f]{8})", lambda found: chr(int(found[1], 16)), end[1])
    value = json.loads(f'"{raw}"')
    return value.replace("$${", "${").replace("%%{", "%{"), end.end()
