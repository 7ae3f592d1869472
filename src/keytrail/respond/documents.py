"""Edits of a policy's JSON text that leave every other byte as it was: white space, escapes, order, line ends.

An edit is a list of splices of the text as it is; several edits of the same text are made at once by `edited`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from keytrail.errors import UsageError
from keytrail.policy import KeyPolicy, Principal, PrincipalKind, Statement
from keytrail.policy.places import Path, Span, spans
from keytrail.respond.facts import MOST_POLICY_BYTES

Removed: TypeAlias = Mapping[int, Set[Principal] | None]
"""What goes, by the index of the statement: these principals of it, or with None the whole statement."""

ID_REFUSED = "AWS refuses the ids that deleted users and roles leave behind"

_SPACE_BEHIND = re.compile(r"[{\[]([ \t\r\n]*)")


class Splice(NamedTuple):
    """Put `text` in the place of `text[start:end]`."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """The text of a key policy, what it says, and where. Made by `Document.of`."""

    text: str = field(repr=False)
    policy: KeyPolicy
    spans: Mapping[Path, Span] = field(repr=False, compare=False)

    @classmethod
    def of(cls, text: str, *, name: str = "policy") -> Document:
        """Read a policy. Raises PolicyError with every problem of a text that is not one."""
        policy = KeyPolicy.parse(text, name=name)
        text = policy.source or text  # without a byte order mark, which KMS does not take
        return cls(text, policy, spans(text))

    @classmethod
    def of_policy(cls, policy: KeyPolicy) -> Document:
        """The text that a policy was read from, or where it had none, a new one."""
        text = json.dumps(policy.to_dict(), indent=2, ensure_ascii=False) if policy.source is None else policy.source
        return cls.of(text, name=policy.name)

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The statements, in the order of the text."""
        return self.policy.statements

    @property
    def _is_list(self) -> bool:
        return self.text[self.spans[("Statement",)].start] == "["

    def path_of(self, index: int) -> Path:
        """The path of a statement: a single one may stand without a list."""
        return ("Statement", index) if self._is_list else ("Statement",)

    def text_of(self, path: Path) -> str | None:
        """The value at `path` as it is written; None where there is none."""
        span = self.spans.get(path)
        return None if span is None else self.text[span.start : span.end]

    def statement_text(self, index: int) -> str:
        """A statement as it is written."""
        return self.text_of(self.path_of(index)) or ""

    def edited(self, splices: Iterable[Splice]) -> Document:
        """The document after edits that do not overlap; of several at one place the first comes first.

        Raises UsageError for a result that KMS would not take, PolicyError for one that is no policy.
        """
        pieces: list[str] = []
        at = 0
        for splice in sorted(splices, key=lambda each: (each.start, each.end)):
            pieces += (self.text[at : splice.start], splice.text)
            at = splice.end
        return fit(Document.of("".join((*pieces, self.text[at:])), name=self.policy.name))

    # Edits -----------------------------------------------------------------------------------------------------------

    def without(self, removed: Removed) -> Document:
        """The document without some statements (None) and without some principals of others, in every spelling.

        A statement goes with the last of its principals. Raises UsageError where no statement would be left.
        """
        gone = self.emptied_by(removed)
        if len(gone) == len(self.statements):
            raise _no_statement()
        splices = self._removal(("Statement",), len(self.statements), gone) if gone else []
        for index, principals in removed.items():
            if index not in gone and principals:
                splices += self._principals_removal(index, principals)
        return self.edited(splices)

    def emptied_by(self, removed: Removed) -> frozenset[int]:
        """The statements that go: those removed as such, and those that lose all their principals."""
        return frozenset(
            index
            for index, principals in removed.items()
            if principals is None or (principals and principals >= set(self.statements[index].all_principals()))
        )

    def replacement(self, index: int, text: str) -> list[Splice]:
        """Another text in the place of a statement."""
        span = self.spans[self.path_of(index)]
        return [Splice(span.start, span.end, text)]

    def member(self, path: Path, name: str, text: str | None) -> list[Splice]:
        """Set a member of the object at `path` to a value as it is written, add it as the last, or remove it."""
        span = self.spans.get((*path, name))
        members = self._children(path)
        if span is not None and text is not None:
            return [Splice(span.start, span.end, text)]
        if span is not None:
            at = [self.spans[each] for each in members].index(span)
            return self._removal(path, len(members), {at})
        if text is None:
            return []
        end = self.spans[members[-1]].end
        return [Splice(end, end, f"{self._comma(members)}{json.dumps(name)}: {text}")]

    def addition(self, texts: Sequence[tuple[int, str]]) -> list[Splice]:
        """Add statements, each before the statement that has its position now; the number of statements is the end."""
        if not self._is_list:
            span = self.spans[("Statement",)]
            before = "".join(f"{text}, " for position, text in texts if position == 0)
            after = "".join(f", {text}" for position, text in texts if position > 0)
            return [Splice(span.start, span.start, f"[{before}"), Splice(span.end, span.end, f"{after}]")] * bool(texts)
        members = self._children(("Statement",))
        comma = self._comma(members)
        splices = []
        for position, text in texts:
            if position == 0:
                start = self.spans[members[0]].start
                splices.append(Splice(start, start, f"{text}{comma}"))
            else:
                end = self.spans[members[position - 1]].end
                splices.append(Splice(end, end, f"{comma}{text}"))
        return splices

    def _principals_removal(self, index: int, principals: Set[Principal]) -> list[Splice]:
        """Some, but not all, of the principals of a statement are left."""
        statement = self.statements[index]
        path = (*self.path_of(index), "Principal" if statement.principals is not None else "NotPrincipal")
        named: dict[str, list[Principal]] = {}
        for principal in statement.all_principals():
            named.setdefault(principal.type, []).append(principal)
        kinds = self._children(path)
        places = {
            kind: {at for at, each in enumerate(named.get(str(kind[-1]), ())) if each in principals} for kind in kinds
        }
        whole = {at for at, kind in enumerate(kinds) if places[kind] and len(places[kind]) == len(named[str(kind[-1])])}
        splices = self._removal(path, len(kinds), whole) if whole else []
        for at, kind in enumerate(kinds):
            if at not in whole and places[kind]:
                splices += self._removal(kind, len(named[str(kind[-1])]), places[kind])
        return splices

    def _removal(self, path: Path, number: int, gone: Collection[int]) -> list[Splice]:
        """Take some, but not all, of the members or elements at `path` out, each with one of its commas."""
        children = [self.spans[each] for each in self._children(path)]
        splices = []
        kept = [at for at in range(number) if at not in gone]
        if kept[0] > 0:
            splices.append(Splice(children[0].whole, children[kept[0]].whole, ""))
        for at, following in zip(kept, [*kept[1:], number], strict=True):
            if following > at + 1:
                splices.append(Splice(children[at].end, children[following - 1].end, ""))
        return splices

    def _children(self, path: Path) -> list[Path]:
        """The paths of the members or elements of a value, in the order of the text."""
        return [each for each in self.spans if len(each) == len(path) + 1 and each[:-1] == path]

    def _comma(self, members: Sequence[Path]) -> str:
        """What stands between two members or elements here, or for a single one, what fits how it stands."""
        if len(members) > 1:
            first, second = self.spans[members[0]], self.spans[members[1]]
            return self.text[first.end : second.whole]
        space = _SPACE_BEHIND.match(self.text, self.spans[members[0][:-1]].start)
        return f",{(space and space[1]) or ' '}"


