"""Exception items to one test of a document: is it excepted, and by which item.

An entry means what the same question means in KQL (`keytrail.query`), which follows from its field's type: keywords
whole and by case, words of text as a phrase, addresses and CIDR blocks, dates, any element of an array. An `excluded`
entry is true when its field is missing. Facts: spec/elastic-engine.md, 3.6.

What cannot be evaluated (a value that does not fit its field, a value list that is not there) takes its item out:
an alert too many is seen, an alert too few is not. `problems` says which and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from keytrail import query as kql
from keytrail.cloudtrail import CATALOGUE
from keytrail.detect.value_lists import ValueList, compile_values
from keytrail.detect.wildcards import wildcard
from keytrail.errors import QueryError, RuleError
from keytrail.query import Fields, Schema, predicates, values
from keytrail.query.nodes import Text
from keytrail.query.predicates import Predicate
from keytrail.query.values import Test, text_of, words_of
from keytrail.rules import (
    Entry,
    ExceptionItem,
    ExistsEntry,
    LeafEntry,
    ListEntry,
    MatchAnyEntry,
    MatchEntry,
    NestedEntry,
    WildcardEntry,
)
from keytrail.rules.checks import shown

# Where an event says which system its host has; CloudTrail events do not.
OS_FIELDS = ("host.os.type", "host.os.name.caseless")


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Compiled exception items. `problems` names the items that take no part, and why, at their places."""

    items: tuple[tuple[ExceptionItem, Predicate], ...] = field(default=(), repr=False)
    problems: tuple[RuleError, ...] = ()

    def excepting(self, document: Fields) -> ExceptionItem | None:
        """Return the first item that excepts the document, None if it is to raise an alert."""
        for item, answers in self.items:
            if answers(document):
                return item
        return None

    def __call__(self, document: Fields) -> bool:
        """Whether an item excepts the document."""
        return self.excepting(document) is not None


def compile_exceptions(
    items: Iterable[ExceptionItem], value_lists: Mapping[str, ValueList], schema: Schema = CATALOGUE, *, now: datetime
) -> Exceptions:
    """Return the test that all of `items` make together; expired ones count for nothing.

    `value_lists` are by their id. `now` (aware) is the start of the execution: it decides what has expired and what
    `now` means in a date. Nothing is raised for an item that is wrong: see `Exceptions.problems`.
    """
    compiler = _Compiler(value_lists, schema, now)
    good: list[tuple[ExceptionItem, Predicate]] = []
    problems: list[RuleError] = []
    for item in items:
        if item.expired(now):
            continue
        try:
            good.append((item, compiler.item(item)))
        except _Unusable as error:
            problems.append(_problem(item, f"it takes no part: {error}"))
    return Exceptions(tuple(good), tuple(problems))


def check_exceptions(
    items: Iterable[ExceptionItem], value_lists: Mapping[str, ValueList], schema: Schema = CATALOGUE, *, now: datetime
) -> tuple[RuleError, ...]:
    """Return what is wrong with `items` and what looks like a mistake: fields that no event has, systems of hosts."""
    items = tuple(items)
    warnings = list(compile_exceptions(items, value_lists, schema, now=now).problems)
    for item in items:
        if item.expired(now):
            warnings.append(_problem(item, f"it expired at {item.expire_time}"))
            continue
        unknown = dict.fromkeys(name for name in _fields(item) if not _known(name, schema))
        if unknown:
            named = ", ".join(map(repr, unknown))
            warnings.append(_problem(item, f"no event has the field {named}, as far as the catalogue knows"))
        if item.os_types and not any(_known(name, schema) for name in OS_FIELDS):
            warnings.append(_problem(item, "os_types narrows it to hosts, of which no event tells: it excepts nothing"))
    return tuple(warnings)


class _Unusable(Exception):
    """An entry cannot be evaluated; the text says why."""


