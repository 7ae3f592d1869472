"""What can be set: sections of named, described and bounded values. `Settings()` is the defaults and reads nothing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PrivateAttr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from keytrail.settings.base import GIB, KIB, MIB, OnePath, Paths, Section, Severity
from keytrail.settings.feeds import FeedsSettings
from keytrail.settings.notify import NotifySettings
from keytrail.settings.respond import GuardrailSettings, PoliciesSettings, RespondSettings
from keytrail.settings.watch import LakeSettings, StateSettings, WatchSettings


class ReadingSettings(Section):
    """Bounds on what one object of an archive may make keytrail read; crossing one is an error message."""

    max_inflated_bytes: int = Field(
        default=4 * GIB,
        ge=1 * MIB,
        le=1024 * GIB,
        description="Bytes one object may inflate to; more is taken for a compression bomb.",
    )
    max_record_bytes: int = Field(
        default=16 * MIB, ge=1 * KIB, le=1 * GIB, description="Bytes of one record. AWS itself stops at 256 KiB."
    )
    max_depth: int = Field(default=128, ge=8, le=500, description="Levels of nesting in one record.")
    hold_bytes: int = Field(
        default=64 * MIB,
        ge=64 * KIB,
        le=1 * GIB,
        description="Objects up to this many inflated bytes are held in memory whole, which is fastest;"
        " larger ones are read as a stream.",
    )
    chunk_bytes: int = Field(
        default=256 * KIB, ge=4 * KIB, le=64 * MIB, description="Bytes read and inflated at a time when streaming."
    )


class AwsSettings(Section):
    """How AWS is reached. What is left out comes from the usual places of the AWS SDK (environment, ~/.aws)."""

    profile: str | None = Field(default=None, min_length=1, description="Profile of ~/.aws/config.")
    region: str | None = Field(
        default=None,
        pattern=r"^[a-z]{2,4}(-[a-z]+)+-\d{1,2}$",
        description="Region of calls that need one, such as eu-west-1.",
    )
    role_arn: str | None = Field(
        default=None,
        pattern=r"^arn:[a-z-]+:iam::\d{12}:role/.+$",
        description="Role to assume first, such as arn:aws:iam::111122223333:role/reader.",
    )
    external_id: str | None = Field(
        default=None, min_length=2, max_length=1224, description="External ID that the role's trust policy asks for."
    )
    endpoint_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/]+.*$",
        description="Other endpoint of S3 and CloudTrail, such as http://localhost:5000.",
    )
    connect_timeout_seconds: float = Field(default=10, gt=0, le=600, description="Seconds to wait for a connection.")
    read_timeout_seconds: float = Field(
        default=60, gt=0, le=3600, description="Seconds to wait for the next bytes of an answer."
    )
    max_attempts: int = Field(default=5, ge=1, le=20, description="Attempts at one call, the first included.")
    lookup_days: int = Field(default=7, ge=1, le=90, description="Days that aws:// looks back; AWS keeps 90.")
    lookup_calls_per_second: float = Field(
        default=1.5, gt=0, le=20, description="LookupEvents calls a second; AWS allows 2 for an account and region."
    )


class ScanSettings(Section):
    """How a scan runs and which alerts it shows."""

    jobs: int = Field(default=0, ge=0, le=1024, description="Worker processes; 0 is one for each core.")
    batch_files: int = Field(
        default=256, ge=1, le=10_000, description="Small objects handed to a worker at a time, at most."
    )
    batch_bytes: int = Field(
        default=8 * MIB, ge=4 * KIB, le=1 * GIB, description="Stored bytes handed to a worker at a time, at most."
    )
    min_severity: Severity = Field(default="low", description="Least severity of the rules that run.")
    fail_on: Literal["never", "low", "medium", "high", "critical"] = Field(
        default="never", description="Severity from which an alert makes the exit code 1."
    )


class GeoipSettings(Section):
    """Geography and networks of source addresses, from MaxMind files; absent when none is named."""

    databases: Paths = Field(default=(), description="MaxMind database files (GeoLite2-City.mmdb, GeoLite2-ASN.mmdb).")


class AccountsSettings(Section):
    """Who is trusted: the organisation, its accounts, and outside accounts that somebody approved."""

    file: OnePath | None = Field(
        default=None,
        description="The file that says it; left out, accounts.toml beside the settings file or else in the current"
        " folder, if there is one.",
    )


class InvestigateSettings(Section):
    """How far an investigation looks, and how much of each of its sections is kept; what is left out is counted."""

    enabled: bool = Field(default=True, description="Investigate alerts about key policies in a scan.")
    actor_hours: int = Field(
        default=24, ge=0, le=24 * 30, description="Hours before and after a change in which the actor's acts are told."
    )
    revert_minutes: int = Field(
        default=60,
        ge=1,
        le=60 * 24 * 7,
        description="Minutes within which a change must be undone to count as reverted shortly after.",
    )
    max_acts: int = Field(default=100, ge=1, le=10_000, description="Acts of the actor, and of others, that are told.")
    max_data: int = Field(default=50, ge=1, le=10_000, description="Resources at stake that are told.")
    max_principals: int = Field(
        default=25, ge=1, le=1000, description="Principals with new access whose acts are looked for."
    )
    max_timeline: int = Field(default=200, ge=1, le=10_000, description="Lines of the time line.")
    max_event_ids: int = Field(default=25, ge=1, le=1000, description="Ids of events that one fact cites.")
    max_calls: int = Field(
        default=50_000, ge=100, le=10_000_000, description="Events of one key that are looked at closely."
    )
    look_back_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        description="Days before --since in which a scan looks for earlier policies of a key, if --since is given.",
    )
    inventory: OnePath | None = Field(
        default=None, description="CSV or JSON file that says who owns which key, alias or resource."
    )
    snapshots: Paths = Field(default=(), description="Files or folders of exported key policies.")


class OutputSettings(Section):
    """How results are shown."""

    color: Literal["auto", "always", "never"] = Field(
        default="auto", description="Colour on the terminal; auto obeys NO_COLOR and pipes."
    )


class Settings(BaseSettings):
    """All settings. `Settings()` gives the defaults; `load_settings` adds file, environment and flags."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="KEYTRAIL_", env_nested_delimiter="__", case_sensitive=False
    )

    reading: ReadingSettings = ReadingSettings()
    aws: AwsSettings = AwsSettings()
    scan: ScanSettings = ScanSettings()
    geoip: GeoipSettings = GeoipSettings()
    accounts: AccountsSettings = AccountsSettings()
    investigate: InvestigateSettings = InvestigateSettings()
    notify: NotifySettings = NotifySettings()
    output: OutputSettings = OutputSettings()
    state: StateSettings = StateSettings()
    lake: LakeSettings = LakeSettings()
    watch: WatchSettings = WatchSettings()
    feeds: FeedsSettings = FeedsSettings()
    policies: PoliciesSettings = PoliciesSettings()
    respond: RespondSettings = RespondSettings()
    guardrail: GuardrailSettings = GuardrailSettings()

    # Where each value that is not a default came from, by its dotted name.
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: `load_settings` reads the layers itself, to know where each value came from."""
        return (init_settings,)
