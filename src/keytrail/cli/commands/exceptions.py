"""`keytrail exceptions`: which events are to raise no alerts, and the value lists that say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.exception_text import (
    ITEM_COLUMNS,
    ITEM_TABLE,
    LIST_COLUMNS,
    LIST_TABLE,
    item_facts,
    item_page,
    list_facts,
)
from keytrail.cli.output import Format, choose_format, open_output
from keytrail.cli.service_tools import author, opened, write_rows
from keytrail.cli.table import Column
from keytrail.errors import UsageError
from keytrail.phrases import count
from keytrail.text import for_json, for_terminal, shorten

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from keytrail.rules import Entry, ExceptionItem, Rule
    from keytrail.service.exceptions import Author
    from keytrail.service.installation import Installation
    from keytrail.store.state.alerts import StoredAlert


class Operator(StrEnum):
    """The values of `--operator`."""

    IS = "is"
    IS_NOT = "is_not"
    ONE_OF = "one_of"
    NONE_OF = "none_of"
    EXISTS = "exists"
    NOT_EXISTS = "not_exists"
    MATCHES = "matches"
    NOT_MATCHES = "not_matches"
    IN_LIST = "in_list"
    NOT_IN_LIST = "not_in_list"


class ShowFormat(StrEnum):
    """The values of `exceptions show --format`."""

    TEXT = "text"
    JSON = "json"


ItemIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of exceptions.", show_default=False)]
Fields = Annotated[
    list[str] | None,
    typer.Option("--field", metavar="FIELD", help="Field of the event; several are all to hold.", show_default=False),
]
Operators = Annotated[
    list[Operator] | None,
    typer.Option("--operator", help="What is asked of the field; one for all, or one for each. Default: is."),
]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--value",
        metavar="TEXT",
        help="One field takes all values (one of them); each of several fields takes one, in their order.",
        show_default=False,
    ),
]
Expires = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="The last day (UTC), how long from today (90d), or a time.", show_default=False),
]
Comment = Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept with the exception.", show_default=False)]


def list_exceptions(
    rule: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only those that count for the rule of this id.", show_default=False),
    ] = None,
    list_id: Annotated[
        str | None, typer.Option("--list", metavar="ID", help="Only those of this list.", show_default=False)
    ] = None,
    lists: Annotated[bool, typer.Option("--lists", help="The lists instead of what is in them.")] = False,
    output_format: options.OutputFormat = None,
    output: options.OutputFile = None,
    force: options.Force = False,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """List exceptions: events that raise no alerts.

    \b
    Examples:
      keytrail exceptions list
      keytrail exceptions list --rule f6a0b2c3
      keytrail exceptions list --lists
    """
    from keytrail.service.exceptions import in_words, lists_of
    from keytrail.service.rule_admin import all_rules, named

    form = choose_format(output_format, output, Format)
    now = datetime.now(UTC)
    with opened(config, lake, state, color) as here, here.database.read() as connection:
        rules = all_rules(here.settings, connection)
    items = rules.exception_items
    if rule is not None:
        keys = lists_of(named(rules.rules, rule))
        items = tuple(one for one in items if one.list_key in keys)
    if list_id is not None:
        items = tuple(one for one in items if one.list_id == list_id)
    table: Sequence[Column] = LIST_TABLE if lists else ITEM_TABLE
    columns: Sequence[str] = LIST_COLUMNS if lists else ITEM_COLUMNS
    if lists:
        rows = [
            list_facts(
                one,
                sum(item.list_key == one.key for item in items),
                [rule.name for rule in rules.rules if one.key in lists_of(rule)],
            )
            for one in rules.exception_lists
        ]
        documents = [one.to_dict() for one in rules.exception_lists]
    else:
        rows = [item_facts(one, in_words(one), now) for one in items]
        documents = [one.to_dict() for one in items]
    with open_output(output, force=force) as out:
        write_rows(form, out, rows, documents, table=table, columns=columns)


def show(
    item_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the exception.", show_default=False)],
    output_format: Annotated[ShowFormat, typer.Option("--format", help="How to print it.")] = ShowFormat.TEXT,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Show one exception.

    \b
    Examples:
      keytrail exceptions show 0c1d2e3f-0000-4000-8000-000000000000 --format json
    """
    from keytrail.service.exceptions import find_item, in_words

    with opened(config, lake, state, color) as here, here.database.read() as connection:
        item = find_item(connection, item_id)
    with open_output(None) as out:
        if output_format is ShowFormat.JSON:
            out.write(for_json(item.to_dict()) + "\n")
        else:
            out.write(item_page(item, in_words(item), datetime.now(UTC), colour=wanted(out)) + "\n")


