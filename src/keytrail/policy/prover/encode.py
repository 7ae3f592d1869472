"""Conditions as formulas over atoms: one Boolean per distinct pattern of a key, one per presence, one per unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from keytrail.policy import values
from keytrail.policy.conditions import consulted, holds, is_multivalued
from keytrail.policy.model import Condition
from keytrail.policy.operators import OPERATORS
from keytrail.policy.patterns import Part, Variable, template
from keytrail.policy.prover.checks import (
    BoolCheck,
    Check,
    NetworkCheck,
    OrderCheck,
    Parts,
    TextCheck,
    fillings,
    text_language,
    with_hole,
)
from keytrail.policy.prover.formulas import FALSE, TRUE, Formulas
from keytrail.policy.prover.globs import Glob, Language
from keytrail.policy.prover.slots import ENCRYPTION_CONTEXT, Fixed, Free, Slot
from keytrail.policy.prover.views import ACCOUNTS, NAMES

_MAX_ALTERNATIVES = 16  # ways in which the variables of one value can be present or missing


@dataclass(frozen=True, slots=True)
class Presence:
    """The request carries what `name` stands for."""

    name: str


@dataclass(frozen=True, slots=True)
class Holds:
    """The value that `view` shows of `base` is in the set of `check`."""

    base: str
    view: str
    check: Check


@dataclass(frozen=True, slots=True)
class Exists:
    """Some member of the list `base` is in the set of `check`, or outside of it when `outside`."""

    base: str
    check: Check
    outside: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """The value matches a pattern in which other values of the request stand; `base` "=text" is that text."""

    base: str
    view: str
    family: str
    parts: tuple[str | object, ...]  # texts, wildcards, and Free slots for variables


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something whose meaning is not documented or not in the model; the same thing is always the same atom."""

    what: object


Atom = Presence | Holds | Exists | Relation | Unknown
_FAMILIES = {
    "StringEquals": "equals",
    "StringNotEquals": "equals",
    "StringEqualsIgnoreCase": "ignore-case",
    "StringNotEqualsIgnoreCase": "ignore-case",
    "StringLike": "like",
    "StringNotLike": "like",
}
_TYPED: dict[str, frozenset[str]] = {  # operator family -> types of keys whose values it can always read
    "Numeric": frozenset({"Numeric"}),
    "Date": frozenset({"Date", "Numeric"}),
    "Bool": frozenset({"Bool"}),
    "IpAddress": frozenset({"IpAddress"}),
}


