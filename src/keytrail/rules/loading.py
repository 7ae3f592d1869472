"""Rules and exceptions from files and folders, and the built-in pack: all that is sound, every error, every note."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from keytrail.errors import Place, RuleError
from keytrail.rules import notes
from keytrail.rules.build import build, label
from keytrail.rules.contents import Contents, Found
from keytrail.rules.exceptions import ExceptionItem, ExceptionList
from keytrail.rules.exceptions_build import build_item, build_list
from keytrail.rules.files import LoadLimits, RuleFile, list_files, read_text
from keytrail.rules.json_format import read_json
from keytrail.rules.model import Rule, RuleSet
from keytrail.rules.toml_format import read_toml

# Takes the text of a file and its name; raises RuleError if the text as a whole cannot be read.
Reader = Callable[[str, str], Contents]

# The formats by suffix. A new one is a reader and a line here.
READERS: Mapping[str, Reader] = MappingProxyType({".toml": read_toml, ".ndjson": read_json, ".json": read_json})

_LIMITS = LoadLimits()
_PACK = Path(__file__).with_name("pack")


def load(paths: Sequence[Path | str], *, limits: LoadLimits = _LIMITS) -> RuleSet:
    """Return the rules, exception lists and exception items in files and folders, with every error of every file.

    One that is wrong stops no other. Of rules with the same rule_id the first counts, the others are errors; so with
    lists and items of one id and namespace. Rules that keytrail cannot run are among the rules, with
    `unsupported_reason`; those that name a list which no file has keep the reference, and a note says so. Nothing is
    raised.
    """
    listing = list_files(paths, READERS, limits)
    errors = list(listing.errors)
    rules: dict[str, Rule] = {}
    exceptions = _Exceptions({}, {})
    skipped: Counter[str] = Counter()
    foreign: list[str] = []
    for file in listing.files:
        contents = _contents(file, limits)
        skipped.update(contents.skipped)
        if contents.foreign and not file.named:
            foreign.append(file.path)
            continue
        wrong = list(contents.errors)
        if contents.foreign and not contents.found and not wrong:
            wrong.append(RuleError(contents.foreign, place=Place(file.path)))
        wrong += _add_rules(contents, rules)
        wrong += exceptions.add(contents)
        errors += _bounded(wrong, file, limits)
    found, lists, items = tuple(rules.values()), tuple(exceptions.lists.values()), tuple(exceptions.items.values())
    said = (
        *notes.about_files(skipped, foreign, listing.hidden, listing.deprecated),
        *notes.about_rules(found),
        *notes.about_exceptions(found, lists, items),
    )
    return RuleSet(found, tuple(errors), said, lists, items)


def merge(own: RuleSet, builtin: RuleSet) -> RuleSet:
    """Return both together; of two rules with the same rule_id the user's counts, and a note says so."""
    taken = {rule.rule_id: rule for rule in own.rules}
    kept = tuple(rule for rule in builtin.rules if rule.rule_id not in taken)
    replaced = tuple(notes.about_override(taken[rule.rule_id], rule) for rule in builtin.rules if rule.rule_id in taken)
    return RuleSet(
        own.rules + kept,
        own.errors + builtin.errors,
        own.notes + builtin.notes + replaced,
        own.exception_lists + builtin.exception_lists,
        own.exception_items + builtin.exception_items,
    )


@cache
def builtin() -> RuleSet:
    """Return the built-in pack, read on first use. Its rules are marked `immutable`."""
    return _pack(_PACK)


@cache
def of_service() -> RuleSet:
    """Return the built-in rules that only the service raises: what they are about is in no record, so no scan has them.

    Like any other rule they are listed, disabled, snoozed and excepted from.
    """
    return _pack(_PACK / "service")


def _pack(folder: Path) -> RuleSet:
    rules = []
    for path in sorted(folder.glob("*.toml")):
        contents = read_toml(path.read_text("utf-8"), f"built-in/{path.name}")
        for found in contents.found:
            rule, errors = build(found, immutable=True)
            if rule is None:  # a damaged installation
                raise errors[0]
            rules.append(rule)
    return RuleSet(tuple(rules))


def _contents(file: RuleFile, limits: LoadLimits) -> Contents:
    max_bytes = limits.max_toml_bytes if file.suffix == ".toml" else limits.max_json_bytes
    try:
        return READERS[file.suffix](read_text(file, max_bytes), file.path)
    except RuleError as error:
        return Contents(errors=(error,))
    except RecursionError:
        return Contents(errors=(RuleError("is nested too deeply", place=Place(file.path)),))


def _add_rules(contents: Contents, rules: dict[str, Rule]) -> list[RuleError]:
    """Add the sound rules of a file to `rules`; return what is wrong with the others."""
    errors: list[RuleError] = []
    for found in contents.found:
        rule, problems = build(found)
        errors += problems
        if rule is None:
            continue
        first = rules.setdefault(rule.rule_id, rule)
        if first is not rule:
            errors.append(
                RuleError(
                    f"{label(found.data)}: its rule_id is that of {label({'name': first.name})} at {first.origin}",
                    place=found.places.of(("rule_id",)),
                    advice="Give one of them another rule_id, or remove it.",
                )
            )
    return errors


@dataclass(frozen=True, slots=True)
class _Exceptions:
    """The sound exception lists and items so far, by their keys."""

    lists: dict[tuple[str, str], ExceptionList]
    items: dict[tuple[str, str], ExceptionItem]

    def add(self, contents: Contents) -> list[RuleError]:
        """Add those of a file; return what is wrong with the others."""
        errors: list[RuleError] = []
        for found in contents.lists:
            made, problems = build_list(found)
            errors += problems
            if made is not None and (first := self.lists.setdefault(made.key, made)) is not made:
                errors.append(_repeated(found, "list_id", f"exception list {made.list_id!r}", first.origin))
        for found in contents.items:
            item, problems = build_item(found)
            errors += problems
            if item is not None and (known := self.items.setdefault(item.key, item)) is not item:
                errors.append(_repeated(found, "item_id", f"exception item {item.item_id!r}", known.origin))
        return errors


def _repeated(found: Found, name: str, label: str, first: Place) -> RuleError:
    return RuleError(
        f"{label}: its {name} is that of another at {first}",
        place=found.places.of((name,)),
        advice=f"Give one of them another {name}, or remove it.",
    )


def _bounded(errors: list[RuleError], file: RuleFile, limits: LoadLimits) -> list[RuleError]:
    """Return the errors of a file in the order of its lines, at most as many as the limits allow."""
    errors.sort(key=_line_and_column)
    most = limits.max_errors_per_file
    if len(errors) <= most:
        return errors
    return [*errors[:most], RuleError(f"and {len(errors) - most:,} more errors", place=Place(file.path))]


def _line_and_column(error: RuleError) -> tuple[int, int]:
    place = error.place
    return (place.line or 0, place.column or 0) if place else (0, 0)
