"""Whether values exist that make some atoms true and others false, key by key; the values, or the atoms that clash."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from keytrail.policy.patterns import Wildcard
from keytrail.policy.prover.checks import (
    BoolCheck,
    Check,
    Domain,
    NetworkCheck,
    TextCheck,
    representatives,
    text_language,
)
from keytrail.policy.prover.encode import Atom, Exists, Holds, Presence, Relation
from keytrail.policy.prover.globs import Language
from keytrail.policy.prover.slots import CONTEXT_KEYS, ENCRYPTION_CONTEXT, Free, Setting
from keytrail.policy.prover.views import VIEWS
from keytrail.policy.prover.words import Meter, Words, find_words

_TRIES = 6  # values of one key to try for the keys that refer to it
_MAX_CORE = 24  # a clash of more atoms than this is learned as it is


@dataclass(frozen=True, slots=True)
class Values:
    """Values of bases that satisfy the literals; lists of members for lists."""

    texts: dict[str, str] = field(default_factory=dict)
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clash:
    """No values do. `literals` cannot be true together; `exact` is False when that is only not known to be possible."""

    literals: tuple[int, ...]
    exact: bool = True


@dataclass(frozen=True, slots=True)
class _Item:
    """One demand on one value: in (or not in) a set. `literals` are why."""

    literals: tuple[int, ...]
    view: str
    check: Check
    wanted: bool


@dataclass(frozen=True, slots=True)
class _Link:
    """One demand on two or more values."""

    literal: int
    relation: Relation
    wanted: bool

    @property
    def sources(self) -> list[Free]:
        return [part for part in self.relation.parts if isinstance(part, Free)]


class Theory:
    """The values of one setting. Every check spends from the meter; BudgetExceededError ends it."""

    def __init__(self, setting: Setting, atoms: Sequence[Atom | None], meter: Meter) -> None:
        self._setting = setting
        self._atoms = atoms
        self._meter = meter
        self._domains: dict[str, Domain] = {}
        self._narrowed: dict[tuple[str, TextCheck], Language] = {}

    def check(self, literals: Iterable[int]) -> Values | Clash:
        """Values for these literals, or a clash among them."""
        self._meter.spend(10)
        items: dict[str, list[_Item]] = {}
        lists: dict[str, list[tuple[int, Check, bool, bool]]] = {}
        links: list[_Link] = []
        presences: dict[str, int] = {}
        for literal in literals:
            atom = self._atoms[abs(literal)]
            if isinstance(atom, Presence):
                presences[atom.name] = literal
            elif isinstance(atom, Holds):
                items.setdefault(atom.base, []).append(_Item((literal,), atom.view, atom.check, literal > 0))
            elif isinstance(atom, Exists):
                lists.setdefault(atom.base, []).append((literal, atom.check, atom.outside, literal > 0))
            elif isinstance(atom, Relation):
                links.append(_Link(literal, atom, literal > 0))
        self._add_service_link(items, presences)
        found = Values()
        for base in dict.fromkeys([*lists, *(base for base in items if base == "chain")]):
            clash = self._list(base, lists.get(base, []), items, presences, found)
            if clash is not None:
                return clash
        if CONTEXT_KEYS in presences and "context keys" not in lists:
            clash = self._list("context keys", [], items, presences, found)
            if clash is not None:
                return clash
        linked = self._linked_bases(links)
        for base, demands in items.items():
            if base in linked:
                continue
            words = self._words(base, demands, 1)
            if not words.texts:
                return self._clash(base, demands, words.complete)
            found.texts.setdefault(base, words.texts[0])
        for group in _groups(links):
            clash = self._related(group, items, found)
            if clash is not None:
                return clash
        return found

    def any_value(self, base: str) -> str | None:
        """Some value of a base that nothing was asked of."""
        words = self._words(base, [], 1)
        return words.texts[0] if words.texts else None

    # One value ---------------------------------------------------------------------------------------------------

    def _domain(self, base: str) -> Domain:
        if base not in self._domains:
            known = Domain("list", texts=(base[1:],)) if base.startswith("=") else self._setting.domain(base)
            self._domains[base] = known
        return self._domains[base]

    def _words(self, base: str, items: Sequence[_Item], count: int) -> Words:
        """Up to `count` values of a base that meet all demands."""
        domain = self._domain(base)
        if domain.kind == "text" and all(isinstance(item.check, TextCheck) for item in items):
            required, forbidden = list(domain.required), []
            if domain.excluded is not None and not domain.excluded.empty:
                forbidden.append(domain.excluded)
            for item in items:
                assert isinstance(item.check, TextCheck)
                embed = self._callers if base == "principal" else self._embedded
                (required if item.wanted else forbidden).append(embed(item.view, item.check))
            return find_words(required, forbidden, self._meter, count=count)
        items = _joined_networks(items)
        texts, complete = representatives(domain, [item.check for item in items])
        self._meter.spend(5 + len(texts) * (1 + len(items)) // 4)
        good = [
            text
            for text in texts
            if all(item.check.holds(VIEWS[item.view].project(text)) is item.wanted for item in items)
        ]
        whole = domain.kind == "list"
        return Words(tuple(good[:count]), (complete and not good) or (whole and len(good) <= count))

    def _embedded(self, view: str, check: TextCheck) -> Language:
        return VIEWS[view].embed(check.language) if view else check.language

    def _callers(self, view: str, check: TextCheck) -> Language:
        """The ARNs of a check, without those that cannot be of this class: cheaper than proving it by automaton."""
        known = self._narrowed.get((view, check))
        if known is None:
            group = self._setting.caller
            language = check.language
            if view == "account" and language.exact is not None:
                language = Language.of(*sorted(language.exact - group.named_accounts))
            elif not view:
                language = Language(glob for glob in language.globs if group.compatible(glob.prefix))
            known = self._narrowed[view, check] = VIEWS[view].embed(language) if view else language
        return known

    def _clash(self, base: str, items: Sequence[_Item], exact: bool, *, keep: _Item | None = None) -> Clash:
        """The fewest demands that still cannot be met, found by leaving out one after the other.

        `keep` stays: the demand for which there is a value at all. Without it a list could simply be missing.
        """
        core = list(items)
        if exact and 1 < len(core) <= _MAX_CORE:
            for item in list(core):
                if item is keep:
                    continue
                rest = [each for each in core if each is not item]
                words = self._words(base, rest, 1)
                if not words.texts and words.complete:
                    core = rest
        literals = dict.fromkeys(literal for item in core for literal in item.literals)
        return Clash(tuple(literals), exact)

    def _add_service_link(self, items: dict[str, list[_Item]], presences: dict[str, int]) -> None:
        """A request that came through a service was made by a service with the caller's credentials (1.8)."""
        base = "key:aws:viaawsservice"
        for name in ("kms:viaservice", "aws:calledvia"):
            literal = presences.get(name, 0)
            if literal > 0 and base in items:
                items[base].append(_Item((literal,), "", BoolCheck([True]), wanted=True))

    # Lists -------------------------------------------------------------------------------------------------------

    def _list(
        self,
        base: str,
        demands: Sequence[tuple[int, Check, bool, bool]],
        items: dict[str, list[_Item]],
        presences: dict[str, int],
        found: Values,
    ) -> Clash | None:
        """Members of a list. "No member in S" binds them all; "some member in S" needs one, chosen for itself."""
        every = [_Item((literal,), "", check, outside) for literal, check, outside, true in demands if not true]
        needs = [_Item((literal,), "", check, not outside) for literal, check, outside, true in demands if true]
        named: list[tuple[str, _Item]] = []
        if base == "context keys":
            for name, literal in presences.items():
                if not name.startswith(ENCRYPTION_CONTEXT):
                    continue
                key = name.removeprefix(ENCRYPTION_CONTEXT)
                check = TextCheck(text_language("ignore-case", [(key,)]))
                if literal > 0:
                    named.append((key, _Item((literal,), "", check, wanted=True)))
                else:
                    every.append(_Item((literal,), "", check, wanted=False))
        elements = {item.view for item in items.get(base, ()) if item.view in ("first", "last")}
        members: list[str] = []
        # Names last: a member that is there for another reason, in whatever case, is the name as well.
        for need in [*needs, *(item for _, item in named)]:
            if any(need.check.holds(member) is need.wanted for member in members):
                continue
            words = self._words(base, [*every, need], 1)
            if not words.texts:
                return self._clash(base, [*every, need], words.complete, keep=need)
            members.append(words.texts[0])
        ends = {}
        for view in sorted(elements):
            own = [item for item in items[base] if item.view == view]
            words = self._words(base, [*every, *own], 1)
            if not words.texts:
                return self._clash(base, [*every, *own], words.complete, keep=own[0])
            ends[view] = words.texts[0]
        items.pop(base, None)
        if not members and not ends and self._must_have_members(base, presences):
            words = self._words(base, every, 1)
            if words.texts:
                members.append(words.texts[0])
            else:
                presence = presences.get(_PRESENCE.get(base, base.removeprefix("key:")), 0)
                clash = self._clash(base, every, words.complete)
                return Clash((*clash.literals, presence) if presence > 0 else clash.literals, clash.exact)
        if ends:
            first = ends.get("first") or (members[0] if members else ends["last"])
            last = ends.get("last") or (members[-1] if members else first)
            members = [first, *members, last]
        found.lists[base] = tuple(dict.fromkeys(members)) if not ends else tuple(members)
        return None

    def _must_have_members(self, base: str, presences: dict[str, int]) -> bool:
        if base in ("key:kms:grantoperations", "key:aws:principalservicenameslist"):
            return True
        return presences.get(_PRESENCE.get(base, base.removeprefix("key:")), 0) > 0

    # Values that refer to each other -----------------------------------------------------------------------------

    def _linked_bases(self, links: Sequence[_Link]) -> set[str]:
        return {link.relation.base for link in links} | {s.base for link in links for s in link.sources}

    def _related(self, links: list[_Link], items: dict[str, list[_Item]], found: Values) -> Clash | None:
        """Values of keys that policy variables tie together: sources first, then what is built from them."""
        bases = sorted(self._linked_bases(links))
        own = {base: items.get(base, []) for base in bases}
        for base, asked in own.items():
            words = self._words(base, asked, 1)
            if not words.texts:
                return self._clash(base, asked, words.complete)
        outcome, values = self._attempt(links, own)
        if outcome is _Search.FOUND:
            found.texts.update(values)
            return None
        core = [link.literal for link in links] + [
            literal for each in own.values() for i in each for literal in i.literals
        ]
        core = list(dict.fromkeys(core))
        if outcome is _Search.NONE and len(core) <= _MAX_CORE // 2:
            for literal in list(core):
                rest = [each for each in core if each != literal]
                fewer = [link for link in links if link.literal in rest]
                demands = {base: [i for i in each if set(i.literals) <= set(rest)] for base, each in own.items()}
                if fewer and self._attempt(fewer, demands)[0] is _Search.NONE:
                    core = rest
        return Clash(tuple(core), outcome is _Search.NONE)

    def _attempt(self, links: Sequence[_Link], items: dict[str, list[_Item]]) -> tuple[_Search, dict[str, str]]:
        order = _order(links)
        demands = {base: list(items.get(base, ())) for base in order}
        for link in links:
            if link.wanted and (within := _superset(link.relation)) is not None:
                check = TextCheck(within)
                demands[link.relation.base].append(_Item((link.literal,), link.relation.view, check, wanted=True))
        for base in reversed(order):  # what is asked of a key is asked of the key it equals
            for link in links:
                pushed = self._push(link, demands[base]) if link.relation.base == base else None
                if pushed is not None:
                    demands[pushed[0]] += pushed[1]
        for base in order:
            words = self._words(base, demands[base], 1)
            if words.complete and not words.texts:
                return _Search.NONE, {}
        values: dict[str, str] = {}
        return self._assign(order, 0, links, demands, values), values

    def _push(self, link: _Link, demands: Sequence[_Item]) -> tuple[str, list[_Item]] | None:
        """For K = "text${V}text": what is asked of K, as asked of V."""
        relation = link.relation
        sources = link.sources
        if not link.wanted or relation.family not in ("equals", "ignore-case") or len(sources) != 1:
            return None
        source = sources[0]
        if source.base == relation.base:
            return None
        exact = relation.family == "equals"
        at = relation.parts.index(source)
        before, after = (_text(relation.parts[:at]), _text(relation.parts[at + 1 :]))
        languages = [
            (item.literals, item.check.language, item.wanted)
            for item in demands
            if isinstance(item.check, TextCheck) and item.view == relation.view and (item.wanted or exact)
        ]
        domain = self._domain(relation.base)
        if relation.view:
            whole = VIEWS[relation.view].parts
        else:
            whole = Language.of(*domain.texts) if domain.kind == "list" else domain.language
            if exact and domain.excluded is not None:
                languages.append(((), domain.excluded, False))
        if whole is not None:
            languages.append(((), whole, True))
        pushed = []
        for literals, language, wanted in languages:
            if not exact:
                language = language.any_case()
            check = TextCheck(language.quotient(before, after))
            pushed.append(_Item((*literals, link.literal), source.view, check, wanted))
        return source.base, pushed

    def _assign(
        self,
        order: list[str],
        index: int,
        links: Sequence[_Link],
        demands: dict[str, list[_Item]],
        values: dict[str, str],
    ) -> _Search:
        if index == len(order):
            return _Search.FOUND
        base = order[index]
        own = list(demands[base])
        selfish = []
        for link in links:
            used = {source.base for source in link.sources} | {link.relation.base}
            if base not in used or not used <= {*values, base}:
                continue
            if link.relation.base == base and all(source.base != base for source in link.sources):
                check = TextCheck(self._substituted(link.relation, values))
                own.append(_Item((link.literal,), link.relation.view, check, link.wanted))
            else:
                selfish.append(link)
        words = self._words(base, own, _TRIES)
        proved = words.complete
        for text in words.texts:
            values[base] = text
            if all(self._true(link, values) is link.wanted for link in selfish):
                outcome = self._assign(order, index + 1, links, demands, values)
                if outcome is _Search.FOUND:
                    return outcome
                proved = proved and outcome is _Search.NONE
            del values[base]
        return _Search.NONE if proved else _Search.OPEN

    def _substituted(self, relation: Relation, values: dict[str, str]) -> Language:
        parts: list[object] = []
        for part in relation.parts:
            parts.append(VIEWS[part.view].project(values[part.base]) if isinstance(part, Free) else part)
        return text_language(relation.family, [tuple(parts)])  # type: ignore[arg-type]  # no slot is left

    def _true(self, link: _Link, values: dict[str, str]) -> bool:
        text = VIEWS[link.relation.view].project(values[link.relation.base])
        return text in self._substituted(link.relation, values)


