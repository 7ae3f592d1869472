"""A ledger, a clock moved by hand, a proxy in front of the AWS server, and feeds that are closed in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from keytrail.aws import AwsSettings
from keytrail.sources import SourceSettings
from keytrail.sources.feeds import Feed, FeedSettings, open_feed
from tests.servers.proxy import Proxy
from tests.sources.feeds.ledger import HandClock, MemoryLedger

Open = Callable[..., Feed]


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def feeds(proxy: Proxy) -> FeedSettings:
    """Settings whose way to AWS is the proxy; one attempt, so that a fault is seen."""
    aws = AwsSettings(region="us-east-1", endpoint_url=proxy.url, max_attempts=1, read_timeout_seconds=10)
    return FeedSettings(source=SourceSettings(aws=aws, lookup_calls_per_second=2.0))


@pytest.fixture
def opened(feeds: FeedSettings, ledger: MemoryLedger, clock: HandClock) -> Iterator[Open]:
    """Open a feed with changed settings, by the hand's clock unless another is given."""
    made: list[Feed] = []

    def open_it(text: str, **changes: object) -> Feed:
        used = changes.pop("clock", clock.feed_clock())
        feed = open_feed(text, replace(feeds, **changes), ledger, used)  # type: ignore[arg-type]
        made.append(feed)
        return feed

    yield open_it
    for feed in made:
        feed.close()
