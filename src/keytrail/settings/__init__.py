"""keytrail.toml: every limit and default in one place, with its unit in its name.

Importing this room imports pydantic (about 100 ms); callers that answer `--help` import it late.
"""

from __future__ import annotations

from keytrail.settings.load import accounts_place, check, find_config, load_settings
from keytrail.settings.model import (
    AccountsSettings,
    AwsSettings,
    GeoipSettings,
    InvestigateSettings,
    OutputSettings,
    ReadingSettings,
    ScanSettings,
    Settings,
)
from keytrail.settings.show import Row, describe, template

__all__ = [
    "AccountsSettings",
    "AwsSettings",
    "GeoipSettings",
    "InvestigateSettings",
    "OutputSettings",
    "ReadingSettings",
    "Row",
    "ScanSettings",
    "Settings",
    "accounts_place",
    "check",
    "describe",
    "find_config",
    "load_settings",
    "template",
]
