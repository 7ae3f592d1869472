"""What is legal in a key policy and yet odd: no effect, more power than it seems, or refused by KMS (section 4)."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from keytrail.errors import Place
from keytrail.policy import values
from keytrail.policy.catalogue import ConditionKey, KeyType, actions_of, catalogue, expand
from keytrail.policy.model import Condition, KeyPolicy, PrincipalKind, Statement
from keytrail.policy.operators import OPERATORS, Family
from keytrail.policy.patterns import Variable, Wildcard, literal_text, segments, template
from keytrail.policy.places import Path, Places, path_text

Severity = Literal["error", "warning", "note"]

MAX_LINTS = 1_000

_MAX_BYTES = 32_768
_BROADER = {"String": ("Arn",), "Arn": ("String",)}  # an ARN is a text; a text key may hold an ARN
_READERS: dict[Family, tuple[Callable[[str], object], str]] = {
    "Numeric": (values.number, "a number"),
    "Date": (values.time, "an ISO 8601 or epoch time"),
    "Bool": (values.boolean, "true or false"),
    "Null": (values.boolean, "true or false"),
    "IpAddress": (values.network, "an address or CIDR block"),
    "Binary": (values.binary, "base64"),
}
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
_SOURCE_KEYS = ("aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths")
_REFUSED_FOR_ALL = ("kms:encryptioncontext:", "aws:requesttag/")


@dataclass(frozen=True, slots=True)
class Lint:
    """One odd thing. "error": KMS refuses it or it does nothing; "warning": it means more or less than it seems.

    `statement` is an index from 0, None for the whole policy. `place` has line and column when the policy came as text.
    """

    code: str
    severity: Severity
    message: str
    statement: int | None
    path: str
    place: Place


Found = tuple[str, Severity, str, Path]


def lint(policy: KeyPolicy) -> tuple[Lint, ...]:
    """The oddities of a policy, in the order of its statements; the first MAX_LINTS of them.

    >>> policy = KeyPolicy.parse({"Statement": {"Effect": "Allow", "NotPrincipal": {"AWS": []}, "Action": "kms:*"}})
    >>> [found.code for found in lint(policy)]
    ['version-missing', 'no-resource', 'empty-element', 'allow-not-principal']
    """
    places = None if policy.source is None else Places(policy.source)
    found = []
    for statement, (code, severity, message, path) in islice(_all(policy), MAX_LINTS):
        line, column = places.of(path) if places else (None, None)
        place = Place(policy.name, line=line, column=column)
        found.append(Lint(code, severity, message, statement, path_text(path), place))
    return tuple(found)


def _all(policy: KeyPolicy) -> Iterator[tuple[int | None, Found]]:
    for found in _document(policy):
        yield None, found
    seen: dict[object, int] = {}
    sids = Counter(statement.sid for statement in policy.statements)
    for statement in policy.statements:
        index = statement.index
        path: Path = ("Statement", index)
        for found in _statement(statement, path):
            yield index, found
        if statement.sid and sids[statement.sid] > 1:
            yield index, ("sid-repeated", "note", "another statement has the same Sid", (*path, "Sid"))
        for condition in statement.conditions:
            for found in _condition(statement, condition, policy.has_variables, path):
                yield index, found
        first = seen.setdefault(_content(statement), index)
        if first != index:
            yield index, ("statement-repeated", "note", f"says the same as statement {first + 1}", path)


def _document(policy: KeyPolicy) -> Iterator[Found]:
    if policy.version is None:
        yield "version-missing", "note", "without Version the policy is read as 2008-10-17: ${…} is plain text", ()
    if not policy.has_variables:
        for statement, condition in policy.conditions():
            if any(_variables(value) for value in condition.values):
                path = _path(statement, condition)
                yield "variables-are-text", "warning", "needs Version 2012-10-17 to be a policy variable", path
    if not policy.statements:
        yield "no-statement", "error", "a policy without statements allows nothing to anybody", ("Statement",)
    source = policy.source
    if source is None:
        return
    size = len(source.encode("utf-8", "surrogatepass"))
    if size > _MAX_BYTES:
        yield "too-large", "error", f"is {size:,} bytes; KMS takes {_MAX_BYTES:,}", ()
    if any(c > "\u00ff" for c in source):
        yield "character", "error", "holds a character beyond U+00FF, which KMS refuses", ()


def _statement(statement: Statement, path: Path) -> Iterator[Found]:
    if statement.actions is None and statement.not_actions is None:
        yield "no-action", "error", "a statement without Action has no effect", path
    if statement.resources is None and statement.not_resources is None:
        yield "no-resource", "error", "a statement without Resource applies to no key", path
    yield from _elements(statement, path)
    yield from _principals(statement, path)
    yield from _actions(statement, path)


def _elements(statement: Statement, path: Path) -> Iterator[Found]:
    elements = {
        "Principal": statement.principals,
        "NotPrincipal": statement.not_principals,
        "Action": statement.actions,
        "NotAction": statement.not_actions,
        "Resource": statement.resources,
        "NotResource": statement.not_resources,
    }
    for name, entries in elements.items():
        if entries is not None and not entries:
            yield "empty-element", "warning", f"{name} names nothing", (*path, name)
    if statement.not_resources is not None:
        yield "resource", "warning", 'in a key policy Resource is "*", this key', (*path, "NotResource")
    elif statement.resources is not None and any(pattern != "*" for pattern in statement.resources):
        yield "resource", "warning", 'in a key policy Resource is "*", this key', (*path, "Resource")


def _principals(statement: Statement, path: Path) -> Iterator[Found]:
    here: Path = (*path, "Principal" if statement.principals is not None else "NotPrincipal")
    if statement.not_principals is not None and statement.effect == "Allow":
        yield "allow-not-principal", "warning", "gives to everyone but the named, strangers included", here
    if statement.not_principals is not None and statement.effect == "Deny":
        kinds = {p.kind for p in statement.not_principals}
        accounts = {p.account for p in statement.not_principals if p.kind is PrincipalKind.ACCOUNT}
        if any(p.account not in accounts for p in statement.not_principals if p.account):
            yield "not-principal-account", "warning", "spares nobody whose account is not listed as well", here
        if PrincipalKind.ROLE in kinds and PrincipalKind.SESSION not in kinds:
            yield (
                "not-principal-session",
                "warning",
                "may deny a role's sessions, which must be listed one by one",
                here,
            )
    for principal in statement.all_principals():
        text = f'"{principal}"'
        match principal.kind:
            case PrincipalKind.INVALID if "*" in principal.value or "?" in principal.value:
                yield "principal-wildcard", "error", f"{text}: a principal takes no partial wildcard", here
            case PrincipalKind.INVALID:
                yield "principal-invalid", "error", f"{text} is no principal a key policy can name", here
            case PrincipalKind.FEDERATED | PrincipalKind.CANONICAL:
                yield "principal-unsupported", "error", f"{text}: key policies know no such principal", here
            case PrincipalKind.DELETED:
                yield "principal-deleted", "note", f"{text} is what a deleted user or role left; it is nobody", here
            case PrincipalKind.SERVICE if statement.effect == "Allow" and statement.principals is not None:
                if not any(c.name in _SOURCE_KEYS for c in statement.conditions):
                    yield (
                        "service-without-source",
                        "warning",
                        f"{text} may act for anyone: no aws:SourceArn or aws:SourceAccount",
                        here,
                    )
            case _:
                pass


def _actions(statement: Statement, path: Path) -> Iterator[Found]:
    name = "Action" if statement.actions is not None else "NotAction"
    patterns = statement.actions or statement.not_actions or ()
    distinct = {expand(p): (at, p) for at, p in reversed(list(enumerate(patterns)))}  # the first of equal ones
    for at, pattern in enumerate(patterns):
        here: Path = (*path, name, at)
        covered = expand(pattern)
        if covered:
            other = next((p for c, (i, p) in distinct.items() if covered < c or (covered == c and i < at)), None)
            if other is not None:
                yield "action-redundant", "note", f'"{pattern}" is within "{other}"', here
            continue
        known = catalogue().action(pattern)
        if known is not None:
            yield "action-iam-only", "warning", f"{known.name} is not authorised on a key: only IAM can allow it", here
        elif ":" not in pattern:
            yield "action-invalid", "error", f'"{pattern}" names no service', here
        elif not pattern.lower().startswith("kms:") and name == "Action":
            yield "action-other-service", "warning", f'"{pattern}" is no action on a key', here
        elif name == "Action":
            yield "action-unknown", "warning", f'no KMS action known on {catalogue().date} matches "{pattern}"', here


def _condition(statement: Statement, condition: Condition, variables: bool, path: Path) -> Iterator[Found]:
    operator, here = condition.operator, _path(statement, condition)
    if not operator.known:
        yield "operator-unknown", "error", f'there is no condition operator "{operator}"', here[:-1]
        return
    key = catalogue().key(condition.key)
    if key is None:
        yield "key-unknown", "warning", f'"{condition.key}" is no condition key known for KMS', here
    else:
        yield from _known_key(statement, condition, key, here)
    if operator.name == "Null" and operator.qualifier is not None:
        always = "always" if operator.qualifier == "ForAllValues" else "never"
        yield "null-qualifier", "error", f"{operator} {always} holds", here
    if condition.name == "aws:vpcsourceip" and not any(
        c.name in ("aws:sourcevpc", "aws:sourcevpce") for c in statement.conditions
    ):
        yield "key-unpaired", "warning", "addresses inside a VPC mean nothing without aws:SourceVpc", here
    if not condition.values:
        yield "value-missing", "warning", "an empty list of values", here
    for at, value in enumerate(condition.values):
        yield from _value(condition, value, variables, (*here, at))


def _known_key(statement: Statement, condition: Condition, key: ConditionKey, here: Path) -> Iterator[Found]:
    operator, family = condition.operator, OPERATORS[condition.operator.name].family
    actions = actions_of(statement)
    if actions and not any(key.present_on(action) for action in actions):
        yield "key-never-present", "warning", f"no action of the statement carries {condition.key}", here
    if family != "Null" and not _fits(family, key.type, condition.name):
        yield "type-mismatch", "warning", f"{condition.key} is of type {key.type}, {operator} compares {family}", here
    if key.multi and operator.qualifier is None and family != "Null":
        yield "qualifier-missing", "error", f"{condition.key} has many values: ForAllValues or ForAnyValue?", here
    if operator.qualifier == "ForAllValues" and family != "Null":
        if condition.name.startswith(_REFUSED_FOR_ALL):
            yield "for-all-refused", "error", f"KMS refuses ForAllValues on {condition.key}", here
        if not key.multi:
            yield "for-all-single", "warning", f"holds whenever {condition.key} is missing; it has one value", here
        elif statement.effect == "Allow" and key.presence != "always":
            yield "for-all-missing", "warning", f"holds whenever {condition.key} is missing", here


def _fits(family: Family, key_type: KeyType, name: str) -> bool:
    if name == "aws:epochtime":
        return family in ("Date", "Numeric")
    return family == key_type or key_type in _BROADER.get(family, ()) or family == "Binary"


def _value(condition: Condition, value: str, variables: bool, here: Path) -> Iterator[Found]:
    comparison = OPERATORS[condition.operator.name]
    reader = _READERS.get(comparison.family)
    if reader is not None:
        read, wanted = reader
        if read(value) is None:
            yield "value-type", "error", f'"{value}" is not {wanted}', here
        elif condition.name == "aws:sourceip":
            yield from _network(value, here)
        return
    parts = template(value, variables=variables)
    if "${" in literal_text(parts) and variables:
        yield "variable-malformed", "warning", f'"{value}": what follows ${{ is no policy variable', here
    for part in parts:
        if isinstance(part, Variable):
            known = catalogue().key(part.key)
            if known is None:
                yield "variable-unknown", "warning", f'"{part.key}" is no condition key known for KMS', here
            elif known.multi:
                yield "variable-multivalued", "error", f"{part.key} has many values and cannot be a variable", here
    if condition.operator.name in ("StringEquals", "StringNotEquals") and any(isinstance(p, Wildcard) for p in parts):
        yield "wildcard-literal", "warning", f'"{value}": * and ? are plain characters to {condition.operator}', here
    if comparison.family == "Arn":
        pattern = tuple(p for p in parts if not isinstance(p, Variable))
        if len(segments(pattern)) < 6 and len(pattern) == len(parts):
            yield "value-type", "warning", f'"{value}" has not the six parts of an ARN', here


def _network(value: str, here: Path) -> Iterator[Found]:
    network = values.network(value)
    if network is None:
        return
    if "/" in value and str(network) != str(ipaddress.ip_interface(value)):
        yield "network-host-bits", "note", f"{value} is read as {network}", here
    if any(network.version == private.version and network.subnet_of(private) for private in _PRIVATE):  # type: ignore[arg-type]
        yield "network-private", "warning", f"{value} is private: no caller comes from there over the internet", here


def _variables(value: str) -> bool:
    return any(isinstance(part, Variable) for part in template(value, variables=True))


def _content(statement: Statement) -> object:
    """What a statement says, whatever its place, its Sid and the order of its parts."""
    return (
        statement.effect,
        *(
            None if part is None else frozenset(part)
            for part in (
                statement.principals,
                statement.not_principals,
                statement.actions,
                statement.not_actions,
                statement.resources,
                statement.not_resources,
                statement.conditions,
            )
        ),
    )


def _path(statement: Statement, condition: Condition) -> Path:
    return ("Statement", statement.index, "Condition", str(condition.operator), condition.key)