def add(
    rule: Annotated[
        str | None,
        typer.Argument(metavar="RULE_ID", help="The rule: its id, the start of it, or its name.", show_default=False),
    ] = None,
    list_id: Annotated[
        str | None,
        typer.Option("--list", metavar="ID", help="A list that rules share, instead of a rule.", show_default=False),
    ] = None,
    field: Fields = None,
    operator: Operators = None,
    value: Values = None,
    name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What to call it. Default: what it excepts.", show_default=False)
    ] = None,
    comment: Comment = None,
    expires: Expires = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Add nothing; print the alerts that there would not have been.")
    ] = False,
    user: options.As = None,
    output_format: options.OutputFormat = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Add an exception to a rule: events in which all fields are so raise no alert of it from now on.

    Alerts that there are stay. See with --dry-run which of them it would have kept from being made.

    \b
    Examples:
      keytrail exceptions add f6a0b2c3 --field user.name --value deployer --expires 90d --dry-run
      keytrail exceptions add f6a0b2c3 --field user.name --value deployer --field cloud.region --value eu-west-1
      keytrail exceptions add f6a0b2c3 --field source.ip --operator in_list --value offices --comment "our offices"
      keytrail exceptions add --list shared --field user.name --value ada --value grace
    """
    import uuid

    from keytrail.errors import Place
    from keytrail.rules import ExceptionItem
    from keytrail.service.exceptions import add_item, default_list, find_list, in_words, problems
    from keytrail.service.rule_admin import all_rules, named

    if (rule is None) is (list_id is None):
        raise UsageError(
            "say for what: a rule, or --list with the id of a list"
            if rule is None
            else "a rule and --list exclude each other"
        )
    by = author(user)
    with opened(config, lake, state) as here:
        with here.database.read() as connection:
            entries = _entries(connection, field, operator, value)
            rules = all_rules(here.settings, connection).rules
            chosen = None if rule is None else named(rules, rule)
            if chosen is not None:
                key = default_list(chosen)
            else:
                assert list_id is not None
                key = find_list(connection, list_id).key
        item = ExceptionItem(
            item_id=str(uuid.uuid4()),
            list_id=key[0],
            namespace_type=key[1],
            name=name or "",
            entries=entries,
            origin=Place("the command line"),
            expire_time=_end(expires, by.now),
            comments=_comments(comment, by),
        )
        item = replace(item, name=item.name or for_terminal(shorten(in_words(item), 200)))
        affected = [chosen] if chosen is not None else [one for one in rules if item.list_key in _keys(one)]
        if dry_run:
            _print_excluded(here, item, affected, by.now, output_format)
            return
        with here.database.write() as connection:
            add_item(connection, item, by, chosen)
            warnings = problems(connection, item, by.now)
        _warn(warnings)
        excluded = _number_excluded(here, item, affected, by.now) if not warnings else 0
    with open_output(None) as out:
        out.write(f"{item.item_id}\n")
    told = f"; {count(excluded, 'stored alert')} would not have been made" if excluded else ""
    messages.note(f"added: no alert where {in_words(item)}{told}")


def edit(
    item_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the exception.", show_default=False)],
    field: Fields = None,
    operator: Operators = None,
    value: Values = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Another name.", show_default=False)] = None,
    comment: Comment = None,
    expires: Expires = None,
    no_expiry: Annotated[bool, typer.Option("--no-expiry", help="It holds until it is removed.")] = False,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Change an exception: what it excepts (whole), its name, its end; a comment is added to those it has.

    \b
    Examples:
      keytrail exceptions edit 0c1d2e3f-0000-4000-8000-000000000000 --expires 30d --comment "renewed"
    """
    from keytrail.service.exceptions import find_item, in_words, problems, put_item

    if expires is not None and no_expiry:
        raise UsageError("--expires and --no-expiry exclude each other")
    by = author(user)
    with opened(config, lake, state) as here, here.database.write() as connection:
        item = find_item(connection, item_id)
        if field:
            item = replace(item, entries=_entries(connection, field, operator, value))
        elif operator or value:
            raise UsageError("--operator and --value need --field: say the whole of what it excepts")
        if expires is not None or no_expiry:
            item = replace(item, expire_time=_end(expires, by.now))
        item = replace(item, name=name or item.name, comments=(*item.comments, *_comments(comment, by)))
        put_item(connection, item, by)
        warnings = problems(connection, item, by.now)
    _warn(warnings)
    messages.note(f"changed: no alert where {in_words(item)}")


