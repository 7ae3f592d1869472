"""Investigations that keep up: made at once, again as planned, and again when records touch them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from keytrail.cloudtrail import Json
from keytrail.errors import StoreError
from keytrail.investigate import investigate as investigate_really
from tests.investigate import records as made
from tests.service.watch.kit import Bench, event, rule

MakeBench = Callable[..., Bench]

QUERY = "event.provider: kms.amazonaws.com and event.action: (PutKeyPolicy or CreateKey)"
OWN = made.allow({"AWS": made.root_arn(made.OWNER)})
STRANGER = made.root_arn(made.OUTSIDE)
EVE = made.role_arn("Eve")
CREATED = made.create_key("11:00", made.user(), made.policy(OWN))
OPENED = made.put_policy("11:55", made.user(), made.policy(OWN, made.allow({"AWS": [STRANGER, EVE]})))
MINUTE = timedelta(minutes=1)


def change_of_policy(bench: MakeBench, **settings: Any) -> tuple[Bench, str]:
    """A bench that has seen a key being opened, and the id of that event."""
    one = bench(rule(query="event.action: PutKeyPolicy"), **settings)
    one.take("a", [CREATED, OPENED])
    return one, str(OPENED["eventID"])


def use_by_stranger(when: str, **more: object) -> Json:
    return made.use(when, made.outsider(), **more)  # type: ignore[arg-type]


# -- when -------------------------------------------------------------------------------------------------------------


def test_a_change_is_investigated_at_once_and_again_as_planned(bench: MakeBench) -> None:
    one, id = change_of_policy(bench)
    assert one.look() == 1
    assert one.look() == 0
    for minutes in (14, 2, 43, 2, 22 * 60, 2 * 60, 48 * 60):
        one.clock.passes(minutes=minutes)
        one.look()
    found = one.revisions(id)
    assert [each.revision for each in found] == [1, 2, 3, 4]
    assert [each.made_at - one.alerts()[0].created_at for each in found] == [
        MINUTE * 0, MINUTE * 16, MINUTE * 61, MINUTE * (61 + 24 * 60),
    ]  # fmt: skip
    assert [each.document["revision"] for each in found] == [1, 2, 3, 4]
    assert {each.as_of for each in found} == {each.document["as_of"] for each in found} == {2}


def test_after_a_long_stop_only_the_last_planned_look_is_made(bench: MakeBench) -> None:
    one, id = change_of_policy(bench)
    one.look()
    one.stop()
    one.clock.passes(days=3)
    assert one.look() == 1
    assert one.look() == 0
    assert len(one.revisions(id)) == 2


def test_a_clock_that_is_set_back_makes_no_change_wait_for_its_investigation(bench: MakeBench) -> None:
    one, id = change_of_policy(bench)
    one.clock.passes(days=-2)
    assert one.look() == 1
    assert one.look() == 0
    assert one.tell() == 1
    assert len(one.revisions(id)) == 1


def test_the_alert_shows_what_the_latest_investigation_found(bench: MakeBench) -> None:
    one, id = change_of_policy(bench)
    one.look()
    [alert] = one.alerts()
    [found] = one.revisions(id)
    assert (alert.verdict, alert.score) == (found.verdict, found.score)
    assert alert.verdict in ("review", "malicious")
    assert alert.summary == found.document["summary"]


# -- records that touch it --------------------------------------------------------------------------------------------


def test_a_record_that_names_the_key_or_who_gained_access_makes_it_be_looked_at_again(bench: MakeBench) -> None:
    one, id = change_of_policy(bench)
    one.look()
    one.take("b", [event("noise")])
    one.clock.passes(minutes=2)
    assert one.look() == 0
    for number, touching in enumerate(
        [use_by_stranger("11:56"), made.record("s3:ListBuckets", "11:57", made.session("Eve"))], 2
    ):
        one.take(f"c{number}", [touching])
        assert one.look() == 0
        one.clock.passes(seconds=30)
        assert one.look() == 1
        assert len(one.revisions(id)) == number
    assert one.revisions(id)[-1].as_of == 5


def test_records_that_touch_it_one_after_the_other_are_gathered(bench: MakeBench) -> None:
    one, id = change_of_policy(bench)
    one.look()
    for second in range(0, 30, 6):
        one.take(f"b{second}", [use_by_stranger(f"11:56:{second:02}")])
        one.clock.passes(seconds=6)
        one.look()
    assert len(one.revisions(id)) == 2


def test_a_key_that_is_used_all_day_is_looked_at_more_and_more_rarely(bench: MakeBench) -> None:
    one, id = change_of_policy(bench)
    one.look()
    for number in range(40):
        one.take(f"b{number}", [use_by_stranger("11:56", eventID=f"use-{number}")])
        one.clock.passes(minutes=2)
        one.look()
    assert len(one.revisions(id)) < 15
    one.clock.passes(hours=1)
    one.look()
    assert one.revisions(id)[-1].as_of == 42


def test_what_comes_long_after_makes_it_not_be_looked_at(bench: MakeBench) -> None:
    one, id = change_of_policy(bench, watch={"case_days": 2})
    one.look()
    one.clock.passes(days=3)
    one.look()
    seen = len(one.revisions(id))
    one.take("b", [use_by_stranger("11:56")])
    one.clock.passes(hours=2)
    one.look()
    assert len(one.revisions(id)) == seen


@pytest.mark.parametrize("examined", [True, False])
def test_a_record_that_comes_while_it_is_made_is_not_lost(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, examined: bool
) -> None:
    """Also when the planned looks are over, and whether rules have examined the record by then or not."""
    from keytrail.service.watch import investigating

    one, id = change_of_policy(bench)
    late = [use_by_stranger("11:56")]

    def slowly(*arguments: Any) -> Any:
        yield from investigate_really(*arguments)
        if late:
            arrive = one.take if examined else one.keep
            arrive("b", [late.pop()])

    monkeypatch.setattr(investigating, "investigate", slowly)
    one.look()
    one.run()
    assert [each.as_of for each in one.revisions(id)] == [2]
    one.clock.passes(seconds=31)
    assert one.look() == 1
    assert [each.as_of for each in one.revisions(id)] == [2, 3]
    one.clock.passes(seconds=31)
    assert one.look() == 0


def test_a_record_is_not_lost_whose_examination_began_before_it_was_made_and_ended_after(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, id = change_of_policy(bench)
    one.keep("b", [use_by_stranger("11:56")])
    find = one.service.runner._find

    def slowly(*arguments: Any) -> Any:
        found = find(*arguments)
        one.look()
        return found

    monkeypatch.setattr(one.service.runner, "_find", slowly)
    # The investigation is one of before the record arrived.
    monkeypatch.setattr("keytrail.store.lake.store.LakeStore.head", lambda _: 2)
    one.run()
    monkeypatch.undo()
    assert [each.as_of for each in one.revisions(id)] == [2]
    one.clock.passes(seconds=31)
    assert one.look() == 1
    assert [each.as_of for each in one.revisions(id)] == [2, 3]


def test_a_record_touches_it_though_rules_are_behind_new_or_broken(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, id = change_of_policy(bench)
    one.look()
    one.keep("b", [use_by_stranger("11:56")])
    one.clock.passes(minutes=10)
    # A new rule begins behind the record, the old one is broken.
    one.change_rule(rule("new"))
    monkeypatch.setattr(one.service.runner, "_dispatched", _breaking(one.service.runner._dispatched))
    one.service.run_rules()
    monkeypatch.undo()
    one.run()
    one.clock.passes(minutes=1)
    assert one.look() == 1
    assert one.revisions(id)[-1].as_of == 3


def _breaking(dispatched: Any) -> Any:
    def dispatch(rules: Any, values: Any) -> Any:
        if any(each.rule_id == "probe" for each in rules):
            raise ValueError("a defect")
        return dispatched(rules, values)

    return dispatch


def test_records_touch_it_when_no_rule_runs_any_more(bench: MakeBench) -> None:
    one, id = change_of_policy(bench)
    one.look()
    one.remove_rule("probe")
    one.take("b", [use_by_stranger("11:56")])
    one.clock.passes(minutes=1)
    one.look()
    assert [each.as_of for each in one.revisions(id)] == [2, 3]


# -- what fails -------------------------------------------------------------------------------------------------------


def test_an_investigation_that_fails_is_tried_again_and_hinders_no_other(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keytrail.service.watch import investigating

    one, id = change_of_policy(bench)
    other = made.put_policy("11:50", made.user("bob"), made.policy(OWN), key=made.KEY[:-1] + "9")
    one.take("b", [other])
    mended = False

    def defect(changes: Any, *rest: Any) -> Any:
        if not mended and any(change.event.id == id for change in changes):
            raise ValueError("a defect")
        return investigate_really(changes, *rest)

    monkeypatch.setattr(investigating, "investigate", defect)
    one.look()
    assert one.revisions(id) == []
    assert len(one.revisions(str(other["eventID"]))) == 1
    mended = True
    one.clock.passes(seconds=4)
    assert one.look() == 0
    one.clock.passes(seconds=1)
    one.look()
    assert len(one.revisions(id)) == 1


def test_a_state_that_cannot_be_written_loses_no_revision(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    one, id = change_of_policy(bench)

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("keytrail.service.watch.investigating.add_revision", full)
        with pytest.raises(StoreError):
            one.look()
    assert one.letters() == []
    one.restart()
    assert one.look() == 1
    assert [each.revision for each in one.revisions(id)] == [1]
    assert one.letters() == [("people", one.alerts()[0].id, "waiting")]
