"""Policy text -> KeyPolicy: strict JSON, every legal spelling, every problem with its place (1.1 to 1.4, 1.6)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from keytrail.errors import Place, PolicyError, PolicyProblem
from keytrail.policy.model import Condition, Effect, KeyPolicy, Operator, Principal, PrincipalKind, Statement
from keytrail.policy.operators import parse_operator
from keytrail.policy.places import Path, Places, line_and_column, path_text

MAX_SIZE = 1_000_000
"""Characters of a policy text. KMS takes 32,768 bytes; CloudTrail and people may wrap, indent and escape them."""

MAX_STATEMENTS = 5_000
MAX_PROBLEMS = 50

_VERSIONS = ("2012-10-17", "2008-10-17")
_STATEMENT_ELEMENTS = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_PRINCIPAL_TYPES = ("AWS", "Service", "Federated", "CanonicalUser")
_ADVICE = "Give one key policy as JSON, as `aws kms get-key-policy --output text` prints it."

_ACCOUNT = re.compile(r"[0-9]{12}")
_ARN = re.compile(
    r"arn:aws[a-z-]*:(?:(iam)::([0-9]{12}):(root|user/.+|role/.+)|(sts)::([0-9]{12}):(assumed-role/[^/]+/[^/]+|federated-user/.+))",
    re.DOTALL,
)
_UNIQUE_ID = re.compile(r"A(?:IDA|ROA|GPA|IPA|NPA|NVA|PKA|SCA|KIA|SIA)[A-Z0-9]{12,124}")
_SERVICE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.-]*")


class _Number(str):
    """A JSON number as it is written: quotes around numbers are optional (1.1)."""

    __slots__ = ()


class _Object(dict[str, object]):
    """A JSON object that remembers which names were repeated."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.repeated: tuple[str, ...] = ()
        if len(self) != len(pairs):
            names = [name for name, _ in pairs]
            self.repeated = tuple(name for name in self if names.count(name) > 1)


def parse_policy(source: object, *, name: str = "policy") -> KeyPolicy:
    """Parse a policy; see KeyPolicy.parse. Whatever is no text is taken for a document that is parsed already."""
    if isinstance(source, (str, bytes)):
        text = _text(source, name)
        return _Reader(text, name).policy(_load(text, name))
    return _Reader(None, name).policy(source)


def parse_principal(kind: str, text: str) -> Principal:
    """The principal that `text` names under one of the types AWS, Service, Federated, CanonicalUser (1.2).

    >>> parse_principal("AWS", "111122223333") == parse_principal("AWS", "arn:aws:iam::111122223333:root")
    True
    """
    found, account, value = _identify(kind, text)
    return Principal(found, value, account, text, kind)


def _identify(kind: str, text: str) -> tuple[PrincipalKind, str | None, str]:
    """The kind, the account and the canonical value of a principal."""
    if kind == "Federated":
        return PrincipalKind.FEDERATED, None, text
    if kind == "CanonicalUser":
        return PrincipalKind.CANONICAL, None, text
    if kind == "Service":
        return PrincipalKind.SERVICE if _SERVICE.fullmatch(text) else PrincipalKind.INVALID, None, text
    if text == "*":
        return PrincipalKind.EVERYONE, None, text
    if _ACCOUNT.fullmatch(text):
        return PrincipalKind.ACCOUNT, text, text
    found = _ARN.fullmatch(text)
    if found is not None and "*" not in text and "?" not in text:
        account, resource = found[2] or found[5], found[3] or found[6]
        if resource == "root":
            return PrincipalKind.ACCOUNT, account, account
        return _ARN_KINDS[resource.partition("/")[0]], account, text
    return PrincipalKind.DELETED if _UNIQUE_ID.fullmatch(text) else PrincipalKind.INVALID, None, text


_ARN_KINDS = {
    "user": PrincipalKind.USER,
    "role": PrincipalKind.ROLE,
    "assumed-role": PrincipalKind.SESSION,
    "federated-user": PrincipalKind.FEDERATED_USER,
}


def _text(source: str | bytes, name: str) -> str:
    if len(source) > MAX_SIZE:
        _fail(name, f"the text is larger than {MAX_SIZE:,} characters; KMS takes 32,768 bytes")
    if isinstance(source, str):
        return source.removeprefix("\ufeff")
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        column = error.start - source.rfind(b"\n", 0, error.start)
        _fail(name, "the text is not UTF-8", line, column)


