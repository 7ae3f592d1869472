"""A policy that is not the one that was reported last is an alert, once; what is no drift is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from keytrail.cloudtrail import Json
from keytrail.errors import StoreError
from keytrail.policy import KeyPolicy
from keytrail.report import ReportItem, html_report, plain_report
from keytrail.respond.propose import propose
from keytrail.respond.subject import subject_of
from keytrail.rules import item_from_dict, of_service
from keytrail.service.exceptions import Author, add_item, default_list
from keytrail.service.rule_admin import all_rules, decide, named
from keytrail.service.triage import change, document_of
from keytrail.service.watch.drift import RULE_ID
from keytrail.service.watch.keys import last_look
from keytrail.settings import Accounts
from keytrail.store.state.lease import LeaseLost
from keytrail.store.state.policies import put_snapshot
from keytrail.store.state.tables import leases
from keytrail.store.state.triage import SetStatus
from tests.investigate import records as made
from tests.service.watch.keys_kit import (
    CLOSED,
    CREATED,
    EVE,
    OPEN,
    OWN,
    STRANGER,
    WATCH,
    Eyes,
    found,
    later_and_compared,
    later_record,
)
from tests.service.watch.kit import START, Bench, event

MakeBench = Callable[..., Bench]

[RULE] = of_service().rules


def exception_for(bench: Bench, field: str, value: str) -> None:
    """Except from the rule what has a value in a field."""
    list_id, namespace = default_list(RULE)
    item = {
        "list_id": list_id,
        "namespace_type": namespace,
        "item_id": "known",
        "type": "simple",
        "name": "Known",
        "description": "",
        "entries": [{"field": field, "operator": "included", "type": "match", "value": value}],
    }
    with bench.home.database.write() as connection:
        add_item(connection, item_from_dict(item, RULE.origin), Author("ada", bench.clock()), RULE)
    bench.clock.passes(seconds=1)


# -- what is drift ----------------------------------------------------------------------------------------------------


def test_a_policy_that_no_record_gave_is_an_alert_once(watched: Bench) -> None:
    found(watched, OPEN)
    assert watched.service.look_at_keys("working") == 0  # a record of it may still come
    watched.clock.passes(minutes=31)
    later_record(watched)
    assert watched.service.look_at_keys("working") == 1
    [alert] = watched.alerts()
    assert (alert.rule_id, alert.severity, alert.account, alert.region) == (
        RULE.rule_id, "medium", made.OWNER, made.REGION,
    )  # fmt: skip
    # And never again: not at the next look, not by another process, not when it was closed.
    change(watched.home.database, [alert.id], SetStatus("closed", "expected_activity"), who="ada", now=watched.clock())
    found(watched, OPEN)
    watched.clock.passes(hours=5)
    found(watched, OPEN)
    watched.restart()
    watched.run()
    watched.clock.passes(hours=5)
    assert watched.service.look_at_keys("working") == 0
    assert len(watched.alerts()) == 1


def test_the_alert_is_told_and_shows_both_policies_and_what_is_proved(watched: Bench) -> None:
    found(watched, OPEN)
    watched.clock.passes(minutes=31)
    later_record(watched)
    watched.service.look_at_keys("working")
    [alert] = watched.alerts()
    document = document_of(alert)
    told = document["keytrail.drift"]
    assert isinstance(told, dict)
    assert (told["before"]["document"], told["after"]["document"]) == (CLOSED, OPEN)
    assert told["comparison"]["external_accounts"] == [made.OUTSIDE]
    assert told["before"]["source"]["event_id"] == CREATED["eventID"]
    assert f"Account {made.OUTSIDE} can now decrypt" in told["summary"]
    assert document["kibana.alert.reason"] == told["summary"]
    assert document["event"]["action"] == "KeyPolicyDrift"  # type: ignore[index]
    assert document["aws"]["cloudtrail"]["resources"][0]["arn"] == made.KEY  # type: ignore[index]
    assert document["kibana.alert.rule.threat"][0]["technique"][0]["subtechnique"][0]["id"] == "T1562.008"  # type: ignore[index]
    assert watched.tell() == 1
    assert watched.sink.alert_ids == [alert.id]
    page = {heading: " ".join(" ".join(lines).split()) for heading, lines in plain_report(ReportItem(document))}
    assert "was found with a policy that no record gave it" in page["What was found"]
    assert f"any other identity of account {made.OUTSIDE}" in page["Who gained access"]
    assert "statement 2, added" in page["What changed in the policy"]


def test_the_page_names_nobody_where_nobody_is_known(watched: Bench) -> None:
    found(watched, OPEN)
    later_and_compared(watched, OPEN)
    [alert] = watched.alerts()
    page = html_report([ReportItem(alert.document)], title="Alert", generated=None)
    assert "KeyPolicyDrift, 2026-" in page
    assert "a look at the key" in page


def test_a_change_that_is_reported_in_time_is_none(watched: Bench) -> None:
    watched.clock.passes(minutes=5)
    found(watched, OPEN)
    watched.service.look_at_keys("working")
    watched.clock.passes(minutes=10)
    watched.take("late", [made.put_policy("13:02", made.user(), OPEN)])
    watched.clock.passes(hours=2)
    later_record(watched)
    found(watched, OPEN)
    watched.service.look_at_keys("working")
    assert watched.alerts(RULE.rule_id) == ()


def test_two_looks_differ_and_the_lake_was_there_all_the_time(bench: MakeBench) -> None:
    """Of a key that is older than the lake the first look says which policy it had."""
    one = bench(watch=WATCH)
    one.take("a", [event("first", minutes=-60)])
    found(one, CLOSED)
    one.clock.passes(hours=6)
    found(one, OPEN)
    one.clock.passes(minutes=31)
    later_record(one)
    assert one.service.look_at_keys("working") == 1
    [alert] = one.alerts()
    assert "the snapshot of 2026-03-02 12:00:00 UTC" in str(alert.document["kibana.alert.reason"])


def test_the_first_look_at_a_key_that_is_older_than_the_lake_is_a_version_and_no_alert(bench: MakeBench) -> None:
    one = bench(watch=WATCH)
    one.take("a", [event("first", minutes=-60), made.put_policy("11:30", made.user(), CLOSED)])
    one.run()
    before = len(one.alerts())
    for _ in range(3):
        found(one, OPEN)
        one.clock.passes(hours=30)
        later_record(one)
        assert one.service.look_at_keys("working") == 0
    assert len(one.alerts()) == before


def test_what_cloudtrail_left_out_is_not_known_and_so_nothing_is_said(watched: Bench) -> None:
    watched.take("b", [made.put_omitted("12:10", made.user())])
    watched.clock.passes(hours=1)
    found(watched, OPEN)
    watched.clock.passes(hours=1)
    later_record(watched)
    watched.service.look_at_keys("working")
    assert watched.alerts(RULE.rule_id) == ()


def test_a_look_right_after_a_change_may_still_show_the_policy_before_it(watched: Bench) -> None:
    """KMS is eventually consistent."""
    minutes = (watched.clock() - START).total_seconds() / 60
    watched.take("b", [made.put_policy("13:00", made.user(), OPEN)])
    assert minutes == 60
    watched.clock.passes(minutes=1)
    found(watched, CLOSED)
    watched.clock.passes(hours=5)
    later_record(watched)
    watched.service.look_at_keys("working")
    assert watched.alerts(RULE.rule_id) == ()


def test_a_key_that_was_changed_after_the_look_is_left_to_the_next_one(watched: Bench) -> None:
    found(watched, CLOSED)
    watched.take("b", [made.put_policy("14:00", made.user(), OPEN)])
    watched.clock.passes(hours=5)
    later_record(watched)
    watched.service.look_at_keys("working")
    assert watched.alerts(RULE.rule_id) == ()


def test_the_alert_says_that_a_trail_was_stopped_meanwhile(watched: Bench) -> None:
    stop = made.record("cloudtrail:StopLogging", "12:30", made.user(), {"name": "main"})
    watched.take("b", [stop])
    found(watched, OPEN)
    watched.clock.passes(minutes=31)
    later_record(watched)
    watched.service.look_at_keys("working")
    [alert] = watched.alerts(RULE.rule_id)
    [note] = alert.document["keytrail.drift"]["notes"]  # type: ignore[index]
    assert note.startswith("The trail main was stopped at 2026-03-02T12:30:00Z")
    assert str(stop["eventID"]) in note


# -- when the lake may not have everything ----------------------------------------------------------------------------


def test_without_a_record_of_the_account_and_region_nothing_is_said_for_a_day(watched: Bench) -> None:
    found(watched, OPEN)
    watched.clock.passes(hours=2)
    later_record(watched, awsRegion="us-east-1")
    assert watched.service.look_at_keys("working") == 0
    watched.clock.passes(hours=21)
    assert watched.service.look_at_keys("working") == 0
    watched.clock.passes(hours=2)
    assert watched.service.look_at_keys("working") == 1
    [alert] = watched.alerts()
    [note] = alert.document["keytrail.drift"]["notes"]  # type: ignore[index]
    assert "No record of account 111122223333 in eu-west-1" in note


def test_while_a_source_fails_nothing_is_said_for_a_day(watched: Bench) -> None:
    found(watched, OPEN)
    watched.clock.passes(hours=2)
    later_record(watched)
    assert watched.service.look_at_keys("failing") == 0
    watched.clock.passes(hours=23)
    assert watched.service.look_at_keys("failing") == 1
    [alert] = watched.alerts()
    assert alert.document["keytrail.drift"]["notes"] == ["Not all sources of records could be read."]  # type: ignore[index]


def test_a_service_that_was_away_first_takes_in_what_came_meanwhile(watched: Bench) -> None:
    found(watched, OPEN)
    watched.stop()
    watched.clock.passes(days=3)
    watched.take("b", [event("newer", minutes=4000)])
    assert watched.service.look_at_keys("working") == 0
    watched.take("c", [made.put_policy("12:59", made.user(), OPEN)])
    watched.clock.passes(minutes=31)
    watched.service.look_at_keys("working")
    assert watched.alerts(RULE.rule_id) == ()


def test_once_it_is_enough_that_all_is_taken_in(watched: Bench) -> None:
    found(watched, OPEN)
    watched.stop()
    watched.clock.passes(days=3)
    watched.take("b", [event("newer", minutes=4000)])
    assert watched.service.look_at_keys("drained") == 1


# -- the same in other words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        {"Statement": [made.allow(made.OWNER)], "Version": "2012-10-17"},
        made.policy(made.allow({"AWS": [made.root_arn(made.OWNER)] * 2}, ["kms:*"])),
        made.policy(OWN, OWN),
    ],
)
def test_the_same_policy_in_another_form_is_none(watched: Bench, document: Json) -> None:
    later_and_compared(watched, document)
    assert watched.alerts() == ()


@pytest.mark.parametrize(
    ("before", "id"), [("role/App", "AROAQ3EGRKVPVEXAMPLE1"), ("user/bob", "AIDAQ3EGRKVPVEXAMPLE1")]
)
def test_the_id_of_a_deleted_principal_in_place_of_its_arn_is_none(bench: MakeBench, before: str, id: str) -> None:
    arn = f"arn:aws:iam::{made.OWNER}:{before}"
    one = bench(watch=WATCH)
    one.take(
        "a", [made.create_key("11:00", made.user(), made.policy(OWN, made.allow({"AWS": [arn, EVE]}, "kms:Decrypt")))]
    )
    later_and_compared(one, made.policy(OWN, made.allow({"AWS": [EVE, id]}, "kms:Decrypt")))
    assert one.alerts() == ()
    # But who uses the occasion for a change is seen.
    later_and_compared(one, made.policy(OWN, made.allow({"AWS": [EVE, id, STRANGER]}, "kms:Decrypt")))
    assert len(one.alerts()) == 1


@pytest.mark.parametrize("text", [None, '{"Statement": [{"Effect": "Perhaps"}]}'])
def test_a_policy_that_may_not_be_read_or_is_none_that_we_know_is_not_judged(
    bench: MakeBench, eyes: Eyes, text: str | None
) -> None:
    one = bench(watch=WATCH, policies={"every_hours": 1})
    one.take("a", [CREATED])
    one.service.look_at_keys("working")
    eyes.shows = {}
    one.clock.passes(hours=1)
    with one.home.database.write() as connection:
        put_snapshot(
            connection, key_arn=made.KEY, account=made.OWNER, region=made.REGION, source="kms",
            texts={} if text is None else {"default": text}, facts={}, at=one.clock(),
        )  # fmt: skip
    one.clock.passes(hours=30)
    later_record(one)
    assert one.service.look_at_keys("working") == 0
    look = last_look(one.home.database)
    assert look is not None
    assert (look.drifted, look.unjudged) == (0, 1)


# -- the rule is one like others --------------------------------------------------------------------------------------


def test_the_rule_is_listed_and_can_be_disabled(watched: Bench) -> None:
    with watched.home.database.write() as connection:
        rules = all_rules(watched.settings, connection).rules
        decide(
            connection, [named(rules, RULE.name)], enabled=False, catch_up=False, author=Author("ada", watched.clock())
        )
    watched.clock.passes(seconds=1)
    watched.run()
    later_and_compared(watched, OPEN)
    assert watched.alerts() == ()
    assert RULE.rule_id == RULE_ID
    # Enabled again, it says what is so.
    with watched.home.database.write() as connection:
        decide(connection, [RULE], enabled=True, catch_up=False, author=Author("ada", watched.clock()))
    watched.clock.passes(seconds=1)
    watched.run()
    assert watched.service.look_at_keys("working") == 1


def test_many_keys_that_drift_are_an_alert_each(watched: Bench) -> None:
    """There is no later run of the rule that would make what `max_signals` left over."""
    keys = [f"{made.KEY[:-3]}{number:03}" for number in range(105)]
    watched.take("keys", [made.create_key("11:00", made.user(), CLOSED, key=key) for key in keys])
    watched.clock.passes(hours=1)
    for key in keys:
        found(watched, OPEN, key=key)
    watched.clock.passes(hours=1)
    later_record(watched)
    assert watched.service.look_at_keys("working") == len(keys) > RULE.max_signals


def test_an_exception_keeps_the_alert_of_a_key_away(watched: Bench) -> None:
    exception_for(watched, "aws.cloudtrail.resources.arn", made.KEY)
    other = made.KEY[:-1] + "9"
    watched.take("other", [made.create_key("11:00", made.user(), CLOSED, key=other)])
    watched.clock.passes(hours=1)
    found(watched, OPEN, key=other)
    later_and_compared(watched, OPEN)
    [alert] = watched.alerts()
    assert alert.document["keytrail.drift"]["key"]["arn"] == other  # type: ignore[index]


def test_there_are_plans_against_a_drift(watched: Bench) -> None:
    found(watched, OPEN)
    later_and_compared(watched, OPEN)
    [alert] = watched.alerts()
    subject = subject_of(alert.document, accounts=Accounts())
    assert (subject.key.arn, subject.current and subject.current.policy) == (made.KEY, KeyPolicy.parse(OPEN))
    plans = {one.kind: one for one in propose(subject, caller=None, uses=None, now=watched.clock()).plans}
    assert KeyPolicy.parse(str(plans["restore"].after)) == KeyPolicy.parse(CLOSED)
    assert "quarantine" not in plans  # nobody knows who did it


def test_a_state_that_cannot_be_written_loses_no_alert(watched: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    found(watched, OPEN)
    watched.clock.passes(hours=1)
    later_record(watched)

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("keytrail.store.state.outbox.post", full)
        patch.setattr("keytrail.service.watch.telling.post", full)
        with pytest.raises(StoreError):
            watched.service.look_at_keys("working")
    assert watched.alerts() == ()
    assert watched.service.look_at_keys("working") == 1
    assert watched.letters() == [("people", watched.alerts()[0].id, "waiting")]


def test_who_lost_the_lease_makes_no_alert(watched: Bench) -> None:
    found(watched, OPEN)
    watched.clock.passes(hours=1)
    later_record(watched)
    watched.run()
    with watched.home.database.write() as connection:
        connection.execute(leases.update().values(epoch=leases.c.epoch + 1))
    with pytest.raises(LeaseLost):
        watched.service.look_at_keys("working")
    assert watched.alerts() == ()
