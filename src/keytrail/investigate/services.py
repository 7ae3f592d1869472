"""How other services name what a key protects: in encryption contexts, and in the requests that name the key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from keytrail.investigate.change import KeyName
from keytrail.investigate.events import Event
from keytrail.store import strings_of


@dataclass(frozen=True, slots=True)
class Protected:
    """A resource that a key protects: of which service, what it is, its ARN or name."""

    service: str
    kind: str
    resource: str

    @property
    def holder(self) -> Protected:
        """What holds it: the bucket of an object, else the resource itself."""
        bucket = bucket_of(self.resource) if self.kind == "object" else ""
        return Protected(self.service, "bucket", bucket) if bucket else self


def bucket_of(arn: str) -> str:
    """The ARN of the bucket that the ARN of an object names, "" for anything else.

    >>> bucket_of("arn:aws:s3:::ledger/2026/cards.parquet")
    'arn:aws:s3:::ledger'
    """
    found = _OBJECT.match(arn)
    return found[1] if found else ""


_OBJECT = re.compile(r"(arn:[a-z-]+:s3:::[^/:]+)/")

# Encryption contexts ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Naming:
    """What the value of an encryption context key names.

    `name` makes a name of a value that is no ARN; account and Region are the key's, unless the context key `account`
    tells. `special` stands in when the whole value matches the pattern of its `only`. `basis`: D is documented by AWS,
    C was seen in public code and samples of events.
    """

    service: str
    kind: str
    basis: Literal["D", "C"]
    name: str = "{value}"
    account: str = ""
    only: str = ""
    special: Naming | None = None


CONTEXT_KEYS: Mapping[str, Naming] = {
    # Services that keep their data in volumes or buckets of another one stand before it: of several keys in a context
    # the first one here decides.
    "aws:workspaces:sid-directoryid": Naming("workspaces", "workspace", "D"),
    "aws:rds:db-id": Naming("rds", "database instance", "D"),
    "aws:rds:dbc-id": Naming("rds", "database cluster", "C"),
    "aws:cloudtrail:arn": Naming("cloudtrail", "trail", "D"),
    "aws:redshift:arn": Naming("redshift", "cluster", "D"),
    "aws:ses:rule-name": Naming("ses", "receipt rule", "D"),
    "aws:ses:message-id": Naming("ses", "message", "D"),
    "aws:ses:source-account": Naming("ses", "account", "D"),
    "aws:workmail:arn": Naming("workmail", "organisation", "D"),
    "aws:lambda:FunctionArn": Naming("lambda", "function", "C"),
    "aws:sqs:arn": Naming("sqs", "queue", "C"),
    "aws:sns:topicArn": Naming("sns", "topic", "C"),
    "aws:kinesis:arn": Naming("kinesis", "stream", "C"),
    "aws:logs:arn": Naming("logs", "log group", "C"),
    "aws:ecr:arn": Naming("ecr", "repository", "C"),
    "aws:states:stateMachineArn": Naming("states", "state machine", "C"),
    "aws:events:event-bus:arn": Naming("events", "event bus", "C"),
    "aws:geo:arn": Naming("geo", "tracker or collection", "D"),
    "aws:elasticfilesystem:filesystem:id": Naming(
        "efs", "file system", "D", "arn:{partition}:elasticfilesystem:{region}:{account}:file-system/{value}"
    ),
    "aws:dynamodb:tableName": Naming(
        "dynamodb", "table", "D", "arn:{partition}:dynamodb:{region}:{account}:table/{value}",
        account="aws:dynamodb:subscriberId",
    ),
    "SecretARN": Naming("secretsmanager", "secret", "D"),
    "PARAMETER_ARN": Naming("ssm", "parameter", "D"),
    "aws:ebs:id": Naming(
        "ebs", "volume", "D", "arn:{partition}:ec2:{region}:{account}:volume/{value}",
        special=Naming(
            "ebs", "snapshot", "D", "arn:{partition}:ec2:{region}::snapshot/{value}", only=r"snap-[0-9a-f]+"
        ),
    ),
    "aws:s3:arn": Naming(
        "s3", "object", "D", special=Naming("s3", "bucket", "D", only=r"arn:[a-z-]+:s3:::[^/:]+")
    ),
}  # fmt: skip
"""Encryption context key -> what its value names (key-policy.md 3.5)."""

UNKNOWN = "unknown"
"""The service of a context that no service is known to send: an application's own."""