def remove(
    item_ids: ItemIds = None,
    list_id: Annotated[
        str | None,
        typer.Option("--list", metavar="ID", help="Remove this list with all that is in it.", show_default=False),
    ] = None,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Remove exceptions, or a list with all of its exceptions. The audit log keeps what they were.

    \b
    Examples:
      keytrail exceptions remove 0c1d2e3f-0000-4000-8000-000000000000
      keytrail exceptions remove --list shared
    """
    from keytrail.service.exceptions import find_item, find_list, remove_item, remove_list

    if not item_ids and list_id is None:
        raise UsageError("say what to remove: ids of exceptions, or --list with the id of a list")
    by = author(user)
    removed = 0
    with opened(config, lake, state) as here, here.database.write() as connection:
        for item in [find_item(connection, one) for one in dict.fromkeys(item_ids or ())]:
            remove_item(connection, item, by)
            removed += 1
        if list_id is not None:
            removed += remove_list(connection, find_list(connection, list_id), by)
    messages.note(f"removed: {count(removed, 'exception')}")


def expire(
    item_ids: ItemIds = None,
    user: options.As = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Let exceptions count no more from now on. They stay, and `edit --expires` makes them count again.

    \b
    Examples:
      keytrail exceptions expire 0c1d2e3f-0000-4000-8000-000000000000
    """
    from keytrail.service.exceptions import expire_item, find_item

    if not item_ids:
        raise UsageError("say which: ids of exceptions", advice="keytrail exceptions list shows them with their ids.")
    by = author(user)
    with opened(config, lake, state) as here, here.database.write() as connection:
        items = [find_item(connection, one) for one in dict.fromkeys(item_ids)]
        ended = sum(expire_item(connection, item, by) for item in items)
    messages.note(f"ended: {count(ended, 'exception')}")


def try_on(
    item_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the exception.", show_default=False)],
    output_format: options.OutputFormat = None,
    color: options.Colour = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    config: options.Config = None,
) -> None:
    """Print the stored alerts that an exception would have kept from being made.

    \b
    Examples:
      keytrail exceptions test 0c1d2e3f-0000-4000-8000-000000000000
    """
    from keytrail.service.exceptions import find_item
    from keytrail.service.rule_admin import all_rules

    with opened(config, lake, state, color) as here:
        with here.database.read() as connection:
            item = find_item(connection, item_id)
            rules = all_rules(here.settings, connection).rules
        affected = [one for one in rules if item.list_key in _keys(one)]
        _print_excluded(here, item, affected, datetime.now(UTC), output_format)


# -- what they share --------------------------------------------------------------------------------------------------


def _entries(
    connection: Connection,
    fields: Sequence[str] | None,
    operators: Sequence[Operator] | None,
    values: Sequence[str] | None,
) -> tuple[Entry, ...]:
    from keytrail.service.exception_entries import entries_of
    from keytrail.store.state.value_lists import value_list_heads

    heads = tuple(value_list_heads(connection).values())
    return entries_of(fields or (), [one.value for one in operators or ()], values or (), heads)


def _end(expires: str | None, now: datetime) -> datetime | None:
    from keytrail.service.accounts import parse_expiry
    from keytrail.settings import end_of

    return None if expires is None else end_of(parse_expiry(expires, now))


def _comments(comment: str | None, by: Author) -> tuple[dict[str, object], ...]:
    if comment is None:
        return ()
    return ({"comment": comment, "created_by": by.who, "created_at": by.now.isoformat()},)


def _keys(rule: Rule) -> tuple[tuple[str, str], ...]:
    from keytrail.service.exceptions import lists_of

    return lists_of(rule)


def _excluded(here: Installation, item: ExceptionItem, rules: Iterable[Rule], now: datetime) -> Iterator[StoredAlert]:
    from keytrail.service.alert_events import would_exclude

    return would_exclude(here.database, item, [one.rule_id for one in rules], now)


def _number_excluded(here: Installation, item: ExceptionItem, rules: Iterable[Rule], now: datetime) -> int:
    return sum(1 for _ in _excluded(here, item, rules, now))


def _print_excluded(
    here: Installation, item: ExceptionItem, rules: Sequence[Rule], now: datetime, asked: Format | None
) -> None:
    from keytrail.cli.alert_text import TRIAGE_COLUMNS, TRIAGE_TABLE, triage_facts
    from keytrail.service.triage import document_of

    form = choose_format(asked, None, Format)
    documents = [document_of(one) for one in _excluded(here, item, rules, now)]
    with open_output(None) as out:
        rows = map(triage_facts, documents)
        write_rows(form, out, rows, documents, table=TRIAGE_TABLE, columns=TRIAGE_COLUMNS)
    messages.note(f"{count(len(documents), 'stored alert')} of {count(len(rules), 'rule')} would not have been made")


def _warn(problems: Iterable[UsageError]) -> None:
    for problem in problems:
        messages.warning(f"{problem.what}{f' ({problem.advice})' if problem.advice else ''}")
