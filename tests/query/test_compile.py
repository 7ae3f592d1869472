"""What a compiled query tells besides its matches: its literals, its fields, its text."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from keytrail import query as kql
from keytrail.errors import QuerySyntaxError, QueryTypeError
from keytrail.query.nodes import And, Is, Name, Text
from keytrail.query.parser import MAX_LENGTH

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)


def _pairs(text: str) -> frozenset[tuple[str, str]]:
    """Read `field=value field=value`."""
    return frozenset((field, value) for field, _, value in (pair.partition("=") for pair in text.split()))


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("user.name: a", ["user.name=a"]),
        ('host.path: "a"', ["host.path=a"]),
        ("unmapped: a", ["unmapped=a"]),
        ("cloud.zone: a", ["cloud.zone=a"]),
        ("user.name: (a or b)", ["user.name=a user.name=b"]),
        ("user.name: (a and b)", ["user.name=a", "user.name=b"]),
        ("user.name: a and event.action: (b or c)", ["user.name=a", "event.action=b event.action=c"]),
        ("user.name: a or event.action: b", ["user.name=a event.action=b"]),
        ("user.name: a and user.name: (a or b)", ["user.name=a"]),
        # Branches that share a field, and the mixed clauses of those that do not
        (
            "(user.name: a and event.action: b) or (user.name: a and event.action: c)",
            ["user.name=a", "event.action=b event.action=c"],
        ),
        (
            "(user.name: a and event.action: b) or user.roles: c",
            ["user.name=a user.roles=c", "event.action=b user.roles=c"],
        ),
        # One branch of which nothing is known
        ("user.name: a or event.action: b*", []),
        ("user.name: (a or b*)", []),
        ("user.name: a or not event.action: b", []),
        ("user.name: a and (event.action: b or message: c)", ["user.name=a"]),
        # What is no equality of strings
        ("user.name: a*", []),
        ("user.name: *", []),
        ("user.name >= a", []),
        ("not user.name: a", []),
        ("user.*: a", []),
        ("a", []),
        ("message: a", []),
        ("params.x: a", []),
        ("source.ip: 10.0.0.1", []),
        ("source.port: 1", []),
        ("event.success: true", []),
        ("@timestamp: 2026", []),
        ("parts:{ name: a }", []),
        # A number or a boolean of a record has these texts, too
        ("user.name: true", []),
        ('user.name: "22"', []),
        ("user.name: (a or 1.5)", []),
        # What every document has says nothing; what none has rules all out
        ("event.dataset: aws.cloudtrail and user.name: a", ["user.name=a"]),
        ("user.name: a and event.dataset: okta", [""]),
        ("(user.name: a and event.dataset: okta) or user.roles: b", ["user.roles=b"]),
        ("not event.dataset: aws*", [""]),
        ("", []),
    ],
)
def test_necessary(text, clauses, schema):
    query = kql.compile(text, schema, now=NOW)
    assert sorted(map(sorted, query.necessary)) == sorted(sorted(_pairs(clause)) for clause in clauses)


def test_large_sets_are_left_out(schema):
    values = " or ".join(f"v{number}" for number in range(5000))
    assert kql.compile(f"user.name: ({values})", schema, now=NOW).necessary == ()
    many = " or ".join(f"(user.name: {name} and event.action: {name})" for name in "abcdefghijklmnop")
    assert sorted(len(clause) for clause in kql.compile(many, schema, now=NOW).necessary) == [16, 16]


def test_strict_mode_forgets_literals_that_the_index_does_not_hold(schema):
    text = "short: (abc or abcdefghijk)"
    assert kql.compile(text, schema, now=NOW, strict=True).necessary == (frozenset({("short", "abc")}),)


def test_fields(schema):
    text = "user.name: a and not source.* > 1 and parts:{ name: b and sub:{ k*: c } } or free or event.dataset: x"
    assert kql.compile(text, schema, now=NOW).fields == {
        *("user.name", "source.*", "parts", "parts.name", "parts.sub", "parts.sub.k*", "*", "event.dataset")
    }


def test_a_tree_compiles_and_its_errors_show_its_text(schema, fields):
    tree = And((Is(Name("user.name"), Text("a b")), Is(Name("source.port"), Text("x", True))))
    with pytest.raises(QueryTypeError) as caught:
        kql.compile(tree, schema, now=NOW)
    assert caught.value.text == 'user.name: a b and source.port: "x"'
    assert caught.value.text[caught.value.offset :] == '"x"'
    query = kql.compile(tree.operands[0], schema, now=NOW)
    assert (query.text, query.node) == ("user.name: a b", tree.operands[0])
    assert query.matches(fields({"user": {"name": "a b"}}))


def test_now_is_aware_and_in_any_zone(schema, fields):
    with pytest.raises(ValueError, match="aware"):
        kql.compile("user.name: a", schema, now=datetime(2026, 3, 4))
    query = kql.compile("@timestamp >= now/d", schema, now=datetime.fromisoformat("2026-03-05T01:00:00+05:00"))
    assert query.matches(fields({"@timestamp": "2026-03-04T00:00:00Z"}))


def test_a_schema_needs_no_lengths(schema, fields):
    class Plain:
        type_of, constant_of, names = schema.type_of, schema.constant_of, schema.names

    assert kql.compile("short: *", Plain(), now=NOW, strict=True).matches(fields({"short": "12345678901"}))


def test_hostile_queries_and_values_take_linear_time(schema, fields):
    # Each of these takes minutes or the end of the stack where something goes back and forth.
    for part in ("*", "n", "not", "\\", " or ", " = ", "\\:"):
        for start, end in (("f:", ""), ('"', ""), ("f: (", "("), ("", ":"), ("", ' "')):
            with suppress(QuerySyntaxError):
                kql.parse(start + (part * MAX_LENGTH)[: MAX_LENGTH - 10] + end)
    document = fields({"user": {"name": "a" * 200_000}, "message": "a b " * 50_000})
    for text in (
        "user.name: *a*a*a*a*a*a*b",
        "user.name: " + "*a" * 5000 + "*b",
        'message: "a b a c"',
        "message: *a*b*c*",
    ):
        assert not kql.compile(text, schema, now=NOW).matches(document)


def test_importing_it_loads_nothing_heavy():
    # `keytrail --help` is to answer in 150 ms.
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import keytrail.query"], capture_output=True, text=True, check=True
    )
    assert "keytrail.query.compiler" in done.stderr
    for name in ("boto3", "pydantic", "rich", "hypothesis", "keytrail.cloudtrail", "keytrail.settings"):
        assert f" {name}\n" not in done.stderr
