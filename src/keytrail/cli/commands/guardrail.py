"""`keytrail guardrail`: the policies that leave the power over key policies to break-glass roles, tried on records."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.commands.policy import TextFormat
from keytrail.cli.exits import ExitCode, finished
from keytrail.cli.output import make_folder, open_output
from keytrail.errors import OutputError, SourceError
from keytrail.phrases import count
from keytrail.text import for_json

if TYPE_CHECKING:
    from keytrail.service.guardrail import GuardrailResult


class FormChoice(StrEnum):
    """The values of `--form`."""

    SCP = "scp"
    RCP = "rcp"
    BOUNDARY = "boundary"
    EVENTBRIDGE = "eventbridge"
    CONFIG = "config"
    CLOUDFORMATION = "cloudformation"
    TERRAFORM = "terraform"


def guardrail(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE", help="Archives to try it on; default: the lake.", show_default=False),
    ] = None,
    break_glass: Annotated[
        list[str] | None,
        typer.Option(
            "--break-glass",
            metavar="ARN",
            help="A role that keeps the power, * for any account or path; repeatable. Default: [guardrail].",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        list[FormChoice] | None,
        typer.Option("--form", help="What to write; repeatable. Default: all that fit.", show_default=False),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="ARN",
            help="Only for this key, * for any Region or account; repeatable. Default: every key.",
            show_default=False,
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="GROUP",
            help="Leave out replicas, grants, sharing, takeover or boundary; repeatable.",
            show_default=False,
        ),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=3650, help="Days of records to try it on; default: [guardrail].", show_default=False
        ),
    ] = None,
    management_account: Annotated[
        str | None,
        typer.Option(
            "--management-account",
            metavar="ID",
            help="The organisation's management account, which these policies do not reach.",
            show_default=False,
        ),
    ] = None,
    org: options.Organisation = None,
    snapshots: options.Snapshots = None,
    accounts: options.AccountsFile = None,
    output_format: Annotated[TextFormat, typer.Option("--format", help="How to print it.")] = TextFormat.TEXT,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write the files into this folder.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    color: options.Colour = None,
    quiet: options.Quiet = False,
    jobs: options.Jobs = None,
    config: options.Config = None,
    profile: options.Profile = None,
    region: options.Region = None,
    role_arn: options.RoleArn = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Write the policies that deny changing key policies, and every other way to that power, to all but a few roles.

    It is tried on recorded events first: who would have been denied what. Nothing is changed in AWS. What would lock
    everybody out is refused.

    \b
    Examples:
      keytrail guardrail --break-glass 'arn:aws:iam::*:role/BreakGlass'
      keytrail guardrail --break-glass 'arn:aws:iam::*:role/BreakGlass' ./AWSLogs --days 90
      keytrail guardrail --break-glass 'arn:aws:iam::*:role/BreakGlass' --form scp --form rcp -o guardrail
      keytrail guardrail --break-glass 'arn:aws:iam::*:role/BreakGlass' --form scp --format json | jq .simulation
    """
    from keytrail.cli.progress import watching
    from keytrail.service.guardrail import GuardrailRequest, make_guardrail
    from keytrail.service.policy import account_id

    flags = options.source_flags(None, profile, region, role_arn, endpoint_url) | options.lake_flags(lake, state)
    flags |= options.investigation_flags(accounts, None, snapshots)
    settings = options.settings(config, flags | {"scan.jobs": jobs, "output.color": color})
    organisation, _ = options.trusted(org, None)
    request = GuardrailRequest(
        break_glass=tuple(break_glass or ()),
        forms=tuple(one.value for one in form or ()),
        without=tuple(without or ()),
        keys=tuple(key or ()),
        sources=tuple(sources or ()),
        days=days,
        organisation=organisation,
        management_account=account_id(management_account, "--management-account") if management_account else None,
        settings=settings,
    )
    problems = messages.Problems()
    try:
        with watching(wanted=not quiet and bool(sources)) as observe:
            found = make_guardrail(request, now=datetime.now(UTC), observe=observe, report=problems.add)
        if output is not None:
            _write(found, Path(output), force=force)
        _print(found, output_format, texts=output is None and bool(form))
    except SourceError as error:
        if error not in problems.unreached:
            raise
        raise typer.Exit(ExitCode.SOURCE) from error  # told below
    finally:
        problems.tell()
    if not quiet:
        for text in found.notes:
            messages.note(text)
        if output is None and not form and output_format is TextFormat.TEXT:
            messages.note("--output FOLDER writes the files; --form NAME shows the text of one")
        if output is not None:
            messages.note(f"wrote {count(sum(len(one.documents) for one in found.written), 'file')} to {output}")
    raise typer.Exit(finished(unreached=bool(problems.unreached), unreadable=bool(problems.unreadable)))


def _print(found: GuardrailResult, form: TextFormat, *, texts: bool) -> None:
    with open_output(None) as out:
        if form is TextFormat.JSON:
            from keytrail.cli.guardrail_json import guardrail_json

            out.write(for_json(guardrail_json(found)) + "\n")
        else:
            from keytrail.cli.guardrail_text import guardrail_text

            out.write(guardrail_text(found, texts=texts, colour=wanted(out)) + "\n")


def _write(found: GuardrailResult, folder: Path, *, force: bool) -> None:
    """Write the files of every form. None is written where one may not be."""
    documents = [document for one in found.written for document in one.documents]
    existing = [document.name for document in documents if (folder / document.name).exists()]
    if existing and not force:
        raise OutputError(
            f"{str(folder / existing[0])!r} exists already",
            advice="choose another folder, or add --force to replace it",
        )
    make_folder(folder)
    for document in documents:
        with open_output(str(folder / document.name), force=force) as out:
            out.write(document.text)
