"""What the state lets go of after a time, and what it keeps for good."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import sqlalchemy as sa

from keytrail.store.state import alerts, cases, outbox, suppressions
from keytrail.store.state.database import Database
from keytrail.store.state.outbox import Letter
from keytrail.store.state.tables import outbox as letters
from tests.store.state.made import NOW, alert, case, revision

DAY = timedelta(days=1)


def test_revisions_that_said_nothing_new_go_and_the_others_stay(database: Database) -> None:
    one = case(1)
    verdicts = ["no_effect", "no_effect", "review", "review", "review", "malicious", "malicious", "malicious"]
    with database.write() as connection:
        cases.open_cases(connection, [one])
        for number, verdict in enumerate(verdicts, 1):
            made = replace(revision(1, number), verdict=verdict, made_at=NOW - DAY * (100 - number))
            cases.add_revision(connection, made)
    with database.write() as connection:
        cases.forget_revisions(connection, NOW - DAY * 93)
    with database.read() as connection:
        left = [found.revision for found in cases.revisions_of(connection, one.event)]
    assert left == [1, 3, 6, 7, 8]
    with database.write() as connection:
        cases.forget_revisions(connection, NOW)
        left = [found.revision for found in cases.revisions_of(connection, one.event)]
    assert left[0] == 1
    assert left[-1] == 8
    assert {3, 6} <= set(left)


def test_letters_that_were_delivered_go_and_refused_ones_stay(database: Database) -> None:
    with database.write() as connection:
        alerts.add_alerts(connection, [alert(number) for number in range(4)], NOW)
        posted = [Letter("ops", f"m{number}", alert(number).id, "new", NOW) for number in range(4)]
        outbox.post(connection, posted, NOW)
        found = outbox.waiting(connection, "ops", NOW, 10)
        for letter, state in zip(found, ("sent", "digested", "refused"), strict=False):
            outbox.cross_off(connection, [letter], state, NOW)
        assert outbox.forget_letters(connection, NOW) == 0
        assert outbox.forget_letters(connection, NOW + DAY) == 2
        left = connection.execute(sa.select(letters.c.state)).scalars().all()
    assert sorted(left) == ["refused", "waiting"]


def test_counted_matches_go(database: Database) -> None:
    with database.write() as connection:
        suppressions.add_counted(connection, ["a" * 64, "b" * 64], NOW)
        suppressions.add_counted(connection, ["c" * 64], NOW + DAY)
        assert suppressions.forget_counted(connection, NOW + DAY) == 2
        assert suppressions.counted_before(connection, ["a" * 64, "c" * 64]) == frozenset({"c" * 64})
