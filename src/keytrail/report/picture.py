"""The time line as a picture: where each event stands in its lane, so that nothing covers anything else.

Distances grow with the logarithm of the time between two events, and long times without events become a break with
their length beside it: minutes of an attack and the days around it are to be read in one picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from keytrail.phrases import count
from keytrail.report import words
from keytrail.report.blocks import Point, Timeline
from keytrail.text import for_terminal, shorten

WIDTH = 1000
_LEFT, _RIGHT = 112, 984
_TOP, _LANE, _AXIS = 36, 50, 46
_BREAK = 74
_BREAKS = 6
_RADIUS = 5.0
_CHARACTER = 6.1  # pixels of a label's character, on the safe side
_DIGIT = 6.6
_LONGEST = 26  # characters of a label
_TITLES = 12  # events that the title of a fold names
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Marker:
    """An event, or several that stand too close to be told apart, from `left` to `right`."""

    left: float
    right: float
    count: int
    label: str
    titles: tuple[str, ...]
    failed: bool
    is_change: bool

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    @property
    def title(self) -> str:
        """One line an event, and how many there are besides."""
        left = self.count - _TITLES
        rest = (f"and {left:,} more",) if len(self.titles) > _TITLES and left > 0 else ()
        return "\n".join((*self.titles[:_TITLES], *rest))


@dataclass(frozen=True, slots=True)
class Label:
    """A text at a place; `anchor` is SVG's text-anchor."""

    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Lane:
    """A row of the picture: its name, the line its markers stand on, and the labels above them."""

    name: str
    y: float
    markers: tuple[Marker, ...]
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is drawn. `change` and `end` are where the change came and went, `breaks` where time is left out."""

    height: float
    axis: float
    lanes: tuple[Lane, ...]
    ticks: tuple[Label, ...]
    breaks: tuple[float, ...]
    change: float | None
    end: float | None
    marks: tuple[Label, ...]
    described: str
    width: int = WIDTH
    left: int = _LEFT
    right: int = _RIGHT
    top: int = _TOP


def picture(timeline: Timeline) -> Picture:
    """Lay out the events of a time line, of which there must be one at least."""
    points = sorted(timeline.points, key=lambda point: (point.time, point.title))
    times = sorted({point.time for point in points} | ({timeline.end} if timeline.end else set()))
    scale = _scale(times)
    names = [name for name in words.LANES if any(point.lane == name for point in points)]
    change = next((point.time for point in points if point.is_change), None)
    line = scale.x[change] if change else None
    lanes = tuple(
        _lane(name, _TOP + at * _LANE, [point for point in points if point.lane == name], scale.x, line)
        for at, name in enumerate(names)
    )
    axis = _TOP + len(lanes) * _LANE
    # An end before the change is none of this change.
    end = timeline.end if timeline.end and change and timeline.end > change else None
    marks = []
    if change is not None and line is not None:
        marks.append(_mark(line, 12, f"the change, {change:%H:%M:%S}"))
    if end is not None:
        marks.append(_mark(scale.x[end], 27, f"no longer in force, {end:%H:%M:%S}"))
    return Picture(
        height=axis + _AXIS,
        axis=axis,
        lanes=lanes,
        ticks=(*_ticks(times, scale, axis), *scale.lengths(axis)),
        breaks=scale.breaks,
        change=line,
        end=scale.x[end] if end else None,
        marks=tuple(marks),
        described=_described(points, names),
    )


def _described(points: Sequence[Point], names: Sequence[str]) -> str:
    """The picture in a sentence, for those who do not see it."""
    counted = [
        f"{words.LANES[name]}: {count(sum(one.count for one in points if one.lane == name), 'event')}" for name in names
    ]
    return f"From {points[0].time:%Y-%m-%d %H:%M} to {points[-1].time:%Y-%m-%d %H:%M}, UTC. {'; '.join(counted)}."


# The axis -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scale:
    x: dict[datetime, float]
    starts: frozenset[datetime]
    """Times after a break, and the first."""
    breaks: tuple[float, ...]
    left_out: tuple[timedelta, ...]

    def lengths(self, axis: float) -> list[Label]:
        """How long each break is."""
        pairs = zip(self.breaks, self.left_out, strict=True)
        return [Label(x, axis + 42, words.span(length), "middle") for x, length in pairs]


def _scale(times: Sequence[datetime]) -> _Scale:
    gaps = [later - earlier for earlier, later in pairwise(times)]
    broken = _broken(gaps)
    weights = [0.0 if at in broken else 0.3 + math.log2(1 + gap.total_seconds() / 60) for at, gap in enumerate(gaps)]
    first, last = _LEFT + 14.0, _RIGHT - 14.0
    room = last - first - len(broken) * _BREAK
    whole = sum(weights)
    x = {times[0]: first if gaps else (first + last) / 2}
    breaks, left_out = [], []
    at = x[times[0]]
    for number, (gap, weight) in enumerate(zip(gaps, weights, strict=True)):
        if number in broken:
            breaks.append(at + _BREAK / 2)
            left_out.append(gap)
            at += _BREAK if whole else (last - first) / len(broken)
            if not whole:
                breaks[-1] = at - (last - first) / len(broken) / 2
        else:
            at += room * weight / whole
        x[times[number + 1]] = at
    starts = frozenset({times[0], *(times[number + 1] for number in broken)})
    return _Scale(x, starts, tuple(breaks), tuple(left_out))


def _broken(gaps: Sequence[timedelta]) -> frozenset[int]:
    """Which times without events are left out: the longest few, far longer than usual."""
    if not gaps:
        return frozenset()
    usual = median(gap.total_seconds() for gap in gaps)
    long = [at for at, gap in enumerate(gaps) if gap.total_seconds() >= max(45 * 60, 6 * usual)]
    return frozenset(sorted(long, key=lambda at: (-gaps[at], at))[:_BREAKS])


def _ticks(times: Sequence[datetime], scale: _Scale, axis: float) -> list[Label]:
    ticks: list[Label] = []
    day, end = "", -math.inf
    for time in times:
        x = scale.x[time]
        # The first after a break may stand closer: the break is room enough.
        if x - end < (24 if time in scale.starts else 44):
            continue
        ticks.append(Label(x, axis + 15, f"{time:%H:%M}", "middle"))
        end = x + 16
        if (today := f"{time.day} {_MONTHS[time.month - 1]}") != day:
            ticks.append(Label(x, axis + 28, today, "middle"))
            day = today
    return ticks


def _mark(x: float, y: float, text: str) -> Label:
    fits = x + 6 + len(text) * _CHARACTER < _RIGHT
    return Label(x + 6, y, text) if fits else Label(x - 6, y, text, "end")


# The lanes ----------------------------------------------------------------------------------------------------------


def _lane(name: str, top: float, points: Sequence[Point], x: dict[datetime, float], change: float | None) -> Lane:
    markers = _folded([_marker(point, x[point.time]) for point in points])
    return Lane(words.LANES[name], top + 38, tuple(markers), tuple(_labels(markers, top, change)))


def _marker(point: Point, x: float) -> Marker:
    half = _half(point.count)
    return Marker(
        x - half, x + half, point.count, for_terminal(point.label), (point.title,), point.failed, point.is_change
    )


def _half(count: int) -> float:
    return _RADIUS if count == 1 else 5 + _DIGIT * len(f"{count:,}") / 2


def _folded(markers: Sequence[Marker]) -> list[Marker]:
    """The markers, those that would touch as one, until none do."""
    found: list[Marker] = []
    for marker in markers:
        one = marker
        while found and one.left - found[-1].right < 2:
            one = _together(found.pop(), one)
        found.append(one)
    return found


def _together(one: Marker, other: Marker) -> Marker:
    count = one.count + other.count
    left, right = min(one.left, other.left), max(one.right, other.right)
    middle, half = (left + right) / 2, max(_half(count), (right - left) / 2)
    same = one.label == other.label
    return replace(
        one,
        left=middle - half,
        right=middle + half,
        count=count,
        label=one.label if same else "",
        titles=one.titles + other.titles,
        failed=one.failed and other.failed,
        is_change=one.is_change or other.is_change,
    )


def _labels(markers: Sequence[Marker], top: float, change: float | None) -> list[Label]:
    """The names of the events above their markers, in two rows, where there is room; the titles have them all."""
    labels: list[Label] = []
    ends = {top + 27: -math.inf, top + 14: -math.inf}
    for marker in markers:
        text = shorten(marker.label or f"{marker.count:,} events", _LONGEST)
        beside = marker.middle + 5 if marker.is_change else marker.left  # the line of the change stays free
        width = sum(_CHARACTER if character.isascii() else 2 * _CHARACTER for character in text)
        x = min(beside, _RIGHT - width)
        if change is not None and marker.middle < change < x + width + 2 and change - width - 3 > _LEFT:
            x = change - width - 3
        row = next((y for y, end in ends.items() if x - end >= 8), None)
        if row is not None:
            labels.append(Label(x, row, text))
            ends[row] = x + width
    return labels
