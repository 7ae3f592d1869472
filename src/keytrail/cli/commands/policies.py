"""`keytrail policies`: the policies of all keys read and kept, shown, compared, written as files, vouched for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.commands.policy import Form, TextFormat
from keytrail.cli.exits import PolicyExit, finished
from keytrail.cli.output import Format, choose_format, open_output
from keytrail.cli.policies_text import KEY_COLUMNS, KEY_TABLE, key_facts, key_page, progress_line, summary_text
from keytrail.cli.service_tools import opened, write_rows
from keytrail.errors import UsageError
from keytrail.names import short_digest
from keytrail.phrases import count, joined
from keytrail.text import for_json

Key = Annotated[
    str,
    typer.Argument(
        metavar="KEY", help="The key: its ARN, id, an alias, or the beginning of one of these.", show_default=False
    ),
]
Version = Annotated[
    str | None,
    typer.Option(
        "--version", metavar="DIGEST", help="A version of the policy: 4 digits or more of it.", show_default=False
    ),
]


def snapshot(
    account: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Look at the keys of this account; repeatable.", show_default=False),
    ] = None,
    organisation: Annotated[
        bool | None, typer.Option("--organisation", help="Every account of the organisation.", show_default=False)
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="REGION", help="Look in this Region; repeatable. Default: all that are enabled."),
    ] = None,
    role_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The role to assume in the accounts but the own.", show_default=False),
    ] = None,
    external_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The external id to give with it.", show_default=False)
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write the policies as files, too.", show_default=False),
    ] = None,
    quiet: options.Quiet = False,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
    profile: options.Profile = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Read the policies, grants, aliases, tags and state of every customer managed key, and keep what is new.

    What cannot be read is told and stops nothing else: exit code 4 for accounts and Regions, 3 for keys.

    \b
    Examples:
      keytrail policies snapshot
      keytrail policies snapshot --account 111122223333 --account 444455556666 --role-name keytrail-reader
      keytrail policies snapshot --organisation --role-name keytrail-reader --region eu-west-1 -o ./key-policies
    """
    from keytrail.cli.progress import drawing
    from keytrail.service.installation import installation
    from keytrail.service.policy_snapshots import snapshot_request, take_snapshot

    flags = {
        "output.color": color,
        "policies.accounts": tuple(account) if account else None,
        "policies.organisation": organisation,
        "policies.regions": tuple(region) if region else None,
        "policies.role_name": role_name,
        "policies.external_id": external_id,
        "policies.folder": output,
    }
    aws = options.source_flags(None, profile, None, None, endpoint_url)
    settings = options.settings(config, flags | aws | options.lake_flags(lake, state))
    problems = messages.Problems()
    try:
        with installation(settings, set_up=True) as here, drawing(wanted=not quiet) as draw:
            done = take_snapshot(
                here.database,
                snapshot_request(settings),
                clock=lambda: datetime.now(UTC),
                observe=None
                if draw is None
                else lambda one: draw(one.accounts_done, one.accounts_total, progress_line(one)),
                report=problems.add,
            )
    finally:
        problems.tell()
    if not quiet:
        messages.plain(summary_text(done))
        for text in done.notes:
            messages.note(text)
    raise typer.Exit(finished(unreached=done.unreached > 0, unreadable=problems.unreadable > 0))


def list_policies(
    account: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only keys of this account; repeatable.", show_default=False)
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="REGION", help="Only keys in this Region; repeatable.", show_default=False),
    ] = None,
    not_good: Annotated[
        bool, typer.Option("--not-good", help="Only keys that AWS has and whose policy is not marked good.")
    ] = False,
    output_format: options.OutputFormat = None,
    output: options.OutputFile = None,
    force: options.Force = False,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """List the keys as they were found last: alias, account, Region, state, policy, since when, grants.

    A policy in brackets is the last one known of a key whose policy could not be read the last time.

    \b
    Examples:
      keytrail policies list
      keytrail policies list --account 111122223333 --not-good
      keytrail policies list --format csv -o keys.csv
    """
    from keytrail.service.policies import list_keys

    form = choose_format(output_format, output, Format)
    with opened(config, lake, state, color) as here, here.database.read() as connection:
        rows = list_keys(connection, accounts=account or (), regions=region or (), not_good=not_good)
    if not rows and not (account or region or not_good):
        messages.note("no key is known yet: `keytrail policies snapshot` reads the keys of accounts")
    with open_output(output, force=force) as out:
        documents = (row.to_dict() for row in rows)
        write_rows(form, out, map(key_facts, rows), documents, table=KEY_TABLE, columns=KEY_COLUMNS)


