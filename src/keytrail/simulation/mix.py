"""Which events occur in the background of the archive, and how often: one visible table with a long tail."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from keytrail.simulation.chance import Chance
from keytrail.simulation.organisation import SITES, Site


class EventKind(NamedTuple):
    """One kind of event. `weight` is its share in about 100,000 events; `caller` says who makes such calls."""

    name: str
    provider: str
    weight: int
    caller: str  # app, via (a service with an application's credentials), service, web, read, write, people, login


# Calls to these are served, and logged, in us-east-1 alone.
GLOBAL_PROVIDERS = frozenset(
    f"{name}.amazonaws.com" for name in ("iam", "signin", "organizations", "route53", "cloudfront", "health")
)

# Weights fall with the rank as in real accounts (Zipf, exponent 1.12). None of these is a call that changes who may
# use a KMS key: those are the story's alone, so that the ledger knows every one of them.
_TABLE: tuple[tuple[str, str, int, str], ...] = (
    ("Decrypt", "kms.amazonaws.com", 9289, "via"),
    ("AssumeRole", "sts.amazonaws.com", 6730, "service"),
    ("GenerateDataKey", "kms.amazonaws.com", 5242, "via"),
    ("GetCallerIdentity", "sts.amazonaws.com", 4274, "app"),
    ("GetBucketAcl", "s3.amazonaws.com", 3596, "service"),
    ("DescribeInstances", "ec2.amazonaws.com", 3097, "read"),
    ("PutObject", "s3.amazonaws.com", 2714, "app"),
    ("GetObject", "s3.amazonaws.com", 2412, "app"),
    ("AssumeRoleWithWebIdentity", "sts.amazonaws.com", 2168, "web"),
    ("GetParameter", "ssm.amazonaws.com", 1966, "app"),
    ("UpdateInstanceInformation", "ssm.amazonaws.com", 1798, "app"),
    ("DescribeLogGroups", "logs.amazonaws.com", 1655, "read"),
    ("GetSecretValue", "secretsmanager.amazonaws.com", 1532, "app"),
    ("DescribeLogStreams", "logs.amazonaws.com", 1425, "read"),
    ("ListTagsForResource", "ssm.amazonaws.com", 1331, "read"),
    ("DescribeTags", "ec2.amazonaws.com", 1249, "read"),
    ("DescribeNetworkInterfaces", "ec2.amazonaws.com", 1175, "read"),
    ("GetParametersByPath", "ssm.amazonaws.com", 1110, "app"),
    ("HeadObject", "s3.amazonaws.com", 1051, "app"),
    ("DescribeSecurityGroups", "ec2.amazonaws.com", 997, "read"),
    ("DescribeVolumes", "ec2.amazonaws.com", 949, "read"),
    ("ListAttachedRolePolicies", "iam.amazonaws.com", 905, "read"),
    ("GetRole", "iam.amazonaws.com", 864, "read"),
    ("DescribeSubnets", "ec2.amazonaws.com", 827, "read"),
    ("DescribeStacks", "cloudformation.amazonaws.com", 793, "write"),
    ("CreateLogStream", "logs.amazonaws.com", 761, "app"),
    ("DescribeVpcs", "ec2.amazonaws.com", 732, "read"),
    ("DescribeTargetHealth", "elasticloadbalancing.amazonaws.com", 705, "read"),
    ("DescribeAlarms", "monitoring.amazonaws.com", 679, "read"),
    ("GetFunction", "lambda.amazonaws.com", 656, "read"),
    ("DescribeTable", "dynamodb.amazonaws.com", 633, "app"),
    ("ListFunctions", "lambda.amazonaws.com", 612, "read"),
    ("DescribeImages", "ec2.amazonaws.com", 593, "read"),
    ("DescribeLoadBalancers", "elasticloadbalancing.amazonaws.com", 574, "read"),
    ("DescribeDBInstances", "rds.amazonaws.com", 557, "read"),
    ("Query", "dynamodb.amazonaws.com", 541, "app"),
    ("GetRolePolicy", "iam.amazonaws.com", 525, "read"),
    ("ListRolePolicies", "iam.amazonaws.com", 511, "read"),
    ("GetItem", "dynamodb.amazonaws.com", 497, "app"),
    ("DescribeServices", "ecs.amazonaws.com", 483, "read"),
    ("DescribeSnapshots", "ec2.amazonaws.com", 471, "service"),
    ("GenerateDataKeyWithoutPlaintext", "kms.amazonaws.com", 459, "service"),
    ("Encrypt", "kms.amazonaws.com", 447, "via"),
    ("DescribeKey", "kms.amazonaws.com", 437, "read"),
    ("ListBuckets", "s3.amazonaws.com", 426, "read"),
    ("GetBucketLocation", "s3.amazonaws.com", 416, "read"),
    ("DescribeAutoScalingGroups", "autoscaling.amazonaws.com", 407, "read"),
    ("ListObjects", "s3.amazonaws.com", 398, "app"),
    ("DescribeRouteTables", "ec2.amazonaws.com", 389, "read"),
    ("GetPolicy", "iam.amazonaws.com", 381, "read"),
    ("GetPolicyVersion", "iam.amazonaws.com", 373, "read"),
    ("DescribeTasks", "ecs.amazonaws.com", 365, "service"),
    ("DescribeInstanceStatus", "ec2.amazonaws.com", 357, "read"),
    ("ListSecrets", "secretsmanager.amazonaws.com", 350, "read"),
    ("DescribeAvailabilityZones", "ec2.amazonaws.com", 343, "read"),
    ("DescribeRegions", "ec2.amazonaws.com", 337, "read"),
    ("GetUser", "iam.amazonaws.com", 330, "people"),
    ("BatchGetImage", "ecr.amazonaws.com", 324, "app"),
    ("GetAuthorizationToken", "ecr.amazonaws.com", 318, "app"),
    ("GetDownloadUrlForLayer", "ecr.amazonaws.com", 313, "app"),
    ("ListTags", "lambda.amazonaws.com", 307, "read"),
    ("DescribeTargetGroups", "elasticloadbalancing.amazonaws.com", 302, "read"),
    ("PutItem", "dynamodb.amazonaws.com", 296, "app"),
    ("GetBucketPolicy", "s3.amazonaws.com", 291, "read"),
    ("GetBucketEncryption", "s3.amazonaws.com", 287, "read"),
    ("GetPublicAccessBlock", "s3.amazonaws.com", 282, "read"),
    ("GetBucketVersioning", "s3.amazonaws.com", 277, "read"),
    ("GetBucketTagging", "s3.amazonaws.com", 273, "read"),
    ("DescribeAddresses", "ec2.amazonaws.com", 268, "read"),
    ("SendMessage", "sqs.amazonaws.com", 264, "app"),
    ("ReceiveMessage", "sqs.amazonaws.com", 260, "app"),
    ("Publish", "sns.amazonaws.com", 256, "app"),
    ("GetKeyPolicy", "kms.amazonaws.com", 253, "read"),
    ("GetKeyRotationStatus", "kms.amazonaws.com", 249, "read"),
    ("ListResourceTags", "kms.amazonaws.com", 245, "read"),
    ("ListGrants", "kms.amazonaws.com", 242, "read"),
    ("ListKeys", "kms.amazonaws.com", 238, "read"),
    ("ListAliases", "kms.amazonaws.com", 235, "read"),
    ("DescribeEventAggregates", "health.amazonaws.com", 232, "people"),
    ("ListUsers", "iam.amazonaws.com", 228, "read"),
    ("ListRoles", "iam.amazonaws.com", 225, "read"),
    ("ListPolicies", "iam.amazonaws.com", 222, "read"),
    ("ListAccessKeys", "iam.amazonaws.com", 219, "read"),
    ("ListMFADevices", "iam.amazonaws.com", 217, "read"),
    ("GetAccountSummary", "iam.amazonaws.com", 214, "people"),
    ("GetLoginProfile", "iam.amazonaws.com", 211, "read"),
    ("ListGroupsForUser", "iam.amazonaws.com", 208, "read"),
    ("ListInstanceProfilesForRole", "iam.amazonaws.com", 206, "write"),
    ("GetInstanceProfile", "iam.amazonaws.com", 203, "read"),
    ("ConsoleLogin", "signin.amazonaws.com", 201, "login"),
    ("LookupEvents", "cloudtrail.amazonaws.com", 198, "people"),
    ("DescribeTrails", "cloudtrail.amazonaws.com", 196, "read"),
    ("GetTrailStatus", "cloudtrail.amazonaws.com", 194, "read"),
    ("GetEventSelectors", "cloudtrail.amazonaws.com", 192, "read"),
    ("DescribeConfigRules", "config.amazonaws.com", 189, "read"),
    ("PutEvaluations", "config.amazonaws.com", 187, "service"),
    ("DescribeComplianceByConfigRule", "config.amazonaws.com", 185, "read"),
    ("SelectResourceConfig", "config.amazonaws.com", 183, "read"),
    ("GetFindings", "securityhub.amazonaws.com", 181, "read"),
    ("BatchImportFindings", "securityhub.amazonaws.com", 179, "service"),
    ("ListFindings", "guardduty.amazonaws.com", 177, "read"),
    ("ListDetectors", "guardduty.amazonaws.com", 175, "read"),
    ("DescribeNatGateways", "ec2.amazonaws.com", 173, "read"),
    ("DescribeInternetGateways", "ec2.amazonaws.com", 171, "read"),
    ("DescribeNetworkAcls", "ec2.amazonaws.com", 170, "read"),
    ("DescribeVpcEndpoints", "ec2.amazonaws.com", 168, "read"),
    ("DescribeKeyPairs", "ec2.amazonaws.com", 166, "people"),
    ("DescribeLaunchTemplates", "ec2.amazonaws.com", 164, "read"),
    ("DescribeLaunchTemplateVersions", "ec2.amazonaws.com", 163, "service"),
    ("DescribeInstanceTypes", "ec2.amazonaws.com", 161, "read"),
    ("DescribeInstanceAttribute", "ec2.amazonaws.com", 160, "read"),
    ("DescribeVpcAttribute", "ec2.amazonaws.com", 158, "write"),
    ("DescribeAccountAttributes", "ec2.amazonaws.com", 156, "read"),
    ("DescribeIamInstanceProfileAssociations", "ec2.amazonaws.com", 155, "read"),
    ("CreateNetworkInterface", "ec2.amazonaws.com", 153, "service"),
    ("DeleteNetworkInterface", "ec2.amazonaws.com", 152, "service"),
    ("CreateTags", "ec2.amazonaws.com", 151, "write"),
    ("RunInstances", "ec2.amazonaws.com", 149, "service"),
    ("TerminateInstances", "ec2.amazonaws.com", 148, "service"),
    ("StartInstances", "ec2.amazonaws.com", 146, "write"),
    ("StopInstances", "ec2.amazonaws.com", 145, "write"),
    ("AttachVolume", "ec2.amazonaws.com", 144, "service"),
    ("CreateSnapshot", "ec2.amazonaws.com", 142, "service"),
    ("DeleteSnapshot", "ec2.amazonaws.com", 141, "service"),
    ("CreateVolume", "ec2.amazonaws.com", 140, "service"),
    ("DeleteVolume", "ec2.amazonaws.com", 139, "service"),
    ("AuthorizeSecurityGroupIngress", "ec2.amazonaws.com", 138, "write"),
    ("RevokeSecurityGroupIngress", "ec2.amazonaws.com", 136, "write"),
    ("CreateSecurityGroup", "ec2.amazonaws.com", 135, "write"),
    ("DeleteSecurityGroup", "ec2.amazonaws.com", 134, "write"),
    ("RegisterTargets", "elasticloadbalancing.amazonaws.com", 133, "service"),
    ("DeregisterTargets", "elasticloadbalancing.amazonaws.com", 132, "service"),
    ("DescribeRules", "elasticloadbalancing.amazonaws.com", 131, "read"),
    ("DescribeListeners", "elasticloadbalancing.amazonaws.com", 130, "read"),
    ("DescribeScalingActivities", "autoscaling.amazonaws.com", 129, "read"),
    ("CompleteLifecycleAction", "autoscaling.amazonaws.com", 128, "app"),
    ("UpdateAutoScalingGroup", "autoscaling.amazonaws.com", 127, "write"),
    ("DescribeDBClusters", "rds.amazonaws.com", 126, "read"),
    ("DescribeDBSnapshots", "rds.amazonaws.com", 125, "read"),
    ("CreateDBSnapshot", "rds.amazonaws.com", 124, "service"),
    ("DeleteDBSnapshot", "rds.amazonaws.com", 123, "service"),
    ("ModifyDBInstance", "rds.amazonaws.com", 122, "write"),
    ("ListTagsForResource", "rds.amazonaws.com", 121, "read"),
    ("DescribeDBEngineVersions", "rds.amazonaws.com", 120, "read"),
    ("DescribeEvents", "rds.amazonaws.com", 119, "read"),
    ("DescribeClusters", "ecs.amazonaws.com", 118, "read"),
    ("DescribeTaskDefinition", "ecs.amazonaws.com", 117, "read"),
    ("RegisterTaskDefinition", "ecs.amazonaws.com", 116, "write"),
    ("UpdateService", "ecs.amazonaws.com", 115, "write"),
    ("ListTasks", "ecs.amazonaws.com", 114, "read"),
    ("RunTask", "ecs.amazonaws.com", 114, "service"),
    ("SubmitTaskStateChange", "ecs.amazonaws.com", 113, "app"),
    ("DescribeCluster", "eks.amazonaws.com", 112, "read"),
    ("ListClusters", "eks.amazonaws.com", 111, "read"),
    ("DescribeNodegroup", "eks.amazonaws.com", 110, "read"),
    ("Invoke", "lambda.amazonaws.com", 110, "app"),
    ("UpdateFunctionCode20150331v2", "lambda.amazonaws.com", 109, "write"),
    ("GetFunctionConfiguration20150331v2", "lambda.amazonaws.com", 108, "read"),
    ("GetFunction20150331v2", "lambda.amazonaws.com", 107, "write"),
    ("GetPolicy20150331v2", "lambda.amazonaws.com", 107, "read"),
    ("CreateLogGroup", "logs.amazonaws.com", 106, "app"),
    ("PutRetentionPolicy", "logs.amazonaws.com", 105, "write"),
    ("StartQuery", "logs.amazonaws.com", 104, "people"),
    ("GetQueryResults", "logs.amazonaws.com", 104, "people"),
    ("FilterLogEvents", "logs.amazonaws.com", 103, "people"),
    ("DescribeMetricFilters", "logs.amazonaws.com", 102, "read"),
    ("PutMetricAlarm", "monitoring.amazonaws.com", 102, "write"),
    ("GetMetricData", "monitoring.amazonaws.com", 101, "read"),
    ("ListMetrics", "monitoring.amazonaws.com", 100, "read"),
    ("GetDashboard", "monitoring.amazonaws.com", 100, "people"),
    ("DescribeParameters", "ssm.amazonaws.com", 99, "read"),
    ("PutParameter", "ssm.amazonaws.com", 98, "write"),
    ("SendCommand", "ssm.amazonaws.com", 98, "people"),
    ("ListCommandInvocations", "ssm.amazonaws.com", 97, "people"),
    ("StartSession", "ssm.amazonaws.com", 97, "people"),
    ("DescribeInstanceInformation", "ssm.amazonaws.com", 96, "read"),
    ("OpenDataChannel", "ssm.amazonaws.com", 95, "people"),
    ("DescribeSecret", "secretsmanager.amazonaws.com", 95, "read"),
    ("PutSecretValue", "secretsmanager.amazonaws.com", 94, "app"),
    ("GetResourcePolicy", "secretsmanager.amazonaws.com", 94, "read"),
    ("RotateSecret", "secretsmanager.amazonaws.com", 93, "write"),
    ("CreateSecret", "secretsmanager.amazonaws.com", 92, "write"),
    ("PutBucketTagging", "s3.amazonaws.com", 92, "write"),
    ("PutBucketPolicy", "s3.amazonaws.com", 91, "write"),
    ("PutBucketEncryption", "s3.amazonaws.com", 91, "write"),
    ("CreateBucket", "s3.amazonaws.com", 90, "write"),
    ("DeleteObject", "s3.amazonaws.com", 90, "app"),
    ("CopyObject", "s3.amazonaws.com", 89, "app"),
    ("CreateRole", "iam.amazonaws.com", 89, "write"),
    ("AttachRolePolicy", "iam.amazonaws.com", 88, "write"),
    ("PutRolePolicy", "iam.amazonaws.com", 88, "write"),
    ("DeleteRolePolicy", "iam.amazonaws.com", 87, "write"),
    ("DetachRolePolicy", "iam.amazonaws.com", 87, "write"),
    ("DeleteRole", "iam.amazonaws.com", 86, "write"),
    ("UpdateAssumeRolePolicy", "iam.amazonaws.com", 86, "write"),
    ("TagRole", "iam.amazonaws.com", 85, "write"),
    ("CreatePolicyVersion", "iam.amazonaws.com", 85, "write"),
    ("CreateInstanceProfile", "iam.amazonaws.com", 84, "write"),
    ("GenerateCredentialReport", "iam.amazonaws.com", 84, "read"),
    ("GetCredentialReport", "iam.amazonaws.com", 83, "read"),
    ("GetServiceLastAccessedDetails", "iam.amazonaws.com", 83, "read"),
    ("CreateAccessKey", "iam.amazonaws.com", 82, "people"),
    ("DeleteAccessKey", "iam.amazonaws.com", 82, "people"),
    ("ListAccounts", "organizations.amazonaws.com", 81, "read"),
    ("DescribeOrganization", "organizations.amazonaws.com", 81, "read"),
    ("ListParents", "organizations.amazonaws.com", 81, "read"),
    ("DescribeAccount", "organizations.amazonaws.com", 80, "read"),
    ("ListHostedZones", "route53.amazonaws.com", 80, "read"),
    ("ListResourceRecordSets", "route53.amazonaws.com", 79, "write"),
    ("ChangeResourceRecordSets", "route53.amazonaws.com", 79, "write"),
    ("GetHostedZone", "route53.amazonaws.com", 78, "read"),
    ("GetDistribution", "cloudfront.amazonaws.com", 78, "read"),
    ("ListDistributions", "cloudfront.amazonaws.com", 78, "read"),
    ("CreateInvalidation", "cloudfront.amazonaws.com", 77, "write"),
    ("UpdateStack", "cloudformation.amazonaws.com", 77, "write"),
    ("CreateChangeSet", "cloudformation.amazonaws.com", 76, "write"),
    ("ExecuteChangeSet", "cloudformation.amazonaws.com", 76, "write"),
    ("DescribeStackEvents", "cloudformation.amazonaws.com", 76, "write"),
    ("ListStacks", "cloudformation.amazonaws.com", 75, "read"),
    ("GetTemplate", "cloudformation.amazonaws.com", 75, "write"),
    ("GetQueueAttributes", "sqs.amazonaws.com", 75, "read"),
    ("GetTopicAttributes", "sns.amazonaws.com", 74, "read"),
    ("UpdateTable", "dynamodb.amazonaws.com", 74, "write"),
    ("DescribeContinuousBackups", "dynamodb.amazonaws.com", 73, "read"),
    ("ListTables", "dynamodb.amazonaws.com", 73, "read"),
    ("DescribeRepositories", "ecr.amazonaws.com", 73, "read"),
    ("PutImage", "ecr.amazonaws.com", 72, "write"),
    ("InitiateLayerUpload", "ecr.amazonaws.com", 72, "write"),
    ("StartBuild", "codebuild.amazonaws.com", 72, "service"),
    ("BatchGetBuilds", "codebuild.amazonaws.com", 71, "service"),
    ("PutEvents", "events.amazonaws.com", 71, "app"),
    ("PutRule", "events.amazonaws.com", 71, "write"),
    ("StartExecution", "states.amazonaws.com", 70, "app"),
    ("DescribeStateMachine", "states.amazonaws.com", 70, "read"),
    ("GetFederationToken", "sts.amazonaws.com", 70, "people"),
    ("AssumeRoleWithSAML", "sts.amazonaws.com", 69, "web"),
    ("GetSessionToken", "sts.amazonaws.com", 69, "people"),
    ("CheckMfa", "signin.amazonaws.com", 69, "login"),
    ("SwitchRole", "signin.amazonaws.com", 68, "login"),
)
EVENT_MIX: tuple[EventKind, ...] = tuple(EventKind(*row) for row in _TABLE)


def event_mix() -> tuple[tuple[str, str, float], ...]:
    """Return (event name, provider, share of the background events), most frequent first; shares add up to 1.

    >>> event_mix()[0][:2]
    ('Decrypt', 'kms.amazonaws.com')
    """
    total = sum(kind.weight for kind in EVENT_MIX)
    return tuple((kind.name, kind.provider, kind.weight / total) for kind in EVENT_MIX)


class Weighted:
    """Indices drawn in proportion to integer weights."""

    def __init__(self, weights: Sequence[int]) -> None:
        self._bounds = list(accumulate(weights))

    def draw(self, chance: Chance) -> int:
        """Return an index of the weights; one of weight 0 is never drawn."""
        return bisect_right(self._bounds, chance.below(self._bounds[-1]))


def kinds_at(site: Site) -> Weighted:
    """Return the weights of the indices of `EVENT_MIX` at one site.

    Global services answer in us-east-1 only; there they are the more frequent, so that over all sites each kind
    keeps the share of the table.
    """
    everything = sum(kind.weight for kind in EVENT_MIX)
    world = sum(kind.weight for kind in EVENT_MIX if kind.provider in GLOBAL_PROVIDERS)
    here = sum(share for place, share in SITES if place.region == "us-east-1")
    if site.region != "us-east-1":
        return Weighted([0 if kind.provider in GLOBAL_PROVIDERS else kind.weight for kind in EVENT_MIX])
    # Shares in us-east-1: global kinds weight / here, the others what is left in proportion; both times one
    # common factor, 100 * everything, to stay with integers.
    rest = here * everything - 100 * world
    return Weighted(
        [
            kind.weight * 100 * (everything - world) if kind.provider in GLOBAL_PROVIDERS else kind.weight * rest
            for kind in EVENT_MIX
        ]
    )
