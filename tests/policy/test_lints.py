"""Lints: what is odd is said once, with its place, and what is usual is not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from keytrail.policy import KeyPolicy, lint

CASES = tomllib.loads((Path(__file__).parent / "cases" / "lints.toml").read_text("utf-8"))["case"]
USUAL = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::111122223333:role/App"},
    "Action": "kms:Decrypt",
    "Resource": "*",
}


def codes(*statements: dict[str, object], version: str | None = "2012-10-17") -> list[str]:
    document: dict[str, object] = {"Statement": [{**USUAL, **statement} for statement in statements]}
    if version:
        document["Version"] = version
    return [found.code for found in lint(KeyPolicy.parse(document))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: json.dumps(case["statement"]))
def test_cases(case):
    # An empty text stands for an element that is not there.
    statement = {name: value for name, value in {**USUAL, **case["statement"]}.items() if value != ""}
    policy = KeyPolicy.parse({"Version": case.get("version", "2012-10-17"), "Statement": [statement]})
    assert [[found.code, found.path] for found in lint(policy)] == case["lints"]


def test_every_lint_says_where_it_is_in_the_text():
    text = """{
  "Statement": {
    "Effect": "Allow", "Principal": "*", "Resource": "*",
    "Action": ["kms:Decrypt",
               "kms:Frobnicate"],
    "Condition": {"Bool": {"aws:SecureTransport": "yes"}}
  }
}"""
    found = [(lint.code, lint.statement, str(lint.place)) for lint in lint(KeyPolicy.parse(text, name="p.json"))]
    assert found == [
        ("version-missing", None, "p.json:1:1"),
        ("action-unknown", 0, "p.json:5:16"),
        ("value-type", 0, "p.json:6:51"),
    ]


def test_statements_that_say_the_same():
    twice = {"Action": ["kms:Sign", "kms:Verify"]}
    assert codes({"Sid": "a", **twice}, {"Sid": "b", "Action": ["kms:Verify", "kms:Sign"]}) == ["statement-repeated"]
    assert codes(twice, {**twice, "Effect": "Deny"}) == []


def test_a_sid_is_for_one_statement():
    assert codes({"Sid": "a"}, {"Sid": "a", "Action": "kms:Sign"}) == ["sid-repeated"] * 2
    assert codes({"Sid": ""}, {"Sid": "", "Action": "kms:Sign"}) == []


def test_the_document_itself():
    assert codes({}, version=None) == ["version-missing"]
    assert codes() == ["no-statement"]
    too_large = json.dumps({"Version": "2012-10-17", "Id": "x" * 33_000, "Statement": [USUAL]})
    assert [found.code for found in lint(KeyPolicy.parse(too_large))] == ["too-large"]
    text = json.dumps({"Version": "2012-10-17", "Id": "€", "Statement": [USUAL]}, ensure_ascii=False)
    assert [found.code for found in lint(KeyPolicy.parse(text))] == ["character"]


def test_lints_are_bounded():
    assert len(codes(*[{"Principal": {"Federated": ["x"] * 100}}] * 20)) == 1000


@pytest.mark.parametrize(
    ("code", "severity"),
    [("no-resource", "error"), ("allow-not-principal", "warning"), ("principal-deleted", "note")],
)
def test_severities(code, severity):
    statement = {"Effect": "Allow", "NotPrincipal": {"AWS": "AROAEXAMPLEEXAMPLE123"}, "Action": "kms:Sign"}
    found = {lint.code: lint for lint in lint(KeyPolicy.parse({"Version": "2012-10-17", "Statement": statement}))}
    assert found[code].severity == severity
    assert found[code].message