class Vocabulary:
    """The atoms of one comparison, numbered from 1, the formulas over them, and what is true of atoms in general."""

    def __init__(self, types: Callable[[str], str | None]) -> None:
        self.formulas = Formulas()
        self.atoms: list[Atom | None] = [None]
        self.rules: dict[int, tuple[tuple[int, ...], ...]] = {}  # atom -> clauses it takes part in
        self.notes: dict[str, None] = {}  # what is outside the model
        self._types = types
        self._numbers: dict[Atom, int] = {}
        self._checks: dict[tuple[object, ...], Check | None] = {}
        self._keys: dict[tuple[Condition, bool], tuple[str, ...]] = {}
        self._encoded: dict[tuple[object, ...], int] = {}

    def atom(self, atom: Atom) -> int:
        """The number of an atom."""
        number = self._numbers.get(atom)
        if number is None:
            number = len(self.atoms)
            self._numbers[atom] = number
            self.atoms.append(atom)
            self._link(number, atom)
        return number

    def presence(self, name: str | None) -> int:
        """The formula of a presence; "!" before a name negates it, None is always."""
        if name is None:
            return TRUE
        if name.startswith("!"):
            return self.formulas.literal(-self.atom(Presence(name[1:])))
        return self.formulas.literal(self.atom(Presence(name)))

    def unknown(self, what: object, note: str) -> int:
        """The formula of something outside the model, which is noted."""
        self.notes[note] = None
        return self.formulas.literal(self.atom(Unknown(what)))

    def condition(self, condition: Condition, slot_of: Callable[[str], Slot], *, variables: bool) -> int:
        """The formula of a condition where keys come from the slots that `slot_of` gives."""
        keys = self._keys.get((condition, variables))
        if keys is None:
            keys = self._keys[condition, variables] = tuple(sorted(consulted(condition, variables=variables)))
        slots = {key: slot_of(key) for key in keys}
        memo = (condition, variables, *slots.values())
        known = self._encoded.get(memo)
        if known is None:
            known = self._encoded[memo] = self._condition(condition, slots, variables)
        return known

    def _link(self, number: int, atom: Atom) -> None:
        """Clauses that hold whatever a policy says (1.9)."""
        clauses: list[tuple[int, ...]] = []
        if isinstance(atom, Presence) and atom.name.startswith(ENCRYPTION_CONTEXT):
            clauses.append((-number, self.atom(Presence("kms:encryptioncontextkeys"))))
        elif isinstance(atom, Exists) and (presence := _LISTS.get(atom.base, atom.base.removeprefix("key:"))):
            if atom.base != "key:kms:grantoperations" and atom.base != "key:aws:principalservicenameslist":
                clauses.append((-number, self.atom(Presence(presence))))
        elif isinstance(atom, Relation) and atom.family == "equals":
            clauses.append((-number, self.atom(Relation(atom.base, atom.view, "ignore-case", atom.parts))))
        if clauses:
            self.rules[number] = tuple(clauses)

    def _condition(self, condition: Condition, slots: dict[str, Slot], variables: bool) -> int:
        operator = condition.operator
        slot = slots[condition.name]
        if all(isinstance(each, Fixed) for each in slots.values()) or not operator.known:
            context = {key: each.texts for key, each in slots.items() if isinstance(each, Fixed) and each.texts}
            answer = holds(condition, context, variables=variables)
            return self._undecided(condition) if answer is None else (TRUE if answer else FALSE)
        comparison = OPERATORS[operator.name]
        present = self.presence(slot.presence) if isinstance(slot, Free) else (TRUE if slot.texts else FALSE)
        if comparison.family == "Null":
            return self._null(condition, present)
        if operator.qualifier is None and is_multivalued(condition.key):
            return self._undecided(condition)
        when_missing = holds(condition, {}, variables=variables)
        missing = self._undecided(condition) if when_missing is None else (TRUE if when_missing else FALSE)
        if present == FALSE:
            return missing
        found = self._present(condition, slot, slots, variables)
        formulas = self.formulas
        return formulas.any(
            [formulas.all([present, found]), formulas.all([formulas.negate(present), missing])]
            if missing == FALSE or present == TRUE
            else [formulas.all([formulas.negate(present), missing]), found]
            if missing == TRUE
            else [formulas.all([formulas.negate(present), missing]), formulas.all([present, found])]
        )

    def _undecided(self, condition: Condition) -> int:
        return self.unknown(condition, f"what {condition} means is not documented")

    def _null(self, condition: Condition, present: int) -> int:
        if condition.operator.qualifier is not None:
            return TRUE if condition.operator.qualifier == "ForAllValues" else FALSE
        if not condition.values:
            return self._undecided(condition)
        alternatives = []
        for value in condition.values:
            wanted = values.boolean(value)
            if wanted is None:
                alternatives.append(self._undecided(condition))
            else:
                alternatives.append(self.formulas.negate(present) if wanted else present)
        return self.formulas.any(alternatives)

    def _present(self, condition: Condition, slot: Slot, slots: dict[str, Slot], variables: bool) -> int:
        """The formula of a condition whose key is present."""
        operator = condition.operator
        comparison = OPERATORS[operator.name]
        if not condition.values:
            if operator.qualifier or operator.if_exists:
                return FALSE
            return self._undecided(condition)
        if comparison.family in _TYPED:
            if self._types(condition.name) not in _TYPED[comparison.family] and not (
                comparison.family == "Numeric" and condition.name == "aws:epochtime"
            ):
                return self._undecided(condition)
            check = self._typed_check(operator.name, condition.values)
            rest: list[int] = [] if check is not None else [self._undecided(condition)]
        elif comparison.family == "Binary":
            return self._undecided(condition)
        else:
            family = _FAMILIES.get(operator.name, "arn")
            check, rest = self._text_alternatives(condition, family, slot, slots, variables)
        if isinstance(slot, Free) and slot.multi:
            if rest or check is None:
                return self._undecided(condition)
            return self._members(slot, check, condition, negated=comparison.negated)
        alternatives = list(rest)
        if check is not None:
            alternatives.append(self._single(slot, check))
        found = self.formulas.any(alternatives)
        return self.formulas.negate(found) if comparison.negated else found

    def _single(self, slot: Slot, check: Check) -> int:
        if isinstance(slot, Fixed):
            return TRUE if check.holds(slot.texts[0]) else FALSE
        if isinstance(check, TextCheck) and check.language.empty:
            return FALSE
        return self.formulas.literal(self.atom(Holds(slot.base, slot.view, check)))

    def _members(self, slot: Free, check: Check, condition: Condition, *, negated: bool) -> int:
        literal = self.formulas.literal
        if condition.operator.qualifier == "ForAllValues":
            return literal(-self.atom(Exists(slot.base, check, outside=not negated)))
        return literal(self.atom(Exists(slot.base, check, outside=negated)))

    def _typed_check(self, name: str, texts: tuple[str, ...]) -> Check | None:
        """None when a value is not of the operator's type: what AWS makes of it is not documented."""
        key = (name.replace("Not", ""), texts)
        if key not in self._checks:
            self._checks[key] = _typed_check(name, texts)
        return self._checks[key]

    def _text_check(self, family: str, parts: Iterable[Parts]) -> Check:
        key = (family, frozenset(parts))
        check = self._checks.get(key)
        if check is None:
            check = self._checks[key] = TextCheck(text_language(family, sorted(key[1], key=str)))
        return check

    def _text_alternatives(
        self, condition: Condition, family: str, slot: Slot, slots: dict[str, Slot], variables: bool
    ) -> tuple[Check | None, list[int]]:
        """The values of a String or Arn condition: those without variables as one check, the others as formulas."""
        fixed: list[Parts] = []
        rest: list[int] = []
        for value in condition.values:
            parts = template(value, variables=variables)
            names = dict.fromkeys(part.key.lower() for part in parts if isinstance(part, Variable))
            if any(is_multivalued(name) for name in names):
                rest.append(self._undecided(condition))
                continue
            for guard, resolved in self._resolve(parts, slots):
                if family == "arn" and _segments(resolved) < 6:
                    found = self._undecided(condition)
                elif all(not isinstance(part, Free) for part in resolved):
                    if guard == TRUE:
                        fixed.append(_joined(resolved))
                        continue
                    found = self._single_or_relation(slot, family, resolved)
                else:
                    found = self._single_or_relation(slot, family, resolved)
                rest.append(self.formulas.all([guard, found]))
        return (self._text_check(family, fixed) if fixed else None), rest

    def _single_or_relation(self, slot: Slot, family: str, parts: tuple[object, ...]) -> int:
        if isinstance(slot, Free) and slot.multi:
            return self.formulas.literal(self.atom(Unknown(parts)))  # the caller gives up on lists with variables
        if all(not isinstance(part, Free) for part in parts):
            return self._single(slot, self._text_check(family, [_joined(parts)]))
        parts = _closed(parts)
        if all(isinstance(part, (str, Free)) for part in parts) and (
            family == "like" or (family == "arn" and isinstance(parts[0], str) and parts[0].count(":") >= 5)
        ):
            family = "equals"  # without wildcards all three compare alike
        sources = [part for part in parts if isinstance(part, Free)]
        at = parts.index(sources[0])
        before, after = _joined(parts[:at]), parts[at + 1 :]
        if len(sources) == 1:
            special = self._one_source(slot, family, before, sources[0], _joined(after))
            if special is not None:
                return special
        base, view = (slot.base, slot.view) if isinstance(slot, Free) else ("=" + slot.texts[0], "")
        return self.formulas.literal(self.atom(Relation(base, view, family, parts)))

    def _one_source(self, slot: Slot, family: str, before: Parts, source: Free, after: Parts) -> int | None:
        """Patterns with one variable that are plain sets of values; None for the others."""
        if isinstance(slot, Fixed):
            texts = fillings(family, before, after, slot.texts[0])
            if texts is None:
                return None
            return self._single(source, self._language_check(("filling", *texts), lambda: Language.of(*texts)))
        if slot.base != source.base:
            return None
        if slot.view == source.view and family in ("equals", "ignore-case"):
            # A value is equal to itself, and to nothing longer.
            return FALSE if before or after else TRUE
        if slot.base != "principal" or slot.view:
            return None
        hole = _hole(source.view, before, after)
        glob = None if hole is None else with_hole(family, before, hole, after)
        if glob is None:
            return None
        return self._single(slot, self._language_check(("hole", glob), lambda: Language([glob])))

    def _language_check(self, key: tuple[object, ...], make: Callable[[], Language]) -> Check:
        check = self._checks.get(key)
        if check is None:
            check = self._checks[key] = TextCheck(make())
        return check

    def _resolve(self, parts: tuple[Part, ...], slots: dict[str, Slot]) -> list[tuple[int, tuple[object, ...]]]:
        """The forms a value takes, each with the formula under which it does; what matches nothing is left out."""
        if not any(isinstance(part, Variable) for part in parts):
            return [(TRUE, parts)]
        forms: list[tuple[int, tuple[object, ...]]] = [(TRUE, ())]
        for part in parts:
            if not isinstance(part, Variable):
                forms = [(guard, (*before, part)) for guard, before in forms]
                continue
            slot = slots[part.key.lower()]
            grown: list[tuple[int, tuple[object, ...]]] = []
            present = self.presence(slot.presence) if isinstance(slot, Free) else (TRUE if slot.texts else FALSE)
            value: object = slot if isinstance(slot, Free) else (slot.texts[0] if slot.texts else "")
            for guard, before in forms:
                grown.append((self.formulas.all([guard, present]), (*before, value)))
                if part.default is not None:
                    absent = self.formulas.all([guard, self.formulas.negate(present)])
                    grown.append((absent, (*before, part.default)))
            forms = [(guard, form) for guard, form in grown if guard != FALSE]
            if len(forms) > _MAX_ALTERNATIVES:
                return [(self.unknown(parts, "a value with many variables"), (*form,)) for _, form in forms[:1]]
        return forms


