"""A comparison of two key policies as a page for a person: the answer first, then who, what, why, and the text."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keytrail.cli import policy_words as words
from keytrail.cli.colour import paint
from keytrail.cli.output import terminal_width
from keytrail.cli.policy_json import statements_diff
from keytrail.phrases import count, joined, start
from keytrail.text import for_terminal

if TYPE_CHECKING:
    from keytrail.policy import Change, Comparison, Finding, KeyPolicy, Request
    from keytrail.policy.prover.classes import PrincipalClass
    from keytrail.service.policy_diff import PolicyDiff

WIDTH = 110
_NARROWEST = 40
SHOWN = 12
"""Gains, and losses, that are shown one by one."""
_LABEL = 10
_SHORT = 100  # characters of a condition that stands in the answer
_NOTHING = "Nobody gained access: that is proved."


@dataclass(frozen=True, slots=True)
class Group:
    """Changes that differ in their callers only, as one."""

    changes: tuple[Change, ...]
    classes: tuple[PrincipalClass, ...]

    @property
    def first(self) -> Change:
        return self.changes[0]


def diff_text(found: PolicyDiff, *, colour: bool = False, statements: bool = True) -> str:
    """Return the page, safe to show."""
    lines = [paint(line, "header", on=colour) for line in wrapped(answer(found))]
    lines += ["", *_compared(found)]
    lines += change_sections(found, colour=colour)
    if found.comparison is not None:
        lines += section("Findings", findings_lines(found.comparison.findings, colour), colour)
        lines += section("From outside, now", _outside(found.comparison, found), colour)
    lines += section("Not certain", _uncertain(found), colour)
    if statements:
        lines += section("Difference of the statements", statements_diff(found, colour=colour), colour)
    return "\n".join(lines)


def change_sections(found: PolicyDiff, *, colour: bool = False) -> list[str]:
    """Return who gained and who lost what, safe to show; nothing when that is not known."""
    if found.comparison is None:
        return []
    gains, losses = grouped(found.comparison.gains), grouped(found.comparison.losses)
    return [
        *section("Gained", _changes(gains, found, gained=True), colour),
        *section("Lost", _changes(losses, found, gained=False), colour),
    ]


def grouped(changes: Iterable[Change]) -> list[Group]:
    """Return the changes with callers who gain or lose the same in the same way together, in the same order."""
    found: dict[object, list[Change]] = {}
    for one in changes:
        key = (one.actions, one.statements, one.denials, one.bound, one.needs_iam, one.proof)
        found.setdefault(key, []).append(one)
    return [Group(tuple(each), tuple(c for one in each for c in one.classes)) for each in found.values()]


# -- the answer -----------------------------------------------------------------------------------------------------


def answer(found: PolicyDiff) -> str:
    """Return the answer in one to three sentences, not yet safe: who can do what now, and how that was before."""
    comparison = found.comparison
    if comparison is None:
        return f"Not proved: the policy after the change is not known. {_sentence(found.after.reason)}"
    if found.before.status == "unknown":
        sentences = ["Not proved: the policy before is not known, so all that the new policy allows counts as gained."]
        return " ".join([*sentences, *_gained(comparison, found, "can")])
    if not comparison.new_access:
        return " ".join(
            [
                _NOTHING if found.complete else "Nobody gained access, as far as could be read.",
                *_lost(comparison, found),
            ]
        )
    if comparison.proof.new_access == "possible":
        return " ".join(["It could not be proved that nobody gained access.", *_gained(comparison, found, "may")])
    return " ".join([*_gained(comparison, found, "can now"), *_lost(comparison, found)])


def _gained(comparison: Comparison, found: PolicyDiff, can: str) -> Iterator[str]:
    parties = _parties(comparison.gains, found.account)
    if not parties:
        return
    first = parties[0]
    without = " without a policy in IAM" if first.strict else ""
    who = _organisations(comparison) if first.rank[0] == 0 else ""
    condition = _condition(comparison.gains, first)
    yield _sentence(f"{who or _names(first.classes, found)} {can} {words.powers(first.actions)}{without}{condition}")
    if first.outside and (before := _outside_before(found)):
        yield before
    others = [one for party in parties[1:] for one in party.classes]
    if others:
        yield _sentence(f"{_names(others, found)} gained access as well")


def _lost(comparison: Comparison, found: PolicyDiff) -> Iterator[str]:
    parties = _parties(comparison.losses, found.account)
    if not parties:
        if not comparison.new_access:
            yield "Nobody lost access either."
        return
    first = parties[0]
    what = words.powers(first.actions)
    if what.startswith("do everything"):
        what = "do anything with this key"
    without = " without a policy in IAM" if first.strict else ""
    no_longer = "may no longer" if comparison.proof.lost_access == "possible" else "can no longer"
    yield _sentence(f"{_names(first.classes, found)} {no_longer} {what}{without}")
    others = [one for party in parties[1:] for one in party.classes]
    if others:
        yield _sentence(f"{_names(others, found)} lost access as well")


def _organisations(comparison: Comparison) -> str:
    """Who "everyone" is where conditions leave members of organisations only; "" where they do not."""
    accounts = comparison.external_accounts
    names = [f"organisation {one[4:]}" for one in accounts if one.startswith("org:")]
    certain = "*" not in accounts and comparison.proof.external_accounts != "possible"
    return f"anyone in {joined(words.some(names, 3), 'or')}" if names and certain else ""


def _condition(changes: Iterable[Change], party: _Party) -> str:
    """The condition of all that a party gained, "" when there is something without one."""
    clauses: dict[str, None] = {}
    for change in changes:
        if set(party.classes).isdisjoint(change.classes):
            continue
        for statement in change.statements:
            clauses[words.conditions_words(statement)] = None
    if "" in clauses:
        return ""
    [clause] = clauses if len(clauses) == 1 else [""]
    return f", if {clause}" if 0 < len(clause) <= _SHORT else ", under the conditions below"


def _names(classes: Iterable[PrincipalClass], found: PolicyDiff) -> str:
    return joined(words.some(words.callers(classes, found.account, found.standing), 3))


@dataclass(frozen=True, slots=True)
class _Party:
    """Callers of one kind who gained, or lost, exactly the same actions. `strict`: all of it only without IAM."""

    rank: tuple[int, str]
    classes: tuple[PrincipalClass, ...]
    actions: tuple[str, ...]
    strict: bool

    @property
    def outside(self) -> bool:
        return self.rank[0] < 2


def _parties(changes: Iterable[Change], owner: str) -> list[_Party]:
    """Who gained or lost what, the most telling first: everyone, other accounts, the account's own, services."""
    actions: dict[PrincipalClass, dict[str, None]] = {}
    strict: dict[PrincipalClass, bool] = {}
    for change in changes:
        for one in change.classes:
            actions.setdefault(one, {}).update(dict.fromkeys(change.actions))
            strict[one] = strict.get(one, True) and change.bound == "strict"
    found: dict[tuple[tuple[int, str], frozenset[str], bool], list[PrincipalClass]] = {}
    for one, names in actions.items():
        found.setdefault((_party(one, owner), frozenset(names), strict[one]), []).append(one)
    parties = [_Party(key[0], tuple(each), tuple(actions[each[0]]), key[2]) for key, each in found.items()]
    return sorted(parties, key=lambda party: (party.rank[0], party.strict))


