"""AWS as applying a plan needs it: who calls, what is there now, and the call itself. boto3 is loaded on first use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keytrail.aws import AwsSettings, client
from keytrail.aws.answers import check_whole, paged, whole
from keytrail.aws.failures import error_code, not_whole
from keytrail.errors import SourceError
from keytrail.respond.facts import LiveGrant
from keytrail.respond.model import Call
from keytrail.respond.operations import Seen, lowered, operation_of, parameter
from keytrail.respond.refusals import refused

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

SettingsFor = Callable[[str, str], AwsSettings]
"""How AWS is reached in an account, of a partition."""

_HOMES = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
_GONE = ("NoSuchEntity", "NoSuchEntityException")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who AWS knows a caller by."""

    arn: str
    account: str


class AwsCalls:
    """Calls with real clients, of whichever account a call belongs to."""

    def __init__(self, settings_for: SettingsFor) -> None:
        self._settings_for = settings_for

    def caller(self, call: Call) -> Identity:
        """Who makes a call. Raises SourceError where AWS does not say."""
        return identity(self._settings(call), _region(call))

    def look(self, call: Call) -> Seen:
        """What is there now of what a call changes. Raises SourceError where it cannot be read."""
        known = operation_of(call)
        settings = self._settings(call)
        match known.reads:
            case "key policy":
                return Seen(key_policy(client("kms", settings, _region(call)), parameter(call, "KeyId")))
            case "key state":
                return Seen(key_state(client("kms", settings, _region(call)), parameter(call, "KeyId")))
            case "grant":
                wanted = parameter(call, "GrantId")
                listed = grants(client("kms", settings, _region(call)), parameter(call, "KeyId"), wanted)
                return Seen(next((one.grant_id for one in listed if one.grant_id == wanted), None))
            case "role policy" | "user policy":
                return Seen(_inline_policy(client("iam", settings, _region(call)), call, known.actions[0]))
            case "access key":
                return Seen(_access_key(client("iam", settings, _region(call)), call))

    def do(self, call: Call) -> None:
        """Make a call. Raises KeytrailError: what AWS answered, and what to do about it."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        operation_of(call)  # nothing but what a plan may say is sent
        made = client(call.service, self._settings(call), _region(call))
        try:
            getattr(made, lowered(call.operation, "_"))(**call.parameters)
        except ResponseParserError as error:
            raise not_whole(call.action, call.resource) from error
        except (BotoCoreError, ClientError) as error:
            raise refused(error, call) from error

    def _settings(self, call: Call) -> AwsSettings:
        return self._settings_for(call.account, _partition(call))


def _partition(call: Call) -> str:
    return call.resource.split(":", 2)[1]


def _region(call: Call) -> str:
    """The Region to ask in: of a service without Regions the one that its partition answers for it in."""
    return call.region or _HOMES.get(_partition(call), _HOMES["aws"])


def identity(settings: AwsSettings, region: str) -> Identity:
    """Who the credentials are; AWS tells without a permission. Raises SourceError."""
    action, resource = "sts:GetCallerIdentity", settings.role_arn or "the credentials in use"
    answer = whole(client("sts", settings, region), "get_caller_identity", "Arn", resource=resource)
    check_whole(answer, "Account", action=action, resource=resource)
    return Identity(answer["Arn"], answer["Account"])


def key_policy(kms: KMSClient, key_arn: str) -> str:
    """The text of the policy of a key. Raises SourceError."""
    answer = whole(kms, "get_key_policy", "Policy", resource=key_arn, KeyId=key_arn, PolicyName="default")
    return str(answer["Policy"])


def key_state(kms: KMSClient, key_arn: str) -> str:
    """The state of a key, in AWS's words. Raises SourceError."""
    action = "kms:DescribeKey"
    about = whole(kms, "describe_key", "KeyMetadata", resource=key_arn, KeyId=key_arn)["KeyMetadata"]
    check_whole(about, "KeyState", action=action, resource=key_arn)
    return str(about["KeyState"])


def grants(kms: KMSClient, key_arn: str, grant_id: str = "") -> Iterator[LiveGrant]:
    """The grants on a key, page by page; with `grant_id` only that one, if it is there. Raises SourceError."""
    asked = {"KeyId": key_arn} | ({"GrantId": grant_id} if grant_id else {})
    try:
        for one in paged(kms, "list_grants", "Grants", resource=key_arn, **asked):
            yield LiveGrant(
                grant_id=one.get("GrantId", ""),
                grantee=one.get("GranteePrincipal", ""),
                operations=tuple(str(each) for each in one.get("Operations", ())),
                created=one.get("CreationDate"),
            )
    except SourceError as error:
        # A grant that is asked for by its id and is gone is an error, unlike one that is not in a list.
        if not grant_id or error_code(error) != "NotFoundException":
            raise


def _inline_policy(iam: Any, call: Call, action: str) -> str | None:
    """The text of an inline policy, None where there is none of the name."""
    asked = {name: value for name, value in call.parameters.items() if name != "PolicyDocument"}
    operation = lowered(action.partition(":")[2], "_")
    try:
        document = whole(iam, operation, "PolicyDocument", resource=call.resource, **asked)["PolicyDocument"]
    except SourceError as error:
        # A role that is gone has no policy either; the call to put one there says so.
        if error_code(error) in _GONE:
            return None
        raise
    # botocore reads the document for us; what it cannot read it leaves as text.
    return document if isinstance(document, str) else json.dumps(document)


def _access_key(iam: Any, call: Call) -> str | None:
    """The status of an access key, None where the user has no such key, or is gone."""
    wanted, user = parameter(call, "AccessKeyId"), parameter(call, "UserName")
    try:
        keys = paged(iam, "list_access_keys", "AccessKeyMetadata", resource=call.resource, UserName=user)
        return next((str(one["Status"]) for one in keys if one["AccessKeyId"] == wanted), None)
    except SourceError as error:
        if error_code(error) in _GONE:
            return None
        raise
