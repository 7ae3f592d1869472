"""Key policies that the state keeps: found by what people call a key, with their versions, compared, vouched for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from keytrail.errors import UsageError
from keytrail.investigate import KeyName
from keytrail.names import short_digest
from keytrail.phrases import count, joined
from keytrail.policy import KeyPolicy
from keytrail.respond.keys import DELETED
from keytrail.service.policy import Version
from keytrail.service.policy_diff import PolicyDiff, diff_policies
from keytrail.settings import Accounts
from keytrail.store.state.alerts import log
from keytrail.store.state.policies import (
    DEFAULT,
    GoodVersion,
    KeySnapshot,
    PolicySpan,
    all_good_versions,
    document,
    good_versions,
    latest_policies,
    latest_snapshots,
    mark_good,
    policy_spans,
    unmark_good,
)

AUDIT_KIND = "policy"

_LEAST_DIGEST = 4
_MOST_NAMED = 5
_DIGEST = re.compile(r"[0-9a-f]{4,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as it was found last. `policy` is the last one known, also where the latest look could not read it.

    `good` are the versions that are marked.
    """

    snapshot: KeySnapshot
    policy: PolicySpan | None
    good: tuple[GoodVersion, ...]

    @property
    def is_good(self) -> bool:
        """Whether the policy that the key has is one that somebody vouches for."""
        return self.policy is not None and any(one.digest == self.policy.digest for one in self.good)

    @property
    def is_gone(self) -> bool:
        """Whether AWS lists the key no longer."""
        return self.snapshot.facts.get("state") == DELETED

    @property
    def aliases(self) -> tuple[str, ...]:
        return _texts(self.snapshot.facts.get("aliases"))

    @property
    def grants(self) -> int | None:
        """How many grants there were, None where they could not be read."""
        total = self.snapshot.facts.get("grants_total")
        return total if isinstance(total, int) else None

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        snapshot, policy = self.snapshot, self.policy
        return {
            "key_arn": snapshot.key_arn,
            "account": snapshot.account,
            "region": snapshot.region,
            **snapshot.facts,
            "digest": None if policy is None else policy.digest,
            "since": None if policy is None else policy.first_seen.isoformat(),
            "read_at": None if policy is None else policy.last_seen.isoformat(),
            "looked_at": snapshot.last_seen.isoformat(),
            "source": snapshot.source,
            "good": self.is_good,
            "good_versions": [
                {"digest": one.digest, "at": one.at.isoformat(), "who": one.who, "note": one.note} for one in self.good
            ],
            "policies": dict(snapshot.policies),
        }


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """A version of a key's policy as snapshots show it, from the first that does to the last; `good` if marked."""

    digest: str
    first_seen: datetime
    last_seen: datetime
    sources: tuple[str, ...]
    good: GoodVersion | None = None


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A key with its versions, oldest first, and one of them, `text`. `notes` say what is not certain about it."""

    row: KeyRow
    versions: tuple[KeyVersion, ...]
    version: KeyVersion | None
    text: str | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """As plain JSON values."""
        return {
            **self.row.to_dict(),
            "versions": [
                {
                    "digest": one.digest,
                    "first_seen": one.first_seen.isoformat(),
                    "last_seen": one.last_seen.isoformat(),
                    "sources": list(one.sources),
                    "good": one.good is not None,
                }
                for one in self.versions
            ],
            "version": None if self.version is None else self.version.digest,
            "document": None if self.text is None else json.loads(self.text),
            "notes": list(self.notes),
        }


# -- which key --------------------------------------------------------------------------------------------------------


def list_keys(
    connection: Connection, *, accounts: Sequence[str] = (), regions: Sequence[str] = (), not_good: bool = False
) -> tuple[KeyRow, ...]:
    """The keys that are known, of these accounts and Regions if any are named, by account, Region and alias.

    `not_good` leaves out those whose policy is marked, and those that are gone.
    """
    policies, good = latest_policies(connection), all_good_versions(connection)
    rows = (
        KeyRow(one, policies.get(one.key_arn), good.get(one.key_arn, ()))
        for one in latest_snapshots(connection)
        if (not accounts or one.account in accounts) and (not regions or one.region in regions)
    )
    found = [row for row in rows if not (not_good and (row.is_good or row.is_gone))]
    return tuple(sorted(found, key=lambda row: (row.snapshot.account, row.snapshot.region, row.aliases[:1] or ("~",))))


def find_key(connection: Connection, text: str) -> KeyRow:
    """The key that people call so: by its ARN or that of an alias, its id, an alias, or the beginning of these.

    Raises UsageError if there is none, or more than one.
    """
    asked = text.strip()
    rows = list_keys(connection)
    if not rows:
        raise UsageError("no key is known yet", advice="`keytrail policies snapshot` reads the keys of accounts.")
    found = [row for row in rows if asked in _names(row)]
    if not found and asked:
        found = [row for row in rows if any(name.startswith(asked) for name in _names(row))]
    if not found:
        raise UsageError(
            f"no key is known as {text!r}",
            advice="`keytrail policies list` shows the keys; give an ARN, an id, an alias, or the beginning of one.",
        )
    if len(found) > 1:
        shown = [f"{row.snapshot.key_arn} ({', '.join(row.aliases) or 'no alias'})" for row in found[:_MOST_NAMED]]
        more = [f"and {len(found) - _MOST_NAMED:,} more"] if len(found) > _MOST_NAMED else []
        raise UsageError(f"{text!r} names {count(len(found), 'key')}", advice="Give one of\n" + "\n".join(shown + more))
    return found[0]


def _names(row: KeyRow) -> Iterator[str]:
    """What a key is called, the alias with and without its prefix."""
    arn = row.snapshot.key_arn
    before, _, id = arn.rpartition(":key/")
    yield from (arn, id)
    for alias in row.aliases:
        yield from (alias, alias.removeprefix("alias/"), f"{before}:{alias}")


# -- which version ----------------------------------------------------------------------------------------------------


def versions_of(connection: Connection, key_arn: str) -> tuple[KeyVersion, ...]:
    """The versions of a key's policy, oldest first; one that comes back is there twice."""
    good = {one.digest: one for one in good_versions(connection, key_arn)}
    return tuple(
        KeyVersion(one.digest, one.first_seen, one.last_seen, one.sources, good.get(one.digest))
        for one in policy_spans(connection, key_arn).get(key_arn, ())
    )


