"""All of it as one CloudFormation template, with parameters that say which part an account gets."""

from __future__ import annotations

from keytrail.respond.guardrail.forms import boundary, config, eventbridge, rcp, scp
from keytrail.respond.guardrail.forms.form import Form, plain_json
from keytrail.respond.guardrail.model import Document, Guardrail, Json
from keytrail.respond.guardrail.statements import BOUNDARY_NAME

_NONE = {"Ref": "AWS::NoValue"}


def template(guardrail: Guardrail) -> Json:
    """The template. Raises UsageError if one of the policies in it is too large."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Leaves the power over KMS key policies to break-glass roles (written by keytrail)",
        "Parameters": {
            "OrganizationPolicies": _choice(
                "The service and resource control policies: in the management account", "yes"
            ),
            "TargetIds": {
                "Type": "CommaDelimitedList",
                "Default": "",
                "Description": "Root, organisational units or accounts that these policies are attached to",
            },
            "Detection": _choice(
                "The rules of EventBridge and AWS Config: in every account and Region with keys", "yes"
            ),
            "AlertTopicArn": {
                "Type": "String",
                "Default": "",
                "Description": "SNS topic that is told of calls, which EventBridge may publish to",
            },
            "Boundary": _choice("The permissions boundary: in accounts without AWS Organizations", "no"),
        },
        "Conditions": {
            "HasPolicies": _is("OrganizationPolicies", "yes"),
            "HasTargets": {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "TargetIds"}]}, ""]}]},
            "HasDetection": _is("Detection", "yes"),
            "HasTopic": {"Fn::Not": [_is("AlertTopicArn", "")]},
            "HasBoundary": _is("Boundary", "yes"),
        },
        "Resources": {
            "ServiceControlPolicy": _organisation_policy(scp.NAME, scp.TYPE, scp.policy(guardrail)),
            "ResourceControlPolicy": _organisation_policy(rcp.NAME, rcp.TYPE, rcp.policy(guardrail)),
            "PermissionsBoundary": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Condition": "HasBoundary",
                "Properties": {
                    "ManagedPolicyName": BOUNDARY_NAME,
                    "Description": "Boundary: key policies are for break-glass roles",
                    "PolicyDocument": boundary.policy(guardrail),
                },
            },
            "Calls": {
                "Type": "AWS::Events::Rule",
                "Condition": "HasDetection",
                "Properties": {
                    "Name": eventbridge.NAME,
                    "Description": "Power over KMS key policies used by others than break-glass roles",
                    "EventPattern": eventbridge.pattern(guardrail),
                    "State": "ENABLED",
                    "Targets": {"Fn::If": ["HasTopic", [{"Id": "alerts", "Arn": {"Ref": "AlertTopicArn"}}], _NONE]},
                },
            },
            **{_logical(one.name): _config_rule(one) for one in config.rules(guardrail)},
        },
    }


def _choice(description: str, default: str) -> Json:
    return {"Type": "String", "AllowedValues": ["yes", "no"], "Default": default, "Description": description}


def _is(parameter: str, value: str) -> Json:
    return {"Fn::Equals": [{"Ref": parameter}, value]}


def _organisation_policy(name: str, kind: str, policy: Json) -> Json:
    return {
        "Type": "AWS::Organizations::Policy",
        "Condition": "HasPolicies",
        "Properties": {
            "Name": name,
            "Type": kind,
            "Description": "Key policies: break-glass roles only",
            "Content": policy,
            "TargetIds": {"Fn::If": ["HasTargets", {"Ref": "TargetIds"}, _NONE]},
        },
    }


def _config_rule(rule: config.ManagedRule) -> Json:
    return {"Type": "AWS::Config::ConfigRule", "Condition": "HasDetection", "Properties": rule.to_dict()}


def _logical(name: str) -> str:
    return "".join(part.capitalize() for part in name.removeprefix("keytrail-").split("-"))


def _write(guardrail: Guardrail) -> tuple[Document, ...]:
    return (Document("cloudformation.json", plain_json(template(guardrail))),)


FORM = Form(
    "cloudformation",
    "CloudFormation template",
    ("scp", "rcp", "boundary"),
    _write,
    "aws cloudformation deploy --template-file cloudformation.json --stack-name keytrail-guardrail --capabilities"
    " CAPABILITY_NAMED_IAM --parameter-overrides TargetIds=… AlertTopicArn=…; Detection=no or OrganizationPolicies=no"
    " where an account is to have one part only",
)
