"""Sink: findings in AWS Security Hub (ASFF), one for each alert, updated when its verdict is raised.

Limits of lengths and the fields that a provider may update are those of the reference of BatchImportFindings and ASFF.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from keytrail import __version__
from keytrail.aws import AwsSettings, client, session_region
from keytrail.investigate.glance import Glance
from keytrail.notify.batches import Prepared, send_in_batches
from keytrail.notify.cloud import delivering, refused
from keytrail.notify.model import DeliveryError, Json, Message
from keytrail.notify.safe import inert
from keytrail.notify.sinks.base import Means
from keytrail.notify.words import score_words, text_of, verdict_words
from keytrail.settings.notify import SecurityHubSettings

_MOST = 100
_MOST_BYTES = 5 * 1024 * 1024
_FINDING_BYTES = 20 * 1024  # all texts of a finding are bounded, so it is never more

_LABELS = {"critical": "CRITICAL", "high": "HIGH", "medium": "MEDIUM", "low": "LOW"}
_TACTICS = frozenset(
    {
        "Initial Access", "Execution", "Persistence", "Privilege Escalation", "Defense Evasion", "Credential Access",
        "Discovery", "Lateral Movement", "Collection", "Command and Control",
    }
)  # fmt: skip


class SecurityHubSink:
    """Imports findings into the account and Region in use."""

    kind = "securityhub"
    most = _MOST
    send_digest = None

    def __init__(self, settings: SecurityHubSettings, means: Means) -> None:
        self.name = settings.name
        self._settings = settings
        self._aws: AwsSettings = means.aws
        self._product = ""

    def __repr__(self) -> str:
        return f"SecurityHubSink({self.name!r})"

    def send(self, messages: Sequence[Message], now: datetime) -> None:
        """Import a finding for each alert; those that Security Hub says have failed are told one by one."""
        with delivering(action="sts:GetCallerIdentity", resource="Security Hub"):
            product = self._product_arn()
        entries = [Prepared(one, finding(one, product, now), _FINDING_BYTES) for one in messages]
        send_in_batches(entries, self._import, most=_MOST, most_bytes=_MOST_BYTES)

    def close(self) -> None:
        """Clients of AWS are shared, and stay open."""

    def _import(self, batch: Sequence[Prepared[Json]]) -> Mapping[str, DeliveryError]:
        latest = {_id(one): one.entry for one in batch}  # what is new and raised at once is one finding
        with delivering(action="securityhub:BatchImportFindings", resource="Security Hub"):
            hub = client("securityhub", self._aws, self._region())
            answer = hub.batch_import_findings(Findings=list(latest.values()))
        failed = {
            one["Id"]: refused("Security Hub", one["ErrorCode"], one["ErrorMessage"])
            for one in answer.get("FailedFindings", ())
        }
        return {one.message.id: failed[_id(one)] for one in batch if _id(one) in failed}

    def _region(self) -> str:
        return self._settings.region or session_region(self._aws)

    def _product_arn(self) -> str:
        """The product that findings of an account's own tools belong to; it names the account in use."""
        if not self._product:
            caller = client("sts", self._aws).get_caller_identity()
            account, partition = caller["Account"], caller["Arn"].split(":")[1]
            self._product = f"arn:{partition}:securityhub:{self._region()}:{account}:product/{account}/default"
        return self._product


def _id(entry: Prepared[Json]) -> str:
    return str(entry.entry["Id"])


def finding(message: Message, product_arn: str, now: datetime) -> Json:
    """The finding of an alert, whatever is told of it: the same `Id`, and a later `UpdatedAt` each time."""
    facts, text = Glance.of(message.alert), text_of(message)
    _, partition, _, _, account, _ = product_arn.split(":", 5)
    found: Json = {
        "SchemaVersion": "2018-10-08",
        "Id": inert(f"keytrail/{facts.alert_id or message.id}", 512),
        "ProductArn": product_arn,
        "ProductName": "keytrail",
        "CompanyName": "keytrail",
        "GeneratorId": inert(f"keytrail/{facts.rule_id or 'rule'}", 512),
        "AwsAccountId": account,
        "CreatedAt": _time(facts.made or now),
        "UpdatedAt": _time(now),
        "Title": inert(text.subject, 256),
        "Description": inert(f"{text.summary} ({facts.who or 'unknown'} from {facts.address or 'unknown'})", 1024),
        # A provider may set severity and types again only in here; the fields at the top belong to the customer.
        "FindingProviderFields": {
            "Severity": {"Label": _LABELS.get(facts.severity, "MEDIUM"), "Original": inert(facts.severity or "-", 64)},
            "Types": _types(facts),
        },
        "Resources": [
            {
                "Type": "AwsKmsKey" if ":key/" in facts.resource else "Other",
                "Id": inert(facts.resource or f"AWS::::Account:{facts.account or account}", 512),
                "Partition": partition,
                "Region": inert(facts.region, 16) or product_arn.split(":")[3],
            }
        ],
        "ProductFields": {f"keytrail/{name}": inert(value, 1024) for name, value in _fields(message, facts) if value},
        "RecordState": "ACTIVE",
    }
    if facts.time is not None:
        found["FirstObservedAt"] = found["LastObservedAt"] = _time(facts.time)
    if text.commands:
        found["Remediation"] = {"Recommendation": {"Text": inert("; ".join(text.commands), 512)}}
    return found


def _fields(message: Message, facts: Glance) -> tuple[tuple[str, str], ...]:
    return (
        ("message_id", message.id),
        ("reason", message.reason),
        ("version", __version__),
        ("verdict", verdict_words(facts.verdict)),
        ("score", score_words(facts)),
        ("rule", facts.rule),
        ("action", facts.action),
        ("key", facts.key),
        ("who", facts.arn or facts.who),
        ("address", facts.address),
        ("account", facts.account),
        ("event_id", facts.event_id),
    )


def _types(facts: Glance) -> list[str]:
    tactics = [f"TTPs/{name}" for _, name in facts.tactics if name in _TACTICS]
    return tactics[:50] or ["Unusual Behaviors/User"]


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
