"""Searches over the objects of sources: what can match, the fast passes over bytes, worker processes."""

from keytrail.search.cut import Rows
from keytrail.search.examine import Counts, Examiner, Match, Options, Result, match_id
from keytrail.search.patterns import Dispatch, Pattern, dispatch
from keytrail.search.sites import Site, Spans, merge, site_of
from keytrail.search.spool import Spool
from keytrail.search.values import Literal, Sighting, strings_of, value_at, within
from keytrail.search.workers import Crew, Listing, Plan, Pool, Sizes, available_cores, run

__all__ = [
    "Counts",
    "Crew",
    "Dispatch",
    "Examiner",
    "Listing",
    "Literal",
    "Match",
    "Options",
    "Pattern",
    "Plan",
    "Pool",
    "Result",
    "Rows",
    "Sighting",
    "Site",
    "Sizes",
    "Spans",
    "Spool",
    "available_cores",
    "dispatch",
    "match_id",
    "merge",
    "run",
    "site_of",
    "strings_of",
    "value_at",
    "within",
]
