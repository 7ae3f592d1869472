"""Rules and exceptions in JSON: Kibana's exports (NDJSON, one object on a line), a single one, or a list of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from json import JSONDecodeError

from keytrail.errors import Place, RuleError
from keytrail.rules.checks import Path, shown
from keytrail.rules.contents import Contents, Found
from keytrail.rules.model import TextPlace
from keytrail.rules.places import Lines, Spelling, string_place

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*+")
_IN_STRING = Spelling(re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\."))

# What an export holds beside rules and exceptions; 5.3 of elastic-engine.md tells by which members each is known.
CONNECTORS, DETAILS = "connectors", "export details"


class JsonPlaces:
    """The places of one rule, the object that begins at `start`. Values are passed over by the standard parser."""

    def __init__(self, lines: Lines, start: int) -> None:
        self._lines = lines
        self._start = start
        self._seen: dict[int, dict[str | int, tuple[int, int]]] = {}  # members of objects already looked at

    def of(self, path: Path) -> Place:
        return self._lines.place(self._find(path)[0])

    def text(self, path: Path) -> TextPlace | None:
        key, start = self._find(path)
        if key == self._start or self._lines.text[start] != '"':
            return None
        _, end = _DECODER.raw_decode(self._lines.text, start)
        return string_place(self._lines, start + 1, end - 1, _IN_STRING)

    def _find(self, path: Path) -> tuple[int, int]:
        """Return the offsets of the key (or element) and the value at `path`, or of the last one on the way."""
        key = value = self._start
        for step in path:
            found = self._member(value, step)
            if not found:
                break
            key, value = found
        return key, value

    def _member(self, at: int, step: str | int) -> tuple[int, int] | None:
        members = _members(self._lines.text, at)
        if isinstance(step, int):
            return next(((start, value) for number, start, value in members if number == step), None)
        if at not in self._seen:
            # Of keys that repeat the last one counts, as in json.loads.
            self._seen[at] = {name: (start, value) for name, start, value in members}
        return self._seen[at].get(step)


def read_json(text: str, file: str) -> Contents:
    """Return the rules of a JSON or NDJSON text. Raises RuleError if a text that is one value is not JSON."""
    lines = Lines(text, file)
    start = _space(text, 0)
    if start == len(text):
        return Contents(foreign="is empty")
    try:
        value, end = _decoded(lines, text, start)
    except RuleError:
        if not _is_ndjson(text, start):
            raise
        return _read_lines(lines)
    if _space(text, end) < len(text):
        return _read_lines(lines)
    if isinstance(value, list):
        return _sorted_out(lines, zip(value, [at for _, _, at in _members(text, start)], strict=True))
    return _sorted_out(lines, [(value, start)])


def _is_ndjson(text: str, start: int) -> bool:
    """Whether a text that is not one value begins with two lines, one of which is an object; a suffix does not tell."""
    for line in text[start:].split("\n", 2)[:2]:
        try:
            if isinstance(_DECODER.decode(line), dict):
                return True
        except (ValueError, RecursionError):
            continue
    return False


def _read_lines(lines: Lines) -> Contents:
    items: list[tuple[object, int]] = []
    errors: list[RuleError] = []
    start = 0
    # Not splitlines: it also ends lines at characters that stand inside strings.
    for line in lines.text.split("\n"):
        first = _space(line, 0)
        if first < len(line):
            try:
                value, end = _decoded(lines, line, first, start)
                if _space(line, end) < len(line):
                    raise RuleError("not JSON: text after the end of the object", place=lines.place(start + end))
                items.append((value, start + first))
            except RuleError as error:
                errors.append(error)
        start += len(line) + 1
    return _sorted_out(lines, items, errors)


def _decoded(lines: Lines, text: str, at: int, before: int = 0) -> tuple[object, int]:
    """Return the value that begins at `at` in `text`, which stands at `before` in the file, and where it ends."""
    try:
        return _DECODER.raw_decode(text, at)
    except JSONDecodeError as error:
        raise RuleError(f"not JSON: {error.msg}", place=lines.place(before + error.pos)) from error
    except ValueError as error:  # an integer of more digits than the interpreter converts
        raise RuleError(f"not readable as JSON: {error}", place=lines.place(before + at)) from error
    except RecursionError as error:
        raise RuleError("nested too deeply", place=lines.place(before + at)) from error


def _members(text: str, at: int) -> Iterator[tuple[str | int, int, int]]:
    """Yield name, offset and offset of the value for each member of the valid object (or list) at `at`."""
    kind = text[at]
    if kind not in "{[":
        return
    at = _space(text, at + 1)
    number = 0
    while text[at] not in "}]":
        start, name = at, number
        if kind == "{":
            name, at = _DECODER.raw_decode(text, at)
            at = _space(text, _space(text, at) + 1)  # past the colon
        yield name, start, at
        _, at = _DECODER.raw_decode(text, at)
        at = _space(text, at)
        if text[at] == ",":
            at = _space(text, at + 1)
        number += 1


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _sorted_out(
    lines: Lines, values: Iterable[tuple[object, int]], syntax_errors: Sequence[RuleError] = ()
) -> Contents:
    found: list[Found] = []
    exception_lists: list[Found] = []
    items: list[Found] = []
    errors = list(syntax_errors)
    skipped: Counter[str] = Counter()
    for value, start in values:
        if not isinstance(value, dict):
            errors.append(RuleError(f"a rule must be an object, not {shown(value)}", place=lines.place(start)))
        elif value.keys() & {"item_id", "entries"}:
            items.append(Found(value, JsonPlaces(lines, start)))
        elif "list_id" in value:
            exception_lists.append(Found(value, JsonPlaces(lines, start)))
        elif kind := _other_kind(value):
            skipped[kind] += 1
        else:
            found.append(Found(value, JsonPlaces(lines, start)))
    like_ours = any(_rule_like(one.data) for one in found) or any("list_id" in one.data for one in items)
    foreign = "" if syntax_errors or skipped or exception_lists or like_ours else "holds no rules"
    return Contents(tuple(found), tuple(exception_lists), tuple(items), tuple(errors), skipped, foreign)


def _other_kind(value: Mapping[str, object]) -> str:
    """Return what a line of an export holds that is neither rule nor exception, empty for a rule."""
    if "attributes" in value:
        return CONNECTORS
    if "exported_count" in value or "exported_rules_count" in value:
        return DETAILS
    return ""


def _rule_like(value: Mapping[str, object]) -> bool:
    return "rule_id" in value or "risk_score" in value or value.keys() >= {"type", "query"}
