"""Exceptions of the service: what counts for a rule, and what people change about it, each change in the audit log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from keytrail.detect import ValueList, check_exceptions
from keytrail.errors import Place, RuleError, UsageError
from keytrail.rules import (
    ExceptionItem,
    ExceptionList,
    ListEntry,
    Rule,
    entry_dict,
    item_from_dict,
    items_for,
    reference_key,
    references,
)
from keytrail.store.state import exceptions as kept
from keytrail.store.state import value_lists as kept_values
from keytrail.store.state.alerts import log
from keytrail.store.state.value_lists import ListHead

Key = kept.Key

_NAMESPACES = ("single", "agnostic")


# -- what counts for a rule -------------------------------------------------------------------------------------------


def default_list(rule: Rule) -> Key:
    """The key of the list that items added to one rule go to: the one it names as its own, else one made for it."""
    for one in rule.exceptions_list:
        if one.get("type") == "rule_default":
            return reference_key(one)
    return f"keytrail-rule-{rule.rule_id}", "single"


def lists_of(rule: Rule) -> tuple[Key, ...]:
    """The keys of the lists that count for a rule, its own included, whether there are such lists or not."""
    return tuple(dict.fromkeys((*references(rule), default_list(rule))))


def exceptions_for(
    connection: Connection, rule: Rule, others: Sequence[ExceptionItem] = ()
) -> tuple[tuple[ExceptionItem, ...], Mapping[str, ValueList]]:
    """The exception items that count for a rule, expired ones among them, and the value lists that they name, by id.

    `others` are items of files (RuleSet.exception_items); one that is in the state too counts as it is there. While
    `store.state.exceptions.version` is the same, so is the answer.
    """
    items = kept.items_of(connection, lists_of(rule))
    known = {item.key for item in items}
    found = (*items, *(item for item in items_for(rule, others) if item.key not in known))
    return found, value_lists_of(connection, found)


def value_lists_of(connection: Connection, items: Iterable[ExceptionItem]) -> dict[str, ValueList]:
    """The value lists that items name and that there are, by id."""
    named = {entry.list_id for item in items for entry in item.entries if isinstance(entry, ListEntry)}
    if not named:
        return {}
    heads = kept_values.value_list_heads(connection, named)
    return {
        one.id: ValueList(one.id, one.type, one.name, kept_values.values_of(connection, one.id))
        for one in heads.values()
    }


# -- what people change -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and when."""

    who: str
    now: datetime


def find_item(connection: Connection, item_id: str) -> ExceptionItem:
    """The item of an id, in whichever namespace. Raises UsageError."""
    for namespace in _NAMESPACES:
        if (found := kept.item_of(connection, (item_id, namespace))) is not None:
            return found
    raise UsageError(
        f"no exception has the id {item_id!r}", advice="keytrail exceptions list shows them with their ids."
    )


def find_list(connection: Connection, list_id: str) -> ExceptionList:
    """The list of an id, in whichever namespace. Raises UsageError."""
    for namespace in _NAMESPACES:
        if (found := kept.list_of(connection, (list_id, namespace))) is not None:
            return found
    raise UsageError(
        f"no exception list has the id {list_id!r}",
        advice="keytrail exceptions list --lists shows them with their ids.",
    )


def add_item(connection: Connection, item: ExceptionItem, author: Author, rule: Rule | None = None) -> None:
    """Add an item to its list, which is made if it is the one of `rule`. Raises UsageError if the id is taken."""
    if kept.list_of(connection, item.list_key) is None:
        if rule is None or item.list_key != default_list(rule):
            raise UsageError(f"no exception list has the id {item.list_id!r}")
        _put_list(connection, _list_for(rule), author)
    if kept.item_of(connection, item.key) is not None:
        raise UsageError(
            f"an exception has the id {item.item_id!r} already", advice="keytrail exceptions edit changes it."
        )
    put_item(connection, item, author)


