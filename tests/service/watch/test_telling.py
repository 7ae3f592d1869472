"""Telling people: each alert once if all goes well, again under the same id if not, and what is to rest never."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from keytrail.service.exceptions import Author
from keytrail.service.rule_admin import all_rules, snooze
from keytrail.store.state.triage import Snooze, change_alerts
from tests.investigate import records as made
from tests.service.watch.kit import Bench, MemorySink, Refused, ids_of, probes, rule

MakeBench = Callable[..., Bench]

OWN = made.allow({"AWS": made.root_arn(made.OWNER)})
CREATED = made.create_key("11:00", made.user(), made.policy(OWN))
OPENED = made.put_policy(
    "11:55", made.user(), made.policy(OWN, made.allow({"AWS": made.root_arn(made.OUTSIDE)})), eventID="opened"
)
SAME = made.put_policy("11:50", made.user(), made.policy(OWN), eventID="same")
ON_CHANGES = rule("changes", "event.action: PutKeyPolicy")


# -- what is told, and when -------------------------------------------------------------------------------------------


def test_an_alert_that_is_not_investigated_is_told_at_once(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(1, 2))
    assert one.tell() == 2
    assert one.sink.ids == [alert.id for alert in one.alerts()]
    assert [message.reason for message in one.sink.messages] == ["new", "new"]
    assert one.tell() == 0
    one.restart()
    assert one.tell() == 0


def test_an_alert_about_a_policy_waits_for_its_verdict(bench: MakeBench) -> None:
    one = bench(ON_CHANGES)
    one.take("a", [CREATED, OPENED])
    one.clock.passes(seconds=59)
    assert one.tell() == 0
    one.look()
    assert one.tell() == 1
    [message] = one.sink.messages
    assert message.alert["keytrail.investigation"]["verdict"] == one.alerts()[0].verdict  # type: ignore[index]


def test_after_a_minute_it_goes_without_a_verdict_and_is_told_again_once_there_is_a_grave_one(
    bench: MakeBench,
) -> None:
    one = bench(ON_CHANGES)
    one.take("a", [CREATED, OPENED])
    one.clock.passes(seconds=61)
    assert one.tell() == 1
    one.look()
    assert one.tell() == 1
    assert one.tell() == 0
    first, second = one.sink.messages
    [alert] = one.alerts()
    assert "keytrail.investigation" not in first.alert
    assert (first.id, first.reason) == (alert.id, "new")
    assert (second.id, second.reason) == (f"{alert.id}-{alert.verdict}", "raised")
    assert one.sink.alert_ids == [alert.id, alert.id]


def test_a_harmless_verdict_after_that_is_not_told(bench: MakeBench) -> None:
    one = bench(ON_CHANGES)
    one.take("a", [CREATED, SAME])
    one.clock.passes(seconds=61)
    assert one.tell() == 1
    one.look()
    assert one.alerts()[0].verdict in ("no_effect", "expected")
    assert one.tell() == 0


def test_a_verdict_that_is_raised_is_told_again_under_the_same_alert(bench: MakeBench) -> None:
    """The policy that was there before comes late: only then is it known what the change gave away."""
    one = bench(ON_CHANGES)
    open_one = made.policy(OWN, made.allow({"AWS": made.root_arn(made.OUTSIDE)}))
    created = made.create_key("11:00", made.user(), open_one)
    one.take("a", [created, made.put_policy("11:55", made.user(), open_one, eventID="late")])
    one.look()
    one.tell()
    [alert] = one.alerts()
    assert alert.verdict == "no_effect"
    one.take("b", [made.put_policy("11:30", made.user(), made.policy(OWN), eventID="between")])
    one.clock.passes(seconds=30)
    one.look()
    one.tell()
    [alert, *_] = [each for each in one.alerts() if each.event_id == "late"]
    about = [message for message in one.sink.messages if message.alert["kibana.alert.uuid"] == alert.id]
    assert alert.verdict in ("review", "malicious")
    assert [(message.id, message.reason) for message in about] == [
        (alert.id, "new"), (f"{alert.id}-{alert.verdict}", "raised"),
    ]  # fmt: skip


def test_a_second_rule_that_finds_the_event_later_tells_of_it_too(bench: MakeBench) -> None:
    """Its alert is told with the verdict that there is, though the case was told before."""
    one = bench(ON_CHANGES)
    one.take("a", [CREATED, OPENED])
    one.look()
    one.tell()
    one.change_rule(rule("other", "event.action: PutKeyPolicy"))
    one.run()
    assert len(one.alerts()) == 2
    assert {alert.verdict for alert in one.alerts()} == {one.alerts()[0].verdict}
    assert one.tell() == 1
    assert one.sink.alert_ids == [alert.id for alert in one.alerts()]
    assert "keytrail.investigation" in one.sink.messages[-1].alert
    one.look()
    assert one.tell() == 0


def test_two_rules_that_find_an_event_at_once_tell_of_it_each_with_its_verdict(bench: MakeBench) -> None:
    one = bench(ON_CHANGES, rule("other", "event.action: PutKeyPolicy"))
    one.take("a", [CREATED, OPENED])
    one.look()
    assert one.tell() == 2
    assert sorted(one.sink.ids) == sorted(ids_of("changes", [OPENED]) | ids_of("other", [OPENED]))


# -- what is not told -------------------------------------------------------------------------------------------------


def test_building_blocks_and_what_is_snoozed_are_not_told(bench: MakeBench) -> None:
    one = bench(rule("block", building_block_type="default"), rule("snoozed"), rule("told"))
    with one.home.database.write() as connection:
        rules = [each for each in all_rules(one.settings, connection).rules if each.rule_id == "snoozed"]
        snooze(connection, rules, one.clock() + timedelta(hours=1), Author("me", one.clock()))
    one.take("a", probes(1))
    assert len(one.alerts()) == 3
    one.tell()
    assert one.sink.alert_ids == list(ids_of("told", probes(1)))
    one.clock.passes(hours=2)
    one.take("b", probes(2))
    one.tell()
    assert sorted(one.sink.alert_ids[1:]) == sorted(ids_of("told", probes(2)) | ids_of("snoozed", probes(2)))


def test_a_verdict_of_an_alert_that_is_snoozed_is_not_told(bench: MakeBench) -> None:
    one = bench(ON_CHANGES)
    one.take("a", [CREATED, OPENED])
    with one.home.database.write() as connection:
        until = Snooze(one.clock() + timedelta(hours=1))
        change_alerts(connection, [one.alerts()[0].id], until, who="me", now=one.clock())
    one.look()
    assert one.tell() == 0


def test_alerts_of_quiet_records_are_not_told(bench: MakeBench) -> None:
    one = bench(rule(), ON_CHANGES)
    with one.importing(history=False, quiet=True) as service:
        one.feed.put("a", [*probes(1), CREATED, OPENED])
        service.take(one.feed.receive(), one.feed)  # type: ignore[arg-type]
    one.run()
    one.look()
    one.clock.passes(minutes=5)
    assert len(one.alerts()) == 2
    assert one.tell() == 0
    assert one.letters() == []


# -- to whom ----------------------------------------------------------------------------------------------------------


def test_each_sink_gets_what_its_settings_say(bench: MakeBench) -> None:
    routes: list[dict[str, Any]] = [
        {"name": "all"},
        {"name": "grave", "min_severity": "critical"},
        {"name": "one-rule", "rules": ["other"]},
        {"name": "one-account", "accounts": ["444455556666"]},
        {"name": "bad", "verdicts": ["malicious", "review"]},
    ]
    one = bench(rule(), rule("other", severity="critical"), ON_CHANGES, sinks=routes)
    one.sinks[:] = [MemorySink(route["name"]) for route in routes]
    one.take("a", [*probes(1), *probes(2, recipientAccountId="444455556666"), CREATED, OPENED, SAME])
    one.look()
    one.tell()
    got = {sink.name: sorted(sink.alert_ids) for sink in one.sinks}
    every = one.alerts()
    assert got["all"] == sorted(alert.id for alert in every)
    assert got["grave"] == got["one-rule"] == sorted(alert.id for alert in every if alert.rule_id == "other")
    assert got["one-account"] == sorted(alert.id for alert in every if alert.account == "444455556666")
    assert got["bad"] == [alert.id for alert in every if alert.verdict in ("malicious", "review")]
    assert len(got["bad"]) == 1


# -- what goes wrong --------------------------------------------------------------------------------------------------


class Gone(BaseException):
    """The process ends here."""


def test_who_is_stopped_after_a_delivery_delivers_again_under_the_same_id(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(1))
    one.sink.fails = [Gone()]
    with pytest.raises(Gone):
        one.tell()
    one.restart()
    assert one.tell() == 1
    [alert] = one.alerts()
    assert one.sink.ids == [alert.id, alert.id]


def test_a_sink_that_fails_is_tried_again_with_growing_pauses_and_loses_nothing(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(1, 2))
    one.sink.fails = [Refused() for _ in range(4)]
    pauses = []
    for _ in range(4):
        assert one.tell() == 0
        begun = one.clock()
        while (
            not one.tell() and len(one.sink.fails) == 4 - len(pauses) - 1 and one.clock() - begun < timedelta(hours=1)
        ):
            one.clock.passes(seconds=1)
        pauses.append((one.clock() - begun).total_seconds())
    assert pauses == [5, 10, 20, 40]
    assert sorted(one.sink.ids) == sorted(one.alert_ids())


def test_a_sink_that_asks_for_time_gets_it(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(1))
    one.sink.fails = [Refused(after_seconds=600)]
    one.tell()
    one.clock.passes(seconds=599)
    assert one.tell() == 0
    one.clock.passes(seconds=1)
    assert one.tell() == 1


def test_one_sink_that_fails_holds_up_no_other(bench: MakeBench) -> None:
    one = bench(rule(), sinks=[{"name": "down"}, {"name": "up"}])
    down, up = one.sinks[:] = [MemorySink("down", fails=[Refused()] * 9), MemorySink("up")]
    one.take("a", probes(1))
    one.tell()
    assert (len(down.messages), len(up.messages)) == (0, 1)


def test_what_is_refused_for_good_is_not_tried_again_and_is_seen(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(1))
    one.sink.fails = [Refused(retry=False)]
    one.tell()
    one.clock.passes(days=1)
    assert one.tell() == 0
    assert one.letters() == [("people", one.alerts()[0].id, "refused")]


def test_where_some_of_a_call_failed_only_these_come_again(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(1, 2, 3))
    first, second, third = [alert.id for alert in one.alerts()]
    parts = {first: Refused(), second: Refused(retry=False)}
    one.sink.fails = [Refused(parts=parts)]
    one.tell()
    one.clock.passes(seconds=5)
    one.tell()
    assert one.sink.ids == [third, first]
    assert [state for _, _, state in one.letters()] == ["sent", "refused", "sent"]


def test_a_clock_that_is_set_back_keeps_no_message(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(1))
    one.clock.passes(days=-3)
    assert one.tell() == 1


# -- floods -----------------------------------------------------------------------------------------------------------


def test_a_flood_is_told_in_a_digest_and_then_there_is_peace_for_a_while(bench: MakeBench) -> None:
    one = bench(rule(max_signals=1000))
    one.sink.digesting = True
    one.take("a", probes(*range(15)))
    one.tell()
    assert (len(one.sink.messages), len(one.sink.digests)) == (15, 0)
    one.take("b", probes(*range(15, 75)))
    one.tell()
    assert (len(one.sink.messages), [digest.total for digest in one.sink.digests]) == (15, [60])
    one.take("c", probes(*range(75, 100)))
    one.clock.passes(minutes=9)
    assert one.tell() == 0
    one.clock.passes(minutes=2)
    assert one.tell() == 25
    assert sum(digest.total for digest in one.sink.digests) + len(one.sink.messages) == len(one.alerts())


def test_a_digest_that_fails_is_sent_again_as_the_same(bench: MakeBench) -> None:
    one = bench(rule(max_signals=1000))
    one.sink.digesting = True
    one.sink.fails = [Refused()]
    one.take("a", probes(*range(60)))
    assert one.tell() == 0
    one.clock.passes(seconds=5)
    assert one.tell() == 60
    assert [digest.total for digest in one.sink.digests] == [60]


def test_a_machine_gets_every_message_of_a_flood(bench: MakeBench) -> None:
    one = bench(rule(max_signals=5_000))
    one.take("a", probes(*range(1_050)))
    one.tell()
    assert sorted(one.sink.ids) == sorted(one.alert_ids())
    assert len(one.sink.ids) == 1_050
