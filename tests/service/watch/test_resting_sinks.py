"""A sink that does not answer is left alone for a while, however much waits for it."""

from __future__ import annotations

from collections.abc import Callable

from tests.service.watch.kit import Bench, Refused, probes, rule

MakeBench = Callable[..., Bench]


def test_a_sink_that_is_down_is_tried_once_in_a_pause_and_not_once_for_each_message(bench: MakeBench) -> None:
    one = bench(rule(), notify={"first_pause_seconds": 5, "longest_pause_seconds": 60})
    one.sink.most = 1
    one.take("a", probes(1, 2, 3))
    one.sink.fails = [Refused(), Refused(), Refused()]
    for _ in range(4):
        assert one.tell() == 0
        one.clock.passes(seconds=1)
    assert len(one.sink.fails) == 2
    one.clock.passes(seconds=2)
    assert one.tell() == 0
    assert len(one.sink.fails) == 1
    one.clock.passes(seconds=9)  # the pause has doubled
    assert one.tell() == 0
    assert len(one.sink.fails) == 1


def test_once_it_answers_all_that_waited_goes(bench: MakeBench) -> None:
    one = bench(rule(), notify={"first_pause_seconds": 5, "longest_pause_seconds": 60})
    one.sink.most = 1
    one.take("a", probes(1, 2, 3))
    one.sink.fails = [Refused()]
    assert one.tell() == 0
    one.clock.passes(seconds=6)
    assert one.tell() == 3
    assert sorted(one.sink.ids) == sorted(one.alert_ids())


def test_a_sink_that_asks_for_time_gets_it(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(1))
    one.sink.fails = [Refused(after_seconds=120)]
    assert one.tell() == 0
    one.clock.passes(seconds=119)
    assert one.tell() == 0
    one.clock.passes(seconds=2)
    assert one.tell() == 1


def test_a_clock_that_is_set_back_does_not_make_it_wait_for_ever(bench: MakeBench) -> None:
    one = bench(rule())
    one.take("a", probes(1, 2))
    one.sink.most = 1
    one.sink.fails = [Refused()]
    assert one.tell() == 0
    one.clock.passes(days=-1)
    assert one.tell() == 1
