"""Key policies as they were found: their texts by digest, when each key had which, and the ones people vouch for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from keytrail.errors import UsageError
from keytrail.policy.digest import digest_of_text
from keytrail.store.state.tables import good_policies, key_snapshots, policy_documents

Json = dict[str, object]

DEFAULT = "default"
"""The name of the policy that counts; KMS knows no other."""


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """How a key was found, the same from `first_seen` to `last_seen` (UTC), as often as `source` looked.

    `source` is "kms" or "config". `policies` has the digest of each policy by name; `digest` is that of "default", None
    where it could not be read. `facts` are the rest: aliases, tags, grants, state.
    """

    id: int
    key_arn: str
    account: str
    region: str
    source: str
    first_seen: datetime
    last_seen: datetime
    digest: str | None
    policies: Mapping[str, str]
    facts: Json


@dataclass(frozen=True, slots=True)
class PolicySpan:
    """A key's policy, found the same from `first_seen` to `last_seen`, whatever else of the key changed."""

    key_arn: str
    digest: str
    first_seen: datetime
    last_seen: datetime
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GoodVersion:
    """A version of a key's policy that somebody vouches for."""

    digest: str
    at: datetime
    who: str
    note: str


# -- documents --------------------------------------------------------------------------------------------------------


def put_document(connection: Connection, text: str) -> str:
    """Keep a policy's text; returns its digest. The first text of a digest stays. Raises PolicyError if it is no JSON
    object."""
    digest = digest_of_text(text)
    if document(connection, digest) is None:
        # Another process may write the same at the same time.
        with suppress(IntegrityError), connection.begin_nested():
            connection.execute(sa.insert(policy_documents).values(digest=digest, text=text))
    return digest


def document(connection: Connection, digest: str) -> str | None:
    """The text of a policy, None if it is not known."""
    query = sa.select(policy_documents.c.text).where(policy_documents.c.digest == digest)
    return connection.execute(query).scalar_one_or_none()


# -- snapshots --------------------------------------------------------------------------------------------------------


def put_snapshot(
    connection: Connection,
    *,
    key_arn: str,
    account: str,
    region: str,
    source: str,
    texts: Mapping[str, str],
    facts: Json,
    at: datetime,
) -> bool:
    """Keep how a key was found at a time, which may be before what is known; returns whether something is new.

    `texts` are the policies by name. Raises PolicyError for one that is no JSON object.
    """
    _alone_with(connection, key_arn)
    policies = {name: put_document(connection, text) for name, text in sorted(texts.items())}
    content = _content(policies, facts)
    columns = key_snapshots.c
    mine = sa.select(columns.id, columns.content, columns.first_seen, columns.last_seen).where(
        columns.key_arn == key_arn, columns.source == source
    )
    before = connection.execute(
        mine.where(columns.first_seen <= at).order_by(columns.first_seen.desc(), columns.id.desc()).limit(1)
    ).one_or_none()
    after = connection.execute(
        mine.where(columns.first_seen > at).order_by(columns.first_seen, columns.id).limit(1)
    ).one_or_none()
    if before is not None and before.content == content:
        if before.last_seen < at:
            connection.execute(sa.update(key_snapshots).where(columns.id == before.id).values(last_seen=at))
        return False
    if after is not None and after.content == content:
        connection.execute(sa.update(key_snapshots).where(columns.id == after.id).values(first_seen=at))
        return False
    connection.execute(
        sa.insert(key_snapshots).values(
            key_arn=key_arn,
            account=account,
            region=region,
            source=source,
            first_seen=at,
            last_seen=at,
            digest=policies.get(DEFAULT),
            content=content,
            policies=policies,
            facts=facts,
        )
    )
    return True


def snapshots_of(connection: Connection, key_arn: str) -> tuple[KeySnapshot, ...]:
    """How a key was found, the first one first."""
    columns = key_snapshots.c
    query = sa.select(key_snapshots).where(columns.key_arn == key_arn).order_by(columns.first_seen, columns.id)
    return tuple(map(_snapshot, connection.execute(query)))


def latest_snapshots(
    connection: Connection, *, account: str | None = None, region: str | None = None
) -> tuple[KeySnapshot, ...]:
    """How each key was found last, by account, Region and ARN; of all, or of those of an account and Region."""
    columns = key_snapshots.c
    here = [column == value for column, value in ((columns.account, account), (columns.region, region)) if value]
    newest = sa.func.row_number().over(
        partition_by=columns.key_arn, order_by=(columns.last_seen.desc(), columns.first_seen.desc(), columns.id.desc())
    )
    ranked = sa.select(columns.id, newest.label("place")).where(*here).subquery()
    query = (
        sa.select(key_snapshots)
        .join(ranked, ranked.c.id == columns.id)
        .where(ranked.c.place == 1)
        .order_by(columns.account, columns.region, columns.key_arn)
    )
    return tuple(map(_snapshot, connection.execute(query)))


