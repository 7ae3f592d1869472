"""KQL text to a syntax tree: recursive descent over the grammar, and words for what people get wrong.

Grammar: Kibana's kuery, described in spec/elastic-engine.md, 1.1. Words that surprise: an unquoted value may hold
blanks (`foo: bar baz` is one value) and ends where ` or `, ` and ` or `not ` begins, even in the middle of a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn, TypeVar

from keytrail.errors import QuerySyntaxError
from keytrail.phrases import joined
from keytrail.query.nodes import (
    EVERYTHING,
    And,
    Boolean,
    Field,
    Is,
    Name,
    Nested,
    Node,
    Not,
    Null,
    Or,
    Pattern,
    Range,
    Text,
    Value,
)
from keytrail.text import shorten

# The longest query in characters; a thousand addresses fit thirty times.
MAX_LENGTH = 500_000
# Parentheses, braces and lists inside each other. Each level costs a few Python frames here and one in every pass.
MAX_DEPTH = 40

SPACES = " \t\r\n\xa0"
SPECIAL = '\\():<>"*{}'
# What Kibana's trim() takes off the ends of an unquoted literal, escaped blanks included.
TRIMMED = (
    "\t\n\v\f\r \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)

_KEYWORD = r"[ \t\r\n\xa0](?:[oO][rR]|[aA][nN][dD])[ \t\r\n\xa0]|[nN][oO][tT][ \t\r\n\xa0]"
_ESCAPE = r"\\(?:[oO][rR]|[aA][nN][dD]|[nN][oO][tT]|[trn]|u[0-9a-fA-F]{4}|[\\():<>\"*{}])"
# Possessive throughout, so that hostile text cannot make the search go back.
_UNQUOTED = re.compile(rf'(?:[^\\():<>"*{{}}nN \t\r\n\xa0]++|(?!{_KEYWORD})[nN \t\r\n\xa0]|\*|{_ESCAPE})++')
_QUOTED = re.compile(r'"((?:[^"\\]++|\\[trn]|\\u[0-9a-fA-F]{4}|\\[\\"]|\\)*+)"')
_UNQUOTED_ESCAPES = re.compile(
    r"\\(?:(?P<keyword>[oO][rR]|[aA][nN][dD]|[nN][oO][tT])|(?P<blank>[trn])|u(?P<code>[0-9a-fA-F]{4})|(?P<special>.))"
)
_QUOTED_ESCAPES = re.compile(r'\\(?:(?P<blank>[trn])|u(?P<code>[0-9a-fA-F]{4})|(?P<special>[\\"]))')
_STARS = re.compile(r"(?:[^\\*]++|\\.)*+", re.DOTALL)
_BLANKS = {"t": "\t", "r": "\r", "n": "\n"}
_SURROGATE = re.compile("[\ud800-\udfff]")

_SPACE = re.compile(r"[ \t\r\n\xa0]*+")
_OR = re.compile(r"[ \t\r\n\xa0]++[oO][rR][ \t\r\n\xa0]++")
_AND = re.compile(r"[ \t\r\n\xa0]++[aA][nN][dD][ \t\r\n\xa0]++")
_NOT = re.compile(r"[nN][oO][tT][ \t\r\n\xa0]++")
_OPERATOR = re.compile(r"<=|>=|<|>")
_LOOSE_KEYWORD = re.compile(r"[ \t\r\n\xa0]*+([oO][rR]|[aA][nN][dD]|[nN][oO][tT])(?![^ \t\r\n\xa0()\"{}])")
_GLUED_KEYWORD = re.compile(r"(?:^|[ \t\r\n\xa0()\"])([oO][rR]|[aA][nN][dD]|[nN][oO][tT])\Z")

# How much of the text a message repeats or looks back on, in characters.
_SHOWN = 80

_T = TypeVar("_T")
_VALUE = ("a value", "`(`")
_QUERY = ("a field or a value", "`not`", "`(`")


def parse(text: str) -> Node:
    """Return the syntax tree of a KQL query; blank text asks for every document.

    Raises QuerySyntaxError, which shows the text, a caret and what was expected there.

    >>> parse("user.name: root and not event.outcome: failure")
    And(operands=(Is(field=Name(text='user.name'), value=Text(text='root', quoted=False)), \
Not(operand=Is(field=Name(text='event.outcome'), value=Text(text='failure', quoted=False)))))
    >>> parse("user.name: not root")
    Traceback (most recent call last):
    keytrail.errors.QuerySyntaxError: `not` cannot follow `:`; write `not user.name: value` or \
