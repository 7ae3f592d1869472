"""The accounts whose keys are looked at, how each is reached, and the Regions that it has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from keytrail.aws import AwsSettings, client, session_region
from keytrail.aws.answers import paged
from keytrail.errors import SourceError, UsageError
from keytrail.respond.calls import identity
from keytrail.settings import is_account_id
from keytrail.sources.lookup import regions_of

ACTIONS_TO_FIND_ACCOUNTS = ("organizations:ListAccounts",)
ACTIONS_TO_FIND_REGIONS = ("ec2:DescribeRegions",)

_ANY_REGION = "us-east-1"
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d", re.ASCII)
_ROLE = re.compile(r"(?:[\w+=,.@-]+/)*[\w+=,.@-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Account:
    """An account, and how it is reached. `name` is what Organizations calls it, "" where it was not asked."""

    id: str
    aws: AwsSettings
    name: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose keys are meant: the accounts named, those of the organisation, or without either that of the credentials.

    The role `role_name` is assumed in every account but that of the credentials. Without `regions` all are meant that
    an account has enabled.
    """

    accounts: tuple[str, ...] = ()
    organisation: bool = False
    role_name: str = ""
    external_id: str = ""
    regions: tuple[str, ...] = ()


def check_wanted(wanted: Wanted) -> None:
    """Raise UsageError for ids, names of Regions and of a role that cannot be any. Asks nobody."""
    for account in wanted.accounts:
        if not is_account_id(account):
            raise UsageError(f"{account!r} is no account id", advice="an account id has 12 digits")
    for region in wanted.regions:
        if not _REGION.fullmatch(region):
            raise UsageError(f"{region!r} is no Region", advice="write it like eu-west-1")
    if wanted.role_name and not _ROLE.fullmatch(wanted.role_name):
        raise UsageError(
            f"{wanted.role_name!r} is no name of a role",
            advice="give its name, with its path if it has one, not its ARN",
        )


def accounts_of(wanted: Wanted, aws: AwsSettings) -> tuple[Account, ...]:
    """The accounts that are meant, by id, each with the credentials for it; `aws` are those to begin with.

    Raises UsageError for what cannot be meant, SourceError when AWS does not say whose the credentials are, or which
    accounts the organisation has.
    """
    check_wanted(wanted)
    own, partition = _own(aws)
    names = dict.fromkeys(wanted.accounts, "")
    if wanted.organisation:
        names |= dict(_members(aws))
    if not names:
        names = {own: ""}
    others = [account for account in names if account != own]
    if others and not wanted.role_name:
        raise UsageError(
            f"the credentials are of account {own}, and no role is named to reach account {others[0]}",
            advice="Name the role that is to be assumed there: --role-name NAME, or role_name in [policies].",
        )

    def reached(account: str) -> AwsSettings:
        if account == own:
            return aws
        arn = role_arn(account, wanted.role_name, partition)
        return replace(aws, role_arn=arn, external_id=wanted.external_id)

    return tuple(Account(account, reached(account), names[account]) for account in sorted(names))


def role_arn(account: str, name: str, partition: str = "aws") -> str:
    """The ARN of a role by its name, which may have a path before it.

    >>> role_arn("111122223333", "ops/keytrail")
    'arn:aws:iam::111122223333:role/ops/keytrail'
    """
    return f"arn:{partition}:iam::{account}:role/{name}"


def regions_in(account: Account, named: Sequence[str]) -> tuple[str, ...]:
    """The Regions to look in: those named, else all that the account has enabled.

    Raises SourceError when the account cannot be reached, is another one than it should be, or does not tell.
    """
    if account.aws.role_arn and (found := _own(account.aws)[0]) != account.id:
        raise SourceError(
            f"the role {account.aws.role_arn} led into account {found} and not into {account.id}",
            advice="What answers as AWS is not AWS: check the endpoint, and proxies on the way.",
        )
    return regions_of(tuple(dict.fromkeys(named)) or ("all",), account.aws, f"account {account.id}")


def _own(aws: AwsSettings) -> tuple[str, str]:
    """The account of the credentials, and its partition."""
    found = identity(aws, session_region(aws) or _ANY_REGION)
    return found.account, found.arn.split(":")[1]


def _members(aws: AwsSettings) -> Iterator[tuple[str, str]]:
    """The ids and names of the active accounts of the organisation."""
    organizations = client("organizations", aws, session_region(aws) or _ANY_REGION)
    for one in paged(organizations, "list_accounts", "Accounts", resource="the organisation"):
        # State is the newer name of Status, which AWS takes away.
        if one.get("State", one.get("Status")) == "ACTIVE":
            yield one["Id"], one.get("Name", "")
