"""The sections of keytrail.toml about remedies: how keys are looked at, and how plans are made and applied."""

from __future__ import annotations

from pydantic import Field

from keytrail.settings.base import OnePath, Section, Texts


class PoliciesSettings(Section):
    """Which keys are looked at, as whom, how often, and where their policies are kept as files."""

    accounts: Texts = Field(
        default=(), description="Ids of the accounts whose keys are looked at; left out, that of the credentials."
    )
    organisation: bool = Field(
        default=False, description="Look at every active account of the organisation, as Organizations lists them."
    )
    role_name: str = Field(
        default="", description="Name of the role, the same in every account, that is assumed to read its keys."
    )
    external_id: str = Field(default="", description="External id that is given when the role is assumed.")
    regions: Texts = Field(default=(), description="Regions to look in; left out, all that the account has enabled.")
    folder: OnePath | None = Field(
        default=None, description="Folder in which each policy is written as a file, fit for git; none if left out."
    )
    every_hours: float = Field(
        default=0, ge=0, le=8760, description="Hours between two looks of `keytrail watch`; 0 looks never."
    )
    drift_minutes: float = Field(
        default=30,
        ge=0,
        le=1440,
        description="Minutes that CloudTrail may take to tell of a change before a policy that it does not tell of"
        " raises an alert.",
    )
    config_history: bool = Field(
        default=True, description="Take over what AWS Config recorded of keys, where it is on and may be read."
    )


class RespondSettings(Section):
    """How plans are made and applied."""

    role_name: str = Field(
        default="",
        description="Name of the role that is assumed in the account of the key to apply a plan; left out, the"
        " credentials have to be of that account.",
    )
    external_id: str = Field(default="", description="External id that is given when the role is assumed.")
    most_keys: int = Field(default=1, ge=1, le=1000, description="Keys that one apply may touch, at most.")
    plan_hours: float = Field(
        default=24, gt=0, le=8760, description="Hours after it was shown in which a plan can be applied."
    )
    read_back_seconds: float = Field(
        default=60, gt=0, le=600, description="Seconds for which a result is read back until it agrees."
    )
    recent_days: int = Field(
        default=90, ge=1, le=3650, description="Days of records that tell who used a key and would lose it."
    )


class GuardrailSettings(Section):
    """Who may still change key policies once the door is closed, and over what a guardrail is tried."""

    break_glass: Texts = Field(
        default=(), description="ARNs of the roles that may change key policies; * stands for any account or path."
    )
    days: int = Field(default=30, ge=1, le=3650, description="Days of recorded events that a guardrail is tried on.")


__all__ = ["GuardrailSettings", "PoliciesSettings", "RespondSettings"]
