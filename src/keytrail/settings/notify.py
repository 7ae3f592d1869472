"""`[notify]` and its `[[notify.sinks]]`: who is told of which alerts, and how; secrets are resolved when used."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from keytrail.errors import Place, SettingsError
from keytrail.settings.base import MIB, OnePath, Section, Severity

Verdict = Literal["malicious", "review", "expected", "no_effect", "none"]

_MAX_SECRET_BYTES = 64 * 1024
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?")
_TEXT = r"^[^\x00-\x1f\x7f]+$"


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that must not be shown: written in the file, or named there and read when it is used.

    `what` is what to call it in an error (`sink ops: password`).
    """

    what: str
    literal: SecretStr | None = None
    variable: str | None = None
    file: Path | None = None

    def value(self) -> str:
        """The secret itself. Raises SettingsError when the variable is not set or the file cannot be read."""
        if self.variable is not None:
            found = os.environ.get(self.variable, "")
            if not found:
                advice = "Set it for the process that tells people."
                raise SettingsError(f"{self.what}: the environment variable {self.variable} is not set", advice=advice)
            return found
        if self.file is not None:
            return self._read(self.file)
        assert self.literal is not None
        return self.literal.get_secret_value()

    def _read(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_SECRET_BYTES + 1)
            text = data.decode("utf-8").strip()
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or "not UTF-8 text"
            raise SettingsError(f"{self.what}: cannot be read: {reason}", place=Place(str(path))) from None
        if not text or len(data) > _MAX_SECRET_BYTES:
            raise SettingsError(f"{self.what}: empty, or larger than a secret is", place=Place(str(path)))
        return text


def url_problem(url: str) -> str:
    """What is wrong with the URL of a web service, without a word of it; "" when nothing is."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "not a URL"
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or re.search(r"[\x00-\x20\x7f]", url):
        return "not a URL that begins with https:// or http://"
    if "@" in parts.netloc:
        return "a URL must not hold a user or a password"
    return ""


def _url(value: str) -> str:
    if problem := url_problem(value):
        raise ValueError(problem)
    return value


def _secret_url(value: SecretStr) -> SecretStr:
    _url(value.get_secret_value())
    return value


def _address(value: str) -> str:
    if not _ADDRESS.fullmatch(value) or len(value) > 254:
        raise ValueError("not an address such as team@example.com")
    return value


def _secret_text(value: SecretStr) -> SecretStr:
    if not re.match(_TEXT, value.get_secret_value()):
        raise ValueError("empty, or with control characters")
    return value


Url = Annotated[str, AfterValidator(_url)]
SecretUrl = Annotated[SecretStr, AfterValidator(_secret_url)]
SecretText = Annotated[SecretStr, AfterValidator(_secret_text)]
Address = Annotated[str, AfterValidator(_address)]
AccountId = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
Text = Annotated[str, Field(pattern=_TEXT, max_length=512)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]


class SinkSettings(Section):
    """One [[notify.sinks]]: its name, its kind, which alerts it gets (all, unless told otherwise), and its own keys."""

    SECRETS: ClassVar[tuple[str, ...]] = ()
    """The keys that hold secrets; each may be written as KEY, KEY_env or KEY_file."""
    REQUIRED: ClassVar[tuple[str, ...]] = ()
    """Those of SECRETS that must be there."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$",
        description="Its name in errors, metrics and logs: letters, digits, '.', '_', '-'.",
    )
    min_severity: Severity = Field(default="low", description="Least severity of alerts that it gets.")
    rules: tuple[Text, ...] = Field(
        default=(), description="Ids of rules, or patterns of their names ('KMS *'), whose alerts it gets; empty: all."
    )
    accounts: tuple[AccountId, ...] = Field(default=(), description="Accounts whose alerts it gets; empty: all.")
    verdicts: tuple[Verdict, ...] = Field(
        default=(),
        description="Verdicts of alerts that it gets: malicious, review, expected, no_effect, or none for alerts that"
        " were not investigated; empty: all.",
    )

    def secret_of(self, key: str) -> Secret | None:
        """The secret that KEY, KEY_env or KEY_file gives, None when none does."""
        literal, variable, file = (getattr(self, f"{key}{suffix}") for suffix in ("", "_env", "_file"))
        if literal is None and variable is None and file is None:
            return None
        return Secret(f"sink {self.name}: {key}", literal, variable, file)

    @model_validator(mode="after")
    def _one_of_each_secret(self) -> SinkSettings:
        for key in self.SECRETS:
            names = [key, f"{key}_env", f"{key}_file"]
            given = [name for name in names if getattr(self, name) is not None]
            if len(given) > 1:
                raise ValueError(f"{' and '.join(given)} are both given; keep one")
            if not given and key in self.REQUIRED:
                raise ValueError(f"one of {', '.join(names)} is needed")
        return self


