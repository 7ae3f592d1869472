"""What a condition asks of one value, as a set: membership, and enough representatives to decide combinations."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import pairwise

from keytrail.policy import values
from keytrail.policy.patterns import Wildcard, fold, segments
from keytrail.policy.prover.globs import ANY, NOT_COLON, Chars, Glob, Language, ignoring_case

Parts = tuple[str | Wildcard, ...]
"""A value of a policy, its variables resolved."""


class Check:
    """A set of request values. Two checks of the same condition are one object, so they compare by identity."""

    def holds(self, text: str) -> bool:
        """Whether a value is in the set."""
        raise NotImplementedError


class TextCheck(Check):
    """String and Arn operators: a language."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def holds(self, text: str) -> bool:
        return text in self.language


class OrderCheck(Check):
    """Numeric and Date operators: `relation` to at least one of the bounds."""

    def __init__(self, relation: str, bounds: Sequence[Decimal], *, dates: bool) -> None:
        self.relation = relation
        self.bounds = tuple(bounds)
        self.dates = dates

    def holds(self, text: str) -> bool:
        given = values.time(text) if self.dates else values.number(text)
        return given is not None and any(_related(self.relation, given, bound) for bound in self.bounds)


def _related(relation: str, given: Decimal, bound: Decimal) -> bool:
    match relation:
        case "Equals":
            return given == bound
        case "LessThan":
            return given < bound
        case "LessThanEquals":
            return given <= bound
        case "GreaterThan":
            return given > bound
        case _:
            return given >= bound


class NetworkCheck(Check):
    """IpAddress: in at least one of the networks. `spans`: the same as joined (first, last), by IP version."""

    def __init__(self, networks: Iterable[values.Network]) -> None:
        self.networks = tuple(networks)
        self.spans = {version: _joined_spans(self.networks, version) for version in (4, 6)}

    def holds(self, text: str) -> bool:
        given = values.address(text)
        if given is None:
            return False
        spans = self.spans[given.version]
        at = bisect_right(spans, (int(given), _BEYOND)) - 1
        return at >= 0 and int(given) <= spans[at][1]


_BEYOND = 1 << 128


def _joined_spans(networks: Iterable[values.Network], version: int) -> list[tuple[int, int]]:
    found = sorted((int(n.network_address), int(n.broadcast_address)) for n in networks if n.version == version)
    spans: list[tuple[int, int]] = []
    for low, high in found:
        if spans and low <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], max(high, spans[-1][1]))
        else:
            spans.append((low, high))
    return spans


class BoolCheck(Check):
    """Bool: one of the listed truth values."""

    def __init__(self, wanted: Iterable[bool]) -> None:
        self.wanted = frozenset(wanted)

    def holds(self, text: str) -> bool:
        return values.boolean(text) in self.wanted


@dataclass(frozen=True)
class Domain:
    """The values a key can have at all. `kind` says which representatives decide checks on it exactly.

    "text": `language` (None = any text). "list": exactly `texts`. "integer", "instant" (seconds since 1970 from
    `floor` on) and "address".
    """

    kind: str
    language: Language | None = None
    excluded: Language | None = None
    texts: tuple[str, ...] = ()
    floor: int = 0

    @cached_property
    def required(self) -> tuple[Language, ...]:
        """As languages to intersect with."""
        return () if self.language is None else (self.language,)


def text_language(family: str, parts: Iterable[Parts]) -> Language:
    """The texts that String or Arn values match: "equals", "ignore-case", "like" or "arn"."""
    return Language(glob for each in parts for glob in (_glob(family, each),) if glob is not None)


def with_hole(family: str, before: Parts, hole: Glob, after: Parts) -> Glob | None:
    """The pattern `before` + `hole` + `after`; None where a wildcard touches a loop, or the ARN is cut short."""
    wild = ANY
    if family == "arn":
        texts = "".join(part for part in before if isinstance(part, str))
        if texts.count(":") < 5:
            return None
        head = _glob("arn", before)
    else:
        head = _glob(family, before)
    tail = _like(after, wild) if family in ("arn", "like") else _glob(family, after)
    if head is None or tail is None:
        return None
    touching = (head.loops[-1] is not None and hole.loops[0] is not None) or (
        (hole.loops[-1] if hole.steps else head.loops[-1] or hole.loops[-1]) is not None and tail.loops[0] is not None
    )
    return None if touching else head.then(hole).then(tail)


def fillings(family: str, before: Parts, after: Parts, text: str) -> list[str] | None:
    """What can stand between `before` and `after` so that the pattern matches `text`; None where that is not known.

    >>> fillings("like", ("role/",), ("-*",), "role/app-1")  # a text part is literal
    []
    >>> fillings("equals", ("role/",), (), "role/app-1")
    ['app-1']
    """
    if family == "ignore-case":
        size = sum(len(part) for part in (*before, *after) if isinstance(part, str))
        if size > len(text) or len(fold(text)) != len(text):
            return [] if size > len(text) else None
        start, end = _text_size(before), len(text) - _text_size(after)
        head, tail = fold(text[:start]), fold(text[end:])
        if start > end or head != fold(_plain(before)) or tail != fold(_plain(after)):
            return []
        return _cases(text[start:end])
    starts, ends = _cuts(family, before, text, first=True), _cuts(family, after, text, first=False)
    if starts is None or ends is None:
        return None
    return sorted({text[start:end] for start in starts for end in ends if start <= end})


