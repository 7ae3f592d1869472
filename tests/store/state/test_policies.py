"""Key policies in the state: texts by digest, how keys were found, versions that people vouch for."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from keytrail.errors import PolicyError, UsageError
from keytrail.policy.digest import digest_of, digest_of_text
from keytrail.store.state import policies
from keytrail.store.state.database import Database
from tests.store.state.made import HOSTILE, NOW

KEY = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000001"
OTHER = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000002"
HOUR = timedelta(hours=1)
A, B = '{"Id": "a"}', '{"Id": "b"}'


def put(
    database: Database,
    text: str | None = A,
    at: datetime = NOW,
    key: str = KEY,
    source: str = "kms",
    **facts: object,
) -> bool:
    texts = {} if text is None else {"default": text}
    with database.write() as connection:
        return policies.put_snapshot(
            connection,
            key_arn=key,
            account="111122223333",
            region="eu-west-1",
            source=source,
            texts=texts,
            facts=facts,
            at=at,
        )


def spans(database: Database, key: str = KEY) -> list[tuple[str | None, int, int]]:
    """The snapshots of a key with the hours from and to which they were seen."""
    with database.read() as connection:
        found = policies.snapshots_of(connection, key)
    return [(one.digest, (one.first_seen - NOW) // HOUR, (one.last_seen - NOW) // HOUR) for one in found]


def test_a_text_is_kept_once_under_the_digest_of_what_it_says(database: Database) -> None:
    hostile = json.dumps({"Statement": [{"Sid": HOSTILE}]}, ensure_ascii=False).replace("\x1b", "\\u001b")
    with database.write() as connection:
        first = policies.put_document(connection, '{"Version": "2012-10-17", "Statement": []}')
        assert policies.put_document(connection, '\ufeff{"Statement":[],"Version":"2012-10-17"}') == first
        assert policies.document(connection, first) == '{"Version": "2012-10-17", "Statement": []}'
        assert policies.document(connection, "0" * 64) is None
        kept = policies.document(connection, policies.put_document(connection, hostile))
        # A half of a character cannot be stored as it is; what is read back says the same.
        assert kept is not None
        assert json.loads(kept) == json.loads(hostile)
        assert digest_of_text(kept) == digest_of_text(hostile)
        for wrong in ("no JSON", "[]", "[" * 100_000, '{"a": NaN}'):
            with pytest.raises(PolicyError):
                policies.put_document(connection, wrong)


def test_numbers_have_the_digest_that_they_have_in_quotes() -> None:
    assert digest_of_text('{"a": 1.50, "b": {"c": [7]}}') == digest_of({"b": {"c": ["7"]}, "a": "1.50"})


def test_what_is_found_again_is_one_line(database: Database) -> None:
    assert put(database)
    assert not put(database, '{ "Id":"a" }', NOW + HOUR)
    assert not put(database, at=NOW)
    assert spans(database) == [(digest_of_text(A), 0, 1)]
    assert put(database, B, NOW + 2 * HOUR)
    assert put(database, A, NOW + 3 * HOUR)
    assert not put(database, A, NOW + 4 * HOUR)
    assert [(one[0] == digest_of_text(A), *one[1:]) for one in spans(database)] == [
        (True, 0, 1), (False, 2, 2), (True, 3, 4)
    ]  # fmt: skip


def test_another_fact_is_another_line_of_the_same_policy(database: Database) -> None:
    assert put(database, state="Enabled", tags={HOSTILE: "x"})
    assert put(database, at=NOW + HOUR, state="PendingDeletion")
    assert put(database, None, NOW + 2 * HOUR, state="PendingDeletion")
    with database.read() as connection:
        (latest,) = policies.latest_snapshots(connection)
        first = policies.snapshots_of(connection, KEY)[0]
        known = policies.latest_policies(connection)
    assert (latest.digest, latest.policies, latest.facts) == (None, {}, {"state": "PendingDeletion"})
    assert first.facts == {"state": "Enabled", "tags": {HOSTILE: "x"}}
    assert first.policies == {"default": digest_of_text(A)}
    assert known == {KEY: policies.PolicySpan(KEY, digest_of_text(A), NOW, NOW + HOUR, ("kms",))}


def test_what_is_learned_later_about_earlier_times_finds_its_place(database: Database) -> None:
    put(database, A, NOW, source="config")
    put(database, B, NOW + 4 * HOUR, source="config")
    assert not put(database, B, NOW + 3 * HOUR, source="config")  # it was there earlier than was known
    assert not put(database, A, NOW + 2 * HOUR, source="config")  # and the one before it until later
    a, b = digest_of_text(A), digest_of_text(B)
    assert spans(database) == [(a, 0, 2), (b, 3, 4)]
    assert put(database, B, NOW - HOUR, source="config")
    assert spans(database) == [(b, -1, -1), (a, 0, 2), (b, 3, 4)]


def test_sources_have_lines_of_their_own_and_the_latest_is_the_one_seen_last(database: Database) -> None:
    put(database, A, NOW, source="config")
    put(database, A, NOW + HOUR)
    put(database, B, NOW, key=OTHER)
    with database.read() as connection:
        assert [one.source for one in policies.snapshots_of(connection, KEY)] == ["config", "kms"]
        latest = policies.latest_snapshots(connection)
    assert [(one.key_arn, one.source) for one in latest] == [(KEY, "kms"), (OTHER, "kms")]


def test_a_policy_that_came_back_between_two_looks_is_the_last_one(database: Database) -> None:
    put(database, A, NOW)
    put(database, A, NOW + 4 * HOUR)
    put(database, B, NOW + HOUR, source="config")  # its recorder was stopped then
    a, b = digest_of_text(A), digest_of_text(B)
    with database.read() as connection:
        spans = policies.policy_spans(connection)[KEY]
        last = policies.latest_policies(connection)[KEY]
    assert [(one.digest, one.first_seen, one.last_seen, one.sources) for one in spans] == [
        (a, NOW, NOW, ("kms",)),
        (b, NOW + HOUR, NOW + HOUR, ("config",)),
        (a, NOW + 4 * HOUR, NOW + 4 * HOUR, ("kms",)),
    ]
    assert last == spans[-1]


def test_looks_at_the_same_time_make_one_line(
    url: str, database: Database, open_database: Callable[[str], Database]
) -> None:
    others = [open_database(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(put, others))
    assert sorted(new) == [False, False, False, True]
    assert spans(database) == [(digest_of_text(A), 0, 0)]


def test_lines_that_tell_nothing_of_policies_are_let_go_after_a_time(database: Database) -> None:
    for hour, text in enumerate([A, A, A, B, B, B, B, None, None, None]):
        put(database, text, NOW + hour * HOUR, grants=hour)
    put(database, A, NOW + HOUR, key=OTHER)
    before = [(one[0], one[1]) for one in spans(database)]
    assert len(before) == 10
    with database.write() as connection:
        known = policies.latest_policies(connection)
        assert policies.thin_snapshots(connection, NOW + 6 * HOUR) == 3
        assert policies.thin_snapshots(connection, NOW + 6 * HOUR) == 0
        assert policies.latest_policies(connection) == known
    a, b = digest_of_text(A), digest_of_text(B)
    kept = [(a, 0), (a, 2), (b, 3), (b, 6), (None, 7), (None, 8), (None, 9)]
    assert [(one[0], one[1]) for one in spans(database)] == kept
    with database.write() as connection:
        assert policies.thin_snapshots(connection, NOW + 99 * HOUR) == 1
    assert len(spans(database, OTHER)) == 1


def test_good_versions_are_marked_and_taken_back(database: Database) -> None:
    put(database, A)
    put(database, B, NOW + HOUR)
    a, b = digest_of_text(A), digest_of_text(B)
    with database.write() as connection:
        assert policies.mark_good(connection, KEY, a, at=NOW, who="ada", note=HOSTILE)
        assert policies.mark_good(connection, KEY, b, at=NOW + HOUR, who="ada", note="")
        assert not policies.mark_good(connection, KEY, a, at=NOW + 2 * HOUR, who="grace", note="seen again")
        assert policies.good_versions(connection, KEY) == (
            policies.GoodVersion(a, NOW + 2 * HOUR, "grace", "seen again"),
            policies.GoodVersion(b, NOW + HOUR, "ada", ""),
        )
        assert policies.good_versions(connection, OTHER) == ()
        assert list(policies.all_good_versions(connection)) == [KEY]
        assert policies.unmark_good(connection, KEY, a)
        assert not policies.unmark_good(connection, KEY, a)
        assert [one.digest for one in policies.good_versions(connection, KEY)] == [b]
        with pytest.raises(UsageError, match="keeps no policy"):
            policies.mark_good(connection, KEY, "0" * 64, at=NOW, who="ada", note="")