class _Compiler:
    def __init__(self, value_lists: Mapping[str, ValueList], schema: Schema, now: datetime) -> None:
        self._value_lists = value_lists
        self._schema = schema
        self._now = now
        self._compiled: dict[str, Test] = {}  # value lists, each once for all the items that name it

    def item(self, item: ExceptionItem) -> Predicate:
        parts = [self._entry(entry) for entry in item.entries]
        if item.os_types:
            wanted = frozenset(item.os_types)
            parts.append(predicates.any_of(tuple(predicates.value_in(name, wanted) for name in OS_FIELDS)))
        return parts[0] if len(parts) == 1 else predicates.all_of(tuple(parts))

    def _entry(self, entry: Entry) -> Predicate:
        if isinstance(entry, NestedEntry):
            return self._nested(entry)
        for step in _parents(entry.field):
            if self._schema.type_of(step) == "nested":
                raise _Unusable(f"{entry.field!r} lies in the nested field {step!r} and needs an entry of type nested")
        return self._leaf(entry, entry.field, within=False)

    def _nested(self, entry: NestedEntry) -> Predicate:
        kind = self._schema.type_of(entry.field)
        if kind != "nested":
            raise _Unusable(f"{entry.field!r} is not a nested field but {f'of type {kind}' if kind else 'not mapped'}")
        inner = tuple(self._leaf(one, f"{entry.field}.{one.field}", within=True) for one in entry.entries)
        return predicates.object_matches(entry.field, predicates.all_of(inner))

    def _leaf(self, entry: LeafEntry, name: str, *, within: bool) -> Predicate:
        """Compile an entry about the field `name`; `within` says that it is asked of one object of a nested field."""
        try:
            answers = self._included(entry, name, within)
        except ValueError as error:
            raise _Unusable(f"a value for {name!r} {error}") from error
        except QueryError as error:
            raise _Unusable(error.what) from error
        return predicates.none_of(answers) if entry.excluded else answers

    def _included(self, entry: LeafEntry, name: str, within: bool) -> Predicate:
        match entry:
            case MatchEntry():
                return self._any_of(name, (entry.value,))
            case MatchAnyEntry():
                return self._any_of(name, entry.values)
            case ExistsEntry():
                if within:
                    return lambda document: bool(document.values(name) or document.objects(name))
                return kql.compile(f"{_quoted(name)}: *", self._schema, now=self._now).matches
            case WildcardEntry():
                kind = self._schema.type_of(name)
                if kind == "geo_point":
                    raise ValueError("has wildcards, which mean nothing to a geo_point")
                return predicates.value_holds(name, _wildcards(kind, entry.pattern))
            case ListEntry():
                return predicates.value_holds(name, self._in_list(entry))

    def _any_of(self, name: str, wanted: tuple[str, ...]) -> Predicate:
        kind = self._schema.type_of(name)
        if kind in values.EXACT:
            return predicates.value_in(name, frozenset(wanted))
        tests = tuple(values.equality(kind, Text(value, quoted=True), self._now) for value in wanted)
        if len(tests) == 1:
            return predicates.value_holds(name, tests[0])
        return predicates.value_holds(name, lambda value: any(test(value) for test in tests))

    def _in_list(self, entry: ListEntry) -> Test:
        found = self._value_lists.get(entry.list_id)
        if found is None:
            raise _Unusable(f"there is no value list {entry.list_id!r}")
        if found.type != entry.list_type:
            raise _Unusable(f"the value list {entry.list_id!r} is of type {found.type}, not {entry.list_type}")
        if entry.list_id not in self._compiled:
            try:
                self._compiled[entry.list_id] = compile_values(found)
            except RuleError as error:
                raise _Unusable(error.what) from error
        return self._compiled[entry.list_id]


def _wildcards(kind: str | None, pattern: str) -> Test:
    """Return the test of a pattern with `*` and `?` on the whole value; on text also on one word, whatever the case."""
    if kind != "text":
        whole = wildcard(pattern)
        return lambda value: (text := text_of(value)) is not None and whole(text)
    folded = wildcard(pattern.lower())

    def test(value: object) -> bool:
        text = text_of(value)
        return text is not None and (folded(text.lower()) or any(map(folded, words_of(text))))

    return test


def _fields(item: ExceptionItem) -> Iterator[str]:
    """Give the whole name of every field that the item asks for."""
    for entry in item.entries:
        if isinstance(entry, NestedEntry):
            yield from (f"{entry.field}.{inner.field}" for inner in entry.entries)
        else:
            yield entry.field


def _known(name: str, schema: Schema) -> bool:
    """Whether the schema has the field, or fields below it."""
    below = name + "."
    return schema.type_of(name) is not None or any(known.startswith(below) for known in schema.names())


def _parents(name: str) -> Iterator[str]:
    """Give the path of each object that the field lies in, and the field itself: a, a.b, a.b.c."""
    steps = name.split(".")
    return (".".join(steps[:count]) for count in range(1, len(steps) + 1))


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _problem(item: ExceptionItem, what: str) -> RuleError:
    return RuleError(f"exception item {shown(item.name)}: {what}", place=item.origin)