_ENV = "Environment variable that holds it."
_FILE = "File that holds it, read each time it is used."


class _WithUrl(SinkSettings):
    SECRETS: ClassVar[tuple[str, ...]] = ("url",)
    REQUIRED: ClassVar[tuple[str, ...]] = ("url",)

    url: SecretUrl | None = Field(default=None, description="Its URL. It may hold a secret, so only its host is shown.")
    url_env: Variable | None = Field(default=None, description=_ENV)
    url_file: OnePath | None = Field(default=None, description=_FILE)


class WebhookSettings(_WithUrl):
    """A web service of your own: JSON by POST, signed."""

    SECRETS = ("url", "secret")

    kind: Literal["webhook"]
    secret: SecretText | None = Field(default=None, description="Key of the HMAC-SHA256 signature; none: not signed.")
    secret_env: Variable | None = Field(default=None, description=_ENV)
    secret_file: OnePath | None = Field(default=None, description=_FILE)
    digest: bool = Field(default=True, description="Whether a flood comes as one digest instead of each alert.")


class SlackSettings(_WithUrl):
    """A channel of Slack, or of what takes Slack's incoming webhooks."""

    kind: Literal["slack"]


class TeamsSettings(_WithUrl):
    """A channel of Teams, by a workflow that takes webhook requests."""

    kind: Literal["teams"]


class EmailSettings(SinkSettings):
    """Mail by SMTP."""

    SECRETS = ("password",)

    kind: Literal["email"]
    host: str = Field(pattern=r"^[A-Za-z0-9.:_-]+$", max_length=253, description="Mail server.")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="Port of the mail server; left out, 587, 465 for tls, 25 for none."
    )
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection is encrypted."
    )
    sender: Address = Field(description="Address that it comes from.")
    to: tuple[Address, ...] = Field(max_length=50, description="Addresses that it goes to.")
    user: Text | None = Field(default=None, description="User to log in as; left out, no login.")
    password: SecretText | None = Field(default=None, description="Password of the user.")
    password_env: Variable | None = Field(default=None, description=_ENV)
    password_file: OnePath | None = Field(default=None, description=_FILE)

    @field_validator("to")
    @classmethod
    def _somebody(cls, to: tuple[str, ...]) -> tuple[str, ...]:
        if not to:
            raise ValueError("nobody is named")
        return to

    @model_validator(mode="after")
    def _login(self) -> EmailSettings:
        if (self.user is None) != (self.secret_of("password") is None):
            raise ValueError("user and password go together")
        if self.user is not None and self.security == "none":
            raise ValueError("a password must not travel without encryption: security is none")
        return self


_REGION = Annotated[str, Field(pattern=r"^[a-z]{2,4}(-[a-z]+)+-\d{1,2}$")]


class SnsSettings(SinkSettings):
    """A topic of Amazon SNS, standard or FIFO."""

    kind: Literal["sns"]
    topic_arn: str = Field(
        pattern=r"^arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$", description="ARN of the topic."
    )
    digest: bool = Field(default=True, description="Whether a flood comes as one digest instead of each alert.")


class EventBridgeSettings(SinkSettings):
    """An event bus of Amazon EventBridge."""

    kind: Literal["eventbridge"]
    bus_arn: str = Field(
        pattern=r"^arn:[a-z-]+:events:[a-z0-9-]+:\d{12}:event-bus/[A-Za-z0-9/._-]{1,256}$",
        description="ARN of the event bus.",
    )
    source: str = Field(
        default="keytrail",
        pattern=r"^[A-Za-z0-9._-]{1,256}$",
        description="Source of the events; it must not begin with 'aws.'.",
    )

    @field_validator("source")
    @classmethod
    def _not_of_aws(cls, source: str) -> str:
        if source.startswith("aws."):
            raise ValueError("'aws.' is what AWS keeps for itself")
        return source


class SecurityHubSettings(SinkSettings):
    """Findings in AWS Security Hub of the account whose credentials are in use."""

    kind: Literal["securityhub"]
    region: _REGION | None = Field(default=None, description="Region of Security Hub; left out, that of [aws].")


class OcsfSettings(SinkSettings):
    """OCSF Detection Findings (class 2004), as lines of a file or as objects of a bucket."""

    kind: Literal["ocsf"]
    path: str = Field(pattern=_TEXT, max_length=1024, description="A file, or s3://bucket/prefix.")
    region: _REGION | None = Field(default=None, description="Region of the bucket; left out, that of [aws].")

    @field_validator("path")
    @classmethod
    def _bucket(cls, path: str) -> str:
        if path.startswith("s3:") and not _S3.fullmatch(path):
            raise ValueError("not s3://bucket or s3://bucket/prefix")
        return path


