"""Who gained and who lost which access, the accounts behind it, and the statements that did it."""

from __future__ import annotations

from collections.abc import Sequence

from keytrail.investigate.reading import Json, flag, inner, objects, text, texts, total
from keytrail.names import person
from keytrail.phrases import count, joined
from keytrail.policy import catalogue
from keytrail.report import words
from keytrail.report.blocks import Block, Bounds, Cell, Code, Facts, Inline, Mark, Paragraph, Section, Table, section
from keytrail.report.diff import statements_diff

_NAMES = 8
_ACTIONS = 15
_CONDITIONS = 6


def gained(found: Json, bounds: Bounds) -> Section:
    """Who can do what, that could not before; says so where that is nobody, or cannot be told."""
    comparison = inner(found, "comparison")
    if not comparison:
        reason = text(inner(found, "after"), "reason") or "The policy after the change is not known."
        return Section("Who gained access", (Paragraph(words.sentence(f"It cannot be told: {reason}"), warning=True),))
    blocks: list[Block] = []
    if text(found, "compared_with") == "nothing":
        status = text(inner(found, "before"), "status")
        what = "The key is new" if status == "none" else "The policy before is not known"
        blocks.append(Paragraph(f"{what}: all that the policy allows is listed.", warning=status != "none"))
    changes = objects(comparison, "gains")
    proof = text(inner(comparison, "proof"), "new_access")
    if changes:
        blocks.append(_table(changes, "Can now", inner(inner(found, "after"), "document"), bounds))
    elif proof == "proved":
        blocks.append(Paragraph("Nobody gained access: that is proved."))
    else:
        blocks.append(Paragraph("Nobody was found to gain access, but it is not proved.", warning=True))
    outside = texts(comparison, "external_accounts")
    if comparison.get("public"):
        blocks.append(Paragraph("The key is public: any AWS account can use it.", warning=True))
    elif outside:
        blocks.append(Paragraph(f"From outside its account the key can be used by: {joined(outside)}."))
    return Section("Who gained access", tuple(blocks))


def lost(found: Json, bounds: Bounds) -> Section | None:
    """Who could do what before, and no longer can; None where nobody lost any."""
    changes = objects(inner(found, "comparison"), "losses")
    document = inner(inner(found, "before"), "document")
    return Section("Who lost access", (_table(changes, "Can no longer", document, bounds),)) if changes else None


def _table(changes: Sequence[Json], verb: str, document: Json, bounds: Bounds) -> Table:
    groups: dict[object, list[Json]] = {}
    for one in changes:
        same = (texts(one, "actions"), texts(one, "conditions"), str(one.get("statements")), str(one.get("denials")))
        groups.setdefault((*same, one.get("bound"), one.get("needs_iam"), one.get("proof")), []).append(one)
    rows = [_row(group, document, gained=verb == "Can now") for group in groups.values()]
    columns = ("Principal", verb, "On condition", "By", "Example, and how far it is proved")
    return Table(columns, tuple(rows[: bounds.gains]), len(rows), "principal", (24, 25, 15, 13, 23))


def _row(group: Sequence[Json], document: Json, *, gained: bool) -> tuple[Cell, ...]:
    first = group[0]
    names = list(dict.fromkeys(name for one in group for name in texts(one, "principals")))
    conditions = _conditions(first, document)
    by = [f"statement {_statement(one)}" for one in objects(first, "statements")]
    denied = [f"statement {_statement(one)}" for one in objects(first, "denials")]
    if denied:
        by.append(f"{'denied before' if gained else 'denied now'} by {joined(_some(denied, 4))}")
    return (
        tuple(named(name) for name in _some(names, _NAMES)),
        _powers(first),
        tuple(_some(conditions, _CONDITIONS)) or "none",
        tuple(_some(by, 4)),
        (*_iam(first, gained=gained), *_example(inner(first, "witness")), _proof(text(first, "proof"))),
    )


def _conditions(change: Json, document: Json) -> list[str]:
    """The conditions of the statements that give it, from the policy's document; without one, as the proof has them."""
    listed = document.get("Statement")
    statements = objects(document, "Statement") if isinstance(listed, list) else (inner(document, "Statement"),)
    found: dict[str, None] = {}
    for one in objects(change, "statements"):
        index = one.get("index")
        if not isinstance(index, int) or not 0 <= index < len(statements):
            return list(texts(change, "conditions"))
        blocks = inner(statements[index], "Condition")
        for operator in blocks:
            keys = inner(blocks, operator)
            found.update({f"{key} {operator} {', '.join(_values(keys, key))}": None for key in keys})
    return list(found)


def _values(keys: Json, key: str) -> tuple[str, ...]:
    value = keys[key]
    listed = value if isinstance(value, (list, tuple)) else (value,)
    return tuple(str(one).lower() if isinstance(one, bool) else str(one) for one in listed)


def named(principal: str) -> Inline:
    """A principal: an ARN as it stands, and words as words."""
    return Code(principal) if principal.startswith("arn:") or "." in principal.partition(" ")[0] else principal


def powers(groups: Sequence[str]) -> str:
    """What groups of actions amount to, the gravest first.

    >>> powers(["metadata", "decrypt"])
    'decrypt, read the description'
    """
    known = [words.GROUPS[name] for name in words.GROUPS if name in groups]
    return ", ".join([*known, *(name for name in groups if name not in words.GROUPS)])