`user.name: (not value)` (expected a value or `(`)
    user.name: not root
               ^
    """
    if len(text) > MAX_LENGTH:
        raise QuerySyntaxError(
            f"the query is {len(text):,} characters long, the most is {MAX_LENGTH:,}; split it into several",
            text=text[:80],
            offset=0,
        )
    return _Parser(text).query()


class _Parser:
    """One pass over one text; `_at` is where the next token begins."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def query(self) -> Node:
        self._space()
        if self._at == len(self._text):
            return EVERYTHING
        node = self._or_query()
        self._end("", ("the end of the query",), 0)
        return node

    # Queries -----------------------------------------------------------------------------------------------------

    def _or_query(self) -> Node:
        return self._joined(_OR, self._and_query, Or)

    def _and_query(self) -> Node:
        return self._joined(_AND, self._not_query, And)

    def _joined(self, word: re.Pattern[str], part: Callable[[], Node], kind: type[And] | type[Or]) -> Node:
        first = part()
        if not self._take(word):
            return first
        operands = [first, part()]
        while self._take(word):
            operands.append(part())
        return kind(tuple(operands))

    def _not_query(self) -> Node:
        return Not(self._sub_query()) if self._take(_NOT) else self._sub_query()

    def _sub_query(self) -> Node:
        if self._text.startswith("(", self._at):
            return self._enclosed(")", self._or_query)
        start = self._at
        literal = self._literal()
        if literal is None:
            self._fail_missing(_QUERY)
        before = self._at
        self._space()
        if self._text.startswith(":", self._at):
            self._at += 1
            self._space()
            if self._text.startswith("{", self._at):
                return Nested(self._field(literal, start), self._enclosed("}", self._or_query))
            return self._values(self._field(literal, start))
        if operator := _OPERATOR.match(self._text, self._at):
            self._at = operator.end()
            self._space()
            value = self._literal()
            if value is None:
                self._fail_missing(("a value",), after=operator.group())
            return Range(self._field(literal, start), operator.group(), value)
        self._at = before
        return Is(None, literal)

    def _enclosed(self, closing: str, inside: Callable[[], _T]) -> _T:
        """Parse what stands between the bracket at hand and `closing`."""
        opened = self._at
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"more than {MAX_DEPTH} brackets inside each other", opened, ())
        self._at += 1
        self._space()
        found = inside()
        self._end(closing, (f"`{closing}`",), opened)
        self._depth -= 1
        return found

    # Lists of values: the field is given to each of them ---------------------------------------------------------

    def _values(self, field: Field) -> Node:
        if self._text.startswith("(", self._at):
            return self._enclosed(")", lambda: self._or_values(field))
        value = self._literal()
        if value is None:
            self._fail_missing(_VALUE, after=":", field=field)
        return Is(field, value)

    def _or_values(self, field: Field) -> Node:
        return self._joined(_OR, lambda: self._and_values(field), Or)

    def _and_values(self, field: Field) -> Node:
        return self._joined(_AND, lambda: self._not_values(field), And)

    def _not_values(self, field: Field) -> Node:
        negated = self._take(_NOT)
        if not self._text.startswith("(", self._at):
            value = self._literal()
            if value is None:
                self._fail_missing((*_VALUE, "`not`")[: 2 if negated else 3])
            return Not(Is(field, value)) if negated else Is(field, value)
        node = self._values(field)
        return Not(node) if negated else node

    # Tokens ------------------------------------------------------------------------------------------------------

    def _space(self) -> None:
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # it matches nothing, too

    def _take(self, word: re.Pattern[str]) -> bool:
        found = word.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found is not None

    def _literal(self) -> Value | None:
        """Return the quoted or unquoted literal that starts here, None when there is none."""
        at = self._at
        if self._text.startswith('"', at):
            quoted = _QUOTED.match(self._text, at)
            if quoted is None:
                self._fail("this quote is never closed", at, ('`"`',))
            self._at = quoted.end()
            return Text(_unescape(quoted.group(1), _QUOTED_ESCAPES), True, at)
        found = _UNQUOTED.match(self._text, at)
        if found is None:
            return None
        self._at = found.end()
        raw = found.group()
        if "*" in raw:
            parts = _split(raw)
            if len(parts) > 1:
                return Pattern(_trim(parts), at)
        text = _unescape(raw, _UNQUOTED_ESCAPES).strip(TRIMMED)
        if text == "null":
            return Null(at)
        if text in ("true", "false"):
            return Boolean(text == "true", at)
        return Text(text, False, at)

    def _field(self, literal: Value, start: int) -> Field:
        return literal if isinstance(literal, Pattern) else Name(literal.text, start)

    # What went wrong ---------------------------------------------------------------------------------------------

    def _end(self, closing: str, expected: tuple[str, ...], opened: int) -> None:
        """Take `closing` ("": the end of the text) or say why something else stands there."""
        stopped = self._at
        self._space()
        text, at = self._text, self._at
        if closing and text.startswith(closing, at):
            self._at += len(closing)
            return
        if not closing and at == len(text):
            return
        # `and` or `or` could have stood here unless nothing can: after a value in a list they join values.
        expected = ("`and`", "`or`", *expected)
        if at == len(text):
            kind = "parenthesis" if closing == ")" else "brace"
            self._fail(f"this {kind} is never closed", opened, (f"`{closing}`",))
        if keyword := _LOOSE_KEYWORD.match(text, stopped):
            word = keyword.group(1)
            if not text[keyword.end() :].strip(SPACES):
                self._fail(f"nothing follows `{word}`", len(text), _QUERY)
            if word.lower() == "not":
                if keyword.start(1) > stopped or text[stopped - 1] in SPACES + ')"}':
                    self._fail("`not` needs `and` or `or` before it", keyword.start(1), expected)
                self._fail(
                    f"the end of this word is read as the keyword `{word}`; put the text in quotes or write `\\{word}`",
                    keyword.start(1),
                    expected,
                )
            self._fail(f"`{word}` needs a blank on both sides", keyword.start(1), expected)
        character = text[at]
        if character == "(" and (glued := _GLUED_KEYWORD.search(text, 0, at)):
            self._fail(f"`{glued.group(1)}` needs a blank before the parenthesis", at, ("a blank",))
        # Operators of other languages are plain text here, so the complaint comes later than the mistake.
        lately = re.split(r" (?:and|or) ", text[max(at - _SHOWN, 0) : at])[-1]
        for foreign, word in (("=", ":"), ("==", ":"), ("&&", "and"), ("||", "or")):
            if f" {foreign} " in lately:
                self._fail(f"this cannot stand here; KQL writes `{word}` where you wrote `{foreign}`", at, expected)
        self._fail(_misplaced(character), at, expected)

    def _fail_missing(self, expected: tuple[str, ...], after: str = "", field: Field | None = None) -> NoReturn:
        """Say why no query or value starts here."""
        text, at = self._text, self._at
        if at == len(text):
            word = re.search(r"\w+\Z|.\Z", text.rstrip(SPACES)[-_SHOWN:], re.DOTALL)
            self._fail(f"nothing follows `{word.group()}`" if word else "nothing follows", at, expected)
        if _NOT.match(text, at):
            if field is not None:
                name = shorten(field.text, _SHOWN)
                self._fail(f"`not` cannot follow `:`; write `not {name}: value` or `{name}: (not value)`", at, expected)
            if after:
                self._fail(f"`not` cannot follow `{after}`; write it before the field", at, expected)
            self._fail("`not` cannot follow `not`; use parentheses: `not (not x)`", at, expected)
        character = text[at]
        if character in ")}":
            self._fail(f"{expected[0]} is missing before this `{character}`", at, expected)
        if character == "(":
            self._fail(f"`{after}` takes one value, not a list", at, expected)
        if character in ":<>" and not after:
            self._fail(f"the field is missing before this `{character}`", at, expected)
        self._fail(_misplaced(character), at, expected)

    def _fail(self, what: str, offset: int, expected: tuple[str, ...]) -> NoReturn:
        if expected:
            what += f" (expected {joined(expected, 'or')})"
        raise QuerySyntaxError(what, text=self._text, offset=offset, expected=expected)


