"""Text patterns of policies: globs, policy variables in values, and the way ARNs are compared (1.3, 1.6)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

# ${key}, ${key, 'default'}, and ${*} ${?} ${$}, which stand for the characters themselves.
_VARIABLE = re.compile(r"\$\{(?:([*?$])|\s*([^{}',\s](?:[^{}',]*[^{}',\s])?)\s*(?:,\s*'([^']*)'\s*)?)\}")


class Wildcard(Enum):
    """A part of a value that may match other text than itself; its value is how it is written."""

    ANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Variable:
    """A policy variable: the value of another condition key, `default` when the request has none."""

    key: str
    default: str | None = None


Part = str | Wildcard | Variable  # a str part is literal text
Glob = tuple[str | Wildcard, ...]


@lru_cache(maxsize=8192)
def template(value: str, *, variables: bool) -> tuple[Part, ...]:
    """Cut a value of a policy into literal text, wildcards and, when the policy has them, variables.

    Text that only looks like a variable stays text.

    >>> template("a-${aws:username}/${*}*", variables=True)
    ('a-', Variable(key='aws:username', default=None), '/*', <Wildcard.ANY: '*'>)
    >>> template("${*}", variables=False)
    ('${', <Wildcard.ANY: '*'>, '}')
    """
    parts: list[Part] = []
    end = 0
    for found in _VARIABLE.finditer(value) if variables else ():
        _add_text(parts, value[end : found.start()])
        special, key, default = found.groups()
        if special is not None:
            _add(parts, special)
        else:
            parts.append(Variable(key, default))
        end = found.end()
    _add_text(parts, value[end:])
    return tuple(parts)


def literal_text(parts: tuple[Part, ...]) -> str:
    """The text of a value without variables when its wildcards are plain characters (StringEquals).

    >>> literal_text(template("a*${?}", variables=True))
    'a*?'
    """
    return "".join(
        part.value if isinstance(part, Wildcard) else part for part in parts if not isinstance(part, Variable)
    )


def resolve(parts: tuple[Part, ...], value_of: Callable[[str], str | None]) -> Glob | None:
    """Put the values of variables in; None when one has neither a value nor a default (1.6)."""
    resolved: list[Part] = []
    for part in parts:
        if not isinstance(part, Variable):
            text: str | Wildcard | None = part
        else:
            text = value_of(part.key)
            if text is None:
                text = part.default
        if text is None:
            return None
        if isinstance(text, Wildcard):
            resolved.append(text)
        else:
            _add(resolved, text)
    return tuple(part for part in resolved if not isinstance(part, Variable))


def matches(parts: Glob, text: str) -> bool:
    """Whether a glob covers the whole of `text`, case-sensitively. Work is bounded by the product of the lengths."""
    pattern: list[str | Wildcard] = []
    for part in parts:
        if isinstance(part, str):
            pattern.extend(part)
        else:
            pattern.append(part)
    at = read = 0
    star, resume = -1, 0
    while read < len(text):
        if at < len(pattern) and (pattern[at] is Wildcard.ONE or pattern[at] == text[read]):
            at += 1
            read += 1
        elif at < len(pattern) and pattern[at] is Wildcard.ANY:
            star, resume = at, read
            at += 1
        elif star >= 0:  # the last star takes one more character; earlier stars need not be tried again
            resume += 1
            at, read = star + 1, resume
        else:
            return False
    return all(rest is Wildcard.ANY for rest in pattern[at:])


def glob(pattern: str) -> Glob:
    """The parts of a pattern without variables."""
    return tuple(part for part in template(pattern, variables=False) if not isinstance(part, Variable))


def glob_match(pattern: str, text: str) -> bool:
    """Whether a glob without variables covers the whole of `text`.

    >>> glob_match("kms:*Key", "kms:DescribeKey"), glob_match("kms:?", "kms:")
    (True, False)
    """
    return matches(glob(pattern), text)


def segments(parts: Glob) -> tuple[Glob, ...]:
    """The colon-separated segments of an ARN pattern; the sixth keeps its colons. Fewer than six: no ARN pattern."""
    found: list[list[Part]] = [[]]
    for part in parts:
        if isinstance(part, Wildcard):
            found[-1].append(part)
            continue
        pieces = part.split(":", 6 - len(found))
        _add(found[-1], pieces[0])
        for piece in pieces[1:]:
            found.append([])
            _add(found[-1], piece)
    return tuple(tuple(p for p in segment if not isinstance(p, Variable)) for segment in found)


def arn_match(parts: Glob, text: str) -> bool | None:
    """Whether an ARN pattern covers `text`: a glob per segment, case-sensitive (1.6).

    None when the pattern has fewer than six segments: what AWS makes of it is not documented.
    """
    pattern = segments(parts)
    if len(pattern) < 6:
        return None
    value = text.split(":", 5)
    return len(value) == 6 and all(matches(p, v) for p, v in zip(pattern, value, strict=True))


def fold(text: str) -> str:
    """The form in which ...IgnoreCase operators compare."""
    return text.lower()


def _add_text(parts: list[Part], text: str) -> None:
    for piece in re.split(r"([*?])", text):
        if piece in ("*", "?"):
            parts.append(Wildcard(piece))
        else:
            _add(parts, piece)


def _add(parts: list[Part], text: str) -> None:
    if not text:
        return
    if parts and isinstance(parts[-1], str):
        parts[-1] += text
    else:
        parts.append(text)