def fit(document: Document) -> Document:
    """The same document. Raises UsageError for one without a statement, or larger than KMS takes."""
    if not document.statements:
        raise _no_statement()
    size = len(document.text.encode("utf-8", "surrogatepass"))
    if size > MOST_POLICY_BYTES:
        raise UsageError(
            f"the policy would have {size:,} bytes, and KMS takes {MOST_POLICY_BYTES:,}",
            advice="Write it with less white space, or take out of it what is not needed.",
        )
    return document


def _no_statement() -> UsageError:
    return UsageError(
        "no statement would be left, and a key policy has at least one",
        advice="Restore a good version of the policy instead.",
    )


def deleted_principals(document: Document) -> dict[int, frozenset[Principal]]:
    """The ids of deleted users and roles, by statement: what `without` takes to drop them.

    Raises UsageError for a NotPrincipal that names nothing else: without them it would mean everybody.
    """
    found: dict[int, frozenset[Principal]] = {}
    for statement in document.statements:
        named = statement.all_principals()
        deleted = frozenset(each for each in named if each.kind is PrincipalKind.DELETED)
        if not deleted:
            continue
        if statement.not_principals is not None and deleted >= set(named):
            raise UsageError(
                f"the NotPrincipal of {statement.label} names only deleted users and roles; {ID_REFUSED}, and without "
                "them the statement would be about everybody",
                advice="Decide who the statement is to spare, write the policy by hand, and put that one.",
            )
        found[statement.index] = deleted
    return found
