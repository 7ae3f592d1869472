"""Texts that are in some languages and not in others: found, or proved not to exist. Work is counted, not timed."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from keytrail.policy.prover.globs import PREFERRED, Glob, Language


class BudgetExceededError(Exception):
    """The counted work of a comparison is used up. Never leaves `compare`."""


@dataclass(slots=True)
class Meter:
    """Counts work, in units of a few microseconds; the count decides, never a clock."""

    budget: int
    used: int = 0
    stop: int = 0  # where the current question ends; 0 = only at the budget

    def spend(self, units: int = 1) -> None:
        """Take units off the budget. Raises BudgetExceededError when there are none left."""
        self.used += units
        if self.used > (self.stop or self.budget):
            raise BudgetExceededError

    def share(self, units: int) -> None:
        """Give the next question so many units, or what is left: one hard question must not starve the others."""
        self.stop = min(self.budget, self.used + units)


@dataclass(frozen=True, slots=True)
class Words:
    """Some members, the best first; `complete` when there are no others."""

    texts: tuple[str, ...]
    complete: bool = field(default=False)


def find_words(required: Sequence[Language], forbidden: Sequence[Language], meter: Meter, *, count: int = 1) -> Words:
    """Up to `count` texts that are in all of `required` and none of `forbidden`.

    Fewer than `count` come back only when there are no more, and then `complete` is set. Raises BudgetExceededError.
    """
    required = sorted(dict.fromkeys(required), key=_size)
    forbidden = [language for language in dict.fromkeys(forbidden) if not language.empty]
    meter.spend(5 + len(required) + len(forbidden))
    if any(language.empty for language in required):
        return Words((), True)
    first = required[0].exact if required else None
    if first is not None:
        meter.spend(len(first) * (len(required) + len(forbidden)))
        found = [text for text in sorted(first, key=_taste) if _fits(text, required[1:], forbidden)]
        return Words(tuple(found[:count]), len(found) <= count)
    if count == 1:
        samples = required[0].samples if required else ("x", "any", "example", "1", "")
        width = sum(len(language.globs) for language in (*required, *forbidden))
        for text in sorted(samples, key=_taste):
            meter.spend(2 + len(text) * (width + len(text) // 64) // 256)
            if _fits(text, required, forbidden):
                return Words((text,))
    return _search(required, forbidden, meter, count)


def _size(language: Language) -> tuple[int, int, int]:
    exact = language.exact
    return (exact is None, -min((len(glob.steps) for glob in language.globs), default=0), len(language.globs))


def _taste(text: str) -> tuple[bool, int, str]:
    return (not text, len(text), text)


def _fits(text: str, required: Sequence[Language], forbidden: Sequence[Language]) -> bool:
    return all(text in language for language in required) and not any(text in language for language in forbidden)


class _Product:
    """Several languages run side by side as one integer."""

    def __init__(self, required: Sequence[Language], forbidden: Sequence[Language], count: int) -> None:
        languages = [*required, *forbidden]
        offsets, width = [], 0
        for language in languages:
            offsets.append(width)
            width += language.bits.width
        self.start = 0
        self.dominators = 0
        self.floors: dict[int, int] = {}
        self.required: list[tuple[int, int]] = []  # (all bits, accepting bits)
        self.forbidden_accept = self.forbidden_final = 0
        self.goals: list[list[tuple[int, int]]] = []  # per required language: (mask, offset of the end) of each glob
        for index, (language, offset) in enumerate(zip(languages, offsets, strict=True)):
            bits = language.bits
            self.start |= bits.start << offset
            self.dominators |= bits.dominators << offset
            self.floors.update((top + offset, low + offset) for top, low in bits.floors.items())
            if index < len(required):
                self.required.append((((1 << bits.width) - 1) << offset, bits.accept << offset))
                if len(language.globs) <= 8:
                    self.goals.append(_ends(language.globs, offset))
            else:
                self.forbidden_accept |= bits.accept << offset
                self.forbidden_final |= bits.final << offset
        alphabet = sorted({char for language in languages for char in language.bits.table})
        classes: dict[tuple[int, int], list[str]] = {}
        other_match = other_loop = 0
        for language, offset in zip(languages, offsets, strict=True):
            other_match |= language.bits.other[0] << offset
            other_loop |= language.bits.other[1] << offset
        known = set(alphabet)
        fresh = [char for char in PREFERRED if char not in known]
        fresh += [chr(code) for code in range(0x4E00, 0x4E00 + len(known) + count + 1) if chr(code) not in known]
        classes[other_match, other_loop] = fresh
        rank = {char: index for index, char in enumerate(PREFERRED)}
        for char in sorted(alphabet, key=lambda each: (rank.get(each, len(rank)), each)):
            match = loop = 0
            for language, offset in zip(languages, offsets, strict=True):
                own = language.bits.table.get(char, language.bits.other)
                match |= own[0] << offset
                loop |= own[1] << offset
            classes.setdefault((match, loop), []).append(char)
        moves = [(match, loop, chars) for (match, loop), chars in classes.items() if match or loop or not required]
        self.moves = [(match, loop, chars[: max(count, 1)]) for match, loop, chars in moves]
        self.units = 1 + width // 512  # a step over wide integers costs more

    def step(self, state: int, match: int, loop: int) -> int:
        """The state after a character of a class, without the bits that no longer matter."""
        state = ((state & match) << 1) | (state & loop)
        found = state & self.dominators
        while found:
            top = found.bit_length() - 1
            low = self.floors[top]
            state &= ~((1 << top) - (1 << low))
            found &= (1 << low) - 1
        return state

    def dead(self, state: int) -> bool:
        if state & self.forbidden_final:
            return True
        return any(not state & mask for mask, _ in self.required)

    def accepts(self, state: int) -> bool:
        return not state & self.forbidden_accept and all(state & accept for _, accept in self.required)

    def distance(self, state: int) -> int:
        """How many characters the required languages still want at least, added up."""
        total = 0
        for ends in self.goals:
            best = 1 << 30
            for mask, end in ends:
                reached = state & mask
                if reached:
                    best = min(best, end - reached.bit_length() + 1)
            total += best
        return total


def _ends(globs: Sequence[Glob], offset: int) -> list[tuple[int, int]]:
    ends, width = [], offset
    for glob in globs:
        size = len(glob.steps) + 1
        ends.append((((1 << size) - 1) << width, width + size - 1))
        width += size
    return ends


def _search(required: Sequence[Language], forbidden: Sequence[Language], meter: Meter, count: int) -> Words:
    product = _Product(required, forbidden, count)
    meter.spend(50 + 4 * len(product.moves))
    visits: dict[int, int] = {}
    found: list[str] = []
    serial = 0
    queue: list[tuple[int, int, int, str]] = []
    if not product.dead(product.start):
        queue.append((product.distance(product.start), 0, product.start, ""))
    while queue:
        _, _, state, text = heapq.heappop(queue)
        seen = visits.get(state, 0)
        if seen >= count:
            continue
        visits[state] = seen + 1
        if product.accepts(state):
            found.append(text)
            if len(found) >= count:
                return Words(tuple(found))
        for match, loop, chars in product.moves:
            meter.spend(product.units)
            after = product.step(state, match, loop)
            if visits.get(after, 0) >= count or product.dead(after):
                continue
            for char in chars:
                serial += 1
                cost = 2 * product.distance(after) + len(text) + 1
                heapq.heappush(queue, (cost, serial, after, text + char))
    return Words(tuple(found), True)
