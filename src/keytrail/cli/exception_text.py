"""What people see of exceptions, exception lists and value lists."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from keytrail.cli.colour import paint
from keytrail.cli.facts import Facts
from keytrail.cli.table import Column
from keytrail.text import for_terminal

if TYPE_CHECKING:
    from keytrail.rules import ExceptionItem, ExceptionList
    from keytrail.store.state.value_lists import ListHead

ITEM_TABLE = (
    Column("item_id", "ID", rigid=True),
    Column("list_id", "LIST", share=12, middle=True),
    Column("name", "NAME", share=15),
    Column("what", "EXCEPTS EVENTS IN WHICH", share=30),
    Column("ends", "ENDS"),
)
ITEM_COLUMNS = ("item_id", "list_id", "namespace", "name", "what", "expires", "state")
LIST_TABLE = (
    Column("list_id", "ID", share=20),
    Column("type", "TYPE", rigid=True),
    Column("name", "NAME", share=20),
    Column("items", "ITEMS", rigid=True),
    Column("rules", "RULES", share=20),
)
LIST_COLUMNS = ("list_id", "namespace", "type", "name", "items", "rules")
VALUE_TABLE = (
    Column("id", "ID", share=20),
    Column("type", "TYPE", rigid=True),
    Column("size", "VALUES", rigid=True),
    Column("name", "NAME", share=20),
    Column("updated", "CHANGED (UTC)", rigid=True),
)
VALUE_COLUMNS = ("id", "type", "size", "name", "updated_at")


def item_facts(item: ExceptionItem, what: str, now: datetime) -> Facts:
    """Return the values of ITEM_COLUMNS and ITEM_TABLE; `what` says what it excepts."""
    end = "" if item.expire_time is None else item.expire_time.astimezone(UTC).isoformat()
    over = item.expired(now)
    return {
        "item_id": item.item_id,
        "list_id": item.list_id,
        "namespace": item.namespace_type,
        "name": item.name,
        "what": what,
        "expires": end,
        "ends": f"{'ended ' if over else ''}{end[:16].replace('T', ' ')}" if end else "",
        "state": "expired" if over else "active",
    }


def list_facts(made: ExceptionList, items: int, rules: list[str]) -> Facts:
    """Return the values of LIST_COLUMNS and LIST_TABLE."""
    return {
        "list_id": made.list_id,
        "namespace": made.namespace_type,
        "type": made.type,
        "name": made.name,
        "items": str(items),
        "rules": ", ".join(rules),
    }


def value_list_facts(head: ListHead) -> Facts:
    """Return the values of VALUE_COLUMNS and VALUE_TABLE."""
    return {
        "id": head.id,
        "type": head.type,
        "size": str(head.size),
        "name": head.name,
        "updated_at": head.updated_at.isoformat(),
        "updated": f"{head.updated_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
    }


def item_page(item: ExceptionItem, what: str, now: datetime, *, colour: bool = False) -> str:
    """Return the page of one item, safe to show."""
    return "\n".join([paint(for_terminal(item.name), "header", on=colour), *_item_lines(item, what, now)])


def _item_lines(item: ExceptionItem, what: str, now: datetime) -> Iterator[str]:
    facts = item_facts(item, what, now)
    pairs = (
        ("id", item.item_id),
        ("list", f"{item.list_id} ({item.namespace_type})"),
        ("excepts", f"events in which {what}"),
        ("ends", facts["ends"] or "never"),
        ("description", item.description),
        ("tags", ", ".join(item.tags)),
        ("systems", ", ".join(item.os_types)),
    )
    for name, value in pairs:
        if value:
            yield f"  {name:<12}{for_terminal(value)}"
    for one in item.comments:
        by = one.get("created_by")
        yield f"  {'comment':<12}{for_terminal(str(one['comment']))}{for_terminal(f' ({by})') if by else ''}"