class NdjsonSettings(SinkSettings):
    """Alert documents, as lines of a file."""

    kind: Literal["ndjson"]
    path: OnePath = Field(description="The file; it is created when it is missing, and only ever appended to.")


class BulkSettings(SinkSettings):
    """An index of Elasticsearch or OpenSearch, by its _bulk API."""

    SECRETS = ("api_key", "password")

    kind: Literal["bulk"]
    url: Url = Field(description="The cluster, such as https://search.example:9200.")
    index: str = Field(
        pattern=r"^[a-z0-9.][a-z0-9._-]*$", max_length=255, description="Index, alias or data stream, in lower case."
    )
    data_stream: bool = Field(
        default=False, description="Whether it is a data stream: then a raised verdict is a document of its own."
    )
    api_key: SecretText | None = Field(default=None, description="API key, encoded as the cluster gave it.")
    api_key_env: Variable | None = Field(default=None, description=_ENV)
    api_key_file: OnePath | None = Field(default=None, description=_FILE)
    user: Text | None = Field(default=None, description="User of basic authentication.")
    password: SecretText | None = Field(default=None, description="Password of the user.")
    password_env: Variable | None = Field(default=None, description=_ENV)
    password_file: OnePath | None = Field(default=None, description=_FILE)

    @model_validator(mode="after")
    def _login(self) -> BulkSettings:
        if (self.user is None) != (self.secret_of("password") is None):
            raise ValueError("user and password go together")
        if self.user is not None and self.secret_of("api_key") is not None:
            raise ValueError("an API key and a user are both given; keep one")
        return self


AnySink = Annotated[
    WebhookSettings
    | SlackSettings
    | TeamsSettings
    | EmailSettings
    | SnsSettings
    | EventBridgeSettings
    | SecurityHubSettings
    | OcsfSettings
    | NdjsonSettings
    | BulkSettings,
    Field(discriminator="kind"),
]

SINKS: dict[str, type[SinkSettings]] = {
    "webhook": WebhookSettings,
    "slack": SlackSettings,
    "teams": TeamsSettings,
    "email": EmailSettings,
    "sns": SnsSettings,
    "eventbridge": EventBridgeSettings,
    "securityhub": SecurityHubSettings,
    "ocsf": OcsfSettings,
    "ndjson": NdjsonSettings,
    "bulk": BulkSettings,
}
"""The settings of each kind of sink."""


class NotifySettings(Section):
    """How people are told of alerts, and when it is tried again; each [[notify.sinks]] says whom."""

    connect_timeout_seconds: float = Field(default=10, gt=0, le=300, description="Seconds to wait for a connection.")
    read_timeout_seconds: float = Field(default=30, gt=0, le=600, description="Seconds to wait for an answer.")
    max_answer_bytes: int = Field(default=1 * MIB, ge=1024, le=64 * MIB, description="Bytes read of an answer.")
    ca_file: OnePath | None = Field(
        default=None,
        description="Certificates (PEM) of authorities trusted beside the system's, for webhooks and mail.",
    )
    first_pause_seconds: float = Field(
        default=5, gt=0, le=3600, description="Seconds after a failure until the next attempt; it doubles with each."
    )
    longest_pause_seconds: float = Field(default=900, gt=0, le=86_400, description="Seconds between attempts, at most.")
    digest_after: int = Field(
        default=20, ge=1, le=10_000, description="Messages in a window; what comes beyond is told in one digest."
    )
    digest_window_minutes: float = Field(default=10, gt=0, le=1440, description="Minutes of that window.")
    verdict_wait_seconds: float = Field(
        default=60, ge=0, le=3600, description="Seconds an alert waits for its verdict before it is told without one."
    )
    sinks: tuple[AnySink, ...] = Field(default=(), description="Who is told, each a table of its own.")

    @field_validator("sinks")
    @classmethod
    def _names_differ(cls, sinks: tuple[AnySink, ...]) -> tuple[AnySink, ...]:
        names = [sink.name for sink in sinks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two sinks are called {twice[0]}")
        return sinks


EXAMPLE = """\
[[notify.sinks]]
name = "on-call"
kind = "slack"                       # webhook, slack, teams, email, sns, eventbridge, securityhub, ocsf, ndjson, bulk
url_env = "SLACK_WEBHOOK_URL"        # or url_file = "/run/secrets/slack", or url = "https://hooks.slack.com/…"
verdicts = ["malicious", "review"]   # also min_severity, rules, accounts; left out: every alert

[[notify.sinks]]
name = "siem"
kind = "ndjson"
path = "alerts.ndjson"
"""
"""Tables for the template of `config init`."""