def show_key(connection: Connection, text: str, *, version: str | None = None, at: datetime | None = None) -> ShownKey:
    """A key with one version of its policy: that of a digest or its beginning, that at a time, or the last one.

    Raises UsageError for a key or a version that there is none of.
    """
    row = find_key(connection, text)
    versions = versions_of(connection, row.snapshot.key_arn)
    notes: list[str] = []
    if version is not None:
        chosen: KeyVersion | None = version_named(versions, version)
    elif at is not None:
        chosen = _at(versions, at, notes)
    else:
        chosen = versions[-1] if versions else None
    if row.snapshot.digest is None:
        told = "the policy could not be read the last time; what is shown is the last one known"
        notes.append(told if versions else "the policy could not be read yet")
    if len(row.snapshot.policies) > 1:
        others = joined([one for one in row.snapshot.policies if one != DEFAULT])
        notes.append(f"the key has another policy besides, {others}, which AWS RAM writes: what it allows, counts too")
    return ShownKey(
        row, versions, chosen, None if chosen is None else document(connection, chosen.digest), tuple(notes)
    )


def version_named(versions: Sequence[KeyVersion], text: str) -> KeyVersion:
    """The version of a digest, or of the beginning of one. Raises UsageError for none or more than one."""
    asked = text.strip().lower()
    found = [one for one in versions if one.digest.startswith(asked)] if _DIGEST.fullmatch(asked) else []
    digests = list(dict.fromkeys(one.digest for one in found))
    known = joined(list(dict.fromkeys(short_digest(one.digest) for one in versions)))
    if not digests:
        raise UsageError(
            f"the key has no version {text!r}",
            advice=f"Give {_LEAST_DIGEST} digits or more of one of {known}." if known else "No version of it is known.",
        )
    if len(digests) > 1:
        raise UsageError(f"{text!r} names {len(digests)} versions", advice=f"Give more of it: {joined(digests)}.")
    return found[-1]


