"""What requests, responses and resources of background events look like: JSON texts with `<slots>` to fill."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from keytrail.simulation.chance import Chance
from keytrail.simulation.mix import EventKind
from keytrail.simulation.organisation import Site, long_date

READ_ONLY = re.compile(
    r"(Describe|Get|List|Head|Lookup|Batch(Get|Check)|Decrypt|Generate|Encrypt|AssumeRole|Select|Query|Filter|CheckMfa)"
)


class Body(NamedTuple):
    """The texts of one event that depend on its kind and site alone."""

    request: str
    response: str
    additional: str
    resources: str
    service: str  # the service that makes such a call with the credentials of its caller, or ""


_KMS_KEY = '[{"accountId":"<account>","type":"AWS::KMS::Key","ARN":"<key>"}]'
# Encryption context and the service that sends it (AWS KMS developer guide, "How AWS services use AWS KMS").
_KMS_USE = (
    ('{"aws:s3:arn":"arn:aws:s3:::<bucket>/<object>"}', "s3.amazonaws.com"),
    (
        '{"SecretARN":"arn:aws:secretsmanager:<region>:<account>:secret:<secret>","SecretVersionId":"<uuid>"}',
        "secretsmanager.amazonaws.com",
    ),
    ('{"PARAMETER_ARN":"arn:aws:ssm:<region>:<account>:parameter<parameter>"}', "AWS Internal"),
    (
        '{"aws:lambda:FunctionArn":"arn:aws:lambda:<region>:<account>:function:<function>"}',
        "lambda.amazonaws.com",
    ),
    ('{"aws:sqs:arn":"arn:aws:sqs:<region>:<account>:<queue>"}', "sqs.amazonaws.com"),
    ('{"aws:dynamodb:tableName":"<table>","aws:dynamodb:subscriberId":"<account>"}', "dynamodb.amazonaws.com"),
)
_S3_MORE = (
    '{"SignatureVersion":"SigV4","CipherSuite":"ECDHE-RSA-AES128-GCM-SHA256","bytesTransferredIn":<number>,'
    '"AuthenticationMethod":"AuthHeader","x-amz-id-2":"<host-id>","bytesTransferredOut":<number2>}'
)
_S3_BUCKET = '[{"accountId":"<account>","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::<bucket>"}]'
_S3_OBJECT = (
    '[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::<bucket>/<object>"},'
    '{"accountId":"<account>","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::<bucket>"}]'
)
_CREDENTIALS = (
    '"credentials":{"accessKeyId":"<session-key>","sessionToken":"<token>","expiration":"<expiration>"},'
    '"assumedRoleUser":{"assumedRoleId":"<role-id>:<session>",'
    '"arn":"arn:aws:sts::<account>:assumed-role/<role>/<session>"}'
)
_ROLE_RESOURCE = '[{"accountId":"<account>","type":"AWS::IAM::Role","ARN":"arn:aws:iam::<account>:role/<role>"}]'
_EC2_DONE = '{"requestId":"<uuid>","_return":true}'
_EC2_SET = (
    '{"maxResults":<hundred>,"filterSet":{"items":[{"name":"<filter>","valueSet":{"items":[{"value":"<value>"}]}}]}}'
)

# Event name -> (request, response).
_NAMED: dict[str, tuple[str, str]] = {
    "AssumeRole": (
        '{"roleArn":"arn:aws:iam::<account>:role/<role>","roleSessionName":"<session>","durationSeconds":3600}',
        "{" + _CREDENTIALS + "}",
    ),
    "AssumeRoleWithWebIdentity": (
        '{"roleArn":"arn:aws:iam::<account>:role/<role>","roleSessionName":"<session>"}',
        "{" + _CREDENTIALS + ',"subjectFromWebIdentityToken":"system:serviceaccount:shop:<role>",'
        '"provider":"arn:aws:iam::<account>:oidc-provider/oidc.eks.<region>.amazonaws.com/id/<oidc>",'
        '"audience":"sts.amazonaws.com"}',
    ),
    "AssumeRoleWithSAML": (
        '{"sAMLAssertionID":"_<uuid>","roleSessionName":"<session>","durationSeconds":28800,'
        '"roleArn":"arn:aws:iam::<account>:role/<role>","principalArn":"arn:aws:iam::<account>:saml-provider/Example"}',
        "{" + _CREDENTIALS + ',"subject":"<session>","issuer":"https://idp.example.com/saml","subjectType":"persistent"}',
    ),
    "GetSessionToken": ('{"durationSeconds":43200}', "null"),
    "GetFederationToken": ('{"name":"<session>","durationSeconds":3600}', "null"),
    "GetCallerIdentity": ("null", "null"),
    "DescribeInstances": ('{"instancesSet":{"items":[{"instanceId":"<instance>"}]},"filterSet":{}}', "null"),
    "DescribeVolumes": ('{"volumeSet":{"items":[{"volumeId":"<volume>"}]},"filterSet":{}}', "null"),
    "DescribeSecurityGroups": (
        '{"securityGroupSet":{},"securityGroupIdSet":{"items":[{"groupId":"<group>"}]},"filterSet":{}}',
        "null",
    ),
    "RunInstances": (
        '{"instancesSet":{"items":[{"imageId":"<image>","minCount":1,"maxCount":1}]},"instanceType":"m6i.large",'
        '"blockDeviceMapping":{},"subnetId":"<subnet>","monitoring":{"enabled":false},"disableApiTermination":false,'
        '"clientToken":"<uuid>","launchTemplate":{"launchTemplateId":"<template>","version":"$Default"}}',
        '{"requestId":"<uuid>","reservationId":"r-0<hex>","ownerId":"<account>","groupSet":{},"instancesSet":{"items":'
        '[{"instanceId":"<instance>","imageId":"<image>","instanceState":{"code":0,"name":"pending"},'
        '"instanceType":"m6i.large","amiLaunchIndex":0,"placement":{"availabilityZone":"<region>a","tenancy":"default"},'
        '"subnetId":"<subnet>","architecture":"x86_64","rootDeviceType":"ebs","rootDeviceName":"/dev/xvda"}]}}',
    ),
    "TerminateInstances": (
        '{"instancesSet":{"items":[{"instanceId":"<instance>"}]}}',
        '{"requestId":"<uuid>","instancesSet":{"items":[{"instanceId":"<instance>","currentState":{"code":32,'
        '"name":"shutting-down"},"previousState":{"code":16,"name":"running"}}]}}',
    ),
    "CreateTags": (
        '{"resourcesSet":{"items":[{"resourceId":"<instance>"}]},"tagSet":{"items":[{"key":"team","value":"<value>"}]}}',
        _EC2_DONE,
    ),
    "CreateNetworkInterface": (
        '{"subnetId":"<subnet>","description":"AWS Lambda VPC ENI-<function>",'
        '"groupSet":{"items":[{"groupId":"<group>"}]},'
        '"privateIpAddressesSet":{},"ipv6AddressesSet":{},"clientToken":"<uuid>"}',
        '{"requestId":"<uuid>","networkInterface":{"networkInterfaceId":"eni-0<hex>","subnetId":"<subnet>",'
        '"availabilityZone":"<region>b","ownerId":"<account>","requesterManaged":false,"status":"pending","tagSet":{}}}',
    ),
    "CreateSnapshot": (
        '{"volumeId":"<volume>","description":"nightly"}',
        '{"requestId":"<uuid>","snapshotId":"<snapshot>","volumeId":"<volume>","status":"pending","ownerId":"<account>",'
        '"volumeSize":"100","encrypted":true,"description":"nightly"}',
    ),
    "AuthorizeSecurityGroupIngress": (
        '{"groupId":"<group>","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":443,"toPort":443,'
        '"groups":{},"ipRanges":{"items":[{"cidrIp":"10.0.0.0/16"}]},"ipv6Ranges":{},"prefixListIds":{}}]}}',
        _EC2_DONE,
    ),
    "GetParameter": ('{"withDecryption":true,"name":"<parameter>"}', "null"),
    "GetParametersByPath": ('{"path":"<parameter>","recursive":true,"withDecryption":true}', "null"),
    "PutParameter": (
        '{"name":"<parameter>","type":"SecureString","overwrite":true,"value":"HIDDEN_DUE_TO_SECURITY_REASONS"}',
        '{"version":<hundred>,"tier":"Standard"}',
    ),
    "UpdateInstanceInformation": (
        '{"instanceId":"<instance>","agentVersion":"3.3.131.0","agentStatus":"Active","platformType":"Linux",'
        '"platformName":"Amazon Linux","platformVersion":"2023","iPAddress":"10.0.3.17","computerName":"ip-10-0-3-17"}',
        "null",
    ),
    "GetSecretValue": ('{"secretId":"arn:aws:secretsmanager:<region>:<account>:secret:<secret>"}', "null"),
    "PutSecretValue": (
        '{"clientRequestToken":"<uuid>","secretId":"<secret>"}',
        '{"arn":"arn:aws:secretsmanager:<region>:<account>:secret:<secret>"}',
    ),
    "CreateLogStream": ('{"logGroupName":"<log-group>","logStreamName":"<hex>"}', "null"),
    "Query": ('{"tableName":"<table>","keyConditionExpression":"pk = :pk","limit":<hundred>}', "null"),
    "GetItem": ('{"tableName":"<table>","key":{"pk":"HIDDEN_DUE_TO_SECURITY_REASONS"}}', "null"),
    "PutItem": ('{"tableName":"<table>","key":{"pk":"HIDDEN_DUE_TO_SECURITY_REASONS"}}', "null"),
    "AttachRolePolicy": ('{"roleName":"<role>","policyArn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}', "null"),
    "CreateRole": (
        '{"roleName":"<role>","path":"/","description":"created by pipeline",'
        '"assumeRolePolicyDocument":"{\\"Version\\":'
        '\\"2012-10-17\\",\\"Statement\\":[{\\"Effect\\":\\"Allow\\",\\"Principal\\":{\\"Service\\":\\"lambda.amazonaws.com\\"},'
        '\\"Action\\":\\"sts:AssumeRole\\"}]}"}',
        '{"role":{"path":"/","roleName":"<role>","roleId":"<role-id>","arn":"arn:aws:iam::<account>:role/<role>",'
        '"createDate":"<now>"}}',
    ),
    "LookupEvents": (
        '{"maxResults":50,"lookupAttributes":[{"attributeKey":"ReadOnly","attributeValue":"false"}]}',
        "null",
    ),
    "SendCommand": (
        '{"instanceIds":["<instance>"],"documentName":"AWS-RunPatchBaseline","timeoutSeconds":600}',
        '{"command":{"commandId":"<uuid>","documentName":"AWS-RunPatchBaseline","status":"Pending","targetCount":1}}',
    ),
    "GetKeyPolicy": ('{"keyId":"<key>","policyName":"default"}', "null"),
    "ListKeys": ('{"limit":1000}', "null"),
    "ListAliases": ("null", "null"),
    "ListBuckets": ('{"Host":"s3.<region>.amazonaws.com"}', "null"),
    "DescribeEventAggregates": (
        '{"aggregateField":"eventTypeCategory","filter":{"eventStatusCodes":["open","upcoming"]}}',
        "null",
    ),
    "GetMetricData": (
        '{"startTime":"<now>","endTime":"<expiration>","scanBy":"TimestampDescending"}',
        "null",
    ),
}  # fmt: skip

# Provider -> request of every other event of it.
_GENERAL: dict[str, str] = {
    "kms": '{"keyId":"<key>"}',
    "sts": "null",
    "s3": '{"bucketName":"<bucket>","Host":"<bucket>.s3.<region>.amazonaws.com"}',
    "ec2": _EC2_SET,
    "ssm": '{"resourceType":"Parameter","resourceId":"<parameter>"}',
    "logs": '{"logGroupNamePrefix":"<log-group>","limit":50}',
    "secretsmanager": '{"secretId":"<secret>"}',
    "iam": '{"roleName":"<role>"}',
    "cloudformation": '{"stackName":"<stack>"}',
    "elasticloadbalancing": (
        '{"targetGroupArn":"arn:aws:elasticloadbalancing:<region>:<account>:targetgroup/<function>/<hex>"}'
    ),
    "monitoring": '{"alarmNames":["<function>-errors"]}',
    "lambda": '{"functionName":"arn:aws:lambda:<region>:<account>:function:<function>"}',
    "dynamodb": '{"tableName":"<table>"}',
    "rds": '{"dBInstanceIdentifier":"<database>"}',
    "ecs": '{"cluster":"arn:aws:ecs:<region>:<account>:cluster/main","services":["<function>"]}',
    "autoscaling": '{"autoScalingGroupName":"<function>-asg"}',
    "ecr": '{"registryId":"<account>","repositoryName":"<function>"}',
    "sqs": '{"queueUrl":"https://sqs.<region>.amazonaws.com/<account>/<queue>"}',
    "sns": '{"topicArn":"arn:aws:sns:<region>:<account>:<queue>"}',
    "config": '{"configRuleNames":["encrypted-volumes"]}',
    "cloudtrail": '{"trailNameList":[],"includeShadowTrails":true}',
    "eks": '{"name":"main"}',
    "states": '{"stateMachineArn":"arn:aws:states:<region>:<account>:stateMachine:<function>"}',
    "organizations": '{"maxResults":20}',
    "signin": "null",
}

_NOUNS = ("orders", "invoices", "ledger", "customers", "search", "checkout", "reports", "sessions", "catalog", "mail")
_ROLES = ("payments-api", "payments-batch", "ledger-writer", "reporting-job", "ingest-worker", "eks-node-group")


def _number(bound: int) -> Callable[[Chance, Site], str]:
    return lambda chance, site: str(1 + chance.below(bound))


def _id(prefix: str) -> Callable[[Chance, Site], str]:
    # A pool of 256 ids for each account and region: the same resources come back.
    def make(chance: Chance, site: Site) -> str:
        return (
            f"{prefix}-0{int(site.account[:6]) * 7919 % 0xFFFFF:05x}{len(site.region):x}c{chance.below(256):02x}d7e52b"
        )

    return make


_SLOTS: dict[str, Callable[[Chance, Site], str]] = {
    "account": lambda chance, site: site.account,
    "region": lambda chance, site: site.region,
    "uuid": lambda chance, site: chance.uuid(),
    "hex": lambda chance, site: chance.hex(16),
    "host-id": lambda chance, site: chance.mixed(76),
    "token": lambda chance, site: "IQoJb3JpZ2luX2Vj" + chance.mixed(150) + "EXAMPLE=",
    "number": _number(4096),
    "number2": _number(60000),
    "hundred": _number(100),
    "key": lambda chance, site: f"arn:aws:kms:{site.region}:{site.account}:key/{_background_key(chance, site)}",
    "bucket": lambda chance, site: f"example-{chance.pick(_NOUNS)}-{site.account[:4]}",
    "object": lambda chance, site: f"{chance.pick(_NOUNS)}/2026/{1 + chance.below(12):02d}/{chance.hex(12)}.parquet",
    "secret": lambda chance, site: f"prod/{chance.pick(_NOUNS)}/database-{chance.pick(('a1B2c3', 'Qw3rTy', 'zX9yW8'))}",
    "parameter": lambda chance, site: f"/{chance.pick(_NOUNS)}/{chance.pick(('api-key', 'endpoint', 'flags'))}",
    "function": lambda chance, site: f"{chance.pick(_NOUNS)}-{chance.pick(('handler', 'worker', 'sync'))}",
    "queue": lambda chance, site: f"{chance.pick(_NOUNS)}-events",
    "table": lambda chance, site: f"{chance.pick(_NOUNS)}-v{1 + chance.below(3)}",
    "database": lambda chance, site: f"{chance.pick(_NOUNS)}-db-{1 + chance.below(4)}",
    "stack": lambda chance, site: f"{chance.pick(_NOUNS)}-stack",
    "log-group": lambda chance, site: f"/aws/lambda/{chance.pick(_NOUNS)}-{chance.pick(('handler', 'worker'))}",
    "role": lambda chance, site: chance.pick(_ROLES),
    "role-id": lambda chance, site: "AROA" + chance.upper(17),
    "session": lambda chance, site: f"session-{chance.bits(40)}",
    "session-key": lambda chance, site: "ASIA" + chance.upper(9) + "EXAMPLE",
    "oidc": lambda chance, site: chance.hex(32).upper(),
    "value": lambda chance, site: chance.pick(_NOUNS),
    "filter": lambda chance, site: chance.pick(("tag:team", "tag:service", "vpc-id", "instance-state-name")),
    **{
        name: _id(prefix)
        for name, prefix in (
            ("instance", "i"), ("volume", "vol"), ("snapshot", "snap"), ("group", "sg"), ("subnet", "subnet"),
            ("image", "ami"), ("template", "lt"),
        )
    },
}  # fmt: skip
_SLOT = re.compile(r"<([a-z0-9-]+)>")


def body(kind: EventKind, site: Site, moment: int, chance: Chance) -> Body:
    """Return one filled-in example of the texts of `kind` at `site` about `moment`; a slot has one value in it."""
    service = kind.provider.partition(".")[0]
    request, response = _NAMED.get(kind.name, (_GENERAL.get(service, "null"), "null"))
    additional = resources = via = ""
    if service == "kms":
        context, via = chance.pick(_KMS_USE) if kind.caller == "via" else ('{"aws:ebs:id":"<volume>"}', "")
        if kind.name == "Decrypt":
            request = f'{{"encryptionContext":{context},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}}'
        elif kind.name.startswith("GenerateDataKey"):
            request = f'{{"keyId":"<key>","encryptionContext":{context},"keySpec":"AES_256"}}'
        elif kind.name == "Encrypt":
            request = f'{{"keyId":"<key>","encryptionContext":{context},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}}'
        resources = "" if kind.name in ("ListKeys", "ListAliases") else _KMS_KEY
    elif service == "s3" and kind.name != "ListBuckets":
        additional, resources = _S3_MORE, _S3_BUCKET
        if kind.name in ("GetObject", "PutObject", "HeadObject", "DeleteObject", "CopyObject"):
            request = request[:-1] + ',"key":"<object>"}'
            resources = _S3_OBJECT
    elif kind.name.startswith("AssumeRole"):
        resources = _ROLE_RESOURCE
    elif service == "ec2" and response == "null" and not READ_ONLY.match(kind.name):
        request, response = '{"instancesSet":{"items":[{"instanceId":"<instance>"}]},"force":false}', _EC2_DONE
    filled = {"now": long_date(moment), "expiration": long_date(moment + 3600)}

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name not in filled:
            filled[name] = _SLOTS[name](chance, site)
        return filled[name]

    request, response, additional, resources = (
        _SLOT.sub(fill, text) for text in (request, response, additional, resources)
    )
    return Body(request, response, additional, resources, via)


def _background_key(chance: Chance, site: Site) -> str:
    """Return one of the eight keys of a site that the story does not touch."""
    number = chance.below(8)
    place = f"{len(site.region):02x}{ord(site.region[0]):02x}"
    return f"{int(site.account[:8]):08x}-{number:04x}-4b1d-9c0e-{place}{number:08x}"
