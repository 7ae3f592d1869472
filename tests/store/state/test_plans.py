"""Plans in the state: kept as they were shown last, found by their ids, and lines about them that only grow."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from keytrail.errors import UsageError
from keytrail.store.state.database import Database
from keytrail.store.state.plans import PlanStep, ShownPlan, add_step, plans_of_alert, put_plans, shown_plan, steps_of
from tests.store.state.made import HOSTILE, NOW

KEY = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000001"
ALERT, OTHER_ALERT = "a" * 64, "b" * 64


def plan(id: str = "0123456789ab", alert: str = ALERT, at: datetime = NOW, **more: object) -> ShownPlan:
    return ShownPlan(id, alert, KEY, "restore", {"id": id, "title": HOSTILE, **more}, at, "ada")


def put(database: Database, *shown: ShownPlan) -> None:
    with database.write() as connection:
        put_plans(connection, shown)


def found(database: Database, text: str) -> ShownPlan:
    with database.read() as connection:
        return shown_plan(connection, text)


def test_a_plan_is_found_by_its_id_and_by_its_beginning(database: Database) -> None:
    put(database, plan(), plan("0123450000ff"), plan("ffff00000000"))
    assert found(database, "0123456789ab") == plan()
    assert found(database, "012345678") == plan()
    assert found(database, "ffff00") == plan("ffff00000000")


@pytest.mark.parametrize("text", ["", "ffff", "fffffe", "FFFF00", "%", "ffff0_", HOSTILE])
def test_what_names_no_plan_is_refused(database: Database, text: str) -> None:
    put(database, plan("ffff00000000"))
    with pytest.raises(UsageError, match="no plan"):
        found(database, text)


def test_a_beginning_of_several_is_refused(database: Database) -> None:
    put(database, plan("0123456789ab"), plan("0123450000ff"))
    with pytest.raises(UsageError, match="more than one"):
        found(database, "012345")


def test_a_plan_that_is_shown_again_is_as_it_was_shown_last(database: Database) -> None:
    put(database, plan())
    again = plan(alert=OTHER_ALERT, at=NOW + timedelta(hours=1), warnings=["more is known"])
    put(database, again, again)
    assert found(database, "0123456789ab") == again
    with database.read() as connection:
        assert plans_of_alert(connection, ALERT) == ()
        assert plans_of_alert(connection, OTHER_ALERT) == (again,)


def test_plans_of_an_alert_come_in_the_order_they_were_shown(database: Database) -> None:
    late, early = plan("000000000001", at=NOW + timedelta(hours=1)), plan("000000000002")
    put(database, late, early, plan("000000000003", alert=OTHER_ALERT))
    with database.read() as connection:
        assert plans_of_alert(connection, ALERT) == (early, late)


def test_several_who_are_shown_the_same_at_once_all_see_it_kept(
    url: str, open_database: Callable[[str], Database]
) -> None:
    databases = [open_database(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda database: put(database, plan(), plan("0123450000ff")), databases))
    assert found(databases[0], "0123456789ab") == plan()


def test_lines_about_a_plan_only_grow(database: Database) -> None:
    put(database, plan(), plan("0123450000ff"))
    steps = [
        PlanStep("0123456789ab", number, name, NOW + timedelta(seconds=number), "ada", "arn:aws:iam::1:role/x", detail)
        for number, (name, detail) in enumerate(
            [("checked", {}), ("begun", {"call": "kms:PutKeyPolicy"}), ("done", {})]
        )
    ]
    for one in steps:
        with database.write() as connection:
            add_step(connection, one)
    put(database, plan(at=NOW + timedelta(hours=1)))
    with database.read() as connection:
        assert steps_of(connection, "0123456789ab") == tuple(steps)
        assert steps_of(connection, "0123450000ff") == ()
