"""The made-up organisation: its accounts and regions, who works there, and the identities they act under.

Account ids are those that AWS uses in examples, addresses come from the ranges reserved for documentation
(RFC 5737, RFC 3849).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from keytrail.simulation.chance import Chance

ORGANISATION = "o-exampleorgid"
TRAIL = "organisation-trail"
BUCKET = "example-org-cloudtrail-logs"

MANAGEMENT = "111122223333"
SECURITY = "222233334444"
PLATFORM = "333344445555"
PAYMENTS = "444455556666"
ANALYTICS = "555566667777"
DEVELOPMENT = "666677778888"
ACCOUNTS = {
    MANAGEMENT: "management",
    SECURITY: "security",
    PLATFORM: "platform",
    PAYMENTS: "payments",
    ANALYTICS: "analytics",
    DEVELOPMENT: "development",
}

PARTNER = "777788889999"  # approved
FORMER_PARTNER = "888899990000"  # its approval has expired
ATTACKER = "999988887777"

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

PACE_SECONDS = 300  # CloudTrail delivers about every five minutes


class Site(NamedTuple):
    """What one delivered object is for: an account and a region."""

    account: str
    region: str


# Shares of the events, in per cent.
SITES: tuple[tuple[Site, int], ...] = (
    (Site(PAYMENTS, "eu-central-1"), 18),
    (Site(PAYMENTS, "us-east-1"), 15),
    (Site(ANALYTICS, "us-east-1"), 14),
    (Site(PLATFORM, "us-east-1"), 11),
    (Site(PLATFORM, "eu-central-1"), 8),
    (Site(DEVELOPMENT, "us-east-1"), 7),
    (Site(DEVELOPMENT, "eu-west-1"), 6),
    (Site(PAYMENTS, "eu-west-1"), 5),
    (Site(ANALYTICS, "us-west-2"), 5),
    (Site(SECURITY, "us-east-1"), 4),
    (Site(MANAGEMENT, "us-east-1"), 3),
    (Site(PAYMENTS, "us-west-2"), 2),
    (Site(DEVELOPMENT, "ap-southeast-2"), 2),
)

AGENTS_CLI = (
    "aws-cli/2.15.30 Python/3.11.8 Linux/5.10.209-198.812.amzn2.x86_64 exe/x86_64.amzn.2 prompt/off command/{command}",
    "aws-cli/2.17.12 md/awscrt#0.20.11 ua/2.0 os/macos#23.5.0 md/arch#arm64 lang/python#3.11.9 md/pyimpl#CPython "
    "cfg/retry-mode#standard md/installer#exe md/prompt#off md/command#{command}",
)
AGENTS_SDK = (
    "Boto3/1.34.84 md/Botocore#1.34.84 ua/2.0 os/linux#5.10.209-198.812.amzn2.x86_64 md/arch#x86_64 "
    "lang/python#3.11.8 md/pyimpl#CPython cfg/retry-mode#legacy Botocore/1.34.84",
    "aws-sdk-java/2.25.21 Linux/5.10.213-201.855.amzn2.x86_64 OpenJDK_64-Bit_Server_VM/17.0.10+7-LTS Java/17.0.10 "
    "vendor/Amazon.com_Inc. io/sync http/Apache cfg/retry-mode/legacy",
    "aws-sdk-java/1.12.681 Linux/5.10.209 OpenJDK_64-Bit_Server_VM/11.0.22+7-LTS java/11.0.22 "
    "vendor/Amazon.com_Inc. cfg/retry-mode/legacy exec-env/AWS_ECS_FARGATE",
    "aws-sdk-go-v2/1.26.1 os/linux lang/go#1.22.2 md/GOOS#linux md/GOARCH#arm64 exec-env/AWS_Lambda_rust",
    "aws-sdk-nodejs/2.1597.0 linux/v18.20.2 exec-env/AWS_Lambda_nodejs18.x promise",
    "aws-sdk-js/3.554.0 ua/2.0 os/linux#5.10.213 lang/js md/nodejs#20.12.1 api/dynamodb#3.554.0",
)
AGENTS_DEPLOY = (
    "APN/1.0 HashiCorp/1.0 Terraform/1.8.1 (+https://www.terraform.io) terraform-provider-aws/5.45.0 "
    "(+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.26.1 os/linux lang/go#1.21.8 "
    "md/GOOS#linux md/GOARCH#amd64",
    "cdk-pipeline aws-cdk/2.137.0 aws-sdk-nodejs/2.1596.0 linux/v18.20.1 promise",
)
AGENTS_CONSOLE = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:125.0) Gecko/20100101 Firefox/125.0",
    "AWS Internal",
)

_SERVICE_ROLES = (
    "payments-api", "payments-batch", "ledger-writer", "reporting-job", "ingest-worker", "image-resizer",
    "eks-node-group", "ecs-task-checkout", "lambda-invoice", "lambda-notify", "glue-etl", "search-indexer",
)  # fmt: skip
_SERVICE_USERS = ("svc-legacy-billing", "svc-mailer", "svc-crm-sync", "svc-metrics")
_SCANNERS = ("SecurityAudit", "CostExplorerReader", "BackupOperator", "ConfigRecorder")
_DEPLOYERS = ("terraform-apply", "cdk-deploy", "AWSReservedSSO_PlatformAdmin_0123456789abcdef")
_PEOPLE = ("dana.reyes", "li.wei", "noor.haddad", "sam.okafor", "ines.costa")


@dataclass(slots=True)
class Actor:
    """An IAM user or a role with its sessions; `identity` gives the JSON of `userIdentity` at a time.

    A session lasts `session_seconds`; 0 stands for a user with a long-lived access key.
    """

    arn: str
    agents: tuple[str, ...]
    addresses: tuple[str, ...]
    session_seconds: int
    _before: str
    _after: str
    _chance: Chance
    _sessions: dict[int, str] = field(default_factory=dict)

    def identity(self, moment: int) -> str:
        """Return `userIdentity` as JSON for a call at `moment` (seconds since 1970)."""
        slot = moment // self.session_seconds if self.session_seconds else 0
        text = self._sessions.get(slot)
        if text is None:
            if len(self._sessions) > 8:  # Late records reach back some slots, never far.
                self._sessions.clear()
            key = access_key(self._chance, temporary=self.session_seconds > 0)
            text = (
                self._before
                + f'"accessKeyId":"{key}",'
                + self._after.replace("<created>", iso(slot * self.session_seconds))
            )
            self._sessions[slot] = text
        return text


@dataclass(frozen=True, slots=True)
class Staff:
    """The actors of one account by what they do."""

    apps: tuple[Actor, ...]
    readers: tuple[Actor, ...]
    writers: tuple[Actor, ...]
    people: tuple[Actor, ...]


def iso(moment: int) -> str:
    """Return seconds since 1970 as CloudTrail writes times.

    >>> iso(86399)
    '1970-01-01T23:59:59Z'
    """
    days, second = divmod(moment, 86400)
    return f"{_date(days)}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"


@lru_cache(maxsize=64)
def _date(days: int) -> str:
    return datetime.fromtimestamp(days * 86400, UTC).strftime("%Y-%m-%d")


def long_date(moment: int) -> str:
    """Return seconds since 1970 as AWS writes times inside of responses.

    >>> long_date(0), long_date(13 * 3600)
    ('Jan 1, 1970, 12:00:00 AM', 'Jan 1, 1970, 1:00:00 PM')
    """
    year, month, day = _date(moment // 86400).split("-")
    hour, rest = divmod(moment % 86400, 3600)
    clock = f"{hour % 12 or 12}:{rest // 60:02d}:{rest % 60:02d} {'AM' if hour < 12 else 'PM'}"
    return f"{_MONTHS[int(month) - 1]} {int(day)}, {year}, {clock}"


def access_key(chance: Chance, *, temporary: bool) -> str:
    """Return an access key id that anyone recognises as an example."""
    return ("ASIA" if temporary else "AKIA") + chance.upper(9) + "EXAMPLE"


def staff(account: str, seed: int) -> Staff:
    """Return the people, roles and scanners of `account`."""
    chance = Chance(seed, f"staff/{account}")
    apps = (
        *(_role(chance, account, name, _app_session, AGENTS_SDK, 3600) for name in _SERVICE_ROLES),
        *(_user(chance, account, name, AGENTS_SDK) for name in _SERVICE_USERS),
    )
    readers = tuple(_role(chance, account, name, _scan_session, AGENTS_SDK, 3600) for name in _SCANNERS)
    writers = tuple(_role(chance, account, name, _deploy_session, AGENTS_DEPLOY, 3600) for name in _DEPLOYERS)
    people = tuple(_person(chance, account, name) for name in _PEOPLE)
    return Staff(apps, readers, writers, people)


def _app_session(chance: Chance) -> str:
    return f"i-0{chance.hex(16)}" if chance.random() < 0.5 else chance.hex(16)


def _scan_session(chance: Chance) -> str:
    return f"audit-{chance.below(1000)}"


def _deploy_session(chance: Chance) -> str:
    return f"ci-{4000 + chance.below(900)}"


def _person(chance: Chance, account: str, name: str) -> Actor:
    if chance.random() < 0.3:
        return _user(chance, account, name)
    role = "AWSReservedSSO_Engineer_abcdef0123456789"
    return _role(chance, account, role, lambda _: f"{name}@example.com", AGENTS_CONSOLE + AGENTS_CLI, 28800)


def address(chance: Chance) -> str:
    """Return an address of a documentation range."""
    if chance.random() < 0.04:
        return f"2001:db8:{chance.below(4096):x}:{chance.below(65536):x}::{1 + chance.below(65535):x}"
    return f"{chance.pick(('192.0.2', '198.51.100', '203.0.113'))}.{1 + chance.below(60)}"


def role_identity(
    account: str, role: str, role_id: str, session: str, *, key: str, created: str, mfa: bool = False
) -> dict[str, object]:
    """Return `userIdentity` of a role session in the order AWS writes it."""
    return {
        "type": "AssumedRole",
        "principalId": f"{role_id}:{session}",
        "arn": f"arn:aws:sts::{account}:assumed-role/{role}/{session}",
        "accountId": account,
        "accessKeyId": key,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": role_id,
                "arn": f"arn:aws:iam::{account}:role/{role_path(role)}{role}",
                "accountId": account,
                "userName": role,
            },
            "attributes": {"creationDate": created, "mfaAuthenticated": "true" if mfa else "false"},
        },
    }


def role_path(role: str) -> str:
    """Return the path of a role's ARN; those of IAM Identity Center lie deeper."""
    return "aws-reserved/sso.amazonaws.com/" if role.startswith("AWSReservedSSO_") else ""


def _role(
    chance: Chance,
    account: str,
    name: str,
    session: Callable[[Chance], str],
    agents: tuple[str, ...],
    seconds: int,
) -> Actor:
    role_id = "AROA" + chance.upper(17)
    identity = role_identity(account, name, role_id, session(chance), key="", created="<created>")
    return _actor(chance, identity, agents, seconds)


def _user(chance: Chance, account: str, name: str, agents: tuple[str, ...] = AGENTS_CLI) -> Actor:
    identity: dict[str, object] = {
        "type": "IAMUser",
        "principalId": "AIDA" + chance.upper(17),
        "arn": f"arn:aws:iam::{account}:user/{name}",
        "accountId": account,
        "accessKeyId": "",
        "userName": name,
    }
    return _actor(chance, identity, agents, 0)


def _actor(chance: Chance, identity: dict[str, object], agents: tuple[str, ...], seconds: int) -> Actor:
    before, after = json.dumps(identity, separators=(",", ":")).split('"accessKeyId":"",')
    agents = tuple(chance.pick(agents) for _ in range(2))
    addresses = tuple(address(chance) for _ in range(3))
    return Actor(str(identity["arn"]), agents, addresses, seconds, before, after, chance)
