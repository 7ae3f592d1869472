"""`keytrail rules enable|disable|snooze|import|export|log`: what people decide about rules, and how far each is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.exits import ExitCode
from keytrail.cli.facts import Facts
from keytrail.cli.output import Format, choose_format, open_output
from keytrail.cli.service_tools import author, opened, so_already, tell, write_rows
from keytrail.cli.table import Column
from keytrail.phrases import clock, count

if TYPE_CHECKING:
    from keytrail.service.installation import Installation
    from keytrail.service.rule_admin import Part
    from keytrail.store.state.rule_states import Execution

LOG_TABLE = (
    Column("clock", "FINISHED (UTC)", rigid=True),
    Column("rule", "RULE", share=14, middle=True),
    Column("status", "STATUS", rigid=True, styled=True),
    Column("searched", "RECORDS", rigid=True),
    Column("matched", "MATCHED", rigid=True),
    Column("created", "ALERTS", rigid=True),
    Column("others", "OTHERS", share=18),
    Column("took", "SECONDS", rigid=True),
    Column("message", "MESSAGE", share=20),
)
LOG_COLUMNS = (
    "rule_id", "kind", "status", "runs", "started_at", "finished_at", "seconds", "first", "end", "since", "until",
    "matched", "created", "duplicate", "excluded", "suppressed", "deferred", "message",
)  # fmt: skip
COVERAGE_TABLE = (
    Column("kind", "RECORDS WERE", rigid=True),
    Column("records", "HOW MANY", rigid=True),
    Column("first", "FROM", rigid=True),
    Column("end", "TO", rigid=True),
    Column("arrived", "ARRIVED (UTC)"),
)
COVERAGE_COLUMNS = ("rule_id", "kind", "first", "end", "since", "until")

_LINES = 50

RuleIds = Annotated[
    list[str], typer.Argument(metavar="ID", help="The rule's id, the start of it, or its name.", show_default=False)
]


def enable(
    ids: RuleIds,
    catch_up: Annotated[
        bool, typer.Option("--catch-up", help="Examine what arrived while it was disabled, too.")
    ] = False,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Enable rules, whatever their files say.

    A rule begins at its `from`; what arrived before, while it was disabled, is passed over and shown as such by
    `keytrail rules log ID --coverage`. With --catch-up it goes on where it was.

    \b
    Examples:
      keytrail rules enable f6a0b2c3 --catch-up
    """
    _decide(ids, enabled=True, catch_up=catch_up, user=user, opening=opened(config, lake, state))


