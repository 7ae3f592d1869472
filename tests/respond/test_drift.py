"""Drift: what counts as the same, what a difference is called by, and what is said of it. When: tests/service/watch."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from keytrail.investigate import KeyName, Snapshot
from keytrail.policy import KeyPolicy, assess
from keytrail.respond.drift import Agreed, Differing, Drift, Heard, Observed, Unjudged, differing, effect, judge
from keytrail.settings import Accounts
from keytrail.store import Coverage, Damage, Interval
from tests.investigate import records as made

NOON = made.moment("12:00")
HOUR = timedelta(hours=1)
GRACE = timedelta(minutes=30)
NAME = KeyName("aws", made.REGION, made.OWNER, made.KEY.rpartition("/")[2])
OWN = made.allow({"AWS": made.root_arn(made.OWNER)})
CLOSED = made.policy(OWN)
OPEN = made.policy(OWN, made.allow(made.root_arn(made.OUTSIDE)))
CREATED = made.event(made.create_key("09:00", made.user(), CLOSED))
COVERAGE = Coverage((Interval(made.OWNER, made.REGION, made.moment("08:00"), made.moment("20:00")),))
HEARD = Heard(COVERAGE, made.moment("08:00"))


def observed(document: made.Json, *, last_seen: timedelta = timedelta()) -> Observed:
    text = json.dumps(document)
    return Observed(NAME, KeyPolicy.parse(text, name="the snapshot"), text, NOON, NOON + last_seen)


def compared(document: made.Json, heard: Heard = HEARD, **more: object) -> Differing | Agreed | Unjudged:
    given = {"earlier": (), "events": [CREATED], "grace": GRACE, "now": NOON + HOUR} | more
    return differing(observed(document), given.pop("earlier"), given.pop("events"), heard, **given)  # type: ignore[arg-type]


def judged(document: made.Json, accounts: Accounts | None = None) -> Drift | Agreed:
    found = compared(document)
    assert isinstance(found, Differing)
    return judge(found, accounts or Accounts(), NOON)


def test_the_same_document_agrees_and_another_differs() -> None:
    assert isinstance(compared(CLOSED), Agreed)
    assert isinstance(compared(OPEN), Differing)


def test_the_name_of_a_difference_is_that_of_the_key_and_both_policies_and_who_set_the_last_one() -> None:
    first = compared(OPEN)
    again = compared(OPEN, now=NOON + 5 * HOUR)
    other = compared(made.policy(OWN, OWN))
    set_anew = compared(OPEN, events=[CREATED, made.event(made.put_policy("10:00", made.user(), CLOSED))])
    assert all(isinstance(one, Differing) for one in (first, again, other, set_anew))
    assert first.id == again.id  # type: ignore[union-attr]
    assert len({one.id for one in (first, other, set_anew)}) == 3  # type: ignore[union-attr]


def test_a_difference_that_comes_back_is_another_one() -> None:
    def found(closed_at: timedelta) -> str:
        closed = Snapshot(made.KEY, NOON - closed_at, json.dumps(CLOSED), "the snapshot of then")
        one = compared(OPEN, events=[], earlier=[closed])
        assert isinstance(one, Differing)
        return one.id

    assert found(2 * HOUR) == found(2 * HOUR)
    assert found(2 * HOUR) != found(HOUR)  # in between it was put back, and no record told of that either


def test_a_record_may_come_until_it_had_its_time_and_that_is_when_to_ask_again() -> None:
    found = compared(OPEN, now=NOON + GRACE / 2)
    assert isinstance(found, Unjudged)
    assert found.again_at == NOON + GRACE
    assert isinstance(compared(OPEN, now=NOON + GRACE), Differing)
    # What was there before the lake was kept up is taken in first.
    late = replace(HEARD, since=NOON + HOUR)
    found = compared(OPEN, late)
    assert isinstance(found, Unjudged)
    assert found.again_at == NOON + HOUR + GRACE


@pytest.mark.parametrize(
    "heard",
    [
        replace(HEARD, complete=False),
        replace(HEARD, coverage=Coverage((Interval(made.OWNER, made.REGION, made.moment("08:00"), NOON),))),
        replace(HEARD, coverage=Coverage()),
    ],
)
def test_silence_and_sources_that_fail_hold_it_back_for_a_day(heard: Heard) -> None:
    for hours, found in ((1, Unjudged), (23, Unjudged), (24, Differing)):
        assert isinstance(compared(OPEN, heard, now=NOON + hours * HOUR), found)
    waits = compared(OPEN, heard, now=NOON + 2 * HOUR)
    assert isinstance(waits, Unjudged)
    assert waits.again_at is not None
    assert NOON + 2 * HOUR < waits.again_at <= NOON + 3 * HOUR


def test_objects_that_could_not_be_read_are_said() -> None:
    damaged = replace(COVERAGE, damage=(Damage("an object", made.OWNER, made.REGION), Damage("of others", "1", "")))
    found = compared(OPEN, replace(HEARD, coverage=damaged))
    assert isinstance(found, Differing)
    assert found.notes == ("1 object that may hold records of the key could not be read, or not whole.",)


def test_an_earlier_look_counts_if_the_lake_was_there() -> None:
    looked = Snapshot(made.KEY, NOON - HOUR, json.dumps(CLOSED), "the snapshot of then")
    assert isinstance(compared(OPEN, events=[], earlier=[looked]), Differing)
    before_the_lake = Snapshot(made.KEY, NOON - 9 * HOUR, json.dumps(CLOSED), "the snapshot of then")
    assert isinstance(compared(OPEN, events=[], earlier=[before_the_lake]), Unjudged)
    assert isinstance(compared(OPEN, events=[], earlier=[]), Unjudged)


def test_what_is_not_proved_to_be_the_same_is_drift() -> None:
    found = judged(OPEN)
    assert isinstance(found, Drift)
    assert found.comparison.external_accounts == (made.OUTSIDE,)
    assert f"Account {made.OUTSIDE} can now" in found.sentence
    assert "that of CreateKey by user alice at 2026-03-02 09:00:00 UTC" in found.sentence
    # Also where it takes away.
    assert isinstance(judged(made.policy(made.allow(made.role_arn("Admin")))), Drift)


@pytest.mark.parametrize("document", [made.policy(OWN, OWN), made.policy(made.allow(made.OWNER, ["kms:*"], Sid="a"))])
def test_the_same_in_other_words_agrees(document: made.Json) -> None:
    assert judged(document) == Agreed()


def test_the_effect_of_a_change_is_one_sentence() -> None:
    closed, opened = (KeyPolicy.parse(json.dumps(one)) for one in (CLOSED, OPEN))
    assert effect(assess(closed, closed, made.OWNER)) == "Nobody gained access and nobody lost any, which is proved."
    assert effect(assess(closed, opened, made.OWNER)).endswith(" (2 more findings.)")