def policy_spans(connection: Connection, key_arn: str | None = None) -> dict[str, tuple[PolicySpan, ...]]:
    """The policies that all keys, or one, were found with, by ARN, the first one first; one that came back is there
    twice, also where one source did not see the other policy in between."""
    columns = key_snapshots.c
    query = sa.select(
        columns.key_arn, columns.id, columns.digest, columns.source, columns.first_seen, columns.last_seen
    ).where(columns.digest.is_not(None))
    if key_arn is not None:
        query = query.where(columns.key_arn == key_arn)
    found: dict[str, tuple[PolicySpan, ...]] = {}
    for key, lines in groupby(connection.execute(query.order_by(columns.key_arn)), key=lambda line: line.key_arn):
        seen = {(at, line.id, line.digest, line.source) for line in lines for at in (line.first_seen, line.last_seen)}
        found[key] = tuple(_spans(key, sorted(seen)))
    return found


def latest_policies(connection: Connection) -> dict[str, PolicySpan]:
    """The last policy that is known of each key, by ARN: also of keys whose policy may not be read any more."""
    return {key_arn: spans[-1] for key_arn, spans in policy_spans(connection).items()}


def thin_snapshots(connection: Connection, before: datetime) -> int:
    """Let go of lines of before a time between two others with the same policies: what services do with grants makes
    a line at each look. From when to when a key had which policy stays. Returns how many there were.
    """
    columns = key_snapshots.c

    def beside(find: sa.Function[str]) -> sa.ColumnElement[str]:
        return find.over(partition_by=(columns.key_arn, columns.source), order_by=(columns.first_seen, columns.id))

    lines = sa.select(
        columns.id,
        columns.last_seen,
        columns.policies,
        beside(sa.func.lag(columns.policies)).label("earlier"),
        beside(sa.func.lead(columns.policies)).label("later"),
    ).subquery()
    same = (lines.c.policies == lines.c.earlier) & (lines.c.policies == lines.c.later)
    between = sa.select(lines.c.id).where(same, lines.c.last_seen < before)
    return connection.execute(sa.delete(key_snapshots).where(columns.id.in_(between))).rowcount


# -- good versions ----------------------------------------------------------------------------------------------------


def mark_good(connection: Connection, key_arn: str, digest: str, *, at: datetime, who: str, note: str) -> bool:
    """Say that a version of a key's policy is good; returns whether that is new. A later mark replaces the note.

    Raises UsageError for a version whose text is not kept.
    """
    if document(connection, digest) is None:
        raise UsageError(
            f"the state keeps no policy with the digest {digest}",
            advice="`keytrail policies show KEY` lists the versions of a key; `keytrail policies snapshot` reads them.",
        )
    _alone_with(connection, key_arn)
    values = {"at": at, "who": who, "note": note}
    if connection.execute(sa.update(good_policies).where(_is_good(key_arn, digest)).values(**values)).rowcount:
        return False
    connection.execute(sa.insert(good_policies).values(key_arn=key_arn, digest=digest, **values))
    return True


def unmark_good(connection: Connection, key_arn: str, digest: str) -> bool:
    """Take the mark of a version away; returns whether there was one."""
    return bool(connection.execute(sa.delete(good_policies).where(_is_good(key_arn, digest))).rowcount)


def good_versions(connection: Connection, key_arn: str) -> tuple[GoodVersion, ...]:
    """The versions of a key's policy that are marked, the one marked last first."""
    return all_good_versions(connection, key_arn).get(key_arn, ())


def all_good_versions(connection: Connection, key_arn: str | None = None) -> dict[str, tuple[GoodVersion, ...]]:
    """The versions that are marked, of all keys or of one, by ARN; the one marked last first."""
    columns = good_policies.c
    query = sa.select(good_policies).order_by(columns.at.desc(), columns.digest)
    if key_arn is not None:
        query = query.where(columns.key_arn == key_arn)
    found: dict[str, tuple[GoodVersion, ...]] = {}
    for row in connection.execute(query):
        found[row.key_arn] = (*found.get(row.key_arn, ()), GoodVersion(row.digest, row.at, row.who, row.note))
    return found


# -- parts ------------------------------------------------------------------------------------------------------------


def _alone_with(connection: Connection, key_arn: str) -> None:
    """Let whoever else writes about a key wait for this transaction; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(key_arn))))


def _spans(key_arn: str, seen: Iterable[tuple[datetime, int, str, str]]) -> Iterator[PolicySpan]:
    """What was seen of a key in the order of time, without what only shows the policy before it again."""
    for digest, run in groupby(seen, key=lambda one: one[2]):
        times, _, _, sources = zip(*run, strict=True)
        yield PolicySpan(key_arn, digest, times[0], times[-1], tuple(dict.fromkeys(sources)))


def _content(policies: Mapping[str, str], facts: Json) -> str:
    canonical = json.dumps([policies, facts], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _is_good(key_arn: str, digest: str) -> sa.ColumnElement[bool]:
    return (good_policies.c.key_arn == key_arn) & (good_policies.c.digest == digest)


def _snapshot(row: sa.Row[tuple[object, ...]]) -> KeySnapshot:
    return KeySnapshot(**{name: row._mapping[name] for name in KeySnapshot.__slots__})
