"""A synthetic CloudTrail archive with a story in it, for the demo, for tests and for benchmarks."""

from keytrail.simulation.expected import FLAGSHIP_RULE
from keytrail.simulation.mix import EVENT_MIX, EventKind, event_mix
from keytrail.simulation.simulate import DEFAULT_START, LEDGER, Layout, Summary, simulate

__all__ = [
    "DEFAULT_START",
    "EVENT_MIX",
    "FLAGSHIP_RULE",
    "LEDGER",
    "EventKind",
    "Layout",
    "Summary",
    "event_mix",
    "simulate",
]
