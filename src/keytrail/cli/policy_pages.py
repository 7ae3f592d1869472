"""What one key policy says, as pages for a person: who can do what, its oddities, and the answer to one request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keytrail.cli import policy_words as words
from keytrail.cli import table
from keytrail.cli.colour import paint
from keytrail.cli.policy_text import WIDTH, field, wrapped
from keytrail.cli.table import Column
from keytrail.phrases import joined

if TYPE_CHECKING:
    from keytrail.policy import Change, Comparison, Decision, KeyPolicy, Request, StatementResult

_LEGEND = """yes: every action of the group. some: not every one. IAM: if a policy in IAM of the account gives it.
Identities of other accounts need IAM of their own account in any case. A letter: under that condition only."""
_OF_ACCOUNTS = ("kms:calleraccount", "aws:principalaccount", "aws:principalisawsservice")
_STYLES = {"error": "high", "warning": "medium", "note": "dim"}


@dataclass(frozen=True, slots=True)
class Access:
    """Who can do what by one policy: `comparison` is that with no policy at all, so that everything is a gain."""

    policy: KeyPolicy
    account: str
    comparison: Comparison


# -- explain --------------------------------------------------------------------------------------------------------


def explain_text(access: Access, *, available: int | None = None, colour: bool = False) -> str:
    """Return who can do which groups of actions, and the conditions; safe to show.

    That is a table, or where the terminal is too narrow for it a list.
    """
    conditions: dict[str, str] = {}
    rows, groups = _rows(access, conditions)
    if not rows:
        return "Nobody can use the key by this policy."
    columns = [Column("who", "WHO", share=30)]
    columns += [Column(group, group.upper(), rigid=True) for group in groups]
    needed = 40 + sum(max(len(row[group]) for row in [*rows, {group: group}]) + 2 for group in groups)
    if available is None or needed <= available:
        lines = list(table.lines(columns, rows, available=available, colour=colour))
    else:
        lines = [line for row in rows for line in _listed(row, groups, colour)]
    lines += ["", *_LEGEND.split("\n")]
    if conditions:
        lines += ["", paint("Conditions", "header", on=colour)]
        for text, letter in conditions.items():
            lines += wrapped(text, first=f"  {letter:<3} ", rest="      ")
    lines += _exposure(access.comparison, colour)
    return "\n".join(lines)


def _listed(row: dict[str, str], groups: Sequence[str], colour: bool) -> Iterator[str]:
    cells: dict[str, list[str]] = {}
    for group in groups:
        cells.setdefault(row[group], []).append(group)
    for line in wrapped(row["who"]):
        yield paint(line, "header", on=colour)
    for cell, names in sorted(cells.items(), key=lambda item: item[0] == "-"):
        yield from field("no" if cell == "-" else cell, ", ".join(names), indent=2)


def _rows(access: Access, conditions: dict[str, str]) -> tuple[list[dict[str, str]], list[str]]:
    from keytrail.policy import catalogue

    by_callers: dict[tuple[str, ...], list[Change]] = {}
    for change in access.comparison.gains:
        by_callers.setdefault(change.principals, []).append(change)
    present = {group for change in access.comparison.gains for group in change.groups}
    groups = [group for group in catalogue().groups if group in present]
    merged: dict[tuple[str, ...], list[Change]] = {}
    for changes in by_callers.values():
        cells = tuple(_cell(access, changes, group, conditions) for group in groups)
        merged.setdefault(cells, []).extend(changes)
    rows = []
    for cells, changes in merged.items():
        classes = dict.fromkeys(one for change in changes for one in change.classes)
        names = words.callers(classes, access.account)
        for name in names[:50]:
            rows.append({"who": name, **dict(zip(groups, cells, strict=True))})
        if len(names) > 50:
            rows.append({"who": f"and {len(names) - 50:,} more like these", **dict(zip(groups, cells, strict=True))})
    return rows, groups


def _cell(access: Access, changes: Sequence[Change], group: str, conditions: dict[str, str]) -> str:
    """What the callers of these changes can do of a group of actions, in a word and the letters of conditions."""
    from keytrail.policy import catalogue

    outside = all(one.account not in (None, access.account) or one.sort == "stranger" for one in changes[0].classes)
    members = {
        action.name for action in catalogue().group(group) if action.key_level and (action.cross_account or not outside)
    }
    direct: set[str] = set()
    delegated: set[str] = set()
    letters: dict[str, None] = {}
    for change in changes:
        given = members.intersection(change.actions)
        if not given:
            continue
        (delegated if change.needs_iam and not outside else direct).update(given)
        clause = _clause(access, change, min(given))
        if clause:
            letters[conditions.setdefault(clause, _letter(len(conditions)))] = None
    if not direct and not delegated:
        return "-"
    if not delegated:
        word = "yes" if direct == members else "some"
    elif not direct:
        word = "IAM" if delegated == members else "some IAM"
    else:
        word = "some, IAM"
    return " ".join([word, *sorted(letters)])


def _clause(access: Access, change: Change, action: str) -> str:
    """The conditions of the statements that give it, one of which is enough, and those under which it is denied."""
    clauses = []
    given = [(statement, words.conditions_words(statement)) for statement in change.statements]
    if all(clause for _, clause in given):
        alternatives = [f"{clause} ({statement.label})" for statement, clause in given]
        clauses.append(f"if {joined(words.some(alternatives, 6), 'or if')}")
    for result in _standing_denials(access, change, action):
        statement = result.statement
        clauses.append(f"unless {words.conditions_words(statement) or 'it is denied'} ({statement.label} denies it)")
    return "; ".join(clauses)


def _standing_denials(access: Access, change: Change, action: str) -> list[StatementResult]:
    """The Deny statements that are about these callers and the action, and spare the witness by their conditions."""
    from keytrail.policy import Part, evaluate

    if change.witness is None or all(s.effect == "Allow" for s in access.policy.statements):
        return []
    decision = evaluate(access.policy, replace(change.witness, action=action), access.account)
    return [
        result
        for result in decision.results
        if result.statement.effect == "Deny" and result.part is Part.CONDITION and not _settled(result, change)
    ]


def _settled(result: StatementResult, change: Change) -> bool:
    """Whether the condition that spares the witness spares all these callers: it asks only who they are."""
    from keytrail.policy import catalogue

    if result.condition is None:
        return False
    name = result.statement.conditions[result.condition].name
    key = catalogue().key(name)
    if key is None or key.presence != "caller":
        return False
    if name in _OF_ACCOUNTS:
        return all(one.sort != "stranger" for one in change.classes)
    return len(change.classes) == 1 and change.classes[0].sort in ("named", "root", "service")


def _letter(number: int) -> str:
    """a to z, then a1, b1 and so on."""
    return chr(ord("a") + number % 26) + (str(number // 26) if number >= 26 else "")


def _exposure(comparison: Comparison, colour: bool) -> Iterator[str]:
    if comparison.public:
        yield ""
        yield paint("The key is public.", "critical", on=colour)
    for note in comparison.incomplete:
        yield from wrapped(f"not certain: {note}")


# -- lint -----------------------------------------------------------------------------------------------------------


def lint_lines(policy: KeyPolicy, *, colour: bool = False) -> Iterator[str]:
    """Yield the oddities of a policy as `place: severity: what [code]`, safe to show."""
    from keytrail.policy import lint
    from keytrail.text import for_terminal

    for found in lint(policy):
        severity = paint(found.severity, _STYLES[found.severity], on=colour)
        where = f"{found.path}: " if found.path else ""
        yield f"{for_terminal(str(found.place))}: {severity}: {for_terminal(where + found.message)} [{found.code}]"


# -- simulate -------------------------------------------------------------------------------------------------------


def decision_text(decision: Decision, request: Request, *, colour: bool = False) -> str:
    """Return the answer to one request, by which statements, and why the others do not count; safe to show."""
    style = {"allowed": "low", "unknown": "medium"}.get(decision.outcome.value, "high")
    lines = [paint(_outcome(decision), style, on=colour)]
    lines += wrapped(words.request_words(request), first="  ", rest="  ")
    if decision.barrier:
        lines += wrapped(f"No key policy can allow it: {decision.barrier}.", first="  ", rest="  ")
    if decision.unstated:
        keys = joined(sorted(decision.unstated))
        lines += wrapped(
            f"Such a request also carries {keys}; state it with --context to be certain.", first="  ", rest="  "
        )
    lines += ["", paint("Statements", "header", on=colour)]
    for result in decision.results:
        lines += field(_mark(result), f"{result.statement.label}: {_why(result)}", indent=2)
    return "\n".join(lines)


def _outcome(decision: Decision) -> str:
    from keytrail.text import for_terminal

    by = decision.denied_by or (decision.allowed_by if decision.allowed else ())
    said = f", by {words.statements_words(by)}" if by else ""
    if decision.outcome.value == "not allowed":
        said = ": no statement allows it"
    if decision.outcome.value == "unknown":
        said = ": AWS does not document what decides it"
    return for_terminal(f"{decision.outcome.value.capitalize()}{said}")[: WIDTH * 4]


def _mark(result: StatementResult) -> str:
    if result.applies is None:
        return "unclear"
    if not result.applies:
        return "-"
    return "allows" if result.statement.effect == "Allow" else "denies"


def _why(result: StatementResult) -> str:
    statement = result.statement
    if result.applies:
        return "applies"
    open_ = "it is not documented whether " if result.applies is None else ""
    match result.part.value if result.part else "":
        case "action":
            return "is about other actions"
        case "resource":
            return f"{open_}it is about this key" if open_ else "is about another key"
        case "principal":
            return f"{open_}it is about the caller" if open_ else "is about other principals"
        case "iam":
            return "leaves it to IAM of the caller's account, which does not allow it"
        case _:
            condition = statement.conditions[result.condition or 0]
            return f"{open_ or 'does not hold: '}{words.condition_words(condition)}"
