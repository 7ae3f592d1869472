"""An account's event history (LookupEvents) as a feed, for accounts without a bucket."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from keytrail.aws import AwsSettings, client, explained
from keytrail.errors import KeytrailError, SourceError
from keytrail.sources.feeds.limits import FeedSettings
from keytrail.sources.feeds.model import Delivery, FeedStatus, Ledger
from keytrail.sources.feeds.returns import Later, Returned
from keytrail.sources.feeds.stretch import Page, Place, Stretch
from keytrail.sources.feeds.timing import FeedClock, Trouble
from keytrail.sources.lookup import KEPT_DAYS, NOTE, lookup_request, record_line, regions_of
from keytrail.sources.pacing import Pacer
from keytrail.text import for_terminal

if TYPE_CHECKING:
    from mypy_boto3_cloudtrail import CloudTrailClient
    from mypy_boto3_cloudtrail.type_defs import LookupEventsResponseTypeDef

_log = logging.getLogger(__name__)

_REGIONS_SECONDS = 3600.0
_GLOBAL_REGION = "us-east-1"
