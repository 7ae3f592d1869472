"""The keys of the story and the people in it, the attacker included."""

from __future__ import annotations

from dataclasses import dataclass

from keytrail.simulation.organisation import (
    AGENTS_CONSOLE,
    AGENTS_DEPLOY,
    AGENTS_SDK,
    ANALYTICS,
    ATTACKER,
    DEVELOPMENT,
    FORMER_PARTNER,
    PARTNER,
    PAYMENTS,
    PLATFORM,
)
from keytrail.simulation.story import Key, Persona, Teller

# What a hostile caller can write into a log: each of these must be harmless in every output.
HOSTILE_AGENT = (
    "aws-cli/2.15.30 <script>alert('keytrail')</script> \x1b[2J\x1b]0;owned\x07 =HYPERLINK(\"http://203.0.113.66/\")"
)
HOSTILE_SESSION = "<img src=x onerror=alert(1)>"
HOSTILE_OBJECT = "exports/=cmd|' /C calc'!A0\u202egpj.csv"
HOSTILE_SID = "</td><script>alert(document.domain)</script>|`id`"

ADMINISTRATOR = "AWSReservedSSO_PlatformAdmin_0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Keys:
    """Every key of the story, by the part it plays."""

    data: Key  # opened to the attacker's account, restored; a grant survives
    warehouse: Key  # taken over and put back within minutes
    ledger: Key  # multi-Region primary
    ledger_eu: Key  # its replica, made by the platform team with the same policy
    ledger_us: Key  # its replica, made by the attacker with another policy
    exchange: Key  # an approved partner is let in
    shared: Key  # for the organisation, until an operator too many
    reports: Key  # opened to a partner whose approval has expired
    search: Key  # older than the archive; later its parameters are omitted
    backups: Key  # locked: the lock-out check bypassed, the owner shut out
    archive: Key  # scheduled for deletion
    hsm: Key  # imported material, deleted by the attacker
    shadow: Key  # made by the attacker; an alias is moved to it
    vault: Key  # its policy is set by an AWS service
    sandbox: Key  # deleted in the ordinary course


@dataclass(frozen=True, slots=True)
class People:
    """Who acts. Accounts are told by name where someone works in several."""

    admin_payments: Persona
    admin_analytics: Persona
    admin_platform: Persona
    deploy_payments: Persona
    deploy_development: Persona
    engineer: Persona
    reporting: Persona  # the IAM user whose access key is stolen, at work
    payments_api: Persona
    payments_batch: Persona
    warehouse_job: Persona
    exchange_job: Persona
    ledger_writer: Persona
    partner: Persona
    former_partner: Persona
    thief: Persona  # the same IAM user's key in the attacker's hands
    outsider: Persona  # the attacker's own account


def make_keys(teller: Teller) -> Keys:
    """Return the keys; their ids come from the teller's stream of choices."""
    ledger = teller.key(PAYMENTS, "eu-central-1", "ledger-global", multi_region=True)

    def replica(region: str) -> Key:
        return Key(ledger.site._replace(region=region), ledger.key_id, ledger.alias)

    return Keys(
        data=teller.key(PAYMENTS, "eu-central-1", "payments-data"),
        warehouse=teller.key(ANALYTICS, "us-east-1", "warehouse"),
        ledger=ledger,
        ledger_eu=replica("eu-west-1"),
        ledger_us=replica("us-west-2"),
        exchange=teller.key(PLATFORM, "us-east-1", "partner-exchange"),
        shared=teller.key(PLATFORM, "eu-central-1", "org-shared"),
        reports=teller.key(ANALYTICS, "us-east-1", "monthly-reports"),
        search=teller.key(DEVELOPMENT, "us-east-1", "search-index"),
        backups=teller.key(PAYMENTS, "us-east-1", "backups"),
        archive=teller.key(PAYMENTS, "us-east-1", "cold-archive"),
        hsm=teller.key(PAYMENTS, "us-east-1", "hsm-import"),
        shadow=teller.key(PAYMENTS, "eu-central-1", "shadow"),
        vault=teller.key(PLATFORM, "us-east-1", "backup-vault"),
        sandbox=teller.key(DEVELOPMENT, "us-east-1", "sandbox"),
    )


def make_people(teller: Teller) -> People:
    """Return the people; a session of a role lasts the whole story, as a simplification."""
    began = teller.at(0, "00:00:30")

    def admin(account: str) -> Persona:
        return teller.role(
            account, ADMINISTRATOR, "dana.reyes@example.com", "192.0.2.17", AGENTS_CONSOLE[0], created=began, mfa=True
        )

    def deploy(account: str) -> Persona:
        return teller.role(account, "terraform-apply", "ci-4711", "198.51.100.24", AGENTS_DEPLOY[0], created=began)

    def app(account: str, role: str, host: str) -> Persona:
        session = "i-0" + teller.chance.hex(16)
        return teller.role(account, role, session, host, teller.chance.pick(AGENTS_SDK), created=began)

    reporting = teller.user(PAYMENTS, "svc-reporting", "192.0.2.44", AGENTS_SDK[0])
    return People(
        admin_payments=admin(PAYMENTS),
        admin_analytics=admin(ANALYTICS),
        admin_platform=admin(PLATFORM),
        deploy_payments=deploy(PAYMENTS),
        deploy_development=deploy(DEVELOPMENT),
        engineer=teller.role(
            PLATFORM, "AWSReservedSSO_Engineer_abcdef0123456789", "sam.okafor@example.com", "192.0.2.31",
            AGENTS_CONSOLE[1], created=began, mfa=True,
        ),
        reporting=reporting,
        payments_api=app(PAYMENTS, "payments-api", "198.51.100.40"),
        payments_batch=app(PAYMENTS, "payments-batch", "198.51.100.41"),
        warehouse_job=app(ANALYTICS, "glue-etl", "198.51.100.42"),
        exchange_job=app(PLATFORM, "ingest-worker", "198.51.100.43"),
        ledger_writer=app(PAYMENTS, "ledger-writer", "198.51.100.44"),
        partner=teller.outsider(PARTNER, f"AROA{teller.chance.upper(17)}:exchange", "198.51.100.200", AGENTS_SDK[1]),
        former_partner=teller.outsider(
            FORMER_PARTNER, f"AROA{teller.chance.upper(17)}:reports", "198.51.100.220", AGENTS_SDK[1]
        ),
        thief=Persona(
            reporting.identity,
            reporting.principal,
            "203.0.113.66",
            "aws-cli/2.15.30 Python/3.11.6 Linux/6.6.9-amd64 exe/x86_64.kali.2024 prompt/off",
        ),
        outsider=teller.outsider(
            ATTACKER,
            f"AROA{teller.chance.upper(17)}:{HOSTILE_SESSION}",
            "2001:db8:bad::66",
            "Boto3/1.34.0 md/Botocore#1.34.0 ua/2.0 os/linux#6.6.9-amd64 lang/python#3.11.6 Botocore/1.34.0",
        ),
    )  # fmt: skip