def _load(text: str, name: str) -> object:
    try:
        return json.loads(
            text, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        _fail(name, f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}", error.lineno, error.colno)
    except _ConstantError as error:
        line, column = line_and_column(text, max(text.find(str(error)), 0))
        _fail(name, f"not JSON: {error} is no JSON value", line, column)
    except RecursionError:
        _fail(name, "objects and lists are nested too deeply")


class _ConstantError(Exception):
    pass


def _no_constant(text: str) -> NoReturn:
    raise _ConstantError(text)


def _fail(name: str, what: str, line: int | None = None, column: int | None = None) -> NoReturn:
    raise PolicyError((PolicyProblem(what, "", Place(name, line=line, column=column)),), advice=_ADVICE)


class _Reader:
    """One pass over a document that collects every problem before it gives up."""

    def __init__(self, text: str | None, name: str) -> None:
        self._text = text
        self._places = None if text is None else Places(text)
        self._name = name
        self._problems: list[PolicyProblem] = []

    def policy(self, document: object) -> KeyPolicy:
        statements: tuple[Statement, ...] = ()
        version = identity = None
        if isinstance(document, Mapping):
            root = self._object(document, (), ("Version", "Id", "Statement"), "a policy")
            version = self._string(root, "Version", ())
            if version is not None and version not in _VERSIONS:
                self._problem(("Version",), f"must be {_VERSIONS[0]} or {_VERSIONS[1]}, not {_shown(version)}")
            identity = self._string(root, "Id", ())
            statements = tuple(self._statements(root))
        else:
            self._problem((), f"a policy is an object, not {_kind(document)}")
        if self._problems:
            raise PolicyError(tuple(self._problems), advice=_ADVICE)
        return KeyPolicy(statements, version, identity, self._name, self._text)

    def _statements(self, root: Mapping[str, object]) -> Iterator[Statement]:
        if "Statement" not in root:
            self._problem((), "a policy needs Statement")
            return
        value = root["Statement"]
        items = list(value) if isinstance(value, (list, tuple)) else [value]
        if len(items) > MAX_STATEMENTS:
            self._problem(("Statement",), f"more than {MAX_STATEMENTS:,} statements")
            return
        for index, item in enumerate(items):
            path: Path = ("Statement", index)
            if isinstance(item, Mapping):
                yield self._statement(item, index, path)
            else:
                self._problem(path, f"a statement is an object, not {_kind(item)}")

    def _statement(self, item: Mapping[str, object], index: int, path: Path) -> Statement:
        element = self._object(item, path, _STATEMENT_ELEMENTS, "a statement")
        for one in ("Principal", "Action", "Resource"):
            if one in element and f"Not{one}" in element:
                self._problem((*path, f"Not{one}"), f"stands beside {one}; a statement has one of them")
        if "Principal" not in element and "NotPrincipal" not in element:
            self._problem(path, "a statement of a key policy needs Principal or NotPrincipal")
        return Statement(
            index=index,
            sid=self._string(element, "Sid", path),
            effect=self._effect(element, path),
            principals=self._principals(element, "Principal", path),
            not_principals=self._principals(element, "NotPrincipal", path),
            actions=self._strings(element, "Action", path),
            not_actions=self._strings(element, "NotAction", path),
            resources=self._strings(element, "Resource", path),
            not_resources=self._strings(element, "NotResource", path),
            conditions=tuple(self._conditions(element, path)),
        )

    def _effect(self, element: Mapping[str, object], path: Path) -> Effect:
        value = element.get("Effect")
        if value == "Allow":
            return "Allow"
        if value == "Deny":
            return "Deny"
        if "Effect" in element:
            self._problem((*path, "Effect"), f"must be Allow or Deny, in this case, not {_shown(value)}")
        else:
            self._problem(path, "a statement needs Effect")
        return "Deny"  # never seen: the problem stops the policy

    def _principals(self, element: Mapping[str, object], name: str, path: Path) -> tuple[Principal, ...] | None:
        if name not in element:
            return None
        value, here = element[name], (*path, name)
        if value == "*":
            return (parse_principal("AWS", "*"),)
        if not isinstance(value, Mapping):
            self._problem(here, f'must be "*" or an object such as {{"AWS": …}}, not {_shown(value)}')
            return ()
        kinds = self._object(value, here, _PRINCIPAL_TYPES, name)
        return tuple(
            parse_principal(kind, text)
            for kind in kinds
            if kind in _PRINCIPAL_TYPES
            for text in self._strings(kinds, kind, here) or ()
        )

    def _conditions(self, element: Mapping[str, object], path: Path) -> Iterator[Condition]:
        if "Condition" not in element:
            return
        value, here = element["Condition"], (*path, "Condition")
        if not isinstance(value, Mapping):
            self._problem(here, f"must be an object of operators, not {_kind(value)}")
            return
        for name, keys in self._object(value, here, None, "Condition").items():
            operator = parse_operator(name)
            if isinstance(keys, Mapping):
                yield from self._keys(operator, self._object(keys, (*here, name), None, name), (*here, name))
            else:
                self._problem((*here, name), f"must be an object of condition keys, not {_kind(keys)}")

    def _keys(self, operator: Operator, keys: Mapping[str, object], path: Path) -> Iterator[Condition]:
        seen: dict[str, str] = {}
        for key, value in keys.items():
            other = seen.setdefault(key.lower(), key)
            if other != key:
                self._problem((*path, key), f"is the same condition key as {_shown(other)}: case does not count")
            items = value if isinstance(value, (list, tuple)) else (value,)
            yield Condition(operator, key, tuple(self._value(item, (*path, key, i)) for i, item in enumerate(items)))

    def _value(self, item: object, path: Path) -> str:
        """A condition value as text: JSON's true is "true", 7 is "7" (1.1)."""
        if isinstance(item, str):
            return str(item)
        if isinstance(item, bool):
            return "true" if item else "false"
        if isinstance(item, (int, float)) and abs(item) < 1e40:
            return str(item)
        self._problem(path, f"must be a text, a number or true or false, not {_kind(item)}")
        return ""

    def _string(self, element: Mapping[str, object], name: str, path: Path) -> str | None:
        value = element.get(name)
        if isinstance(value, str) and not isinstance(value, _Number):
            return value
        if name in element:
            self._problem((*path, name), f"must be a text, not {_kind(value)}")
        return None

    def _strings(self, element: Mapping[str, object], name: str, path: Path) -> tuple[str, ...] | None:
        """One text or a list of them. An account id may lack its quotes."""
        if name not in element:
            return None
        value = element[name]
        items = value if isinstance(value, (list, tuple)) else (value,)
        found = []
        for index, item in enumerate(items):
            if isinstance(item, str):
                found.append(str(item))
            elif isinstance(item, int) and not isinstance(item, bool):
                found.append(f"{item:d}" if abs(item) < 10**15 else "")
            else:
                self._problem((*path, name, index), f"must be a text, not {_kind(item)}")
        return tuple(found)

    def _object(
        self, value: Mapping[Any, object], path: Path, allowed: frozenset[str] | tuple[str, ...] | None, what: str
    ) -> Mapping[str, object]:
        """The object, after saying which of its names are repeated or unknown."""
        for name in value.repeated if isinstance(value, _Object) else ():
            self._problem((*path, name), "stands twice in the same object")
        for name in value:
            if not isinstance(name, str):
                self._problem(path, f"the name {_shown(name)} is no text")
            elif allowed is not None and name not in allowed:
                self._problem((*path, name), f"{what} has no such element{_near(name, allowed)}")
        return {name: item for name, item in value.items() if isinstance(name, str)}

    def _problem(self, path: Path, what: str) -> None:
        if len(self._problems) == MAX_PROBLEMS:
            return
        line = column = None
        if self._places is not None:
            line, column = self._places.of(path)
        self._problems.append(PolicyProblem(what, path_text(path), Place(self._name, line=line, column=column)))


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (_Number, int, float)):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, (list, tuple)) else "something else"


def _shown(value: object) -> str:
    if not isinstance(value, str):
        return _kind(value)
    return f'"{value}"' if len(value) <= 60 else f'"{value[:59]}…"'


def _near(name: str, allowed: frozenset[str] | tuple[str, ...]) -> str:
    for known in allowed:
        if name.lower() in (known.lower(), f"{known.lower()}s"):
            return f"; did you mean {known}?"
    return ""