def disable(
    ids: RuleIds,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Disable rules, whatever their files say.

    \b
    Examples:
      keytrail rules disable f6a0b2c3
    """
    _decide(ids, enabled=False, catch_up=False, user=user, opening=opened(config, lake, state))


def snooze(
    ids: RuleIds,
    length: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="How long: 30m, 4h, 7d, 2w.", show_default=False)
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Until when: RFC 3339 or a date.", show_default=False)
    ] = None,
    wake: Annotated[bool, typer.Option("--wake", help="No longer.")] = False,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Tell nobody of the alerts of rules for a time. They run, and their alerts are made.

    \b
    Examples:
      keytrail rules snooze f6a0b2c3 --for 4h
      keytrail rules snooze f6a0b2c3 --wake
    """
    from keytrail.errors import UsageError
    from keytrail.service.rule_admin import all_named, all_rules
    from keytrail.service.rule_admin import snooze as let_rest
    from keytrail.service.state import ends_at

    if wake and (length is not None or until is not None):
        raise UsageError("--wake excludes --for and --until")
    by = author(user)
    end = None if wake else ends_at(length, until, by.now)
    with opened(config, lake, state) as here, here.database.write() as connection:
        rules = all_rules(here.settings, connection).rules
        changed = let_rest(connection, all_named(rules, ids), end, by)
    words = "woken" if end is None else f"snoozed until {end:%Y-%m-%d %H:%M:%S} UTC"
    messages.note(f"{words}: {count(len(changed), 'rule')}")


def import_file(
    paths: Annotated[
        list[str], typer.Argument(metavar="FILE", help="Rules and exceptions: NDJSON or TOML.", show_default=False)
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what has the same id.")] = False,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Take over rules with their exceptions from an export of Kibana's or keytrail's.

    What is wrong or there already is told with its line, and the rest goes on; the exit code is then 2.

    \b
    Examples:
      keytrail rules import export.ndjson
      keytrail rules import export.ndjson --overwrite
    """
    from keytrail.service.rule_admin import import_rules

    by = author(user)
    with opened(config, lake, state) as here:
        done = import_rules(here.settings, here.database, paths, by, overwrite=overwrite)
    tell(done.errors, done.notes)
    told = ", ".join(
        count(number, noun)
        for number, noun in ((done.rules, "rule"), (done.lists, "exception list"), (done.items, "exception"))
        if number or noun == "rule"
    )
    messages.note(f"imported {told}" + (f"; {count(len(done.errors), 'error')}" if done.errors else ""))
    if done.errors:
        raise typer.Exit(ExitCode.USAGE)


def export(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Ids of rules; without, all that are not built in.", show_default=False),
    ] = None,
    output: options.OutputFile = None,
    force: options.Force = False,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Write rules with their exceptions as NDJSON that Kibana and `keytrail rules import` read.

    Rules are as they were decided: one that was disabled is written so.

    \b
    Examples:
      keytrail rules export -o rules.ndjson
      keytrail rules export f6a0b2c3-4d5e-4f7a-8b9c-0d1e2f3a4b5c
    """
    from keytrail.service.rule_admin import all_named, all_rules, export_rules

    with opened(config, lake, state) as here, here.database.read() as connection:
        rules = all_rules(here.settings, connection)
    chosen = [rule.rule_id for rule in all_named(rules.rules, ids or ())]
    with open_output(output, force=force) as out:
        out.write(export_rules(rules, chosen))


def log(
    rule: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Only this rule: its id, the start of it, or its name.", show_default=False),
    ] = None,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Which records the rule examined, and which it did not.")
    ] = False,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many lines, the latest ones.")] = _LINES,
    output_format: options.OutputFormat = None,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Show what rules did: each run, what it searched and found, and what went wrong; the latest first.

    \b
    Examples:
      keytrail rules log
      keytrail rules log f6a0b2c3 --limit 10
      keytrail rules log f6a0b2c3 --coverage
    """
    from keytrail.errors import UsageError
    from keytrail.service.rule_admin import all_rules, named
    from keytrail.service.rule_admin import coverage as coverage_of
    from keytrail.store.state.rule_states import executions_of, rule_states

    if coverage and rule is None:
        raise UsageError("--coverage is that of one rule: name it")
    form = choose_format(output_format, None, Format)
    with opened(config, lake, state, color) as here, here.database.read() as connection:
        names = {one.rule_id: one.name for one in rule_states(connection).values()}
        id = None
        if rule is not None:
            # A rule whose file is gone has a log, too.
            id = rule if rule in names else named(all_rules(here.settings, connection).rules, rule).rule_id
        if coverage:
            assert id is not None
            rows = [_coverage_facts(id, one) for one in coverage_of(connection, here.catalog, id)]
            table: Sequence[Column] = COVERAGE_TABLE
            columns: Sequence[str] = COVERAGE_COLUMNS
        else:
            rows = [_execution_facts(one, names) for one in executions_of(connection, id, limit)]
            table, columns = LOG_TABLE, LOG_COLUMNS
    with open_output(None) as out:
        documents = ({name: _json(name, row[name]) for name in columns} for row in rows)
        write_rows(form, out, rows, documents, table=table, columns=columns)


def _decide(
    ids: Sequence[str],
    *,
    enabled: bool,
    catch_up: bool,
    user: str | None,
    opening: AbstractContextManager[Installation],
) -> None:
    from keytrail.service.rule_admin import all_named, all_rules, decide

    by = author(user)
    with opening as here, here.database.write() as connection:
        rules = all_rules(here.settings, connection).rules
        chosen = all_named(rules, ids)
        changed = decide(connection, chosen, enabled=enabled, catch_up=catch_up, author=by)
    for rule in chosen:
        if enabled and not rule.supported:
            messages.warning(f"{rule.name} is not run: {rule.unsupported_reason}")
    messages.note(
        f"{'enabled' if enabled else 'disabled'}: {count(len(changed), 'rule')}{so_already(len(chosen) - len(changed))}"
    )


def _execution_facts(one: Execution, names: dict[str, str]) -> Facts:
    others = (
        ("duplicate", one.duplicate), ("excluded", one.excluded), ("suppressed", one.suppressed),
        ("deferred", one.deferred),
    )  # fmt: skip
    searched = "" if one.first is None or one.end is None else f"{one.end - one.first:,}"
    return {
        **{name: _text(getattr(one, name)) for name in LOG_COLUMNS},
        "clock": clock(one.finished_at),
        "rule": names.get(one.rule_id, one.rule_id),
        "searched": searched or "by time",
        "others": ", ".join(f"{number:,} {name}" for name, number in others if number),
        "took": f"{one.seconds:.2f}",
    }


def _coverage_facts(rule_id: str, part: Part) -> Facts:
    arrived = [clock(one) for one in (part.since, part.until) if one is not None]
    return {
        "rule_id": rule_id,
        "kind": part.kind,
        "records": f"{part.end - part.first:,}",
        "first": str(part.first),
        "end": str(part.end),
        "since": _text(part.since),
        "until": _text(part.until),
        "arrived": " to ".join(dict.fromkeys(arrived)),
    }


_NUMBERS = frozenset(
    {"runs", "seconds", "first", "end", "matched", "created", "duplicate", "excluded", "suppressed", "deferred"}
)


def _json(name: str, text: str) -> object:
    if not text and name not in ("message",):
        return None
    return (float(text) if "." in text or "e" in text else int(text)) if name in _NUMBERS else text


def _text(value: object) -> str:
    return "" if value is None else value.isoformat() if isinstance(value, datetime) else str(value)