def put_item(connection: Connection, item: ExceptionItem, author: Author) -> bool:
    """Store an item whose list there is, as it is to be; returns whether one was replaced.

    Raises RuleError with all that is wrong with it: what is stored can be read again.
    """
    item_from_dict(item.to_dict(), item.origin)
    before = kept.item_of(connection, item.key)
    kept.put_item(connection, item, author.now)
    detail = {"before": None if before is None else before.to_dict(), "after": item.to_dict()}
    _log(connection, author, "exception", item.item_id, "add" if before is None else "edit", detail)
    return before is not None


def remove_item(connection: Connection, item: ExceptionItem, author: Author) -> None:
    """Remove an item."""
    kept.remove_item(connection, item.key)
    _log(connection, author, "exception", item.item_id, "remove", {"before": item.to_dict(), "after": None})


def expire_item(connection: Connection, item: ExceptionItem, author: Author) -> bool:
    """Let an item count no more from now on; returns whether it counted until now."""
    if item.expired(author.now):
        return False
    put_item(connection, replace(item, expire_time=author.now), author)
    return True


def put_list(connection: Connection, made: ExceptionList, author: Author) -> bool:
    """Store a list without its items; returns whether one was replaced."""
    return _put_list(connection, made, author)


def remove_list(connection: Connection, made: ExceptionList, author: Author) -> int:
    """Remove a list with its items; returns how many they were."""
    items = kept.items_of(connection, [made.key])
    for item in items:
        remove_item(connection, item, author)
    kept.remove_list(connection, made.key)
    _log(connection, author, "exception list", made.list_id, "remove", {"before": made.to_dict(), "after": None})
    return len(items)


def problems(connection: Connection, item: ExceptionItem, now: datetime) -> tuple[RuleError, ...]:
    """What is wrong with an item, or looks like a mistake."""
    return check_exceptions([item], value_lists_of(connection, [item]), now=now)


def _list_for(rule: Rule) -> ExceptionList:
    list_id, namespace = default_list(rule)
    return ExceptionList(
        list_id=list_id,
        name=f"Exceptions of {rule.name}",
        description=f"Exceptions that count for this rule only: {rule.name}",
        type="rule_default",
        namespace_type=namespace,
        origin=Place("the state"),
    )


def _put_list(connection: Connection, made: ExceptionList, author: Author) -> bool:
    before = kept.list_of(connection, made.key)
    kept.put_list(connection, made, author.now)
    detail = {"before": None if before is None else before.to_dict(), "after": made.to_dict()}
    _log(connection, author, "exception list", made.list_id, "add" if before is None else "edit", detail)
    return before is not None


# -- files ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """How many lists and items were stored, and what was not, with the reason."""

    lists: int = 0
    items: int = 0
    errors: tuple[UsageError, ...] = ()


def import_exceptions(
    connection: Connection,
    lists: Sequence[ExceptionList],
    items: Sequence[ExceptionItem],
    author: Author,
    *,
    overwrite: bool,
) -> Stored:
    """Store lists and items of files. Those whose id there is are errors unless `overwrite`; the others are stored."""
    errors: list[UsageError] = []
    stored_lists = stored_items = 0
    for one in lists:
        if not overwrite and kept.list_of(connection, one.key) is not None:
            errors.append(_conflict(f"exception list {one.list_id!r}", one.origin))
            continue
        _put_list(connection, one, author)
        stored_lists += 1
    for item in items:
        if kept.list_of(connection, item.list_key) is None:
            errors.append(
                RuleError(
                    f"exception {item.name!r}: there is no exception list {item.list_id!r}",
                    place=item.origin,
                    advice="Import the list with it, or before it.",
                )
            )
        elif not overwrite and kept.item_of(connection, item.key) is not None:
            errors.append(_conflict(f"exception {item.name!r}: the id {item.item_id!r}", item.origin))
        else:
            put_item(connection, item, author)
            stored_items += 1
    return Stored(stored_lists, stored_items, tuple(errors))


