"""The actor and the principals that were let in: who they are, and what they did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from keytrail.investigate.reading import Json, flag, inner, number, objects, text, texts, total
from keytrail.names import person
from keytrail.phrases import count, start
from keytrail.report import words
from keytrail.report.access import named
from keytrail.report.blocks import Block, Bounds, Cell, Code, Facts, Folded, Inline, Mark, Paragraph, Section, Table

_KEYS = {"long-term": "long-term", "temporary": "temporary, of a session", "unknown": "of an unknown kind"}


def actor(found: Json, bounds: Bounds) -> Section | None:
    """Who made the change, what is new about it, and what else it did."""
    who = inner(found, "actor")
    if not who:
        return None
    key = text(who, "access_key")
    age = number(who, "access_key_age_seconds")
    since = words.clock(text(who, "access_key_first_seen"))
    seen = f", first seen {since}, {words.span(timedelta(seconds=age))} before" if since else ""
    kind = text(who, "access_key_kind")
    facts = Facts.of(
        ("Who", (Code(text(who, "who")), *_known(who))),
        ("Role", _other(text(who, "session_issuer"), text(who, "who"))),
        ("Kind", f"{text(who, 'type')} of account {text(who, 'account')}" if text(who, "type") else None),
        ("From", _seen(inner(who, "address"))),
        ("User agent", _seen(inner(who, "agent"))),
        ("MFA", text(who, "mfa") or "not told"),
        ("Access key", (Code(key), f"{_KEYS.get(kind, kind)}{seen}") if key else None),
        ("Session since", words.clock(text(who, "session_created"))),
    )
    blocks: list[Block | Folded] = [facts]
    if chain := objects(who, "chain"):
        blocks.append(acts(chain, len(chain), "How the session came about, backwards", bounds))
    done, of = objects(who, "acts"), total(who, "acts")
    if done:
        kinds = inner(who, "acts_by_kind")
        summed = ", ".join(f"{words.KINDS.get(name, name)} {text(kinds, name)}" for name in kinds)
        title = f"What else it did in the hours around: {count(of, 'act')}{' (' + summed + ')' if summed else ''}"
        blocks.append(Folded(title, (acts(done, of, "", bounds),)))
    return Section("Who did it", tuple(blocks))


def _known(who: Json) -> tuple[Inline, ...]:
    before = who.get("before_on_key")
    if not isinstance(before, bool):
        return ()
    return ("had used or handled this key before",) if before else (Mark("new for this key", "high"),)


def _other(issuer: str, who: str) -> Cell | None:
    return Code(issuer) if issuer and issuer != who else None


def _seen(seen: Json) -> Cell | None:
    value = text(seen, "value")
    if not value:
        return None
    if seen.get("before_in_account") is False:
        return value, Mark("new in the account", "high")
    if seen.get("before_on_key") is False:
        return value, Mark("new for this key", "medium")
    return (value, "seen before") if seen.get("before_on_key") is True else value


def acts(listed: Sequence[Json], of: int, caption: str, bounds: Bounds) -> Table:
    """Acts by time, each with its event."""
    rows = tuple(
        (
            words.clock(text(one, "time")),
            (start(text(one, "sentence")) or text(one, "event_name"), *_failed(text(one, "error"))),
            person(text(one, "who")),
            text(one, "address"),
            Code(text(one, "event_id")),
        )
        for one in listed[: bounds.acts]
    )
    return Table(
        ("Time (UTC)", "Act", "Who", "From", "Event"), rows, max(of, len(listed)), "act", (18, 32, 19, 12, 19), caption
    )


def _failed(error: str) -> tuple[Inline, ...]:
    return (Mark(f"failed: {error}", "medium"),) if error else ()


def since(found: Json, bounds: Bounds) -> Section | None:
    """What the principals that were let in did since: uses, grants, and what was done to them."""
    related = inner(found, "related_activity")
    if not related:
        return None
    blocks: list[Block | Folded] = []
    uses = objects(related, "uses")
    if uses:
        blocks.append(_uses(uses, bounds))
    elif objects(inner(found, "comparison"), "gains"):
        blocks.append(Paragraph("No use of the key by those who gained access was seen."))
    if surviving := objects(related, "surviving_grants"):
        said = "These grants are in force still, though the policy shuts their holders out:"
        blocks += [Paragraph(said, warning=True), _grants(surviving, bounds)]
    shown = {text(one, "grant_id") for one in surviving}
    if made := [one for one in objects(related, "grants_since") if text(one, "grant_id") not in shown]:
        blocks += [Paragraph("Grants made by or for those who gained access:"), _grants(made, bounds)]
    for one in objects(related, "principals")[: bounds.others]:
        blocks += _principal(one, bounds)
    left = total(related, "principals") - min(len(objects(related, "principals")), bounds.others)
    if left > 0:
        blocks.append(Paragraph(f"{count(left, 'more principal')} gained access and are not shown here."))
    return Section("What happened since", tuple(blocks)) if blocks else None


def _uses(uses: Sequence[Json], bounds: Bounds) -> Table:
    rows = tuple(
        (
            named(text(one, "principal")),
            Code(text(one, "action").removeprefix("kms:")),
            _counted(one),
            (words.clock(text(one, "first")), words.clock(text(one, "last"))),
            tuple(Code(item) for item in texts(one, "resources")[:4]),
            Code(" ".join(texts(one, "event_ids")[:3])),
        )
        for one in uses[: bounds.acts]
    )
    columns = ("Principal", "Action", "Uses", "First and last", "Of what", "Events, the first")
    widths = (22, 11, 10, 18, 22, 17)
    return Table(columns, rows, len(uses), "use", widths, "Uses of access that the policy before did not give")


def _counted(one: Json) -> Cell:
    later = number(one, "after_revert")
    said = [f"{later:,} after it was put back"] if later else []
    said += ["it did so before the change too"] if flag(one, "also_before") else []
    return (text(one, "count"), *said)


def _grants(grants: Sequence[Json], bounds: Bounds) -> Table:
    rows = []
    for one in grants[: bounds.acts]:
        ended = words.clock(text(one, "ended"))
        state: Cell = (f"ended {ended}", Code(text(one, "ended_by"))) if ended else Mark("in force", "high")
        rows.append(
            (
                named(text(one, "grantee")),
                Code(" ".join(texts(one, "operations"))),
                (words.clock(text(one, "created")), f"by {person(text(one, 'created_by'))}"),
                state,
                (Code(text(one, "grant_id")), Code(text(one, "event_id"))),
            )
        )
    columns = ("Holder", "Operations", "Made", "State", "Grant and event")
    return Table(columns, tuple(rows), len(grants), "grant", (26, 17, 17, 14, 26))


def _principal(one: Json, bounds: Bounds) -> list[Block | Folded]:
    found: list[Block] = []
    lists = (
        ("created", "How it was made"),
        ("policies_attached", "Policies attached to it"),
        ("assumed", "Sessions opened with it"),
        ("data_access", "Its access to the data at stake"),
    )
    for name, caption in lists:
        if listed := objects(one, name):
            found.append(acts(listed, total(one, name), caption, bounds))
    return [Folded(f"{text(one, 'principal')}: what else is known", tuple(found))] if found else []