def _party(one: PrincipalClass, owner: str) -> tuple[int, str]:
    if one.sort == "stranger":
        return 0, ""
    if one.sort in ("service", "other service"):
        return 3, ""
    return (2, "") if one.account == owner else (1, one.account or "")


def _outside_before(found: PolicyDiff) -> str:
    if found.before.status == "none":
        return "The key is new."
    if found.outside_before is None:
        return ""
    if not found.outside_before:
        return "Nobody could from outside before."
    return f"From outside, only {_outsiders(found.outside_before, found)} could before."


def _outsiders(accounts: Sequence[str], found: PolicyDiff) -> str:
    if "*" in accounts:
        return "anyone in any AWS account"
    names = [
        f"organisation {one[4:]}" if one.startswith("org:") else words.account_name(one, found.account, found.standing)
        for one in accounts
    ]
    return joined(words.some(names, 4))


def _sentence(text: str) -> str:
    return f"{start(text)}." if text else ""


# -- the sections ---------------------------------------------------------------------------------------------------


def _compared(found: PolicyDiff) -> Iterator[str]:
    if found.key_arn:
        yield from field("key", found.key_arn, indent=0)
    yield from field("account", found.account, indent=0)
    for name, version in (("before", found.before), ("after", found.after)):
        text = version.origin or "not known"
        yield from field(name, f"{text}: {version.reason}" if version.reason else text, indent=0)


def _changes(groups: Sequence[Group], found: PolicyDiff, *, gained: bool) -> Iterator[str]:
    for group in groups[:SHOWN]:
        yield from _change(group, found, gained=gained)
    if len(groups) > SHOWN:
        yield f"  and {len(groups) - SHOWN:,} more; --format json has all of them"