class _Search(Enum):
    FOUND = 1
    NONE = 2  # proved
    OPEN = 3  # not found among the values tried


def _joined_networks(items: Sequence[_Item]) -> Sequence[_Item]:
    """The same demands, with "in none of these networks" as one."""
    outside = [item.check for item in items if isinstance(item.check, NetworkCheck) and not item.wanted]
    if len(outside) < 2:
        return items
    rest = [item for item in items if item.wanted or not isinstance(item.check, NetworkCheck)]
    joined = NetworkCheck(network for check in outside for network in check.networks)
    return [*rest, _Item((), "", joined, wanted=False)]


def _superset(relation: Relation) -> Language | None:
    """Every text that a pattern can match whatever its variables are, where that says something."""
    if relation.family == "arn":
        return None
    parts: list[Wildcard | str] = []
    for part in relation.parts:
        if isinstance(part, Free) or (relation.family == "like" and part is Wildcard.ANY):
            if not parts or parts[-1] is not Wildcard.ANY:
                parts.append(Wildcard.ANY)
        elif relation.family != "like" and isinstance(part, Wildcard):
            return None
        else:
            parts.append(part)  # type: ignore[arg-type]  # a text or a wildcard
    language = text_language("like", [tuple(parts)])
    return language.any_case() if relation.family == "ignore-case" else language


