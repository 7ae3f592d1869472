"""JSON as nobody writes it and everybody may: odd white space and line ends, escapes, values for lists of one."""

from __future__ import annotations

import json
import random

_SPACES = ("", " ", "\n", "\r\n", "\t", "  ", "\r\n\t ", " \n\n ")


def spelled(value: object, pick: random.Random) -> str:
    """The value as JSON text, with everything that carries no meaning left to chance."""
    if isinstance(value, dict):
        members = [
            f"{_text(name, pick)}{_space(pick)}:{_space(pick)}{spelled(one, pick)}" for name, one in value.items()
        ]
        return _between("{", members, "}", pick)
    if isinstance(value, list):
        return _between("[", [spelled(one, pick) for one in value], "]", pick)
    return _text(value, pick) if isinstance(value, str) else json.dumps(value)


def loosened(policy: dict[str, object], pick: random.Random) -> dict[str, object]:
    """The policy with lists of one value as that value, and values as lists of one, here and there."""
    statements = [_loosened(statement, pick) for statement in policy["Statement"]]  # type: ignore[attr-defined]
    single = len(statements) == 1 and pick.random() < 0.5
    return {**policy, "Statement": statements[0] if single else statements}


def _loosened(statement: dict[str, object], pick: random.Random) -> dict[str, object]:
    changed = {name: _one_or_list(value, pick) if name in _LISTS else value for name, value in statement.items()}
    for name in ("Principal", "NotPrincipal"):
        named = changed.get(name)
        if isinstance(named, dict):
            changed[name] = {kind: _one_or_list(value, pick) for kind, value in named.items()}
    items = list(changed.items())
    pick.shuffle(items)
    return dict(items)


_LISTS = ("Action", "NotAction", "Resource", "NotResource")


def _one_or_list(value: object, pick: random.Random) -> object:
    if isinstance(value, str):
        return [value] if pick.random() < 0.3 else value
    return value[0] if isinstance(value, list) and len(value) == 1 and pick.random() < 0.5 else value


def _space(pick: random.Random) -> str:
    return pick.choice(_SPACES)


def _between(start: str, parts: list[str], end: str, pick: random.Random) -> str:
    spaced = [f"{_space(pick)}{part}{_space(pick)}" for part in parts]
    return f"{start}{','.join(spaced) or _space(pick)}{end}"


def _text(text: str, pick: random.Random) -> str:
    written = json.dumps(text, ensure_ascii=pick.random() < 0.5)
    if pick.random() < 0.2:
        written = written.replace("/", "\\/")
    if pick.random() < 0.2 and "\\" not in written:
        written = (
            '"' + "".join(f"\\u{ord(c):04x}" if pick.random() < 0.3 and ord(c) < 0x10000 else c for c in text) + '"'
        )
    return written