def _plain(parts: Parts) -> str:
    return "".join(part.value if isinstance(part, Wildcard) else part for part in parts)


def _text_size(parts: Parts) -> int:
    return len(_plain(parts))


def _cases(text: str) -> list[str] | None:
    """All spellings of a text in other cases, if they are few."""
    spellings = [""]
    for char in text:
        forms = sorted(ignoring_case(fold(char)).listed)
        spellings = [spelling + form for spelling in spellings for form in forms]
        if len(spellings) > 64:
            return None
    return spellings


def _cuts(family: str, parts: Parts, text: str, *, first: bool) -> list[int] | None:
    """Where `text` can be cut so that its first (or last) piece matches `parts`."""
    if family == "arn" and first and _plain(parts).count(":") < 5:
        return None
    glob = _glob(family if first or family != "arn" else "like", parts)
    if glob is None:
        return None
    language = Language([glob])
    return [cut for cut in range(len(text) + 1) if (text[:cut] if first else text[cut:]) in language]


def _glob(family: str, parts: Parts) -> Glob | None:
    if family == "arn":
        pieces = segments(parts)
        if len(pieces) < 6:
            return None
        globs = [_like(piece, NOT_COLON) for piece in pieces[:5]] + [_like(pieces[5], ANY)]
        steps: tuple[Chars, ...] = ()
        loops: tuple[Chars | None, ...] = ()
        colon = Chars(frozenset(":"))
        for index, glob in enumerate(globs):
            steps += glob.steps if index == 0 else (colon, *glob.steps)
            loops += glob.loops
        return Glob(steps, loops)
    if family == "like":
        return _like(parts, ANY)
    text = "".join(part.value if isinstance(part, Wildcard) else part for part in parts)
    if family == "ignore-case":
        return Glob(tuple(ignoring_case(char) for char in fold(text)), (None,) * (len(fold(text)) + 1))
    return Glob(tuple(Chars(frozenset(char)) for char in text), (None,) * (len(text) + 1))


def _like(parts: Parts, wild: Chars) -> Glob:
    steps: list[Chars] = []
    loops: list[Chars | None] = [None]
    for part in parts:
        if part is Wildcard.ANY:
            loops[-1] = wild
        elif part is Wildcard.ONE:
            steps.append(wild)
            loops.append(None)
        elif isinstance(part, str):
            steps.extend(Chars(frozenset(char)) for char in part)
            loops.extend([None] * len(part))
    return Glob(tuple(steps), tuple(loops))


def representatives(domain: Domain, checks: Sequence[Check]) -> tuple[list[str], bool]:
    """Values of a domain that is not text, one per combination of checks that any value has; and whether that is all.

    The answer is exact while text checks on such a key name exact texts; a glob over numbers makes it a good try.
    """
    exact: list[str] = []
    complete = True
    for check in checks:
        if isinstance(check, TextCheck):
            listed = check.language.exact
            if listed is None:
                complete = complete and domain.kind == "list"
                exact += list(check.language.samples)
            else:
                exact += sorted(listed)
    if domain.kind == "list":
        return list(domain.texts), True
    if domain.kind == "address":
        found = _addresses(check for check in checks if isinstance(check, NetworkCheck))
        found += [text for text in exact if values.address(text) is not None]
    else:
        bounds = [bound for check in checks if isinstance(check, OrderCheck) for bound in check.bounds]
        found = _integers(bounds, domain.floor, spare=len(exact))
        found += [text for text in exact if text.isdigit() and int(text) >= domain.floor]
    return list(dict.fromkeys(found)), complete


def _integers(bounds: Iterable[Decimal], floor: int, *, spare: int) -> list[str]:
    """Every bound that is an integer, and integers between, below and above, several where texts may be excluded."""
    points: set[int] = {floor}
    ceilings = sorted(
        {int(bound.to_integral_value("ROUND_CEILING")) for bound in bounds if abs(bound) < 10**18} | {floor}
    )
    for point in ceilings:
        points.update(range(point - 1 - spare, point + 2 + spare))
    for low, high in pairwise(ceilings):
        middle = (low + high) // 2
        points.update(range(middle, min(middle + spare + 1, high)))
    return [str(point) for point in sorted(points) if point >= floor]


_PLAIN = ("198.51.100.77", "203.0.113.9", "192.0.2.10", "2600:1f00::1", "2001:db8::1")


def _addresses(checks: Iterable[NetworkCheck]) -> list[str]:
    """An address from every stretch between two borders of networks: within one, every check gives one answer."""
    found = list(_PLAIN)
    borders: dict[int, set[int]] = {4: {0, 1 << 32}, 6: {0, 1 << 128}}
    for check in checks:
        for version, spans in check.spans.items():
            borders[version].update(border for low, high in spans for border in (low, high + 1))
    for version, kind in ((4, ipaddress.IPv4Address), (6, ipaddress.IPv6Address)):
        ordered = sorted(borders[version])
        for low, high in pairwise(ordered):
            # The first address of a network is rarely a host.
            found.append(str(kind(low + 1 if high - low > 2 else low)))
    return found