def named_by_context(context: Mapping[str, str], key: KeyName) -> Protected:
    """What an encryption context of a use of `key` names.

    >>> key = KeyName("aws", "eu-west-1", "111122223333", "1234")
    >>> named_by_context({"aws:ebs:id": "vol-1"}, key).resource
    'arn:aws:ec2:eu-west-1:111122223333:volume/vol-1'
    >>> named_by_context({"tenant": "7"}, key)
    Protected(service='unknown', kind='encryption context', resource='tenant=7')
    """
    for context_key, naming in CONTEXT_KEYS.items():
        value = context.get(context_key)
        if not value:
            continue
        if naming.special is not None and re.fullmatch(naming.special.only, value):
            naming = naming.special
        account = context.get(naming.account) or key.account
        name = _name(naming.name, value, key.partition, key.region, account)
        return Protected(naming.service, naming.kind, name)
    return Protected(UNKNOWN, "encryption context", ", ".join(f"{k}={v}" for k, v in sorted(context.items())))


# Requests -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """A call that names a key for a resource.

    The resource stands in the answer or the parameters, in a member with one of `members` (any case), the first that
    is found; `name` makes an ARN of a value that is none, with the account and Region of the event.
    """

    service: str
    kind: str
    members: tuple[str, ...]
    name: str = "{value}"


def _arn(service: str, rest: str) -> str:
    return f"arn:{{partition}}:{service}:{{region}}:{{account}}:{rest}{{value}}"


_SNAPSHOT = "arn:{partition}:ec2:{region}::snapshot/{value}"
_INSTANCE = ("rds", "database instance", ("dBInstanceArn", "dBInstanceIdentifier"), _arn("rds", "db:"))
_CLUSTER = ("rds", "database cluster", ("dBClusterArn", "dBClusterIdentifier"), _arn("rds", "cluster:"))
_SECRET = Request("secretsmanager", "secret", ("arn", "secretId", "name"))
_TABLE = ("dynamodb", "table", ("tableArn", "targetTableName", "tableName"), _arn("dynamodb", "table/"))
_QUEUE = Request("sqs", "queue", ("queueUrl", "queueName"), _arn("sqs", ""))
_TOPIC = Request("sns", "topic", ("topicArn", "name"), _arn("sns", ""))
_FUNCTION = Request("lambda", "function", ("functionArn", "functionName"), _arn("lambda", "function:"))
_LOG_GROUP = Request("logs", "log group", ("logGroupName", "resourceIdentifier"), _arn("logs", "log-group:"))
_TRAIL = Request("cloudtrail", "trail", ("trailARN", "name"), _arn("cloudtrail", "trail/"))
_EVENT_STORE = Request("cloudtrail", "event data store", ("eventDataStoreArn", "name"))
_WAREHOUSE = Request("redshift", "cluster", ("clusterIdentifier",), _arn("redshift", "cluster:"))
_MACHINE = Request("states", "state machine", ("stateMachineArn", "name"), _arn("states", "stateMachine:"))
_BUS = Request("events", "event bus", ("eventBusArn", "name"), _arn("events", "event-bus/"))
_DELIVERY = Request(
    "firehose", "stream", ("deliveryStreamARN", "deliveryStreamName"), _arn("firehose", "deliverystream/")
)
_KUBERNETES = Request("eks", "cluster", ("clusterName", "name"), _arn("eks", "cluster/"))

REQUESTS: Mapping[tuple[str, str], Request] = {
    ("backup", "CreateBackupVault"): Request(
        "backup", "backup vault", ("backupVaultArn", "backupVaultName"), _arn("backup", "backup-vault:")
    ),
    ("cloudtrail", "CreateEventDataStore"): _EVENT_STORE,
    ("cloudtrail", "CreateTrail"): _TRAIL,
    ("cloudtrail", "UpdateEventDataStore"): _EVENT_STORE,
    ("cloudtrail", "UpdateTrail"): _TRAIL,
    ("dynamodb", "CreateTable"): Request(*_TABLE),
    ("dynamodb", "RestoreTableFromBackup"): Request(*_TABLE),
    ("dynamodb", "RestoreTableToPointInTime"): Request(*_TABLE),
    ("dynamodb", "UpdateTable"): Request(*_TABLE),
    ("ec2", "CopyImage"): Request("ec2", "image", ("imageId",), "arn:{partition}:ec2:{region}::image/{value}"),
    ("ec2", "CopySnapshot"): Request("ebs", "snapshot", ("snapshotId",), _SNAPSHOT),
    ("ec2", "CreateVolume"): Request("ebs", "volume", ("volumeId",), _arn("ec2", "volume/")),
    ("ec2", "ImportSnapshot"): Request("ebs", "import of a snapshot", ("importTaskId",)),
    ("ec2", "ModifyEbsDefaultKmsKeyId"): Request("ebs", "default key of new volumes", (), "{region} of {account}"),
    ("ec2", "RunInstances"): Request("ebs", "volumes of an instance", ("instanceId",), _arn("ec2", "instance/")),
    ("ecr", "CreateRepository"): Request(
        "ecr", "repository", ("repositoryArn", "repositoryName"), _arn("ecr", "repository/")
    ),
    ("eks", "AssociateEncryptionConfig"): _KUBERNETES,
    ("eks", "CreateCluster"): _KUBERNETES,
    ("elasticfilesystem", "CreateFileSystem"): Request(
        "efs", "file system", ("fileSystemArn", "fileSystemId"), _arn("elasticfilesystem", "file-system/")
    ),
    ("events", "CreateEventBus"): _BUS,
    ("events", "UpdateEventBus"): _BUS,
    ("firehose", "CreateDeliveryStream"): _DELIVERY,
    ("firehose", "StartDeliveryStreamEncryption"): _DELIVERY,
    ("fsx", "CreateFileSystem"): Request("fsx", "file system", ("resourceARN", "fileSystemId")),
    ("kinesis", "StartStreamEncryption"): Request(
        "kinesis", "stream", ("streamARN", "streamName"), _arn("kinesis", "stream/")
    ),
    ("lambda", "CreateFunction"): _FUNCTION,
    ("lambda", "UpdateFunctionConfiguration"): _FUNCTION,
    ("logs", "AssociateKmsKey"): _LOG_GROUP,
    ("logs", "CreateLogGroup"): _LOG_GROUP,
    ("rds", "CopyDBClusterSnapshot"): Request(
        "rds", "snapshot", ("dBClusterSnapshotArn", "targetDBClusterSnapshotIdentifier")
    ),
    ("rds", "CopyDBSnapshot"): Request("rds", "snapshot", ("dBSnapshotArn", "targetDBSnapshotIdentifier")),
    ("rds", "CreateDBCluster"): Request(*_CLUSTER),
    ("rds", "CreateDBInstance"): Request(*_INSTANCE),
    ("rds", "CreateDBInstanceReadReplica"): Request(*_INSTANCE),
    ("rds", "RestoreDBClusterFromSnapshot"): Request(*_CLUSTER),
    ("redshift", "CreateCluster"): _WAREHOUSE,
    ("redshift", "ModifyCluster"): _WAREHOUSE,
    ("redshift", "RestoreFromClusterSnapshot"): _WAREHOUSE,
    ("s3", "PutBucketEncryption"): Request("s3", "bucket", ("bucketName",), "arn:{partition}:s3:::{value}"),
    ("secretsmanager", "CreateSecret"): _SECRET,
    ("secretsmanager", "UpdateSecret"): _SECRET,
    ("sns", "CreateTopic"): _TOPIC,
    ("sns", "SetTopicAttributes"): _TOPIC,
    ("sqs", "CreateQueue"): _QUEUE,
    ("sqs", "SetQueueAttributes"): _QUEUE,
    ("ssm", "PutParameter"): Request("ssm", "parameter", ("name",), _arn("ssm", "parameter/")),
    ("states", "CreateStateMachine"): _MACHINE,
    ("states", "UpdateStateMachine"): _MACHINE,
}
"""(provider without its domain, event) -> what such a call names a key for."""

_VERSION = re.compile(r"\d{8}(v\d+)?$", re.ASCII)  # CreateFunction20150331


def named_by_request(event: Event, key: KeyName) -> Protected | None:
    """What a call names a key for, None when it is no such call. `resource` is "" where the record does not name it."""
    request = REQUESTS.get((event.provider.removesuffix(".amazonaws.com"), _VERSION.sub("", event.name)))
    if request is None:
        return None
    value = _value(event, request.members)
    if value is None:
        return Protected(request.service, request.kind, "")
    if request.service == "sqs":
        value = value.rpartition("/")[2]  # of its URL
    elif request.service == "ssm":
        value = value.removeprefix("/")
    name = _name(request.name, value, key.partition, event.region, event.account)
    return Protected(request.service, request.kind, name)


def key_named_in(event: Event, key: KeyName, aliases: Iterable[str]) -> str:
    """By what a request names the key, anywhere in its parameters: ARN, id or alias; "" when it does not name it.

    A bare id or alias is that of another key in another account or Region.
    """
    names = names_of(key, aliases)
    at_home = (event.account, event.region) == (key.account, key.region)
    found = {text for text in strings_of(event.parameters) if text in names and (at_home or text.startswith("arn:"))}
    # The more certain name first: an alias may have been moved.
    return min(found, key=lambda text: ("alias/" in text, text), default="")


def names_of(key: KeyName, aliases: Iterable[str]) -> frozenset[str]:
    """Every way to name a key: its ARN, its id, its aliases and their ARNs. `aliases` are names or ARNs."""
    at = key.arn.removesuffix(f"key/{key.id}")
    short = {alias[alias.index("alias/") :] for alias in aliases if "alias/" in alias}
    return frozenset({key.arn, key.id, *short, *(at + alias for alias in short)})


# Services that act for themselves -----------------------------------------------------------------------------------

# No role of a customer has a colon in its name, and no session of one; a path may have.
_INFRASTRUCTURE = re.compile(
    r"(?:\d{12}:aws:ec2-infrastructure:|arn:[a-z-]+:sts::\d{12}:assumed-role/aws:ec2-infrastructure/)(i-[0-9a-f]+)",
    re.ASCII,
)
_INFRASTRUCTURE_ROLE = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/aws:ec2-infrastructure", re.ASCII)
_SERVICE = re.compile(
    r"(?:arn:[a-z-]+:iam::\d{12}:role/aws-service-role/)?([a-z0-9-]+)\.(?:[a-z0-9-]+\.)?amazonaws\.com(?:\.cn)?(?:/.*)?",
    re.ASCII,
)


def named_by_grantee(grantee: str, key: KeyName) -> Protected | None:
    """What the grantee of a grant hints at: the volumes of an instance, a service; None for anybody else.

    >>> key = KeyName("aws", "eu-west-1", "111122223333", "1234")
    >>> named_by_grantee("dynamodb.eu-west-1.amazonaws.com", key).service
    'dynamodb'
    >>> named_by_grantee("arn:aws:iam::111122223333:role/app", key)
    """
    if found := _INFRASTRUCTURE.fullmatch(grantee):
        name = _name(_arn("ec2", "instance/"), found[1], key.partition, key.region, key.account)
        return Protected("ebs", "volumes of an instance", name)
    if found := _SERVICE.fullmatch(grantee):
        return Protected(found[1], "resources of the service", grantee)
    return None


def is_of_a_service(principal: str, invoked_by: str) -> bool:
    """Whether a service made a call or passed it on, so that the encryption context is the service's own."""
    return bool(invoked_by or _INFRASTRUCTURE.fullmatch(principal) or _INFRASTRUCTURE_ROLE.fullmatch(principal))


# Names --------------------------------------------------------------------------------------------------------------


def _name(template: str, value: str, partition: str, region: str, account: str) -> str:
    if value.startswith("arn:"):
        return value
    return template.format(value=value, partition=partition, region=region, account=account)


def _value(event: Event, members: tuple[str, ...]) -> str | None:
    """The text of the first of `members` that the answer has, else the parameters; "" when there are no members."""
    if not members:
        return ""
    for data in (event.response, event.parameters):
        texts: dict[str, str] = {}
        for name, value in _texts(data):
            texts.setdefault(name.casefold(), value)
        for member in members:
            if found := texts.get(member.casefold()):
                return found
    return None


def _texts(data: object) -> Iterator[tuple[str, str]]:
    """The members that are texts, at any depth, those nearer to the top first."""
    level = [data]
    while level:
        below: list[object] = []
        for one in level:
            if isinstance(one, dict):
                yield from ((name, value) for name, value in one.items() if isinstance(value, str) and value)
                below.extend(one.values())
            elif isinstance(one, list):
                below.extend(one)
        level = [one for one in below if isinstance(one, (dict, list))]
