"""What people see of key policies that are kept: a row for each key, and a page for one."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from keytrail.cli.colour import paint
from keytrail.cli.facts import Facts
from keytrail.cli.policy_text import section
from keytrail.cli.table import Column
from keytrail.names import short_digest, short_resource
from keytrail.phrases import clock, count
from keytrail.text import for_terminal, shorten

if TYPE_CHECKING:
    from keytrail.service.policies import KeyRow, KeyVersion, ShownKey
    from keytrail.service.policy_snapshots import SnapshotProgress, SnapshotSummary

# The columns of CSV. Published: names and order stay, new ones go to the end (docs/cli.md).
KEY_COLUMNS = (
    "alias", "account", "region", "state", "policy", "since", "read_at", "good", "grants", "key_arn", "aliases",
    "multi_region", "description",
)  # fmt: skip
KEY_TABLE = (
    Column("name", "ALIAS", share=24, middle=True),
    Column("account", "ACCOUNT", rigid=True),
    Column("region", "REGION", rigid=True),
    Column("state", "STATE", share=9),
    Column("short_policy", "POLICY", rigid=True),
    Column("day", "SINCE (UTC)", rigid=True),
    Column("good", "GOOD", rigid=True),
    Column("grants", "GRANTS", rigid=True),
    Column("id", "KEY", share=14),
)

_SHORT = 12  # characters of a grant's id
_GRANTS_SHOWN = 20
_KEYS_NAMED = 20
_WIDTH = 110
_LABEL = 16


def key_facts(row: KeyRow) -> Facts:
    """Return the values of KEY_COLUMNS and KEY_TABLE for a key."""
    snapshot, policy = row.snapshot, row.policy
    facts = snapshot.facts
    aliases = row.aliases
    regions = facts.get("multi_region")
    digest = "" if policy is None else policy.digest
    short = short_digest(digest)
    more = f" +{len(aliases) - 1}" if len(aliases) > 1 else ""
    return {
        "name": (aliases[0].removeprefix("alias/") + more) if aliases else "-",
        "alias": aliases[0] if aliases else "",
        "account": snapshot.account,
        "region": snapshot.region,
        "state": _text(facts.get("state")),
        "policy": digest,
        # A digest in brackets is the last one known of a policy that could not be read.
        "short_policy": short if snapshot.digest else f"({short})" if short else "not read",
        "since": "" if policy is None else policy.first_seen.isoformat(),
        "read_at": "" if policy is None else policy.last_seen.isoformat(),
        "day": "" if policy is None else f"{policy.first_seen:%Y-%m-%d %H:%M}",
        "good": "good" if row.is_good else "other" if row.good else "",
        "grants": "" if row.grants is None else str(row.grants),
        "key_arn": snapshot.key_arn,
        "id": short_resource(snapshot.key_arn),
        "aliases": " ".join(aliases),
        "multi_region": _text(regions.get("type")).lower() if isinstance(regions, dict) else "",
        "description": _text(facts.get("description")),
    }


def key_page(shown: ShownKey, *, colour: bool = False) -> str:
    """Return the page of one key, safe to show: what it is, its grants, its versions, and the policy."""
    from keytrail.service.policy_export import pretty

    row = shown.row
    name = row.aliases[0] if row.aliases else short_resource(row.snapshot.key_arn)
    lines = [paint(for_terminal(name), "header", on=colour), *_about(row)]
    lines += section("Grants", _grants(row), colour)
    lines += section("Versions (UTC)", _versions(shown), colour)
    lines += section("Not certain", (line for note in shown.notes for line in _wrapped(note, "  ")), colour)
    if shown.version is not None and shown.text is not None:
        lines += ["", paint(f"Policy {short_digest(shown.version.digest)}", "header", on=colour), pretty(shown.text)]
    return "\n".join(lines).rstrip("\n")


def summary_text(done: SnapshotSummary) -> str:
    """Return what a look found, with the keys whose policy is another and those that are gone; safe to show."""
    named = [("changed", key) for key in done.changed] + [("gone", key) for key in done.deleted]
    lines = [f"  {what:<9}{for_terminal(key)}" for what, key in named[:_KEYS_NAMED]]
    if len(named) > _KEYS_NAMED:
        lines.append(f"  and {len(named) - _KEYS_NAMED:,} more")
    return "\n".join([str(done), *lines])


def progress_line(progress: SnapshotProgress) -> str:
    """Return how far a run is, in one line that is safe to show."""
    accounts = f"{progress.accounts_done:,}/{progress.accounts_total:,} accounts"
    return "  ".join((accounts, count(progress.keys_done, "key"), for_terminal(shorten(progress.current, 40))))


def _about(row: KeyRow) -> Iterator[str]:
    snapshot, facts = row.snapshot, row.snapshot.facts
    regions, tags, unread = facts.get("multi_region"), facts.get("tags"), facts.get("unread")
    rotates, days = facts.get("rotation"), facts.get("rotation_days")
    rotation = "" if rotates is None else "off" if not rotates else f"every {days} days" if days else "on"
    kind = ""
    if isinstance(regions, dict):
        kind = " of ".join(filter(None, (_text(regions.get("type")).lower(), _text(regions.get("primary")))))
    pairs = (
        ("key", snapshot.key_arn),
        ("aliases", ", ".join(row.aliases[1:] and row.aliases)),
        ("description", _text(facts.get("description"))),
        ("state", _text(facts.get("state"))),
        ("to be deleted", _text(facts.get("deletion_at"))),
        ("made", _text(facts.get("created_at"))),
        ("kind", ", ".join(filter(None, (_text(facts.get(name)) for name in ("spec", "usage", "origin"))))),
        ("rotation", rotation),
        ("multi-Region", kind),
        ("tags", ", ".join(f"{name}={value}" for name, value in tags.items()) if isinstance(tags, dict) else ""),
        ("looked at", f"{clock(snapshot.last_seen)} UTC"),
        ("AWS denied", ", ".join(map(str, unread)) if isinstance(unread, dict) else ""),
    )
    for name, value in pairs:
        if value:
            yield from _wrapped(value, f"  {name:<{_LABEL}}")


def _grants(row: KeyRow) -> Iterator[str]:
    grants = row.snapshot.facts.get("grants")
    if not isinstance(grants, list):
        return
    for grant in grants[:_GRANTS_SHOWN]:
        operations = grant.get("operations")
        what = ", ".join(map(str, operations)) if isinstance(operations, list) else ""
        name = f" ({grant['name']})" if grant.get("name") else ""
        yield from _wrapped(
            f"{_text(grant.get('grantee'))}{name}: {what}", f"  {_text(grant.get('grant_id'))[:_SHORT]:<{_LABEL}}"
        )
    if (left := (row.grants or 0) - _GRANTS_SHOWN) > 0:
        yield f"  and {left:,} more; --format json has them"


def _versions(shown: ShownKey) -> Iterator[str]:
    for version in reversed(shown.versions):
        here = "*" if version == shown.version else " "
        yield from _wrapped(_said(version), f"  {here} {short_digest(version.digest):<{_LABEL - 2}}")


def _said(version: KeyVersion) -> str:
    seen = clock(version.first_seen)
    if version.last_seen != version.first_seen:
        seen += f" to {clock(version.last_seen)}"
    if version.good is None:
        return seen
    note = f": {version.good.note}" if version.good.note else ""
    return f"{seen}, marked good by {version.good.who}{note}"


def _wrapped(text: str, first: str) -> list[str]:
    """Text that may hold anything, as lines of a page."""
    indent = " " * len(first)
    safe = for_terminal(text)
    return textwrap.wrap(
        safe, _WIDTH, initial_indent=for_terminal(first), subsequent_indent=indent, break_long_words=False
    ) or [for_terminal(first).rstrip()]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
