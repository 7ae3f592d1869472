"""A syntax tree to KQL text, in one canonical form: `parse(to_text(node)) == node`."""

from __future__ import annotations

import re

from keytrail.query.nodes import And, Field, Is, Nested, Node, Not, Or, Pattern, Range, Text, Value

_ESCAPED = re.compile(
    # A keyword, also at the end: what follows there is a blank.
    r"(?:(?<=[ \t\r\n\xa0])(?:or|and)|not)(?=[ \t\r\n\xa0]|\Z)"
    # A newline that, written short, would begin the escaped keyword `\not`.
    r"|(?P<newline>\n)(?=ot)"
    r"|[\\():<>\"*{}]|(?P<blank>[\t\r\n])",
    re.IGNORECASE | re.ASCII,
)
_BLANKS = {"\t": "\\t", "\r": "\\r", "\n": "\\n"}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_@.\-]+(?<![nN][oO][tT])")


def to_text(node: Node) -> str:
    """Return the canonical text of `node`, a tree that `parse` gave or could give.

    >>> from keytrail.query.parser import parse
    >>> to_text(parse('NOT  (user.name:(root   or "a b")  and  source.port>=1024 )'))
    'not ((user.name: root or user.name: "a b") and source.port >= 1024)'
    """
    match node:
        case Is(field, value):
            return f"{_name(field)}: {_literal(value)}" if field else _literal(value)
        case Range(field, operator, value):
            return f"{_name(field)} {operator} {_literal(value)}"
        case Nested(path, query):
            return f"{_name(path)}:{{ {to_text(query)} }}"
        case Not(operand):
            return f"not {_operand(operand, (And, Or, Not))}"
        case And(operands):
            return " and ".join(_operand(operand, (And, Or)) for operand in operands)
        case Or(operands):
            return " or ".join(_operand(operand, (Or,)) for operand in operands)


def _operand(node: Node, enclosed: tuple[type, ...]) -> str:
    """Return the text of an operand, in parentheses when it is one of the kinds `enclosed`."""
    return f"({to_text(node)})" if isinstance(node, enclosed) else to_text(node)


def _name(field: Field) -> str:
    if isinstance(field, Pattern):
        return _pattern(field)
    return field.text if _PLAIN_NAME.fullmatch(field.text) else _quoted(field.text)


def _literal(value: Value) -> str:
    if isinstance(value, Pattern):
        return _pattern(value)
    if isinstance(value, Text):
        # Empty unquoted text has one way in: a blank that is escaped and then trimmed.
        return _quoted(value.text) if value.quoted else _escape(value.text) or "\\t"
    return value.text


def _pattern(pattern: Pattern) -> str:
    return "*".join(_escape(part) for part in pattern.parts)


def _escape(text: str) -> str:
    return _ESCAPED.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    if found["newline"]:
        return "\\u000a"
    return _BLANKS[found.group()] if found["blank"] else "\\" + found.group()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