def _conflict(what: str, place: Place) -> RuleError:
    return RuleError(f"{what} is there already", place=place, advice="--overwrite replaces it.")


# -- value lists ------------------------------------------------------------------------------------------------------


def value_list_head(connection: Connection, id: str) -> ListHead:
    """The value list of an id, without its values. Raises UsageError."""
    found = kept_values.value_list_heads(connection, [id]).get(id)
    if found is None:
        raise UsageError(
            f"no value list has the id {id!r}", advice="keytrail exceptions value-lists list shows them with their ids."
        )
    return found


def put_value_list(connection: Connection, made: ValueList, author: Author, *, append: bool) -> int:
    """Store a value list, in place of one of its id or (`append`) beside its values; returns how many it has then."""
    before = kept_values.value_list_heads(connection, [made.id]).get(made.id)
    if append and before is not None and before.type != made.type:
        raise UsageError(f"the value list {made.id!r} is of type {before.type}, not {made.type}")
    kept_values.put_value_list(
        connection, made.id, made.type, made.name, made.values, author.now, keep=append and before is not None
    )
    size = value_list_head(connection, made.id).size
    action = "add" if before is None else "append" if append else "replace"
    detail = {"before": 0 if before is None else before.size, "after": size}
    _log(connection, author, "value list", made.id, action, detail)
    return size


def remove_value_list(connection: Connection, id: str, author: Author, *, force: bool) -> None:
    """Remove a value list. Raises UsageError while items name it, unless `force`: they take no part then."""
    head = value_list_head(connection, id)
    users = [
        item.name
        for item in kept.all_items(connection)
        if any(isinstance(entry, ListEntry) and entry.list_id == id for entry in item.entries)
    ]
    if users and not force:
        raise UsageError(
            f"the value list {id!r} is named by {', '.join(map(repr, users[:5]))}",
            advice="Remove these exceptions before, or add --force: they except nothing then.",
        )
    kept_values.remove_value_list(connection, id)
    _log(connection, author, "value list", id, "remove", {"before": head.size, "after": 0})


# -- words ------------------------------------------------------------------------------------------------------------

_OPERATORS = {
    "match": ("is", "is not"),
    "match_any": ("is one of", "is none of"),
    "exists": ("exists", "does not exist"),
    "wildcard": ("matches", "does not match"),
    "list": ("is in list", "is not in list"),
    "nested": ("has", "has not"),
}


def in_words(item: ExceptionItem) -> str:
    """What an item excepts, as a person reads it; not yet safe.

    >>> from keytrail.rules import MatchEntry, ExistsEntry
    >>> made = ExceptionItem(item_id="a", list_id="l", name="n", origin=Place(""),
    ...     entries=(MatchEntry("user.name", "ada"), ExistsEntry("error", excluded=True)))
    >>> in_words(made)
    'user.name is ada and error does not exist'
    """
    return " and ".join(_entry_words(entry_dict(entry)) for entry in item.entries)


def _entry_words(told: Mapping[str, object]) -> str:
    kind = str(told["type"])
    included, excluded = _OPERATORS[kind]
    words = f"{told['field']} {excluded if told.get('operator') == 'excluded' else included}"
    value = told.get("value")
    if kind == "nested":
        inner = told["entries"]
        assert isinstance(inner, list)
        return f"{words} ({' and '.join(map(_entry_words, inner))})"
    if kind == "list":
        named = told["list"]
        assert isinstance(named, Mapping)
        return f"{words} {named['id']}"
    return f"{words} {', '.join(value)}" if isinstance(value, list) else f"{words} {value}" if value else words


def _log(
    connection: Connection, author: Author, kind: str, subject: str, action: str, detail: Mapping[str, object]
) -> None:
    log(connection, who=author.who, kind=kind, subject=subject, action=action, detail=detail, now=author.now)