def _powers(change: Json) -> Cell:
    names = texts(change, "actions")
    if len(names) >= len(catalogue().key_actions()):
        return actions(names)
    return powers(texts(change, "groups")), actions(names)


def actions(names: Sequence[str]) -> Inline:
    """The actions, the gravest first.

    >>> actions(["kms:DescribeKey", "kms:Decrypt"])
    Code(text='Decrypt, DescribeKey')
    """
    known = catalogue()
    if len(names) >= len(known.key_actions()):
        return f"every action on a key ({len(names)})"
    order = {action.name: at for at, action in enumerate(a for group in known.groups for a in known.group(group))}
    ordered = sorted(names, key=lambda name: (order.get(name, len(order)), name))
    left = len(ordered) - _ACTIONS
    shown = [name.removeprefix("kms:") for name in ordered[:_ACTIONS]]
    return Code(", ".join([*shown, f"and {left} more"] if left > 0 else shown))


def _statement(one: Json) -> str:
    index, sid = one.get("index"), text(one, "sid")
    number = str(index + 1) if isinstance(index, int) else "?"
    return f'{number} "{sid}"' if sid else number


def _iam(change: Json, *, gained: bool) -> tuple[str, ...]:
    if text(change, "bound") == "strict":
        return ("Until now only with a policy in IAM." if gained else "A policy in IAM can still give it.",)
    return ("Needs IAM of the caller's account to allow it as well.",) if flag(change, "needs_iam") else ()


def _example(witness: Json) -> tuple[Inline, ...]:
    if not witness:
        return ()
    context = inner(witness, "context")
    pairs = [f"{key} = {', '.join(texts(context, key))}" for key in list(context)[:_CONDITIONS]]
    said = f" with {joined(pairs)}" if pairs else ""
    return (Code(text(witness, "principal").removeprefix("service:")), f"calls {text(witness, 'action')}{said}")


def _proof(proof: str) -> Inline:
    return Mark(words.PROOFS.get(proof, proof), "medium" if proof == "possible" else "plain")


def _some(parts: Sequence[str], most: int) -> list[str]:
    """At most so many, the rest as a number."""
    return list(parts) if len(parts) <= most else [*parts[: most - 1], f"and {len(parts) - most + 1:,} more"]


# The policy and the accounts ----------------------------------------------------------------------------------------


def policy(found: Json, bounds: Bounds) -> Section:
    """Both versions, where they come from, and what became of each statement."""
    before, after = inner(found, "before"), inner(found, "after")
    blocks: list[Block] = [Facts.of(("Before", _version(before)), ("After", _version(after)), *_aftermath(found))]
    old, new = inner(before, "document"), inner(after, "document")
    if not new:
        blocks.append(Paragraph("There is no document to show: it was not recorded.", warning=True))
    elif (diff := statements_diff(old or None, new, most=bounds.diff_lines)) is not None:
        blocks.append(diff)
        if diff.cut:
            blocks.append(Paragraph(f"Only the first {bounds.diff_lines} lines of the difference are shown."))
    else:
        blocks.append(Paragraph("The statements are the same in both, in the same or another order."))
    return Section("What changed in the policy", tuple(blocks))


def _version(version: Json) -> Cell:
    source = inner(version, "source")
    status = text(version, "status")
    said: list[Inline] = [words.STATUSES.get(status, status)] if status != "known" or not source else []
    if name := text(source, "event_name"):
        author = person(text(source, "author"))
        said.append(f"{name}{' by ' + author if author else ''}, {words.clock(text(source, 'time'))}")
    elif place := text(source, "place"):
        said.append(f"{place}{', ' + words.clock(text(source, 'time')) if text(source, 'time') else ''}")
    if event := text(source, "event_id"):
        said.append(Code(event))
    if reason := text(version, "reason"):
        said.append(reason)
    return tuple(said)


def _aftermath(found: Json) -> list[tuple[str, Cell | None]]:
    refused = texts(found, "refused_before")
    reverted = text(found, "reverted_by")
    until = text(found, "in_force_until")
    return [
        ("Tried and refused", (count(len(refused), "time"), Code(" ".join(refused))) if refused else None),
        ("Put back", (words.clock(text(found, "reverted_at")), Code(reverted)) if reverted else None),
        ("In force until", words.clock(until) if until and not reverted else None),
    ]


def accounts(found: Json, bounds: Bounds) -> Section | None:
    """The accounts that the policy lets in, and what is known of them."""
    rows = []
    for one in objects(found, "accounts")[: bounds.others]:
        relation = text(one, "relation")
        word, tone = words.RELATIONS.get(relation, (relation, "plain"))
        name, account = text(one, "name"), text(one, "account")
        called = "every AWS account" if account == "*" else account
        expires = words.clock(text(one, "expires"))
        why = [text(one, "reason"), f"{'expired' if relation == 'expired' else 'expires'} {expires}" if expires else ""]
        gains = actions(texts(one, "actions")) if texts(one, "actions") else "yes"
        rows.append(
            (
                (called, name) if name else called,
                Mark(word, tone),
                ", ".join(part for part in why if part),
                gains if flag(one, "gained") else "nothing new",
            )
        )
    table = Table(
        ("Account", "It is", "Why, until when", "Gained"),
        tuple(rows),
        total(found, "accounts"),
        "account",
        (20, 20, 30, 30),
    )
    return section("Accounts", [table]) if rows else None
