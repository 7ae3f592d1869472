"""Sets of texts described by globs: union, restriction, quotient, membership; what `words` needs to intersect them.

A glob is a row of steps, each reading one character of a set, with loops before, between and after them where any
number of characters of a set may be read (`*`). Its automaton has one bit per position, so that the state of any
number of globs together is one integer, and one character moves all of them with a shift and two masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Chars:
    """A set of characters: those listed, or all but those listed.

    >>> "a" in Chars(frozenset("ab")), "c" in ANY
    (True, True)
    """

    listed: frozenset[str]
    negated: bool = False

    def __contains__(self, char: str) -> bool:
        return (char in self.listed) is not self.negated

    def __and__(self, other: Chars) -> Chars:
        if self.negated and other.negated:
            return Chars(self.listed | other.listed, True)
        if self.negated:
            return Chars(other.listed - self.listed)
        return Chars(frozenset(char for char in self.listed if char in other))

    def covers(self, other: Chars) -> bool:
        """Whether every character of `other` is here."""
        if self.negated:
            return self.listed <= other.listed if other.negated else not (self.listed & other.listed)
        return not other.negated and other.listed <= self.listed


ANY = Chars(frozenset(), True)
NOT_COLON = Chars(frozenset(":"), True)
DIGITS = Chars(frozenset("0123456789"))


def one_of(chars: str) -> Chars:
    """The set of the characters of a text."""
    return Chars(frozenset(chars))


@dataclass(frozen=True, slots=True)
class Glob:
    """Steps and loops; `loops[i]` may be read any number of times before step i, the last one after all steps."""

    steps: tuple[Chars, ...]
    loops: tuple[Chars | None, ...]

    @property
    def literal(self) -> str | None:
        """The one text this glob matches, if it is only one."""
        if any(loop is not None for loop in self.loops):
            return None
        if any(step.negated or len(step.listed) != 1 for step in self.steps):
            return None
        return "".join(char for step in self.steps for char in step.listed)

    @property
    def prefix(self) -> str:
        """The text all members start with."""
        out: list[str] = []
        for step, loop in zip(self.steps, self.loops, strict=False):
            if loop is not None or step.negated or len(step.listed) != 1:
                break
            out.extend(step.listed)
        return "".join(out)

    def then(self, other: Glob) -> Glob:
        """The concatenation. At most one of the two may loop at the seam."""
        seam = self.loops[-1] if other.loops[0] is None else other.loops[0]
        if self.loops[-1] is not None and other.loops[0] is not None:
            raise ValueError("two loops meet")
        return Glob(self.steps + other.steps, (*self.loops[:-1], seam, *other.loops[1:]))

    def within(self, allowed: Chars) -> Glob | None:
        """The texts of this glob that use only `allowed`; None when there can be none."""
        steps = tuple(step & allowed for step in self.steps)
        if any(not step.negated and not step.listed for step in steps):
            return None
        return Glob(steps, tuple(loop and _or_none(loop & allowed) for loop in self.loops))


def _or_none(chars: Chars) -> Chars | None:
    return chars if chars.negated or chars.listed else None


def literal(text: str) -> Glob:
    """The glob of exactly one text."""
    return Glob(tuple(Chars(frozenset(char)) for char in text), (None,) * (len(text) + 1))


EVERYTHING = Glob((), (ANY,))


class Language:
    """A union of globs. Immutable; what is computed from it is kept with it."""

    def __init__(self, globs: Iterable[Glob]) -> None:
        self.globs = tuple(dict.fromkeys(globs))

    @classmethod
    def of(cls, *texts: str) -> Language:
        """The set of exactly these texts."""
        return cls(literal(text) for text in texts)

    @cached_property
    def exact(self) -> frozenset[str] | None:
        """The texts of a language that is a plain list of them; None for any other."""
        texts = [glob.literal for glob in self.globs]
        return None if any(text is None for text in texts) else frozenset(text for text in texts if text is not None)

    @property
    def empty(self) -> bool:
        """Whether no glob is left; then nothing is in it."""
        return not self.globs

    def __contains__(self, text: str) -> bool:
        exact = self.exact
        if exact is not None:
            return text in exact
        bits = self.bits
        state = bits.start
        for char in text:
            match, loop = bits.table.get(char, bits.other)
            state = ((state & match) << 1) | (state & loop)
            if not state:
                return False
        return bool(state & bits.accept)

    @cached_property
    def bits(self) -> Bits:
        """The automaton."""
        return Bits.of(self.globs)

    def within(self, allowed: Chars) -> Language:
        """Only the texts made of `allowed` characters."""
        return Language(glob for glob in (each.within(allowed) for each in self.globs) if glob is not None)

    def between(self, before: Sequence[Glob], after: Sequence[Glob]) -> Language:
        """All texts x + y + z with x of `before`, y of this language, z of `after`."""
        return Language(x.then(y).then(z) for x in before for y in self.globs for z in after)

    def quotient(self, before: str, after: str) -> Language:
        """All texts y for which before + y + after is in this language.

        >>> language = Language.of("user/bob/home")
        >>> sorted(language.quotient("user/", "/home").exact or ())
        ['bob']
        """
        return Language(part for glob in self.globs for part in _quotient(glob, before, after))

    def any_case(self) -> Language:
        """This language and every text that differs from one of its texts in case only."""
        return Language(
            Glob(tuple(map(_any_case, glob.steps)), tuple(loop and _any_case(loop) for loop in glob.loops))
            for glob in self.globs
        )

    @cached_property
    def samples(self) -> tuple[str, ...]:
        """A few likely members, short and readable ones."""
        words = (_sample(glob, filler) for glob in self.globs[:64] for filler in ("", "x", "any"))
        return tuple(dict.fromkeys(word for word in words if word is not None))


# Characters whose lower case is another character than the one they are the upper case of.
_FOLDED = {"k": "\u212a", "å": "\u212b", "ω": "\u2126", "ß": "\u1e9e"}


def ignoring_case(char: str) -> Chars:
    """The characters that compare equal to a lower-case one."""
    forms = {char, char.upper(), char.title(), _FOLDED.get(char, char)}
    return Chars(frozenset(form for form in forms if len(form) == 1 and form.lower() == char))


def _any_case(chars: Chars) -> Chars:
    """All cases of the characters of a set; what is left out of a negated set may come back in another case."""
    if chars.negated:
        return Chars(frozenset(char for char in chars.listed if char.lower() == char.upper()), True)
    return Chars(frozenset(form for char in chars.listed for form in (char, *ignoring_case(char.lower()).listed)))


def _sample(glob: Glob, filler: str) -> str | None:
    out = []
    for index, loop in enumerate(glob.loops):
        if loop is not None and filler:
            if all(char in loop for char in filler):
                out.append(filler)
            elif not loop.negated and "1" in loop:
                out.append("1")
        if index < len(glob.steps):
            char = _readable(glob.steps[index])
            if char is None:
                return None
            out.append(char)
    return "".join(out)


def _readable(chars: Chars) -> str | None:
    if not chars.negated and len(chars.listed) == 1:
        return next(iter(chars.listed))
    found = next((char for char in PREFERRED if char in chars), None)
    return found if found is not None or chars.negated else min(chars.listed, default=None)


PREFERRED = "xyzabcdefghijklmnopqrstuvw0123456789XYZABCDEFGHIJKLMNOPQRSTUVW-_.@:/ éñπλЖ中"
"""Characters to write words with, the most readable first."""


def _quotient(glob: Glob, before: str, after: str) -> Iterable[Glob]:
    starts = {0}
    for char in before:
        moved = {i + 1 for i in starts if i < len(glob.steps) and char in glob.steps[i]}
        starts = moved | {i for i in starts if (loop := glob.loops[i]) is not None and char in loop}
    ends = {len(glob.steps)}
    for char in reversed(after):
        moved = {i - 1 for i in ends if i > 0 and char in glob.steps[i - 1]}
        ends = moved | {i for i in ends if (loop := glob.loops[i]) is not None and char in loop}
    for start in sorted(starts):
        for end in sorted(ends):
            if start <= end:
                yield Glob(glob.steps[start:end], glob.loops[start : end + 1])


@dataclass(frozen=True, slots=True)
class Bits:
    """The automaton of several globs side by side: position i of glob k is bit offset(k) + i.

    Once a position is reached whose loop reads all that lower positions could still read, those change nothing any
    more; `dominators` are the bits of such positions, `floors` the lowest bit that each one makes idle. Clearing them
    keeps the number of states small.
    """

    start: int
    accept: int
    width: int
    table: dict[str, tuple[int, int]]  # character -> (steps that read it, loops that read it)
    other: tuple[int, int]  # for every character not in the table
    dominators: int
    floors: dict[int, int]  # position of a dominator -> lowest idle position
    final: int  # accepting bits that loop over everything: once set, accepted for ever

    @classmethod
    def of(cls, globs: Sequence[Glob]) -> Bits:
        """Lay the globs out side by side."""
        start = accept = width = final = 0
        match: dict[str, int] = {}
        loop: dict[str, int] = {}
        match_other = loop_other = 0  # bits whose set is negated: every character unless listed
        match_not: dict[str, int] = {}
        loop_not: dict[str, int] = {}
        dominators = 0
        floors: dict[int, int] = {}
        for glob in globs:
            lowest = _floors(glob)
            start |= 1 << width
            for index, step in enumerate(glob.steps):
                bit = 1 << (width + index)
                target = match_not if step.negated else match
                for char in step.listed:
                    target[char] = target.get(char, 0) | bit
                if step.negated:
                    match_other |= bit
            for index, chars in enumerate(glob.loops):
                if chars is None:
                    continue
                bit = 1 << (width + index)
                target = loop_not if chars.negated else loop
                for char in chars.listed:
                    target[char] = target.get(char, 0) | bit
                if chars.negated:
                    loop_other |= bit
                if lowest[index] < index:
                    dominators |= bit
                    floors[width + index] = width + lowest[index]
            end = 1 << (width + len(glob.steps))
            accept |= end
            if glob.loops[-1] == ANY:
                final |= end
            width += len(glob.steps) + 1
        table = {
            char: (
                match.get(char, 0) | (match_other & ~match_not.get(char, 0)),
                loop.get(char, 0) | (loop_other & ~loop_not.get(char, 0)),
            )
            for char in sorted({*match, *loop, *match_not, *loop_not})
        }
        return cls(start, accept, width, table, (match_other, loop_other), dominators, floors, final)


def _floors(glob: Glob) -> list[int]:
    """For every position the lowest one from which all steps and loops up to it are covered by its own loop."""
    floors: list[int] = []
    for index, loop in enumerate(glob.loops):
        lower = index
        while loop is not None and lower > 0:
            below = glob.loops[lower - 1]
            if not loop.covers(glob.steps[lower - 1]) or (below is not None and not loop.covers(below)):
                break
            lower = floors[lower - 1] if below == loop else lower - 1
        floors.append(lower)
    return floors