_PRESENCE = {"context keys": CONTEXT_KEYS, "chain": "aws:calledvia"}


def _text(parts: Iterable[object]) -> str:
    return "".join(part if isinstance(part, str) else str(getattr(part, "value", "")) for part in parts)


def _groups(links: Sequence[_Link]) -> list[list[_Link]]:
    """Links that share a base, together."""
    groups: list[tuple[set[str], list[_Link]]] = []
    for link in links:
        bases = {link.relation.base} | {source.base for source in link.sources}
        joined: tuple[set[str], list[_Link]] = (bases, [link])
        rest = []
        for group in groups:
            if group[0] & joined[0]:
                joined = (group[0] | joined[0], [*group[1], *joined[1]])
            else:
                rest.append(group)
        groups = [*rest, joined]
    return [group for _, group in groups]


def _order(links: Sequence[_Link]) -> list[str]:
    """Bases, those that others refer to first; in a circle the order is alphabetical."""
    waiting: dict[str, set[str]] = {}
    for link in links:
        waiting.setdefault(link.relation.base, set()).update(
            source.base for source in link.sources if source.base != link.relation.base
        )
        for source in link.sources:
            waiting.setdefault(source.base, set())
    order: list[str] = []
    while waiting:
        ready = sorted(base for base, sources in waiting.items() if not sources & waiting.keys())
        for base in ready or [min(waiting)]:
            order.append(base)
            del waiting[base]
    return order
