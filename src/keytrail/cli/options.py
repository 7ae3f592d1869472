"""The options that several commands share, each described once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import colour
from keytrail.cli.colour import ColourMode
from keytrail.cli.output import AlertFormat, Format

if TYPE_CHECKING:
    from keytrail.settings import Settings


class Severity(StrEnum):
    """The severities of rules and alerts, from harmless to grave."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class FailOn(StrEnum):
    """The values of `--fail-on`."""

    NEVER = "never"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    def fails(self, severity: str) -> bool:
        """Whether an alert of this severity ends the command with exit code 1.

        >>> FailOn.MEDIUM.fails("high"), FailOn.MEDIUM.fails("low"), FailOn.NEVER.fails("critical")
        (True, False, False)
        """
        levels = [level.value for level in Severity]
        return self is not FailOn.NEVER and levels.index(severity) >= levels.index(self.value)


class LogFormat(StrEnum):
    """The values of `--log-format`."""

    TEXT = "text"
    JSON = "json"


LakeFolder = Annotated[
    str | None,
    typer.Option("--lake", metavar="FOLDER", help="The lake's folder; default: [lake] folder.", show_default=False),
]
StateUrl = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="URL",
        help="The state: sqlite:///… or postgresql://…; default: in the lake's folder.",
        show_default=False,
    ),
]
Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="A file, a folder, a glob, - for stdin, s3://bucket/prefix, or aws:// for this account's last days.",
        show_default=False,
    ),
]
Rules = Annotated[
    list[str] | None,
    typer.Option(
        "--rules",
        metavar="PATH",
        help="Add the rules of a file or folder (TOML, NDJSON); repeatable.",
        show_default=False,
    ),
]
NoBuiltin = Annotated[bool, typer.Option("--no-builtin", help="Leave out the built-in rules.")]
RuleIds = Annotated[
    list[str] | None,
    typer.Option("--rule", metavar="ID", help="Use only the rule with this id; repeatable.", show_default=False),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Events from this time on: RFC 3339, a date, or an age (7d, 24h).", show_default=False
    ),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Events before this time; same forms.", show_default=False),
]
OutputFormat = Annotated[
    Format | None,
    typer.Option(
        "--format", help="Default: by the suffix of -o; else table on a terminal, ndjson in a pipe.", show_default=False
    ),
]
AlertOutput = Annotated[
    AlertFormat | None,
    typer.Option(
        "--format",
        help="Default: by the suffix of -o; else table on a terminal, ndjson in a pipe. html and markdown are reports.",
        show_default=False,
    ),
]
OutputFile = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the results to this file.", show_default=False),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", metavar="N", help="Processes; 0: one for each core.", show_default=False),
]
Config = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="Settings file instead of ./keytrail.toml.", show_default=False),
]
GeoIp = Annotated[
    list[str] | None,
    typer.Option(
        "--geoip",
        metavar="PATH",
        help="MaxMind database (City, ASN) for places and networks; repeatable.",
        show_default=False,
    ),
]
Profile = Annotated[str | None, typer.Option(metavar="NAME", help="AWS profile.", show_default=False)]
Region = Annotated[str | None, typer.Option(metavar="REGION", help="AWS region.", show_default=False)]
RoleArn = Annotated[
    str | None, typer.Option("--role-arn", metavar="ARN", help="AWS role to assume.", show_default=False)
]
EndpointUrl = Annotated[
    str | None,
    typer.Option("--endpoint-url", metavar="URL", help="Another server that speaks as AWS does.", show_default=False),
]
Organisation = Annotated[
    str | None,
    typer.Option(
        "--org", metavar="ID", help="The organisation, instead of the one in accounts.toml.", show_default=False
    ),
]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID", help="An account that is trusted besides those of accounts.toml; repeatable.", show_default=False
    ),
]
AccountsFile = Annotated[
    str | None,
    typer.Option("--accounts", metavar="FILE", help="Who is trusted: another accounts.toml.", show_default=False),
]
InventoryFile = Annotated[
    str | None,
    typer.Option(
        "--inventory", metavar="FILE", help="Who owns which key or resource: CSV or JSON.", show_default=False
    ),
]
Snapshots = Annotated[
    list[str] | None,
    typer.Option(
        "--snapshots", metavar="PATH", help="A file or folder of exported key policies; repeatable.", show_default=False
    ),
]
As = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        help="Who does it, for the audit log. Default: KEYTRAIL_USER, else the system's user.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, summary or notes; errors and warnings stay.")]
Colour = Annotated[
    ColourMode | None,
    typer.Option("--color", help="Colours; auto (default): on a terminal unless NO_COLOR is set.", show_default=False),
]


def settings(config: str | None, flags: Mapping[str, object]) -> Settings:
    """Return the settings in force, `flags` (by dotted name, None when not given) over all else. Raises SettingsError.

    From here on colour is as they say.
    """
    from keytrail.settings import load_settings

    result = load_settings(config=Path(config) if config else None, overrides=flags)
    colour.use(ColourMode(result.output.color))
    return result


def source_flags(
    geoip: Sequence[str] | None,
    profile: str | None,
    region: str | None,
    role_arn: str | None,
    endpoint_url: str | None,
) -> dict[str, object]:
    """Return the flags of all commands that read sources, by the names of the settings that they replace."""
    return {
        "geoip.databases": tuple(geoip) if geoip else None,
        "aws.profile": profile,
        "aws.region": region,
        "aws.role_arn": role_arn,
        "aws.endpoint_url": endpoint_url,
    }


def lake_flags(folder: str | None, state: str | None) -> dict[str, object]:
    """Return the flags of commands that use the lake and the state, by the names of the settings that they replace."""
    return {"lake.folder": folder, "state.url": state}


def investigation_flags(
    accounts: str | None, inventory: str | None, snapshots: Sequence[str] | None
) -> dict[str, object]:
    """Return the flags of commands that investigate, by the names of the settings that they replace."""
    return {
        "accounts.file": accounts,
        "investigate.inventory": inventory,
        "investigate.snapshots": tuple(snapshots) if snapshots else None,
    }


def trusted(org: str | None, trust: Sequence[str] | None) -> tuple[str | None, tuple[str, ...]]:
    """Return --org and --trust after checking what they say. Raises UsageError."""
    if org is None and not trust:
        return None, ()  # Most scans name neither, and what checks them takes a tenth of a second to load.
    from keytrail.service.policy import account_id, organisation_id

    organisation = organisation_id(org) if org is not None else None
    return organisation, tuple(account_id(one, "--trust") for one in trust or ())
