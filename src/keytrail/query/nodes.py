"""The syntax tree of a KQL query: small immutable values that compare by meaning, not by where they stood.

`at` is the offset (characters from 0) of a part in the text it was parsed from; it takes no part in equality.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Text:
    """A plain string, as a value. Only quoted text is a phrase on a `text` field; elsewhere both mean the same."""

    text: str
    quoted: bool = False
    at: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Boolean:
    """The unquoted value `true` or `false`."""

    value: bool
    at: int = field(default=0, compare=False, repr=False)

    @property
    def text(self) -> str:
        return "true" if self.value else "false"


@dataclass(frozen=True, slots=True)
class Null:
    """The unquoted value `null`."""

    at: int = field(default=0, compare=False, repr=False)

    @property
    def text(self) -> str:
        return "null"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text with wildcards, cut at each of them: `a*b` is `("a", "b")`, a lone `*` is `("", "")`."""

    parts: tuple[str, ...]
    at: int = field(default=0, compare=False, repr=False)

    @property
    def lone(self) -> bool:
        """Whether this is a single `*` and nothing else: the question whether there is any value."""
        return self.parts == ("", "")

    @property
    def text(self) -> str:
        return "*".join(self.parts)


@dataclass(frozen=True, slots=True)
class Name:
    """The name of one field. A quoted name may hold any character; a `*` in it is a star."""

    text: str
    at: int = field(default=0, compare=False, repr=False)


Value: TypeAlias = Text | Boolean | Null | Pattern
Field: TypeAlias = Name | Pattern


@dataclass(frozen=True, slots=True)
class Is:
    """`field: value`, or free text over the default fields when `field` is None."""

    field: Field | None
    value: Value


@dataclass(frozen=True, slots=True)
class Range:
    """`field < value` and its like; `operator` is one of `<`, `<=`, `>`, `>=`."""

    field: Field
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class Nested:
    """`path:{ query }`: one object at `path` answers the whole query, whose names are relative to it."""

    path: Field
    query: Node


@dataclass(frozen=True, slots=True)
class And:
    """Every operand; at least two of them."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Some operand; at least two of them."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Every document that does not match `operand`, those that lack its field included."""

    operand: Node


Node: TypeAlias = Is | Range | Nested | And | Or | Not

EVERYTHING = Is(Pattern(("", "")), Pattern(("", "")))
