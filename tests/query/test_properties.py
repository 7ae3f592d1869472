"""What holds for every query: printing and parsing are inverse, errors have a place, a naive reading matches the same.

The reading here is written apart from the compiler: it walks the tree for each document and uses other means (regular
expressions for wildcards, `ipaddress` objects, prefixes of text for dates).
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keytrail import query as kql
from keytrail.errors import QueryError, QuerySyntaxError
from keytrail.query.nodes import And, Boolean, Is, Name, Nested, Not, Null, Or, Pattern, Range, Text
from keytrail.query.parser import MAX_DEPTH, MAX_LENGTH, TRIMMED

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)

# Trees of any text --------------------------------------------------------------------------------

# Made of what has a meaning in the grammar, mostly.
_nasty = st.lists(
    st.sampled_from(
        ["or", "and", "not", "NOT", "Or", " ", "  ", "\t", "\n", "\xa0", "*", "\\", '"', ":", "(", ")", "{"]
    )
    | st.sampled_from(
        ["}", "<", ">", "<=", "a", "n", "ot", "u0041", "true", "null", "\u2003", "é", "😀", "@", ".", "t"]
    )
    | st.characters(),
    max_size=8,
).map("".join)
_unpaired = _nasty.filter(lambda text: not re.search("[\ud800-\udbff][\udc00-\udfff]", text))
_unquoted = _unpaired.map(lambda text: text.strip(TRIMMED)).filter(lambda text: text not in ("null", "true", "false"))


def _pattern(parts: list[str]) -> Pattern:
    first, *middle, last = parts
    return Pattern((first.lstrip(TRIMMED), *middle, last.rstrip(TRIMMED)))


_patterns = st.lists(_unpaired, min_size=2, max_size=4).map(_pattern)
_texts = st.builds(Text, _unpaired, st.just(True)) | st.builds(Text, _unquoted, st.just(False))
_literals = _texts | _patterns | st.builds(Boolean, st.booleans()) | st.just(Null())
_names = st.builds(Name, _unpaired) | st.builds(Name, st.sampled_from(["user.name", "cannot", "or"])) | _patterns
_operators = st.sampled_from(["<", "<=", ">", ">="])


def _trees(leaves):
    many = st.lists(leaves, min_size=2, max_size=3).map(tuple)
    return st.builds(And, many) | st.builds(Or, many) | st.builds(Not, leaves)


any_trees = st.recursive(
    st.builds(Is, st.none() | _names, _literals) | st.builds(Range, _names, _operators, _literals),
    lambda leaves: _trees(leaves) | st.builds(Nested, _names, leaves),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(any_trees)
@example(Is(Name("f"), Text("cannot")))
@example(And((Is(Name("f"), Text("b or")), Is(None, Text("and x")))))
@example(Is(Name("f"), Text("a\not")))
@example(Is(Name("f"), Text("")))
@example(Range(Name("knot"), "<", Text("x")))
def test_printed_and_parsed_it_is_the_same(tree):
    assert kql.parse(kql.to_text(tree)) == tree


@settings(max_examples=300, deadline=None)
@given(_nasty | st.text(max_size=30))
@example("\\u")
@example('"\\')
@example("not")
@example("f:(not")
def test_any_text_parses_or_is_a_syntax_error(text):
    error = None
    try:
        tree = kql.parse(text)
    except QuerySyntaxError as raised:
        error = raised
    if error is None:
        assert kql.parse(kql.to_text(tree)) == tree
    else:
        assert 0 <= error.offset <= len(text)
        assert str(error).endswith("^")
        assert error.expected or "inside each other" in error.what


@settings(max_examples=200, deadline=None)
@given(text=_nasty | any_trees.map(kql.to_text), strict=st.booleans())
def test_any_text_compiles_or_is_a_query_error(text, strict, schema, fields):
    try:
        query = kql.compile(text, schema, now=NOW, strict=strict)
    except QueryError:
        return
    query.matches(fields({"user": {"name": "a"}, "message": "not a", "parts": [{"name": "or"}], "other": {"x": [1]}}))


@pytest.mark.parametrize("opening", ["(", "not (", "f:(", "f:(not (", "a:{", "f:{(", "(((not "])
def test_nesting_is_bounded(opening):
    with pytest.raises(QuerySyntaxError):
        kql.parse(opening * 20_000)


def test_the_deepest_query_compiles(schema, fields):
    text = "not (" * MAX_DEPTH + "user.name: a" + ")" * MAX_DEPTH
    query = kql.compile(text, schema, now=NOW)
    assert query.matches(fields({"user": {"name": "a"}})) is (MAX_DEPTH % 2 == 0)
    assert kql.parse(kql.to_text(query.node)) == query.node
    with pytest.raises(QuerySyntaxError, match="brackets inside each other"):
        kql.parse(f"({text})")


def test_length_is_bounded():
    assert kql.parse("a" * MAX_LENGTH)
    with pytest.raises(QuerySyntaxError, match="characters long"):
        kql.parse("a" * (MAX_LENGTH + 1))


# Trees that fit the schema, and documents ---------------------------------------------------------

_words = ["a", "b", "ab", "A", "true", "22", "1.0", "a b", ""]
_globs = [("", "a"), ("a", ""), ("", "b", ""), ("a", "b"), ("", ""), ("", "", ""), ("2", "")]
_addresses = ["10.0.0.1", "10.0.0.2", "10.1.0.1", "::ffff:10.0.0.1", "2001:db8::1"]
_blocks = ["10.0.0.0/8", "10.0.0.0/31", "2001:db8::/32", "0.0.0.0/0"]
_dates = ["2025", "2026", "2026-03", "2026-03-04", "2026-03-04T12", "2026-03-04T12:30:00.000"]
_times = [
    "2025-12-31T23:59:59.999Z",
    "2026-03-04T12:30:00.000Z",
    "2026-03-04T12:30:00.001Z",
    "2026-03-05T00:00:00.000Z",
]
_exact_fields = st.sampled_from(["user.name", "user.roles", "host.path", "other.x", "params.k", "cloud.zone"])
_quoted = st.booleans()


def _texts_of(pool):
    return st.builds(Text, st.sampled_from(pool), _quoted).map(lambda t: Boolean(True) if t == Text("true") else t)


def _asks(field, values, patterns=True):
    names = st.builds(Name, st.just(field) if isinstance(field, str) else field)
    patterns_of = st.builds(Pattern, st.sampled_from(_globs if patterns else [("", "")]))
    return st.builds(Is, names, values | patterns_of) | st.builds(Range, names, _operators, values)


_equalities = st.builds(Is, st.builds(Name, _exact_fields), _texts_of(_words))
_leaves = (
    _equalities
    | _equalities
    | _asks(_exact_fields, _texts_of(_words))
    | _asks("source.port", _texts_of(["1", "2", "2.5", "22", "-1"]), patterns=False)
    | _asks("event.success", st.sampled_from([Boolean(True), Boolean(False), Text("true", True)]), patterns=False)
    | _asks("@timestamp", _texts_of(_dates), patterns=False)
    | _asks("source.ip", _texts_of(_addresses), patterns=False)
    | st.builds(Is, st.just(Name("source.ip")), _texts_of(_blocks))
    | st.builds(Is, st.just(Name("message")), _texts_of(["a", "A b", "b a", "ab"]))
    | st.builds(Is, st.just(Name("event.dataset")), _texts_of(["aws.cloudtrail", "other"]))
    | st.builds(Is, st.just(Pattern(("user.", ""))), _texts_of(_words))
)
_nested_leaves = st.recursive(
    st.builds(Is, st.just(Name("name")), _texts_of(_words)) | st.builds(Is, st.just(Name("size")), st.just(Text("1"))),
    _trees,
    max_leaves=3,
)
typed_trees = st.recursive(_leaves | st.builds(Nested, st.just(Name("parts")), _nested_leaves), _trees, max_leaves=8)

_scalars = st.sampled_from([*_words, True, False, 22, 1.0, None])
_exact_values = st.lists(_scalars, max_size=2) | _scalars
documents = st.fixed_dictionaries(
    {},
    optional={
        "user": st.fixed_dictionaries({}, optional={"name": _exact_values, "roles": _exact_values}),
        "host": st.fixed_dictionaries({"path": _exact_values}),
        "other": st.fixed_dictionaries({"x": _exact_values}),
        "params": st.fixed_dictionaries({"k": _exact_values}),
        "cloud": st.fixed_dictionaries({"zone": _scalars}),
        "message": st.lists(st.sampled_from(["a", "a, b", "B-A", "x ab", ""]), max_size=2),
        "source": st.fixed_dictionaries(
            {},
            optional={
                "ip": st.lists(st.sampled_from(_addresses), max_size=2),
                "port": st.lists(st.sampled_from([1, 2, 22, "3"]), max_size=2),
            },
        ),
        "event": st.fixed_dictionaries({"success": st.booleans()}),
        "@timestamp": st.sampled_from(_times),
        "parts": st.lists(st.fixed_dictionaries({}, optional={"name": _scalars, "size": st.sampled_from([1, 2])})),
    },
)

_COMPARE = {"<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _number_of(address: str) -> int:
    found = ip_address(address)
    return int(found) if found.version == 6 else int(ip_address(f"::ffff:{address}"))


def _holds(kind: str | None, node: Is | Range, value: object) -> bool:
    """Whether one value of a document answers a leaf, for the kinds of leaf generated above."""
    wanted = node.value
    if isinstance(wanted, Pattern):
        assert isinstance(node, Is)
        return bool(re.fullmatch(".*".join(map(re.escape, wanted.parts)), _plain(value), re.DOTALL))
    text = wanted.text
    if kind == "message":
        words, asked = re.findall("[a-z]+", str(value).lower()), re.findall("[a-z]+", text.lower())
        if not (isinstance(wanted, Text) and wanted.quoted):
            return any(word in words for word in asked)
        return any(words[at : at + len(asked)] == asked for at in range(len(words)))
    if kind == "@timestamp":
        cut = str(value)[: len(text)]
        if isinstance(node, Is):
            return cut == text
        return getattr(cut, _COMPARE[node.operator])(text)
    if kind == "source.ip" and isinstance(node, Is):
        if "/" not in text:
            return _number_of(text) == _number_of(str(value))
        address = ip_address(str(value))
        both = [address, address.ipv4_mapped] if address.version == 6 and address.ipv4_mapped else [address]
        return any(one in ip_network(text) for one in both)
    have, want = {
        "source.ip": lambda: (_number_of(str(value)), _number_of(text)),
        "source.port": lambda: (float(str(value)), float(text)),
        "event.success": lambda: (value, text == "true"),
    }.get(str(kind), lambda: (_plain(value), text))()
    return have == want if isinstance(node, Is) else getattr(have, _COMPARE[node.operator])(want)


def naive(node, document, values) -> bool:
    match node:
        case And(operands):
            return all(naive(operand, document, values) for operand in operands)
        case Or(operands):
            return any(naive(operand, document, values) for operand in operands)
        case Not(operand):
            return not naive(operand, document, values)
        case Nested(_, query):
            return any(
                naive(query, document, {name: [item[name]] for name in item if item[name] is not None})
                for item in document.get("parts", [])
            )
        case Is() | Range():
            if isinstance(node.field, Pattern):
                names = [name for name in values if name.startswith("user.")]
            else:
                names = [node.field.text]
            if names == ["size"]:
                return 1 in values.get("size", [])
            return any(_holds(name, node, value) for name in names for value in values.get(name, ()))


@settings(max_examples=400, deadline=None)
@given(tree=typed_trees, document=documents)
def test_matches_as_a_naive_reading_says(tree, document, schema, fields):
    seen = fields(document)
    query = kql.compile(tree, schema, now=NOW)
    expected = naive(tree, document, {name: seen.values(name) for name in seen.fields()})
    assert query.matches(seen) is expected
    if expected:
        for clause in query.necessary:
            assert any(text in seen.values(field) for field, text in clause)


@settings(max_examples=200, deadline=None)
@given(left=typed_trees, right=typed_trees, document=documents, strict=st.booleans())
def test_negation_and_de_morgan(left, right, document, strict, schema, fields):
    seen = fields(document)

    def matches(tree):
        return kql.compile(tree, schema, now=NOW, strict=strict).matches(seen)

    try:
        assert matches(Not(Not(left))) is matches(left) is not matches(Not(left))
        assert matches(Not(And((left, right)))) is matches(Or((Not(left), Not(right))))
        assert matches(Not(Or((left, right)))) is matches(And((Not(left), Not(right))))
        assert matches(And((left, Or((left, right))))) is matches(left)
    except QueryError:
        # Some patterns are refused in strict mode.
        assert strict


@settings(max_examples=200, deadline=None)
@given(tree=typed_trees, document=documents)
def test_every_match_has_a_pair_of_each_necessary_clause(tree, document, schema, fields):
    # Equalities joined by `or` and `and` are what clauses are made of; `or` with the tree makes matches likely.
    seen = fields(document)
    present = [
        Is(Name(name), Text(value, True))
        for name in ("user.name", "user.roles", "host.path")
        for value in seen.values(name)
        if isinstance(value, str)
    ]
    for leaf in present:
        for tried in (Or((leaf, tree)), And((Or((tree, leaf)), leaf)), Or((And((leaf, leaf)), And((tree, leaf))))):
            query = kql.compile(tried, schema, now=NOW)
            assert query.matches(seen)
            for clause in query.necessary:
                assert any(text in seen.values(field) for field, text in clause)
