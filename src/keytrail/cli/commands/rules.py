"""`keytrail rules`: which rules there are, what one says, and whether rule files are valid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.exits import ExitCode
from keytrail.cli.output import Format, choose_format, open_output, write_csv, write_json, write_ndjson, write_table
from keytrail.cli.table import Column
from keytrail.errors import StoreError, UsageError
from keytrail.phrases import clock, count
from keytrail.text import for_json, for_terminal

if TYPE_CHECKING:
    from keytrail.rules import Rule, RuleSet
    from keytrail.service.rule_admin import RuleStanding
    from keytrail.settings import Settings

TABLE = (
    Column("severity", "SEVERITY", rigid=True, styled=True),
    Column("name", "NAME"),
    Column("rule_id", "ID"),
    Column("type", "TYPE"),
    Column("origin", "ORIGIN"),
    Column("state", "STATE"),
)
COLUMNS = ("severity", "risk_score", "name", "rule_id", "type", "origin", "state")
# Where there is a state of the service.
STANDING_TABLE = (*TABLE, Column("ran", "LAST RUN (UTC)", rigid=True), Column("behind", "BEHIND", rigid=True))
STANDING_COLUMNS = (
    *COLUMNS, "status", "message", "last_run", "behind", "failures", "decided_by", "decided_at", "snoozed_until",
)  # fmt: skip


class ShowFormat(StrEnum):
    """The values of `rules show --format`."""

    TEXT = "text"
    JSON = "json"


def list_rules(
    rules: options.Rules = None,
    no_builtin: options.NoBuiltin = False,
    output_format: options.OutputFormat = None,
    output: options.OutputFile = None,
    force: options.Force = False,
    color: options.Colour = None,
    config: options.Config = None,
) -> None:
    """List the rules, those that cannot run included, with the reason.

    Where `keytrail watch` keeps a state, its rules are listed, imported ones among them, with how far each is.

    \b
    Examples:
      keytrail rules list
      keytrail rules list --rules ./my-rules --no-builtin --format json | jq '.[].name'
    """
    settings = options.settings(config, {"output.color": color})
    form = choose_format(output_format, output, Format)
    found, known = _all(settings, rules, builtin=not no_builtin)
    ordered = sorted(found.rules, key=lambda rule: rule.name.casefold())
    if known is None:
        table: Sequence[Column] = TABLE
        columns: Sequence[str] = COLUMNS
        rows = [_facts(rule) for rule in ordered]
    else:
        table, columns = STANDING_TABLE, STANDING_COLUMNS
        rows = [_standing_facts(known[rule.rule_id], now=datetime.now(UTC)) for rule in ordered]
    with open_output(output, force=force) as out:
        if form is Format.TABLE:
            write_table(rows, table, out, colour=wanted(out))
        elif form is Format.CSV:
            write_csv(rows, columns, out)
        else:
            (write_json if form is Format.JSON else write_ndjson)(
                (for_json({column: row[column] for column in columns}) for row in rows), out
            )
    _tell(found.errors, found.notes)
    if found.errors:
        raise typer.Exit(ExitCode.USAGE)


def show(
    rule_id: Annotated[str, typer.Argument(metavar="ID", help="The rule's id, the start of it, or its name.")],
    rules: options.Rules = None,
    no_builtin: options.NoBuiltin = False,
    output_format: Annotated[ShowFormat, typer.Option("--format", help="How to print it.")] = ShowFormat.TEXT,
    color: options.Colour = None,
    config: options.Config = None,
) -> None:
    """Show one rule in full: what it looks for, why, and how to investigate an alert.

    \b
    Examples:
      keytrail rules show f6a0b2c3-4d5e-4f7a-8b9c-0d1e2f3a4b5c
      keytrail rules show f6a0b2c3 --format json
    """
    from keytrail.cli.rule_text import rule_text
    from keytrail.service.rules import load_rules

    options.settings(config, {"output.color": color})
    found = load_rules(tuple(rules or ()), builtin=not no_builtin)
    try:
        rule = _pick(found.rules, rule_id)
    except UsageError:
        # The rule may be missing because its file is broken.
        _tell(found.errors, ())
        raise
    with open_output(None) as out:
        if output_format is ShowFormat.JSON:
            out.write(for_json(rule.to_dict()) + "\n")
        else:
            out.write(rule_text(rule, state=_state(rule), origin=_origin(rule), colour=wanted(out)) + "\n")


def validate(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Rule files (TOML, NDJSON) or folders of them.")],
) -> None:
    """Check rule files and print every problem as file:line: what.

    Rules of a type that keytrail does not run yet are valid; they are counted and named.

    \b
    Examples:
      keytrail rules validate ./my-rules
      keytrail rules validate export.ndjson rule.toml
    """
    from keytrail.service.rules import load_rules

    found = load_rules(tuple(paths), builtin=False)
    with open_output(None) as out:
        for error in found.errors:
            where = f"{error.place}: " if error.place else ""
            first, *rest = f"{where}{error.what}".split("\n") + [line for line in error.advice.split("\n") if line]
            out.write(for_terminal(first) + "\n")
            out.writelines(f"  {for_terminal(line, lines=True)}\n" for line in rest)
        for rule in found.rules:
            if not rule.supported:
                out.write(for_terminal(f"{rule.origin}: not run: {rule.unsupported_reason}") + "\n")
    _tell((), found.notes)
    idle = sum(not rule.supported for rule in found.rules)
    unused = f" ({idle:,} of them not run)" if idle else ""
    problems = f", {count(len(found.errors), 'problem')}" if found.errors else ""
    messages.plain(f"{count(len(found.rules), 'valid rule')}{unused}{problems}")
    if found.errors:
        raise typer.Exit(ExitCode.USAGE)
    if not found.rules:
        raise UsageError("no rules found", advice="rule files end in .toml or .ndjson")


def _all(
    settings: Settings, paths: Sequence[str] | None, *, builtin: bool
) -> tuple[RuleSet, Mapping[str, RuleStanding] | None]:
    """The rules, and where each is, by id: None where there is no state of the service."""
    from keytrail.service.rules import load_rules

    if not settings.state.url and not settings.lake.folder.is_dir():
        return load_rules(tuple(paths or ()), builtin=builtin), None
    from keytrail.service.installation import installation
    from keytrail.service.rule_admin import all_rules, standings

    try:
        with installation(settings) as here, here.database.read() as connection:
            named = None if paths is None else tuple(paths)
            found = all_rules(settings, connection, paths=named, builtin=builtin and settings.watch.builtin)
            listed = standings(connection, found.rules, here.catalog.head())
    except StoreError as error:
        messages.warning(f"{error.what}: the rules of files are listed, and nothing is known of their runs")
        return load_rules(tuple(paths or ()), builtin=builtin), None
    return found, {one.rule.rule_id: one for one in listed}


def _standing_facts(standing: RuleStanding, *, now: datetime) -> dict[str, str]:
    rule, state, choice, decided = standing.rule, standing.state, standing.choice, standing.decided
    facts = _facts(rule)
    words = facts["state"]
    if state is not None and rule.enabled and rule.supported:
        words = "has not run" if state.status == "new" else words
        words = f"{state.status}: {state.message}" if state.status in ("failed", "warning") else words
    elif not rule.enabled and decided is not None and choice.enabled is False:
        words = f"disabled by {decided.who}"
    if choice.snoozed_until is not None and choice.snoozed_until > now:
        words += f", snoozed until {clock(choice.snoozed_until)}"
    ran = None if state is None else state.last_run
    return facts | {
        "state": words,
        "status": "" if state is None else state.status,
        "message": "" if state is None else state.message,
        "last_run": "" if ran is None else ran.isoformat(),
        "ran": "" if ran is None else clock(ran),
        "behind": "" if state is None else str(standing.behind),
        "failures": "" if state is None else str(state.failures),
        "decided_by": "" if decided is None else decided.who,
        "decided_at": "" if decided is None else decided.at.isoformat(),
        "snoozed_until": "" if choice.snoozed_until is None else choice.snoozed_until.isoformat(),
    }


def _facts(rule: Rule) -> dict[str, str]:
    return {
        "severity": rule.severity,
        "risk_score": str(rule.risk_score),
        "name": rule.name,
        "rule_id": rule.rule_id,
        "type": rule.type,
        "origin": _origin(rule),
        "state": _state(rule),
    }


def _origin(rule: Rule) -> str:
    return "built-in" if rule.immutable else rule.origin.file


def _state(rule: Rule) -> str:
    if not rule.supported:
        return f"not run: {rule.unsupported_reason}"
    return "runs" if rule.enabled else "disabled"


def _pick(rules: Iterable[Rule], wanted_id: str) -> Rule:
    known = list(rules)
    exact = [rule for rule in known if wanted_id in (rule.rule_id, rule.name)]
    found = exact or [rule for rule in known if rule.rule_id.startswith(wanted_id)]
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(rule.rule_id for rule in found[:5])
        raise UsageError(f"{wanted_id!r} is the start of {count(len(found), 'rule id')}", advice=f"such as {some}")
    raise UsageError(f"no rule {wanted_id!r}", advice="see `keytrail rules list`, with the same --rules")


def _tell(errors: Iterable[UsageError], notes: Iterable[str]) -> None:
    for error in errors:
        messages.error(error)
    for text in notes:
        messages.note(text)