def _at(versions: Sequence[KeyVersion], at: datetime, notes: list[str]) -> KeyVersion:
    """The version at a time, as far as snapshots tell; says in `notes` where they leave it open."""
    number = next((n for n in reversed(range(len(versions))) if versions[n].first_seen <= at), None)
    if number is None:
        first = (
            f"it was first read at {versions[0].first_seen:%Y-%m-%d %H:%M:%S} UTC" if versions else "it was never read"
        )
        raise UsageError(
            f"what policy the key had at {at:%Y-%m-%d %H:%M:%S} UTC is not known: {first}",
            advice="`keytrail policies history` looks into recorded events, too.",
        )
    shown = versions[number]
    if at > shown.last_seen and number + 1 < len(versions):
        unseen = f"{shown.last_seen:%Y-%m-%d %H:%M:%S} and {versions[number + 1].first_seen:%Y-%m-%d %H:%M:%S} UTC"
        notes.append(f"nobody looked between {unseen}: the next version may have been there already")
    return shown


# -- what changed -----------------------------------------------------------------------------------------------------


def diff_versions(
    connection: Connection,
    text: str,
    before: str | None = None,
    after: str | None = None,
    *,
    accounts: Accounts,
    now: datetime,
) -> PolicyDiff:
    """Compare two versions of a key's policy: those named, or with the last one, or the last two.

    Raises UsageError where there are not two, PolicyError for a version that is no legal policy.
    """
    row = find_key(connection, text)
    versions = versions_of(connection, row.snapshot.key_arn)
    if before is not None:
        first = version_named(versions, before)
        second = versions[-1] if after is None else version_named(versions, after)
    elif len(versions) > 1:
        first, second = versions[-2:]
    else:
        raise UsageError(
            f"only {count(len(versions), 'version')} of the key's policy is known: nothing to compare",
            advice="`keytrail policies history` looks into recorded events, too; `keytrail policy explain` reads one.",
        )
    key = row.snapshot.key_arn
    owner = KeyName.parse(key)
    found = diff_policies(
        _version(connection, first),
        _version(connection, second),
        row.snapshot.account if owner is None else owner.account,
        accounts=accounts,
        at=now,
    )
    return replace(found, key_arn=key)


def _version(connection: Connection, one: KeyVersion) -> Version:
    text = document(connection, one.digest)
    origin = f"version {short_digest(one.digest)}, seen {_span(one)}"
    if text is None:
        return Version(None, "unknown", origin, "its text is not kept")
    return Version(KeyPolicy.parse(text, name=origin), "known", origin, since=one.first_seen.date())


def _span(one: KeyVersion) -> str:
    first, last = (f"{moment:%Y-%m-%d %H:%M:%S} UTC" for moment in (one.first_seen, one.last_seen))
    return f"at {first}" if first == last else f"from {first} to {last}"


# -- who vouches ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Marked:
    """What marking came to: the key, the version, and whether that changed anything."""

    row: KeyRow
    digest: str
    changed: bool


def mark_version(
    connection: Connection, text: str, version: str | None, *, who: str, note: str, now: datetime, good: bool = True
) -> Marked:
    """Say that a version of a key's policy is good, the last one if none is named, or take that back.

    It stands in the audit log. Raises UsageError for a key or a version that there is none of.
    """
    row = find_key(connection, text)
    key = row.snapshot.key_arn
    versions = versions_of(connection, key)
    if version is None and not versions:
        raise UsageError("no policy of the key could be read yet", advice="`keytrail policies snapshot` reads it.")
    chosen = versions[-1] if version is None else version_named(versions, version)
    if good:
        changed = mark_good(connection, key, chosen.digest, at=now, who=who, note=note)
    else:
        changed = unmark_good(connection, key, chosen.digest)
    if changed or (good and note):
        detail = {"digest": chosen.digest} | ({"note": note} if note else {})
        action = "marked good" if good else "mark taken away"
        log(connection, who=who, kind=AUDIT_KIND, subject=key, action=action, detail=detail, now=now)
    return Marked(row, chosen.digest, changed)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
