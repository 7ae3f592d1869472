"""`keytrail respond`: what can be done about an alert, proved; and doing it, once somebody says so."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.exits import RespondExit
from keytrail.cli.output import open_output
from keytrail.errors import KeytrailError, UsageError
from keytrail.phrases import count
from keytrail.text import for_json, for_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keytrail.respond.apply import Applied, Step
    from keytrail.respond.model import Plan
    from keytrail.service.applying import ApplyRequest
    from keytrail.service.installation import Installation
    from keytrail.service.respond import RespondRequest
    from keytrail.settings import Settings


_BEGUN = "what was begun is in the log; apply the plan again: what is done already is left alone"


class PlanKind(StrEnum):
    """The values of `--plan`."""

    RESTORE = "restore"
    REMOVE = "remove"
    RECONDITION = "recondition"
    REVOKE_GRANTS = "revoke-grants"
    DISABLE_KEY = "disable-key"
    QUARANTINE = "quarantine"
    REVOKE_SESSIONS = "revoke-sessions"


class RespondFormat(StrEnum):
    """The values of `--format`."""

    TEXT = "text"
    JSON = "json"


def respond(
    alert: Annotated[
        str,
        typer.Argument(
            metavar="ALERT",
            help="The id of an alert of the service, its first 8 characters or more, or the id of its event; or a JSON "
            "file with an alert or its investigation, - for stdin.",
            show_default=False,
        ),
    ],
    kinds: Annotated[
        list[PlanKind] | None,
        typer.Option("--plan", help="Only plans of this kind; repeatable.", show_default=False),
    ] = None,
    apply: Annotated[
        list[str] | None,
        typer.Option(
            "--apply",
            metavar="PLAN_ID",
            help="Apply the plan with this id, which was shown for the alert; repeatable, in this order.",
            show_default=False,
        ),
    ] = None,
    accept_open: Annotated[
        bool, typer.Option("--accept-open", help="Apply also a plan that claims what could not be proved.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before applying.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands of the AWS CLI that do the same, and change nothing.")
    ] = False,
    iam_policy: Annotated[
        bool, typer.Option("--iam-policy", help="Print the least IAM policy that the plans need, and change nothing.")
    ] = False,
    no_live: Annotated[
        bool, typer.Option("--no-live", help="Do not ask AWS: plans rest on records, and may be stale.")
    ] = False,
    source: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Records to use instead of the lake's; repeatable.", show_default=False),
    ] = None,
    org: options.Organisation = None,
    trust: options.Trust = None,
    accounts: options.AccountsFile = None,
    output_format: Annotated[
        RespondFormat | None,
        typer.Option("--format", help="Default: text on a terminal, json in a pipe.", show_default=False),
    ] = None,
    user: options.As = None,
    color: options.Colour = None,
    quiet: options.Quiet = False,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
    profile: options.Profile = None,
    region: options.Region = None,
    role_arn: Annotated[
        str | None,
        typer.Option(
            "--role-arn",
            metavar="ARN",
            help="AWS role to assume, instead of [respond] role_name in the account of the key.",
            show_default=False,
        ),
    ] = None,
    endpoint_url: Annotated[
        str | None,
        typer.Option(
            "--endpoint-url", metavar="URL", help="Another server that speaks as AWS does.", show_default=False
        ),
    ] = None,
) -> None:
    """Show what can be done about an alert on a key policy, with proofs; and do it with --apply.

    Nothing is changed in AWS without --apply and the id of a plan that was shown. The key's policy is read again first,
    and a plan for another version is refused. The lock-out check of KMS is never bypassed.

    \b
    Examples:
      keytrail respond 3c6ac8f2
      keytrail respond 3c6ac8f2 --plan restore --dry-run
      keytrail respond 3c6ac8f2 --apply 1f0c44d2a9b3
      keytrail respond alert.json --source ./AWSLogs --no-live
    """
    from keytrail.service.applying import ApplyRequest
    from keytrail.service.respond import RespondRequest, respond_home
    from keytrail.service.state import who_works

    if dry_run and iam_policy:
        raise UsageError("--dry-run and --iam-policy exclude each other", advice="Ask for one after the other.")
    if apply and kinds:
        raise UsageError("--plan and --apply exclude each other", advice="--apply names the plans by their ids")
    if not apply and (accept_open or yes):
        raise UsageError(
            f"{'--accept-open' if accept_open else '--yes'} needs --apply", advice="name a plan that was shown"
        )
    flags = options.source_flags(None, profile, region, role_arn, endpoint_url)
    flags |= options.lake_flags(lake, state) | options.investigation_flags(accounts, None, None)
    settings = options.settings(config, flags | {"output.color": color})
    organisation, trusted = options.trusted(org, trust)
    request = RespondRequest(
        alert=alert,
        live=not no_live,
        sources=tuple(source or ()),
        kinds=tuple(one.value for one in kinds or ()),
        role_arn=role_arn or "",
        organisation=organisation,
        trusted=trusted,
        settings=settings,
    )
    form = output_format or (RespondFormat.TEXT if sys.stdout.isatty() else RespondFormat.JSON)
    who = who_works(user)
    with respond_home(settings, alert) as home:
        if not apply:
            _show(home, request, form, who, dry_run=dry_run, iam_policy=iam_policy, quiet=quiet)
            return
        asked = ApplyRequest(tuple(apply), request, accept_open=accept_open or dry_run or iam_policy)
        _apply(home, asked, form, who, dry_run=dry_run, iam_policy=iam_policy, yes=yes, quiet=quiet)


def _show(
    home: Installation,
    request: RespondRequest,
    form: RespondFormat,
    who: str,
    *,
    dry_run: bool,
    iam_policy: bool,
    quiet: bool,
) -> None:
    from keytrail.cli.progress import watching
    from keytrail.cli.respond_text import proposed_text
    from keytrail.service.respond import propose_plans, proposed_json

    problems = messages.Problems()
    try:
        with watching(wanted=not quiet and bool(request.sources)) as observe:
            found = propose_plans(home, request, who=who, now=datetime.now(UTC), observe=observe, report=problems.add)
    finally:
        problems.tell()
    key_arn = found.subject.key.arn
    if dry_run or iam_policy:
        for note in found.notes:
            messages.note(note)
        _print_instead(found.proposal.plans, key_arn, request.settings, dry_run=dry_run)
        return
    with open_output(None) as out:
        if form is RespondFormat.JSON:
            out.write(for_json(proposed_json(found)) + "\n")
        else:
            out.write(proposed_text(found, given=request.alert, colour=wanted(out)))


def _print_instead(plans: Sequence[Plan], key_arn: str, settings: Settings, *, dry_run: bool) -> None:
    """The commands of plans, or what they need, instead of showing or applying them."""
    from keytrail.respond.aws_cli import script
    from keytrail.respond.least import least_policies

    for plan in plans:
        if not plan.sound:
            messages.note(f"left out: plan {plan.id} ({plan.kind}), which is never applied: a claim of it is refuted")
    plans = [plan for plan in plans if plan.sound]
    with open_output(None) as out:
        if dry_run:
            if not plans:
                messages.note("there is no plan that can be applied, and so no command")
            if len(plans) > 1:
                out.write("# Each part is a plan of its own: choose, and do not run all of them.\n\n")
            out.write("\n".join(script(plan) for plan in plans))
            return
        policies = least_policies(plans, key_arn)
        account, document = next(iter(policies.items()))
        out.write(json.dumps(document if len(policies) == 1 else policies, indent=2) + "\n")
    if settings.respond.role_name:
        messages.note(
            f"for the role {settings.respond.role_name} in that account; who assumes it needs sts:AssumeRole on it"
        )
    if len(policies) > 1:
        messages.note("by account: each document is for the identity that is used there")
    else:
        messages.note(f"for the identity that is used in account {account}")


def _apply(
    home: Installation,
    asked: ApplyRequest,
    form: RespondFormat,
    who: str,
    *,
    dry_run: bool,
    iam_policy: bool,
    yes: bool,
    quiet: bool,
) -> None:
    from keytrail.cli.respond_text import step_line
    from keytrail.service.applying import apply_plans, plans_to_apply

    plans = plans_to_apply(home, asked, datetime.now(UTC))
    if dry_run or iam_policy:
        _print_instead(plans, plans[0].key_arn, asked.respond.settings, dry_run=dry_run)
        return
    if not yes:
        _confirm(plans)

    begun: list[Step] = []

    def tell(plan: Plan, step: Step) -> None:
        if step.state == "begun":
            begun.append(step)
        if not quiet:
            messages.plain(step_line(plan, step))

    results: list[Applied] = []
    try:
        for one in apply_plans(home, asked, plans, who=who, on_step=tell):
            results.append(one)
    except KeytrailError as error:
        # What was applied before it is told first: it stays applied.
        error.advice = "\n".join(part for part in (error.advice, _left(plans, results)) if part)
        _write(results, form)
        if begun:
            messages.error(error)
            messages.note(_BEGUN)
            raise typer.Exit(RespondExit.NOT_DONE) from error
        raise
    except KeyboardInterrupt:
        _write(results, form)
        if begun:
            messages.note(_BEGUN)
        raise
    _write(results, form)
    if len(results) < len(plans):
        messages.note(_left(plans, results))
    raise typer.Exit(RespondExit.DONE if all(one.well for one in results) else RespondExit.NOT_DONE)


def _write(results: Sequence[Applied], form: RespondFormat) -> None:
    from keytrail.cli.respond_text import applied_text
    from keytrail.service.applying import applied_json

    if not results:
        return
    with open_output(None) as out:
        if form is RespondFormat.JSON:
            out.write(for_json([applied_json(one) for one in results]) + "\n")
        else:
            out.write("".join(applied_text(one, colour=wanted(out)) for one in results))


def _left(plans: Sequence[Plan], results: Sequence[Applied]) -> str:
    left = [one.id for one in plans[len(results) :]]
    return f"not begun: {count(len(left), 'plan')} ({', '.join(left)})" if left and results else ""


def _confirm(plans: Sequence[Plan]) -> None:
    """Ask on the terminal. Raises UsageError where there is none, and when the answer is no."""
    from keytrail.cli.respond_text import plan_lines

    if not sys.stdin.isatty():
        raise UsageError("stdin is no terminal, so nobody can be asked", advice="Add --yes to apply without asking.")
    for plan in plans:
        messages.plain("\n".join(plan_lines(plan, colour=wanted(sys.stderr))))
    keys = ", ".join(sorted({for_terminal(call.resource) for plan in plans for call in plan.calls}))
    try:
        sure = typer.confirm(f"Change {keys} now?", err=True)
    except typer.Abort:  # the end of the input, or Ctrl-C
        sure = False
    if not sure:
        raise UsageError("not confirmed: nothing was changed")
