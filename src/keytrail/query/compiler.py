"""A syntax tree to one predicate made of closures, and what it cannot match without.

Everything that depends only on the query and the schema is decided here once: types, parsed values, sets of strings,
constants. Documents are then only read. Semantics: spec/elastic-engine.md, 1.2 and 1.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, NoReturn

from keytrail.errors import QueryTypeError
from keytrail.query import necessary, predicates, values
from keytrail.query.globs import glob
from keytrail.query.necessary import NO_MATCH, NOTHING_KNOWN, Clauses
from keytrail.query.nodes import And, Boolean, Field, Is, Name, Nested, Node, Not, Or, Pattern, Range, Text
from keytrail.query.parser import parse
from keytrail.query.predicates import Predicate, always, never
from keytrail.query.printer import to_text
from keytrail.query.schema import Fields, Schema
from keytrail.query.values import Test
from keytrail.text import shorten

# How much of a value or name of the query an error repeats, in characters.
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Query:
    """A compiled query. It is not picklable: a worker process compiles `text` again, in a fraction of a millisecond.

    `matches(document)` decides. Each clause of `necessary` is a set of (field, exact string value) pairs, and every
    matching document has one pair of each clause; an empty clause says that no document matches. `fields` holds the
    names the query mentions, `*` in them is a wildcard; free text mentions `*`.
    """

    text: str
    node: Node
    matches: Predicate = field(repr=False, compare=False)
    necessary: Clauses = field(repr=False, compare=False)
    fields: frozenset[str] = field(repr=False, compare=False)


def compile(query: str | Node, schema: Schema, *, now: datetime, strict: bool = False) -> Query:
    """Return `query` compiled for documents with the field types of `schema`.

    `now` is what `now` means in its dates. `strict` repeats what Elasticsearch gets wrong: blanks in patterns part
    terms, values longer than `ignore_above` are not there, wildcards below flattened fields fail.
    Raises QuerySyntaxError, QueryTypeError when a value does not fit its field, ValueError for a naive `now`.
    """
    if now.tzinfo is None:
        raise ValueError("now must be an aware datetime")
    text = query if isinstance(query, str) else to_text(query)
    # A tree is printed and parsed, so that its offsets are those of the text that errors show.
    node = parse(text)
    compiler = _Compiler(text, schema, now, strict)
    part = compiler.part(node)
    return Query(text, node, part.test, part.clauses, frozenset(compiler.fields))


class _Part(NamedTuple):
    """A compiled node. `cost` orders the operands of a connective: the cheap ones are asked first."""

    test: Predicate
    cost: int
    clauses: Clauses = NOTHING_KNOWN


_ALWAYS = _Part(always, 0)
_NEVER = _Part(never, 0, NO_MATCH)
_SET, _TEST, _PARSED, _OBJECTS, _ALL_FIELDS = 1, 2, 4, 30, 300


class _Compiler:
    def __init__(self, text: str, schema: Schema, now: datetime, strict: bool) -> None:
        self._text = text
        self._schema = schema
        self._now = now
        self._strict = strict
        self._ignore_above: Callable[[str], int | None] | None = getattr(schema, "ignore_above", None)
        self.fields: set[str] = set()

    def part(self, node: Node, scope: str = "") -> _Part:
        """Compile `node`; `scope` is the path of the nested field whose braces it stands in."""
        match node:
            case Is() if node.field is None:
                return self._free_text(node, scope)
            case Is() | Range():
                assert node.field is not None
                if isinstance(node.field, Pattern):
                    return self._any_field(node, node.field, scope)
                return self._leaf(node, self._full_name(node.field, scope), scope)
            case Not(operand):
                return _negation(self.part(operand, scope))
            case And(operands):
                return _conjunction([self.part(operand, scope) for operand in operands])
            case Or():
                return self._disjunction(node, scope)
            case Nested(path, query):
                return self._nested(path, query, scope)

    # Connectives -------------------------------------------------------------------------------------------------

    def _disjunction(self, node: Or, scope: str) -> _Part:
        """Compile an OR; all strings wanted of one field become one set."""
        wanted: dict[str, list[str]] = {}
        parts = []
        for operand in _flattened(node):
            match operand:
                case Is(Name() as name, Text() | Boolean() as value) if (
                    self._schema.type_of(full := self._full_name(name, scope)) in values.EXACT
                ):
                    wanted.setdefault(full, []).append(value.text)
                case _:
                    parts.append(self.part(operand, scope))
        parts += [self._membership(name, texts, scope) for name, texts in wanted.items()]
        if any(part.test is always for part in parts):
            return _ALWAYS
        parts = sorted((part for part in parts if part.test is not never), key=lambda part: part.cost)
        if len(parts) < 2:
            return parts[0] if parts else _NEVER
        tests = tuple(part.test for part in parts)
        clauses = necessary.some([part.clauses for part in parts])
        return _Part(predicates.any_of(tests), sum(part.cost for part in parts), clauses)

    def _nested(self, path: Field, query: Node, scope: str) -> _Part:
        if isinstance(path, Pattern):
            self._fail("a nested field must be named without wildcards", path.at)
        full = scope + "." + path.text if scope else path.text
        kind = self._schema.type_of(full)
        if kind != "nested":
            better = f"write `{full}.name: value`" if kind is None else f"it is a {kind} field; write `{full}: value`"
            self._fail(f"`{full}` is not a nested field and takes no braces; {better}", path.at)
        self.fields.add(full)
        inner = self.part(query, full)
        if inner.test is never:
            return _NEVER
        return _Part(predicates.object_matches(full, inner.test), _OBJECTS + inner.cost)

    # Names -------------------------------------------------------------------------------------------------------

    def _full_name(self, name: Name, scope: str) -> str:
        """Return a field's name from the root, after a check that it is asked inside the right braces."""
        full = f"{scope}.{name.text}" if scope else name.text
        self.fields.add(full)
        steps = full.split(".")
        for count in range(len(steps), 0, -1):
            path = ".".join(steps[:count])
            if path == scope:
                break
            if self._schema.type_of(path) == "nested":
                inner = full[len(path) + 1 :] or "name"
                self._fail(
                    f"`{full}` {'is' if path == full else 'lies in'} a nested field; "
                    f"write `{path[len(scope) + 1 if scope else 0 :]}:{{ {inner}: value }}`",
                    name.at,
                )
        return full

    def _any_field(self, node: Is | Range, name: Pattern, scope: str) -> _Part:
        """Compile a leaf whose field name has wildcards: mapped fields and those of the document, any of them."""
        whole = Pattern((f"{scope}.{name.parts[0]}", *name.parts[1:])) if scope else name
        self.fields.add(whole.text)
        if name.lone and isinstance(node, Is) and isinstance(node.value, Pattern) and node.value.lone:
            return _ALWAYS
        named = glob(whole.parts)
        mapped = {
            known: self._one_of_many(node, known, scope, refuse=self._strict)
            for known in self._schema.names()
            if named(known)
        }
        if always in mapped.values():
            return _ALWAYS
        tests = tuple(test for test in mapped.values() if test is not never)

        @lru_cache(maxsize=1024)
        def test_of(found: str) -> Predicate:
            return never if found in mapped or not named(found) else self._one_of_many(node, found, scope)

        def test(document: Fields) -> bool:
            return any(test(document) for test in tests) or any(test_of(found)(document) for found in document.fields())

        return _Part(test, _ALL_FIELDS)

    def _free_text(self, node: Is, scope: str) -> _Part:
        """Compile a value without a field: any mapped field of text or keywords."""
        self.fields.add(f"{scope}.*" if scope else "*")
        if isinstance(node.value, Pattern) and node.value.lone:
            return _ALWAYS
        self._test_of(node, "keyword", "")
        type_of = self._schema.type_of

        @lru_cache(maxsize=1024)
        def test_of(name: str) -> Predicate:
            return self._leaf(node, name, scope).test if type_of(name) in values.DEFAULT_TYPES else never

        def test(document: Fields) -> bool:
            return any(test_of(name)(document) for name in document.fields())

        return _Part(test, _ALL_FIELDS)

    # Leaves ------------------------------------------------------------------------------------------------------

    def _one_of_many(self, node: Is | Range, name: str, scope: str, refuse: bool = False) -> Predicate:
        """Compile a leaf for one field of many; a field whose type the value does not fit never matches.

        `refuse` makes that an error, as Elasticsearch does.
        """
        if self._schema.type_of(name) == "nested":
            return never
        try:
            return self._leaf(node, name, scope).test
        except QueryTypeError:
            if refuse:
                raise
            return never

    def _leaf(self, node: Is | Range, name: str, scope: str) -> _Part:
        """Compile a leaf on the field `name`."""
        kind = self._schema.type_of(name)
        if isinstance(node, Is):
            if isinstance(node.value, Pattern) and node.value.lone:
                return self._exists(name, scope)
            if kind in values.EXACT and isinstance(node.value, Text | Boolean):
                return self._membership(name, [node.value.text], scope)
        test = self._test_of(node, kind, name)
        constant = self._constant(name, scope)
        if constant is not None:
            return _ALWAYS if test(constant) else _NEVER
        short = self._limited(name, test)
        return _Part(predicates.value_holds(name, short), _TEST if kind in values.EXACT else _PARSED)

    def _test_of(self, node: Is | Range, kind: str | None, name: str) -> Test:
        """Return the test of one value, QueryTypeError at the leaf's value when it does not fit the type."""
        value = node.value
        try:
            if isinstance(node, Range):
                return values.comparison(kind, node.operator, node.value, self._now)
            if not isinstance(value, Pattern):
                return values.equality(kind, value, self._now)
            if self._strict:
                keyed = kind == "flattened" and name not in self._schema.names()
                return values.strict_pattern(kind, value, keyed=keyed)
            return values.pattern(kind, value)
        except ValueError as error:
            of = f" of `{shorten(name, _SHOWN)}` ({kind or 'not mapped'})" if name else ""
            self._fail(f"`{shorten(value.text, _SHOWN)}`{of} {error}", value.at)

    def _membership(self, name: str, texts: Iterable[str], scope: str) -> _Part:
        """Compile `name: (text or text ...)` for a field whose equality is equality of strings."""
        wanted = frozenset(texts)
        constant = self._constant(name, scope)
        if constant is not None:
            return _ALWAYS if constant in wanted else _NEVER
        limit = self._limit(name)
        if limit is not None:
            wanted = frozenset(text for text in wanted if not _longer(text, limit))
        if not wanted:
            return _NEVER
        plain = all(map(values.only_strings, wanted))
        clauses: Clauses = NOTHING_KNOWN
        if plain and not scope and len(wanted) <= necessary.MAX_PAIRS and self._schema.type_of(name) != "flattened":
            clauses = (frozenset((name, text) for text in wanted),)
        if plain and len(wanted) == 1:
            (only,) = wanted
            return _Part(predicates.value_is(name, only), _SET, clauses)
        return _Part(predicates.value_in(name, wanted), _SET, clauses)

    def _exists(self, name: str, scope: str) -> _Part:
        """Compile `name: *`; an object exists when anything below it does."""
        if self._constant(name, scope) is not None:
            return _ALWAYS
        leaf = predicates.value_holds(name, self._limited(name, _present))
        kind = self._schema.type_of(name)
        # A mapped field has no fields below it; the values of a flattened field are those of its children.
        if kind is not None and (kind != "flattened" or name in self._schema.names()):
            return _Part(leaf, _TEST)
        below = name + "."
        children = [known for known in self._schema.names() if known.startswith(below)]
        if any(self._constant(child, scope) is not None for child in children):
            return _ALWAYS
        tests = tuple(predicates.value_holds(child, self._limited(child, _present)) for child in children)

        def test(document: Fields) -> bool:
            if leaf(document) or any(test(document) for test in tests):
                return True
            known = self._schema.type_of
            # What the schema knows was just asked; its flattened fields have children that it cannot list.
            return any(
                found.startswith(below) and known(found) in (None, "flattened") and bool(document.values(found))
                for found in document.fields()
            )

        return _Part(test, _ALL_FIELDS if children else _OBJECTS)

    # What the schema says ----------------------------------------------------------------------------------------

    def _constant(self, name: str, scope: str) -> str | None:
        """Return the value that the field has in every document."""
        if scope or self._schema.type_of(name) != "constant_keyword":
            return None
        return self._schema.constant_of(name)

    def _limit(self, name: str) -> int | None:
        return self._ignore_above(name) if self._strict and self._ignore_above else None

    def _limited(self, name: str, test: Test) -> Test:
        """Return `test` without the values that strict mode leaves out for their length."""
        limit = self._limit(name)
        if limit is None:
            return test
        most = limit
        return lambda value: not (isinstance(value, str) and _longer(value, most)) and test(value)

    def _fail(self, what: str, offset: int) -> NoReturn:
        raise QueryTypeError(what, text=self._text, offset=offset)


def _present(value: object) -> bool:
    return value is not None


def _longer(text: str, limit: int) -> bool:
    """Whether `text` has more than `limit` UTF-16 units, which is how Elasticsearch counts."""
    return len(text) > limit or (len(text) * 2 > limit and len(text.encode("utf-16-le", "surrogatepass")) // 2 > limit)


def _flattened(node: Or) -> list[Node]:
    """Return the operands of an OR, those of an OR inside it included."""
    found: list[Node] = []
    for operand in node.operands:
        if isinstance(operand, Or):
            found += _flattened(operand)
        else:
            found.append(operand)
    return found


def _negation(part: _Part) -> _Part:
    if part.test is always:
        return _NEVER
    if part.test is never:
        return _ALWAYS
    return _Part(predicates.none_of(part.test), part.cost)


def _conjunction(parts: list[_Part]) -> _Part:
    if any(part.test is never for part in parts):
        return _NEVER
    parts = sorted((part for part in parts if part.test is not always), key=lambda part: part.cost)
    if len(parts) < 2:
        return parts[0] if parts else _ALWAYS
    clauses = necessary.every(part.clauses for part in parts)
    return _Part(predicates.all_of(tuple(part.test for part in parts)), sum(part.cost for part in parts), clauses)
