"""keytrail.toml: every limit and default in one place, with its unit in its name.

Importing this room imports pydantic (about 100 ms); callers that answer `--help` import it late.
"""

from __future__ import annotations

from keytrail.settings.accounts import accounts_problems, end_of, is_account_id, is_organisation_id, load_accounts
from keytrail.settings.accounts_edit import AccountEdit, approve_account, revoke_account
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
from keytrail.settings.notify import NotifySettings, Secret, SinkSettings, Verdict
from keytrail.settings.show import Row, describe, template
from keytrail.settings.trust import Accounts, ApprovedAccount, Standing

__all__ = [
    "AccountEdit",
    "Accounts",
    "AccountsSettings",
    "ApprovedAccount",
    "AwsSettings",
    "GeoipSettings",
    "InvestigateSettings",
    "NotifySettings",
    "OutputSettings",
    "ReadingSettings",
    "Row",
    "ScanSettings",
    "Secret",
    "Settings",
    "SinkSettings",
    "Standing",
    "Verdict",
    "accounts_place",
    "accounts_problems",
    "approve_account",
    "check",
    "describe",
    "end_of",
    "find_config",
    "is_account_id",
    "is_organisation_id",
    "load_accounts",
    "load_settings",
    "revoke_account",
    "template",
]
