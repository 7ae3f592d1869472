"""Where each AWS service names the entities of a call: tables for `entities`, no code.

A path is dotted; `[]` walks the items of a list. Source: spec, section 9, completed with the paths that the aws
integration 8.9.0 reads.
"""

from __future__ import annotations

_ARNS = "resources[].ARN"
_ACCOUNT = "recipientAccountId"


def _paths(prefix: str, names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}.{name}" for name in names.split())


def _request(names: str) -> tuple[str, ...]:
    return _paths("requestParameters", names)


def _response(names: str) -> tuple[str, ...]:
    return _paths("responseElements", names)


IDENTITY: tuple[str, ...] = (
    *_paths("userIdentity", "accessKeyId arn userName sessionContext.sessionIssuer.arn"),
    "userIdentity.sessionContext.sessionIssuer.userName",
)
"""Related to every call."""

RELATED: dict[str, tuple[str, ...]] = {
    "cloudtrail": (
        *_request("name s3BucketName"),
        *_response("cloudWatchLogsLogGroupArn cloudWatchLogsRoleArn kmsKeyId snsTopicARN trailARN name"),
    ),
    "config": _request("configurationRecorderName"),
    "ec2": (
        *_request("groupId groupName roleName subnetId volumeId networkInterfaceId vpcId snapshotId"),
        *_response("groupId reservationId vpc.vpcId vpc.dhcpOptionsId snapshotId volumeId"),
    ),
    "guardduty": (*_request("detectorId"), *_response("detectorId")),
    "iam": (
        *_request("userName serialNumber accessKeyId policyArn roleName policyName"),
        *_response("accessKey.userName accessKey.accessKeyId user.arn user.userId user.userName userId role.arn"),
        *_response("serialNumber"),
    ),
    "kms": (*_request("keyId"), *_response("keyId keyMetadata.arn keyMetadata.keyId")),
    "lambda": (*_request("functionName"), *_response("functionArn functionName role")),
    "rds": (
        *_request("dBInstanceIdentifier dBInstanceArn"),
        *_response("dBInstanceIdentifier dbInstanceArn dBSubnetGroup.vpcId vpcSecurityGroups.vpcSecurityGroupId"),
        *_response("dBSubnetGroup.subnets[].subnetIdentifier vpcSecurityGroups[].vpcSecurityGroupId"),
    ),
    "s3": _request("bucketName"),
    "sts": (
        *_request("roleArn roleSessionName"),
        "sourceIdentity",
        "additionalEventData.MFAIdentifier",
        *_response("assumedRoleUser.arn accessKeyId"),
    ),
    "wafv2": _request("id"),
}
"""Service -> what its calls are related to, besides their targets."""

RELATED_GROUPS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "ec2": (
        (
            "responseElements.securityGroupRuleSet.items[]",
            ("groupId", "referencedGroupInfo.groupId", "securityGroupRuleId"),
        ),
        ("responseElements.groupSet.items[]", ("groupId",)),
        ("requestParameters.groupSet.items[]", ("groupId",)),
        ("requestParameters.instancesSet.items[]", ("instanceId",)),
        (
            "responseElements.instancesSet.items[]",
            ("subnetId", "vpcId", "instanceId", "imageId", "iamInstanceProfile.arn"),
        ),
        (
            "responseElements.instancesSet.items[].networkInterfaceSet.items[]",
            ("networkInterfaceId", "vpcId", "subnetId"),
        ),
        ("responseElements.instancesSet.items[].networkInterfaceSet.items[].groupSet.items[]", ("groupId",)),
        ("requestParameters.revokedSecurityGroupRuleSet.items[]", ("securityGroupRuleId", "groupId")),
    ),
    "lambda": (
        ("responseElements.vpcConfig", ("securityGroupIds[]",)),
        ("responseElements.vpcConfig", ("subnetIds[]",)),
    ),
}
"""Service -> (objects, values of each): of one object, values are taken up to the first that is missing or known."""

