"""New objects and records as they arrive: folders, buckets, queues, LookupEvents, standard input."""

from keytrail.sources.feeds.limits import FeedSettings
from keytrail.sources.feeds.model import Delivery, Feed, FeedStatus, Ledger
from keytrail.sources.feeds.registry import iam_needs, open_feed
from keytrail.sources.feeds.timing import FeedClock

__all__ = ["Delivery", "Feed", "FeedClock", "FeedSettings", "FeedStatus", "Ledger", "iam_needs", "open_feed"]
