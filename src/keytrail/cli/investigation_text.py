"""An investigation as a page for a person: verdict and reasons first, then what changed, for whom, what followed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from keytrail.cli.colour import paint
from keytrail.cli.numbers import duration
from keytrail.cli.policy_json import statements_diff
from keytrail.cli.policy_text import change_sections, field, findings_lines, section, wrapped
from keytrail.names import short_identity
from keytrail.phrases import VERDICTS, clock, count

if TYPE_CHECKING:
    from keytrail.investigate import (
        AccountFact,
        Act,
        Actor,
        Grant,
        Investigation,
        PolicyVersion,
        Seen,
        TimelineEntry,
        Usage,
    )
    from keytrail.service.policy_diff import PolicyDiff

ROWS = 15
"""Rows of a list that are shown, the time line excepted."""
TIMELINE_ROWS = 40


def investigation_text(found: Investigation, diff: PolicyDiff, *, colour: bool = False) -> str:
    """Return the page, safe to show. `diff` is the comparison of the same change as `policy diff` has it."""
    judgement = found.judgement
    verdict = VERDICTS[judgement.verdict]
    lines = [f"{paint(verdict.upper(), verdict, on=colour)}  {judgement.score}/100", *wrapped(judgement.summary)]
    lines += ["", *_subject(found)]
    lines += section("Why", _reasons(found), colour)
    lines += change_sections(diff, colour=colour)
    lines += section("Accounts", _accounts(found.accounts), colour)
    lines += section("Data at stake", _data(found), colour)
    lines += section("Who did it", _actor(found.actor), colour)
    lines += section("Since then", _since(found), colour)
    lines += section("Time line (UTC)", _timeline(found, colour), colour)
    lines += section("Findings", findings_lines(found.findings, colour), colour)
    lines += section("Not certain", _gaps(found), colour)
    lines += section("What would change the verdict", _bullets(judgement.would_change), colour)
    lines += section("Difference of the statements", statements_diff(diff, colour=colour), colour)
    return "\n".join(lines)


def _subject(found: Investigation) -> Iterator[str]:
    key = found.key
    names = ", ".join(alias.name for alias in key.aliases if alias.current)
    yield from field("key", f"{names} ({key.arn})" if names else key.arn, indent=0)
    state = [fact.value for fact in (key.state, key.origin, key.usage) if fact is not None]
    if state:
        yield from field("is", ", ".join(state), indent=0)
    if key.siblings:
        yield from field("copies", ", ".join(key.siblings), indent=0)
    for entry in key.inventory:
        what = ", ".join(text for text in (entry.application, entry.data_class) if text)
        yield from field("owner", f"{entry.owner}{': ' + what if what else ''} ({entry.place})", indent=0)
    yield from field("event", found.event_id, indent=0)
    for name, version in (("before", found.change.before), ("after", found.change.after)):
        yield from field(name, _version(version), indent=0)
    for note in found.change.notes:
        yield from field("note", note, indent=0)


def _version(version: PolicyVersion) -> str:
    text, source = str(version.status), version.source
    if source is not None:
        told = [source.event_name, source.author and f"by {source.author}", source.place]
        when = f"of {clock(source.time)}" if source.time is not None else ""
        text = " ".join(part for part in [text + ":", *told, when, source.event_id and f"({source.event_id})"] if part)
    return f"{text}; {version.reason}" if version.reason else text


def _reasons(found: Investigation) -> Iterator[str]:
    for one in found.judgement.reasons:
        yield from wrapped(one.sentence, first=f"  {one.points:>+4d}  ", rest=" " * 8)


def _accounts(accounts: Sequence[AccountFact]) -> Iterator[str]:
    words = {
        "owner": "the key's own",
        "organisation": "of the organisation",
        "approved": "approved",
        "expired": "approval expired",
        "trusted": "trusted by --trust",
        "outside": "outside, not approved",
        "anyone": "everyone",
    }
    for one in accounts[:ROWS]:
        told = [words[one.relation], one.name, one.reason]
        if one.expires is not None:
            last = one.expires - timedelta(microseconds=1)  # `expires` is exclusive
            told.append(f"{'until' if one.relation == 'approved' else 'ended'} {last:%Y-%m-%d}")
        gained = "gained access" if one.gained else "had access before"
        yield from wrapped(
            f"{one.account}  {gained}; {', '.join(text for text in told if text)}", first="  ", rest="      "
        )
    yield from _more(len(accounts))


def _data(found: Investigation) -> Iterator[str]:
    for one in found.data_at_stake.items[:ROWS]:
        basis = "" if one.basis == "encryption_context" else f", {one.basis}"
        head = f"{one.service} {one.kind}  {one.resource}"
        yield from wrapped(head, first="  ", rest="      ")
        used = f"{count(one.count, 'use')}, {clock(one.first)} to {clock(one.last)}{basis}"
        by = ", ".join(short_identity(name) for name in one.principals.items[:3])
        yield from wrapped(
            f"{used}, by {by}{_and_more(one.principals.total, 3)}" if by else used, first="      ", rest="      "
        )
    yield from _more(found.data_at_stake.total)


def _actor(actor: Actor) -> Iterator[str]:
    yield from field("who", actor.who, indent=2)
    told = [actor.type]
    if actor.mfa is not None:
        told.append("with MFA" if actor.mfa else "without MFA")
    if actor.access_key_kind != "none":
        told.append(f"{actor.access_key_kind} access key {actor.access_key}")
    if actor.access_key_age_seconds is not None:
        told.append(f"first seen {duration(actor.access_key_age_seconds)} earlier")
    yield from field("as", ", ".join(text for text in told if text), indent=2)
    yield from field("from", _seen(actor.address), indent=2)
    yield from field("with", _seen(actor.agent), indent=2)
    yield from field("known", "worked on this key before" if actor.before_on_key else "new to this key", indent=2)
    for act in actor.chain:
        yield from field("session", f"{clock(act.time)} {act.who} {act.sentence}", indent=2)
    if actor.acts.total:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in actor.acts_by_kind.items())
        yield from field("did", f"{count(actor.acts.total, 'other act')} within the hours around: {kinds}", indent=2)
    telling = [act for act in actor.acts.items if act.kind not in ("look", "use", "other")]
    for act in telling[:ROWS]:
        yield from _act(act)


def _seen(seen: Seen) -> str:
    new = {True: "known in the account", False: "new to the account", None: ""}[seen.before_in_account]
    on_key = {True: "known on this key", False: "new on this key", None: ""}[seen.before_on_key]
    told = ", ".join(text for text in (new, on_key) if text)
    return f"{seen.value} ({told})" if told else seen.value


def _since(found: Investigation) -> Iterator[str]:
    related = found.related
    for usage in related.uses[:ROWS]:
        yield from _usage(usage)
    yield from _more(len(related.uses))
    for grant in related.grants_since[:ROWS]:
        yield from _grant(grant, "new grant")
    for grant in related.surviving_grants[:ROWS]:
        yield from _grant(grant, "grant that outlives the change")
    for one in related.principals.items[:ROWS]:
        acts = [*one.created, *one.policies_attached, *one.assumed.items, *one.data_access.items]
        if acts:
            yield from wrapped(f"{one.principal}:", first="  ", rest="      ")
        for act in acts[:ROWS]:
            yield from _act(act)


def _usage(usage: Usage) -> Iterator[str]:
    when = f"{count(usage.count, 'time')}, {clock(usage.first)} to {clock(usage.last)}"
    text = f"{usage.principal} used the gained {usage.action} {when}"
    if usage.after_revert:
        text += f", {usage.after_revert:,} of them after the change was undone"
    yield from wrapped(text, first="  ", rest="      ")


def _grant(grant: Grant, what: str) -> Iterator[str]:
    ended = f", ended by {grant.ended_by}" if grant.ended_by else ", still standing"
    made = f"by {grant.created_by} at {clock(grant.created)}{ended} ({grant.event_id})"
    yield from wrapped(f"{what} for {grant.grantee}: {', '.join(grant.operations)}, {made}", first="  ", rest="      ")


def _act(act: Act) -> Iterator[str]:
    yield from wrapped(
        f"{clock(act.time)}  {short_identity(act.who)} {act.sentence}  ({act.event_id})", first="    ", rest="        "
    )


def _timeline(found: Investigation, colour: bool) -> Iterator[str]:
    """The part of the time line around the change: more of what followed it than of what came before."""
    entries = found.timeline.items
    at = next((number for number, entry in enumerate(entries) if entry.event_id == found.event_id), 0)
    start = max(0, min(at - TIMELINE_ROWS // 3, len(entries) - TIMELINE_ROWS))
    shown = entries[start : start + TIMELINE_ROWS]
    if start:
        yield f"  {count(start, 'earlier event')}"
    for entry in shown:
        yield from _line(entry, colour)
    if later := len(entries) - start - len(shown):
        yield f"  {count(later, 'later event')}; --format json and html have them"


def _line(entry: TimelineEntry, colour: bool) -> Iterator[str]:
    mark = {"change": "*", "attempt": "!", "access": ">", "data": ">"}.get(entry.lane, " ")
    times = f" ({entry.count:,} times)" if entry.count > 1 else ""
    text = f"{clock(entry.time)} {mark} {short_identity(entry.who)} {entry.sentence}{times}  {entry.event_id}"
    style = "header" if entry.lane == "change" else "failure" if entry.failed else ""
    yield from (paint(line, style, on=colour) for line in wrapped(text, first="  ", rest=" " * 24))


def _gaps(found: Investigation) -> Iterator[str]:
    comparison = found.change.comparison
    doubts = [*found.coverage.gaps, *(() if comparison is None else comparison.incomplete)]
    yield from _bullets(doubts)
    for one in found.truncated:
        yield from wrapped(
            f"{one.section}: {one.shown:,} of {one.total:,} are in the document", first="  ", rest="    "
        )


def _bullets(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from wrapped(text, first="  ", rest="    ")


def _more(total: int) -> Iterator[str]:
    if total > ROWS:
        yield f"  and {total - ROWS:,} more; --format json has them"


def _and_more(total: int, shown: int) -> str:
    return f" and {total - shown:,} more" if total > shown else ""
