"""The data at stake, and the key that protects it."""

from __future__ import annotations

from collections.abc import Sequence

from keytrail.investigate.reading import Json, inner, number, objects, text, texts, total
from keytrail.names import person
from keytrail.phrases import count, joined
from keytrail.report import words
from keytrail.report.blocks import (
    Block,
    Bounds,
    Cell,
    Code,
    Facts,
    Folded,
    Inline,
    Mark,
    Paragraph,
    Section,
    Table,
)

_NAMES = 4


def data_at_stake(found: Json, bounds: Bounds) -> Section:
    """The resources that the key was seen to protect: by bucket, secret, table and so on, then one by one."""
    listed = objects(found, "data_at_stake")
    if not listed:
        said = "No use of the key before the change was seen that names what it protects."
        return Section("Data at stake", (Paragraph(said),))
    staked = inner(found, "data_at_stake")
    services = inner(staked, "by_service")
    blocks: list[Block | Folded] = []
    if services:
        counted = [f"{text(services, name)} of {words.service(name)}" for name in services]
        blocks.append(Paragraph(f"Distinct resources seen: {joined(counted)}."))
    if staked.get("complete") is False:
        blocks.append(Paragraph("The key has more calls than were kept: every number is at least what it says."))
    each = Table(
        ("Service", "Resource", "Uses", "First and last", "By", "Known from"),
        tuple(_row(one) for one in listed[: bounds.data]),
        total(found, "data_at_stake"),
        "resource",
        (12, 36, 6, 15, 15, 16),
    )
    if summary := objects(staked, "summary"):
        blocks.append(_summary(summary, total(staked, "summary"), bounds))
        title = f"Each by itself, with who used it: {count(total(found, 'data_at_stake'), 'row')}"
        blocks.append(Folded(title, (each,)))
    else:
        blocks.append(each)
    return Section("Data at stake", tuple(blocks))


def _summary(summary: Sequence[Json], of: int, bounds: Bounds) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            words.service(text(one, "service")),
            (Code(text(one, "resource")), *_kind(one)),
            text(one, "count"),
            (words.clock(text(one, "first")), words.clock(text(one, "last"))),
        )
        for one in summary[: bounds.data]
    )
    return Table(("Service", "Resource", "Uses", "First and last"), rows, of, "resource", (16, 56, 8, 20))


def _kind(one: Json) -> tuple[str, ...]:
    contexts = number(one, "contexts")
    said = text(one, "kind") + (f", {count(contexts, 'part')} of it" if contexts > 1 else "")
    return tuple(part for part in (said, *map(_owner, objects(one, "inventory"))) if part)


def _row(one: Json) -> tuple[Cell, ...]:
    basis = text(one, "basis")
    said: list[Inline] = [Mark("inferred", "medium") if basis == "inferred" else words.BASES.get(basis, basis)]
    if note := text(one, "note"):
        said.append(note)
    context = inner(one, "context")
    resource = text(one, "resource") or ", ".join(f"{key} = {text(context, key)}" for key in context)
    kind = text(one, "kind")
    owners = [_owner(entry) for entry in objects(one, "inventory")]
    return (
        words.service(text(one, "service")),
        (Code(resource), *(part for part in (kind, *owners) if part)),
        f"{text(one, 'count')}",
        (words.clock(text(one, "first")), words.clock(text(one, "last"))),
        tuple(_people(texts(one, "principals"), total(one, "principals"))),
        tuple(said),
    )


def _owner(entry: Json) -> str:
    said = [
        f"{label} {text(entry, name)}"
        for label, name in (("owner", "owner"), ("application", "application"), ("class", "data_class"))
        if text(entry, name)
    ]
    place = text(entry, "place")
    return ", ".join(said) + (f" ({place})" if said and place else "")


def _people(arns: Sequence[str], of: int) -> list[str]:
    names = [person(arn) for arn in arns[:_NAMES]]
    return [*names, f"and {of - len(names):,} more"] if of > len(names) else names


def key(found: Json) -> Section | None:
    """What the events tell of the key."""
    facts = inner(found, "key")
    if not facts:
        return None
    source = text(facts, "arn_source")
    said = "" if source in ("resources", "response", "") else "put together from the id in the request"
    aliases: list[Inline] = []
    for one in objects(facts, "aliases"):
        aliases += [Code(text(one, "name")), *(() if one.get("current", True) else ("no longer, at the change",))]
    pairs = [(name.capitalize(), _fact(inner(facts, name))) for name in ("state", "origin", "spec", "usage")]
    kinds = "yes" if facts.get("multi_region") is True else "no"
    return Section(
        "The key",
        (
            Facts.of(
                ("ARN", (Code(text(facts, "arn")), said) if said else Code(text(facts, "arn"))),
                ("Aliases", tuple(aliases)),
                ("Description", _fact(inner(facts, "description"))),
                ("Created", _fact(inner(facts, "created"))),
                *pairs,
                ("Multi-Region", kinds),
                ("Siblings", tuple(Code(arn) for arn in texts(facts, "siblings"))),
                ("Inventory", tuple(line for line in map(_owner, objects(facts, "inventory")) if line)),
            ),
        ),
    )


def _fact(fact: Json) -> Cell | None:
    value = text(fact, "value")
    time = words.clock(text(fact, "time"))
    if not value:
        return None
    # A creation is told with its own time as the value.
    return words.clock(value) if not time or words.clock(value) == time else f"{words.clock(value)} (as of {time})"
