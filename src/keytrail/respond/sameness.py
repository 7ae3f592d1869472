"""Whether two texts are the same policy: AWS gives a policy back with lists in another order, or of one as a text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache

from keytrail.errors import PolicyError
from keytrail.policy.digest import document_of

_ROOT = re.compile(r"arn:[a-z0-9-]+:iam::(\d{12}):root", re.ASCII)
_PRINCIPALS = ("Principal", "NotPrincipal")


def same_policy(one: str | None, other: str | None) -> bool:
    """Whether both are the same policy, but for blanks and what AWS writes as it likes: nothing that means anything.

    Those are the order of statements, of names and of the values of a list, a list of one value, and an account that
    stands for its root. What is not a JSON object is the same only as itself.

    >>> same_policy('{"Statement": {"Action": ["a", "b"]}}', '{"Statement": [{"Action": ["b", "a"]}]}')
    True
    >>> same_policy('{"Statement": {"Action": "a"}}', '{"Statement": {"Action": "A"}}')
    False
    """
    if one is None or other is None:
        return one is other
    if one == other:
        return True
    first, second = _form(one), _form(other)
    return first is not None and first == second


@lru_cache(maxsize=64)
def _form(text: str) -> str | None:
    try:
        document = document_of(text)
    except PolicyError:
        return None
    statements = document.get("Statement")
    listed = statements if isinstance(statements, list) else [statements]
    return _canonical(document | {"Statement": sorted(_canonical(_statement(one)) for one in listed)})


def _statement(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {name: _principals(each) if name in _PRINCIPALS else _sorted(each) for name, each in value.items()}


def _principals(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {name: _sorted(_rooted(each)) if name == "AWS" else _sorted(each) for name, each in value.items()}


def _rooted(value: object) -> object:
    if isinstance(value, list):
        return [_rooted(one) for one in value]
    # Both forms say the same; a root of another partition cannot stand in the same policy.
    if isinstance(value, str) and (found := _ROOT.fullmatch(value)):
        return found[1]
    return value


def _sorted(value: object) -> object:
    """Lists of texts in one order, each text once; a text for a list of one; objects within as well."""
    if isinstance(value, Mapping):
        return {name: _sorted(one) for name, one in value.items()}
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        each = sorted(set(value))
        return each[0] if len(each) == 1 else each
    return value


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