TARGETS: dict[tuple[str, str], tuple[str, ...]] = {
    (service, event): paths
    for service, events, paths in (
        ("bedrock", "Converse", _request("modelId")),
        ("cloudformation", "CreateStackSet", _response("stackSetId")),
        ("cloudformation", "CreateStack", _response("stackId")),
        ("cloudtrail", "DeleteTrail StopLogging", _request("name")),
        ("cloudtrail", "DescribeTrails", (_ACCOUNT,)),
        ("config", "StartConfigurationRecorder StopConfigurationRecorder", _request("configurationRecorderName")),
        ("dynamodb", "ListTables", (_ACCOUNT,)),
        (
            "ec2",
            "AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress",
            (*_request("groupId"), *_response("securityGroupRuleSet.items[].securityGroupRuleId")),
        ),
        (
            "ec2",
            "CreateTrafficMirrorFilter",
            _response("CreateTrafficMirrorFilterResponse.trafficMirrorFilter.trafficMirrorFilterId"),
        ),
        (
            "ec2",
            "CreateTrafficMirrorFilterRule",
            _response("CreateTrafficMirrorFilterRuleResponse.trafficMirrorFilterRule.trafficMirrorFilterRuleId"),
        ),
        (
            "ec2",
            "CreateTrafficMirrorSession",
            _response("CreateTrafficMirrorSessionResponse.trafficMirrorSession.trafficMirrorSessionId"),
        ),
        (
            "ec2",
            "CreateTrafficMirrorTarget",
            _response("CreateTrafficMirrorTargetResponse.trafficMirrorTarget.trafficMirrorTargetId"),
        ),
        ("ec2", "DeleteFlowLogs", _request("DeleteFlowLogsRequest.FlowLogId.content")),
        ("ec2", "DeleteNetworkAcl", _request("networkAclId")),
        ("ec2", "DeleteNetworkAclEntry", _request("networkAclId ruleNumber")),
        ("ec2", "GetPasswordData", _request("instanceId")),
        ("ec2", "ModifyImageAttribute", _request("imageId")),
        ("ec2", "ModifySnapshotAttribute", _request("snapshotId")),
        (
            "ec2",
            "DescribeSecurityGroups DescribeNetworkInterfaces DescribeRegions DescribeVpcs DescribeNetworkAcls "
            "DescribeVolumes",
            (_ACCOUNT,),
        ),
        ("ec2-instance-connect", "SendSSHPublicKey SendSerialConsoleSSHPublicKey", _request("instanceId")),
        ("elasticfilesystem", "DeleteFileSystem", _request("fileSystemId")),
        ("elasticfilesystem", "DeleteMountTarget", _request("mountTargetId")),
        ("elasticloadbalancing", "DescribeLoadBalancers", (_ACCOUNT,)),
        ("events", "DeleteRule", _request("name")),
        ("guardduty", "CreateDetector", _response("detectorId")),
        ("guardduty", "DeleteDetector", _request("detectorId")),
        ("iam", "AttachGroupPolicy", _request("groupName")),
        ("iam", "AttachRolePolicy ListAttachedRolePolicies UpdateAssumeRolePolicy", _request("roleName")),
        ("iam", "AttachUserPolicy", _request("policyArn userName")),
        ("iam", "CreateAccessKey", (*_response("accessKey.accessKeyId"), *_request("userName"))),
        ("iam", "CreateUser DeactivateMFADevice", _request("userName")),
        ("iam", "DeleteVirtualMFADevice", _request("serialNumber")),
        ("iam", "GetPolicy", _request("policyArn")),
        ("iam", "CreatePolicy", _response("policy.arn")),
        ("iam", "ListRoles ListUsers", (_ACCOUNT,)),
        ("kms", "DisableKey ScheduleKeyDeletion", (_ARNS,)),
        ("logs", "DeleteLogGroup", _request("logGroupName")),
        ("logs", "DeleteLogStream", _request("logStreamName")),
        ("monitoring", "DeleteAlarms", _request("alarmNames[]")),
        ("rds", "DeleteDBCluster ModifyDBCluster StopDBCluster", _response("dBClusterArn")),
        (
            "rds",
            "DeleteDBInstance ModifyDBInstance RestoreDBInstanceFromDBSnapshot RestoreDBInstanceFromS3 StopDBInstance",
            _response("dBInstanceArn"),
        ),
        ("rds", "DeleteGlobalCluster", _response("globalClusterArn")),
        ("rds", "ModifyDBClusterSnapshotAttribute", _response("dBClusterSnapshotIdentifier")),
        ("rds", "ModifyDBSnapshotAttribute", _response("dBSnapshotIdentifier")),
        ("rds", "DescribeDBInstances", (_ACCOUNT,)),
        ("rolesanywhere", "CreateTrustAnchor", _response("trustAnchor.trustAnchorArn")),
        ("route53resolver", "DeleteResolverQueryLogConfig", _response("resolverQueryLogConfig.arn")),
        (
            "s3",
            "CopyObject PutBucketLogging PutBucketVersioning PutObject GetBucketPolicy ListObjects HeadObject "
            "GetObject DeleteObject DeleteBucket",
            (_ARNS,),
        ),
        ("s3", "PutBucketReplication", (_ARNS, *_request("ReplicationConfiguration.Rule.Destination.Bucket"))),
        ("s3", "ListBuckets", (_ACCOUNT,)),
        ("secretsmanager", "BatchGetSecretValue", _request("secretIdList[]")),
        ("secretsmanager", "GetSecretValue", _request("secretId")),
        ("signin", "ConsoleLogin", (_ACCOUNT,)),
        ("sns", "CreateTopic", _response("topicArn")),
        ("sns", "Subscribe Publish", _request("topicArn")),
        ("ssm", "GetParameter GetParameters CreateControlChannel OpenControlChannel", (_ARNS,)),
        ("ssm", "StartSession", _request("target")),
        ("ssm", "CreateDocument", _request("name")),
        ("ssm", "TerminateSession OpenDataChannel", _request("sessionId")),
        ("ssm", "ListInstanceAssociations", (_ACCOUNT,)),
        ("sts", "AssumeRole", _request("roleArn")),
        ("sts", "GetCallerIdentity", (_ACCOUNT,)),
        ("wafv2", "DeleteRuleGroup DeleteWebACL", _request("id")),
    )
    for event in events.split()
}
"""(service, event name) -> what the call acts on."""

LAMBDA_TARGETS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("AddPermission", _request("functionName")),
    ("ListFunctions", (_ACCOUNT,)),
)
"""Part of the event's name -> targets; Lambda's event names carry the version of its API."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


USER_RESOURCES = _words("user role assumed-role federated-user instance-profile mfa serialNumber")
HOST_RESOURCES = frozenset({"instance"})
SERVICE_RESOURCES = _words(
    "stack stack-set trail configuration-recorder file-system mount-target rule detector key function log-group "
    "log-stream alarm db cluster global-cluster trust-anchor resolver-query-log-config secret parameter document "
    "session webacl rulegroup ipset topic model loadbalancer table group policy security-group network-interface "
    "vpc subnet network-acl dhcp-options"
)
HOST_PREFIXES = ("i-",)
SERVICE_PREFIXES = ("sg-", "sgr-", "eni-", "vpc-", "subnet-", "acl-", "rtb-", "igw-", "nat-", "vpce-", "tgw-", "pcx-")
ACTING_USERS = frozenset({"IAMUser", "Root", "AssumedRole"})
ACTING_RESOURCES = _words("user role assumed-role federated-user")