def _hole(view: str, before: Parts, after: Parts) -> Glob | None:
    """The values of a part of the caller's ARN in a pattern for that ARN, where the pattern cuts at the same place."""
    head = before[-1] if before and isinstance(before[-1], str) else ""
    if view == "user name" and head.endswith("/") and not after:
        return NAMES.globs[0]
    if view == "account" and len(before) == 1 and head.count(":") == 4 and head.endswith("::"):
        return ACCOUNTS.globs[0] if after and isinstance(after[0], str) and after[0].startswith(":") else None
    return None


def _closed(parts: Iterable[object]) -> tuple[str | object, ...]:
    """Parts without empty texts, texts that touch joined."""
    return tuple(_joined(parts))


_LISTS = {"context keys": "kms:encryptioncontextkeys", "chain": "aws:calledvia"}


def _joined(parts: Iterable[object]) -> Parts:
    """Texts that touch become one, so that equal values are equal."""
    joined: list[object] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return tuple(joined)  # type: ignore[arg-type]  # the caller saw to it that no slot is left


def _segments(parts: Iterable[object]) -> int:
    """Colon-separated segments of an ARN pattern, as far as its texts show."""
    return 1 + sum(part.count(":") for part in parts if isinstance(part, str))


def _typed_check(name: str, texts: tuple[str, ...]) -> Check | None:
    if name in ("IpAddress", "NotIpAddress"):
        networks = [values.network(text) for text in texts]
        return None if None in networks else NetworkCheck(network for network in networks if network is not None)
    if name == "Bool":
        wanted = [values.boolean(text) for text in texts]
        return None if None in wanted else BoolCheck(each for each in wanted if each is not None)
    dates = name.startswith("Date")
    bounds = [values.time(text) if dates else values.number(text) for text in texts]
    relation = name.removeprefix("Numeric").removeprefix("Date").replace("Not", "")
    return None if None in bounds else OrderCheck(relation, [b for b in bounds if b is not None], dates=dates)