def _misplaced(character: str) -> str:
    """Return what is wrong about a special character where none can stand."""
    match character:
        case ":":
            return "this colon must be escaped as `\\:`, or the text put in quotes"
        case '"':
            return 'this quote begins a second value; join values with `or`, or escape the quote as `\\"`'
        case "\\":
            return "this backslash escapes nothing; write `\\\\` for a backslash, or put the text in quotes"
        case ")" | "}":
            return f"this `{character}` closes nothing; escape it as `\\{character}`, or put the text in quotes"
        case "(" | "{" | "<" | ">":
            return f"`{character}` cannot stand here; escape it as `\\{character}`, or put the text in quotes"
    return "this cannot stand here"


def _unescape(raw: str, escapes: re.Pattern[str]) -> str:
    """Return literal text without its escapes."""
    if "\\" in raw:
        raw = escapes.sub(_escaped, raw)
    if not raw.isascii() and _SURROGATE.search(raw):
        # JavaScript sees two surrogates side by side as one character.
        raw = raw.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return raw


def _escaped(found: re.Match[str]) -> str:
    kind = found.lastgroup or ""
    text: str = found[kind]
    return _BLANKS[text] if kind == "blank" else chr(int(text, 16)) if kind == "code" else text


def _split(raw: str) -> tuple[str, ...]:
    """Cut an unquoted literal at its unescaped stars."""
    parts = []
    at = 0
    while True:
        found = _STARS.match(raw, at)
        assert found is not None
        parts.append(_unescape(found.group(), _UNQUOTED_ESCAPES))
        if found.end() == len(raw):
            return tuple(parts)
        at = found.end() + 1


def _trim(parts: tuple[str, ...]) -> tuple[str, ...]:
    first, *middle, last = parts
    return first.lstrip(TRIMMED), *middle, last.rstrip(TRIMMED)
