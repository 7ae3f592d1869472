"""`aws://`: an account's own event history through LookupEvents, without a bucket.

LookupEvents (CloudTrail API reference) answers 2 calls a second for each account and region, 50 events a page, newest
first, and knows the management events of the last 90 days; one attribute can be asked for at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from keytrail.aws import AwsSettings, client, explained, session_region, source_error
from keytrail.aws.failures import THROTTLED, error_code
from keytrail.errors import ObjectError, Place, SourceError, UsageError
from keytrail.sources.model import Skipped, Source, SourceObject, SourceSettings, TimeWindow
from keytrail.sources.pacing import Pacer

if TYPE_CHECKING:
    from mypy_boto3_cloudtrail import CloudTrailClient
    from mypy_boto3_cloudtrail.type_defs import EventTypeDef, LookupEventsRequestTypeDef, LookupEventsResponseTypeDef

PAGE_EVENTS = 50
KEPT_DAYS = 90
KMS = "kms.amazonaws.com"
_THROTTLED_TRIES = 6
_REGION_NAME = "abcdefghijklmnopqrstuvwxyz0123456789-"

NOTE = (
    "aws:// shows management events of the last 90 days only (the limits of LookupEvents): no data events, no network "
    "activity events; read the trail's bucket (s3://…) for those"
)


def open_account(text: str, settings: SourceSettings) -> Source:
    """Return the source for `aws://` (the region of the session), `aws://region,region…` or `aws://all`.

    `all` means the regions enabled for the account (needs ec2:DescribeRegions). Raises UsageError for anything else.
    """
    return LookupSource(text, settings, named_regions(text[len("aws://") :], text))


def named_regions(names: str, text: str) -> tuple[str, ...]:
    """The regions in `eu-west-1,us-east-1`, perhaps none. Raises UsageError for anything else, naming all of `text`."""
    regions = tuple(dict.fromkeys(part.strip().lower() for part in names.strip("/").split(",")))
    if any(set(region) - set(_REGION_NAME) or len(region) > 40 for region in regions):
        raise UsageError(f"{text!r} names no region", advice="write aws://, aws://eu-west-1,us-east-1 or aws://all")
    return tuple(filter(None, regions))


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@dataclass(slots=True)
class LookupSource:
    """The event history of the account in some regions: KMS events of all regions first, then all others.

    One object is one page, asked for when it is listed and kept until it is read, once, by the process that lists.
    """

    label: str
    settings: SourceSettings
    regions: tuple[str, ...]
    now: Callable[[], datetime] = _utc_now
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    parallel: bool = False
    read_ahead: int = 1
    skipped: Skipped = field(default_factory=Skipped)
    problems: list[ObjectError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pages: dict[str, bytes] = field(default_factory=dict)

    def name(self, key: str) -> str:
        return f"aws://{key}"

    def read(self, key: str) -> Iterator[bytes]:
        """Yield the page as NDJSON, one CloudTrail record a line."""
        try:
            yield self.pages.pop(key)
        except KeyError:
            raise ObjectError("the page was read before", place=Place(self.name(key))) from None

    def objects(self, window: TimeWindow) -> Iterator[SourceObject]:
        """Yield one object a page, within the window; its default is the last `lookup_days` days."""
        self.skipped, self.problems, self.notes = Skipped(), [], [NOTE]
        self.pages.clear()
        since, until = self._span(window)
        regions = regions_of(self.regions, self.settings.aws, self.label)
        # An event of KMS is in the second answer again. One that was delivered between the two is only there, so what
        # is left out is what was seen, not what comes from KMS.
        seen: dict[str, set[str]] = {region: set() for region in regions}
        pacers = {region: Pacer(self.settings.lookup_calls_per_second, self.clock, self.sleep) for region in regions}
        found = False
        for part in ("kms", "all"):
            for region in regions:
                request = lookup_request(since, until, kms=part == "kms")
                for number, events in enumerate(self._pages(region, request, pacers[region]), 1):
                    key = f"{region}/{part}/{number}"
                    lines = list(self._records(key, events, seen[region], remember=part == "kms"))
                    if not lines:
                        continue
                    found = True
                    self.pages[key] = data = b"".join(lines)
                    yield SourceObject(key, len(data))
        if not found:
            raise SourceError(
                f"{self.label}: no events in {', '.join(regions)} from {_minute(since)} to {_minute(until)}",
                advice=f"check account and region (`aws sts get-caller-identity`). {NOTE}",
            )

    def _span(self, window: TimeWindow) -> tuple[datetime, datetime]:
        now = self.now()
        until = min(window.until or now, now)
        since = window.since or until - timedelta(days=self.settings.lookup_days)
        if since < (oldest := now - timedelta(days=KEPT_DAYS)):
            since = oldest
            self.notes.append(f"events before {_minute(oldest)} are no longer kept there")
        if since >= until:
            raise SourceError(
                f"{self.label}: nothing is kept there for the time asked for, up to {_minute(until)}",
                advice=NOTE,
            )
        return since, until

    def _pages(self, region: str, request: LookupEventsRequestTypeDef, pacer: Pacer) -> Iterator[list[EventTypeDef]]:
        cloudtrail = client("cloudtrail", self.settings.aws, region)
        while True:
            answer = self._call(cloudtrail, region, request, pacer)
            yield answer["Events"]
            if not (token := answer.get("NextToken")):
                return
            request = {**request, "NextToken": token}

    def _call(
        self, cloudtrail: CloudTrailClient, region: str, request: LookupEventsRequestTypeDef, pacer: Pacer
    ) -> LookupEventsResponseTypeDef:
        """One call; the quota is shared with everything else in the account, so throttling is waited out."""
        from botocore.exceptions import BotoCoreError, ClientError

        tries = 0
        while True:
            pacer.wait()
            try:
                return cloudtrail.lookup_events(**request)
            except (BotoCoreError, ClientError) as error:
                tries += 1
                if error_code(error) not in THROTTLED or tries >= _THROTTLED_TRIES:
                    raise source_error(error, action="cloudtrail:LookupEvents", resource=f"aws://{region}") from error
                pacer.hold(float(2**tries))

    def _records(self, key: str, events: list[EventTypeDef], seen: set[str], *, remember: bool) -> Iterator[bytes]:
        for event in events:
            identity = event.get("EventId", "")
            if identity and identity in seen:
                continue
            if remember:
                seen.add(identity)
            if (line := record_line(event)) is None:
                self.problems.append(
                    ObjectError(f"event {identity} came without its record", place=Place(self.name(key)))
                )
                continue
            yield line


def lookup_request(since: datetime, until: datetime, *, kms: bool) -> LookupEventsRequestTypeDef:
    """The first call for the events of a time, or for those of KMS only. Both ends are inclusive, in seconds."""
    request: LookupEventsRequestTypeDef = {"StartTime": since, "EndTime": until, "MaxResults": PAGE_EVENTS}
    if kms:
        request["LookupAttributes"] = [{"AttributeKey": "EventSource", "AttributeValue": KMS}]
    return request


def record_line(event: EventTypeDef) -> bytes | None:
    """The record that an answer holds, as a line of NDJSON; None if it holds none."""
    if not (record := event.get("CloudTrailEvent")):
        return None
    # A record comes on one line; if one did not, a line break could only stand between tokens.
    return record.replace("\r", " ").replace("\n", " ").encode("utf-8", "surrogatepass") + b"\n"


def regions_of(named: tuple[str, ...], aws: AwsSettings, label: str) -> tuple[str, ...]:
    """The regions that are meant: those named, those enabled for the account (`all`), or the session's.

    Raises SourceError when they cannot be told.
    """
    if "all" in named:
        with explained(action="ec2:DescribeRegions", resource="the account"):
            answer = client("ec2", aws, session_region(aws) or "us-east-1").describe_regions()
        return tuple(sorted(region["RegionName"] for region in answer["Regions"]))
    if named:
        return named
    if region := session_region(aws):
        return (region,)
    raise SourceError(
        f"{label}: no AWS region is set", advice="write aws://eu-west-1, or set AWS_REGION or [aws] region"
    )