def _change(group: Group, found: PolicyDiff, *, gained: bool) -> Iterator[str]:
    one, sign = group.first, "+" if gained else "-"
    names = words.some(words.callers(group.classes, found.account, found.standing), 6)
    head = joined(names) + ("" if one.proof == "witnessed" else " (possible, not proved)")
    yield from wrapped(head, first=f"  {sign} ", rest="    ")
    yield from field("can" if gained else "could", _actions(one.actions))
    for statement in one.statements[:SHOWN]:
        clause = words.conditions_words(statement)
        yield from field("by", f"{statement.label}{', if ' + clause if clause else ''}")
    if one.denials:
        said = words.statements_words(one.denials)
        yield from field("denied", f"before, by {said}" if gained else f"now, by {said}")
    if one.bound == "strict":
        yield from field(
            "note", "until now only with a policy in IAM" if gained else "a policy in IAM can still give it"
        )
    elif one.needs_iam:
        yield from field("needs", "IAM of the caller's account to allow it as well")
    if one.witness is not None:
        yield from field("example", _example(one.witness, found))


def _actions(actions: Sequence[str]) -> str:
    from keytrail.policy import catalogue

    known = catalogue()
    if len(actions) == len(known.key_actions()):
        return f"every action on a key ({len(actions)})"
    # The gravest first, for the end of a long list is left out.
    ordered = [action for group in known.groups for action in known.group(group) if action.name in actions]
    return ", ".join(words.some([action.name.removeprefix("kms:") for action in ordered], 15))


def _example(request: Request, found: PolicyDiff) -> str:
    """The witness in words, with what both policies answer to it."""
    said = words.request_words(request)
    before, after = (_answer(version.policy, request, found.account) for version in (found.before, found.after))
    return f"{said}. {'Before' if found.before.status != 'unknown' else 'With no policy'}: {before}; now: {after}."


def _answer(policy: KeyPolicy | None, request: Request, owner: str) -> str:
    from keytrail.policy import evaluate

    if policy is None:
        return "not allowed"
    decision = evaluate(policy, request, owner)
    if decision.denied_by:
        return f"denied by {words.statements_words(decision.denied_by)}"
    if decision.allowed:
        return f"allowed by {words.statements_words(decision.allowed_by)}"
    return decision.outcome.value


def _outside(comparison: Comparison, found: PolicyDiff) -> Iterator[str]:
    """Who outside the account can use the key by the policy after, newly or not."""
    if comparison.external_accounts:
        public = "; the key is public" if comparison.public else ""
        doubt = "" if comparison.proof.external_accounts != "possible" else " (possible, not proved)"
        who = _outsiders(comparison.external_accounts, found)
        yield from wrapped(f"{who} can use the key{public}{doubt}", first="  ", rest="  ")


def findings_lines(findings: Sequence[Finding], colour: bool) -> Iterator[str]:
    """Yield findings, safe to show, the first ones in full."""
    for one in findings[: 2 * SHOWN]:
        severity = paint(one.severity, one.severity, on=colour) + " " * (_LABEL - len(one.severity))
        title = f"{one.id}  {one.title}{', standing' if one.standing else ''}"
        title += ", possible" if one.proof == "possible" else ""
        yield f"  {severity}{for_terminal('  '.join([title, *one.techniques]))}"
        yield from wrapped(one.sentence, first=" " * 12, rest=" " * 12)
        if one.remedy:
            yield from wrapped(f"Remedy: {one.remedy}", first=" " * 12, rest=" " * 12)
    if len(findings) > 2 * SHOWN:
        yield f"  and {count(len(findings) - 2 * SHOWN, 'more finding')}; --format json has all of them"


def _uncertain(found: PolicyDiff) -> Iterator[str]:
    notes = list(found.notes)
    if found.comparison is not None:
        notes += found.comparison.incomplete
    for note in notes:
        yield from wrapped(note, first="  ", rest="    ")


# -- layout ---------------------------------------------------------------------------------------------------------


def section(title: str, body: Iterable[str], colour: bool) -> list[str]:
    """Return a titled part of a page, of lines made safe; nothing when there are none."""
    lines = list(body)
    return ["", paint(title, "header", on=colour), *lines] if lines else []


def field(name: str, value: str, *, indent: int = 6) -> list[str]:
    """Return a named value, made safe, over as many lines as it takes."""
    margin = " " * indent
    return wrapped(value, first=f"{margin}{name:<{_LABEL - 1}} ", rest=margin + " " * _LABEL)


def wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    """Return text, made safe, in lines of at most WIDTH, and of the terminal, unless a word is longer."""
    width = max(min(WIDTH, terminal_width(sys.stdout) or WIDTH), _NARROWEST)
    return textwrap.wrap(
        for_terminal(text), width, initial_indent=first, subsequent_indent=rest,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
