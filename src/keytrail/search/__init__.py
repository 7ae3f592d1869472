"""Searches over the objects of sources: what can match, the fast passes over bytes, worker processes."""

from keytrail.search.examine import Counts, Match, Options, Result, match_id
from keytrail.search.patterns import Pattern, dispatch
from keytrail.search.workers import Listing, Plan, Pool, Sizes, available_cores, run

__all__ = [
    "Counts",
    "Listing",
    "Match",
    "Options",
    "Pattern",
    "Plan",
    "Pool",
    "Result",
    "Sizes",
    "available_cores",
    "dispatch",
    "match_id",
    "run",
]