def show(
    key: Key,
    version: Version = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The version at this time: RFC 3339, a date, or an age.", show_default=False),
    ] = None,
    policy_only: Annotated[bool, typer.Option("--policy", help="Print the policy document alone.")] = False,
    output_format: Form = TextFormat.TEXT,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Show one key with its versions, and the policy of the last one or of another.

    \b
    Examples:
      keytrail policies show alias/orders
      keytrail policies show 1234abcd --at 2026-03-01T08:00:00Z
      keytrail policies show alias/orders --version 3f2a09c1 --policy > before.json
    """
    from keytrail.service.policies import show_key
    from keytrail.service.policy_export import pretty
    from keytrail.service.times import parse_time

    if version is not None and at is not None:
        raise UsageError(
            "--version and --at exclude each other", advice="A version by its digest, or that of a time: name one."
        )
    moment = None if at is None else parse_time(at, datetime.now(UTC), name="--at")
    with opened(config, lake, state, color) as here, here.database.read() as connection:
        shown = show_key(connection, key, version=version, at=moment)
    if policy_only and shown.text is None:
        raise UsageError("no policy of the key could be read yet", advice="`keytrail policies snapshot` reads it.")
    with open_output(None) as out:
        if policy_only and shown.text is not None:
            out.write(pretty(shown.text))
        elif output_format is TextFormat.JSON:
            out.write(for_json(shown.to_dict()) + "\n")
        else:
            out.write(key_page(shown, colour=wanted(out)) + "\n")
    if policy_only:
        for text in shown.notes:
            messages.note(text)


def diff(
    key: Key,
    before: Annotated[
        str | None,
        typer.Argument(metavar="BEFORE", help="A version; without any the last but one.", show_default=False),
    ] = None,
    after: Annotated[
        str | None, typer.Argument(metavar="AFTER", help="A version; without it the last one.", show_default=False)
    ] = None,
    org: options.Organisation = None,
    trust: options.Trust = None,
    accounts: options.AccountsFile = None,
    statements: Annotated[
        bool, typer.Option("--statements/--no-statements", help="Show the difference of the statements' JSON.")
    ] = True,
    output_format: Form = TextFormat.TEXT,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Prove what the change from one version of a key's policy to another grants, as `keytrail policy diff` does.

    Exit code 0: proved that nobody gained access. 1: somebody did. 3: not proved.

    \b
    Examples:
      keytrail policies diff alias/orders
      keytrail policies diff alias/orders 3f2a09c1
      keytrail policies diff alias/orders 3f2a09c1 77d01b2e --format json
    """
    from keytrail.cli.policy_text import diff_text
    from keytrail.service.accounts import trust as trust_of
    from keytrail.service.installation import installation
    from keytrail.service.policies import diff_versions

    organisation, trusted = options.trusted(org, trust)
    flags = {"output.color": color, "accounts.file": accounts} | options.lake_flags(lake, state)
    settings = options.settings(config, flags)
    known = trust_of(settings, organisation=organisation, trusted=trusted)
    with installation(settings) as here, here.database.read() as connection:
        found = diff_versions(connection, key, before, after, accounts=known, now=datetime.now(UTC))
    with open_output(None) as out:
        if output_format is TextFormat.JSON:
            out.write(for_json(found.to_dict()) + "\n")
        else:
            out.write(diff_text(found, colour=wanted(out), statements=statements) + "\n")
    raise typer.Exit(PolicyExit.of(found.answer))


def export(
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Where to; default: [policies] folder.", show_default=False
        ),
    ] = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Write the last known policy of every key as a file, in a folder fit for git.

    Only files whose content changed are written. `--snapshots` of scan and investigate reads the folder.

    \b
    Examples:
      keytrail policies export -o ./key-policies
      keytrail policies export -o . && git add -A && git commit -m "Key policies"
    """
    from keytrail.service.policy_export import export_policies

    with opened(config, lake, state) as here, here.database.read() as connection:
        folder = Path(output) if output else here.settings.policies.folder
        if folder is None:
            raise UsageError("no folder is named", advice="Name one: --output FOLDER, or folder in [policies].")
        done = export_policies(connection, folder)
    messages.note(f"{count(done.policies, 'policy')} in {folder}: {count(done.written, 'file')} changed")


def mark_good(
    key: Key,
    version: Version = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why, for others to read.", show_default=False)] = "",
    unmark: Annotated[bool, typer.Option("--unmark", help="Take the mark away.")] = False,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Say that a version of a key's policy is known to be good: the last one, unless another is named.

    `keytrail respond` restores to the version that was marked last.

    \b
    Examples:
      keytrail policies mark-good alias/orders --note "Reviewed, CHG-4711"
      keytrail policies mark-good alias/orders --version 3f2a09c1 --unmark
    """
    from keytrail.service.policies import mark_version
    from keytrail.service.state import who_works

    who = who_works(user)
    if unmark and note:
        raise UsageError("--unmark takes no --note", advice="The audit log keeps who took a mark away, and when.")
    with opened(config, lake, state) as here, here.database.write() as connection:
        done = mark_version(connection, key, version, who=who, note=note, now=datetime.now(UTC), good=not unmark)
    named = f"version {short_digest(done.digest)} of {done.row.snapshot.key_arn}"
    if unmark and done.changed:
        messages.note(f"{named} is not marked good any more")
    elif unmark:
        marked = joined([short_digest(one.digest) for one in done.row.good])
        messages.note(
            f"{named} was not marked good" + (f"; marked is {marked}: name one with --version" if marked else "")
        )
    else:
        messages.note(f"{named} is marked good" + ("" if done.changed else "; it was so already"))
