"""Rules in TOML, as in the repository elastic/detection-rules: [metadata] and [rule], or [[exceptions]], in a file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

from keytrail.errors import Place, RuleError
from keytrail.rules.checks import Path
from keytrail.rules.contents import Contents, Found
from keytrail.rules.exceptions_toml import read_exceptions
from keytrail.rules.places import Lines
from keytrail.rules.toml_places import TomlIndex, TomlPlaces

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")

# tomllib takes quadratic time over a key of many dotted parts; no file has one of this length.
_MAX_KEY_PARTS = 100
_LONG_KEY = re.compile(
    r"(?<![\w\"'-])(?:(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')[ \t]*+\.[ \t]*+)" + f"{{{_MAX_KEY_PARTS}}}", re.ASCII
)

# The repository writes the fields of new_terms rules as a table of their own (elastic-engine.md, section 2.2).
_NEW_TERMS = ("new_terms_fields", "history_window_start")


def read_toml(text: str, file: str) -> Contents:
    """Return the rule of a TOML text, or its exceptions. Raises RuleError if it is not TOML."""
    lines = Lines(text.replace("\r\n", "\n"), file)
    data = _parse(lines)
    if "rule" not in data and "exceptions" in data:
        return read_exceptions(data, TomlIndex(lines))
    if "rule" not in data:
        why = "holds no [rule] table" if "metadata" in data else "holds neither a [metadata] nor a [rule] table"
        if "metadata" in data:
            raise RuleError(why, place=Place(file, line=1), advice="Write the rule's fields below a line [rule].")
        return Contents(foreign=why)
    index = TomlIndex(lines)
    rule = data["rule"]
    if not isinstance(rule, dict):
        raise RuleError(
            "[rule] must be one table", place=lines.place(index.keys[("rule",)]), advice="A file holds one rule."
        )
    fields, moved = _unfolded(rule)
    return Contents(found=(Found(fields, TomlPlaces(index, ("rule",), moved)),))


def _parse(lines: Lines) -> dict[str, object]:
    crowded = any(line.count(".") >= _MAX_KEY_PARTS for line in lines.text.split("\n"))
    if crowded and (long := _LONG_KEY.search(lines.text)):
        raise RuleError(f"a key of more than {_MAX_KEY_PARTS} parts", place=lines.place(long.start()))
    try:
        return tomllib.loads(lines.text)
    except tomllib.TOMLDecodeError as error:
        what = str(error)
        place = lines.place(len(lines.text.rstrip()))
        if at := _AT.search(what):
            what = what[: at.start()]
            if at[1]:
                place = Place(lines.file, line=int(at[1]), column=int(at[2]))
        raise RuleError(f"not TOML: {what}", place=place) from error
    except ValueError as error:  # an integer of more digits than the interpreter converts
        raise RuleError(f"not readable as TOML: {error}", place=Place(lines.file)) from error


def _unfolded(rule: Mapping[str, object]) -> tuple[dict[str, object], dict[Path, Path]]:
    """Return the rule in the API's form, and where the file has the fields that stand elsewhere in it."""
    fields = dict(rule)
    moved: dict[Path, Path] = {}
    terms = fields.get("new_terms")
    if isinstance(terms, dict):
        del fields["new_terms"]
        if "value" in terms:
            fields["new_terms_fields"] = terms["value"]
            moved[("new_terms_fields",)] = ("rule", "new_terms", "value")
        history = terms.get("history_window_start")
        if isinstance(history, list) and history and isinstance(history[0], dict) and "value" in history[0]:
            fields["history_window_start"] = history[0]["value"]
            moved[("history_window_start",)] = ("rule", "new_terms", "history_window_start", 0, "value")
        for name in _NEW_TERMS:
            moved.setdefault((name,), ("rule", "new_terms"))
    fields.pop("threat_mappings", None)
    threat = fields.get("threat")
    if isinstance(threat, list):
        fields["threat"] = [{"technique": [], **one} if isinstance(one, dict) else one for one in threat]
    return fields, moved
