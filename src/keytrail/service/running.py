"""What scan and query share: from settings to a plan, and from results to progress, counts and problems."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from keytrail import search
from keytrail.aws import AwsSettings
from keytrail.cloudtrail import ReadLimits
from keytrail.errors import InputError, SourceError
from keytrail.search import Counts, Crew, Listing, Options, Pattern, Plan, Result, Sizes
from keytrail.service.requests import Observe, Progress, Report
from keytrail.settings import Settings
from keytrail.sources import Source, SourceSettings, open_source

if TYPE_CHECKING:
    from keytrail.sources.feeds import FeedSettings

# Errors kept for the result; a face that wants all of them listens with `report`.
_MOST_ERRORS_KEPT = 1000


def read_limits(settings: Settings) -> ReadLimits:
    """The bounds on reading that the settings give."""
    return ReadLimits(**settings.reading.model_dump())


def sizes_of(settings: Settings, jobs: int) -> Sizes:
    """How the work of a run is cut up; `jobs` is a number of processes, 0 for what the settings say."""
    scan = settings.scan
    return Sizes(jobs or scan.jobs, scan.batch_files, scan.batch_bytes)


def open_sources(texts: Sequence[str], settings: Settings) -> tuple[Source, ...]:
    """The sources that the user named; raises UsageError or SourceError for one that cannot be one."""
    return tuple(open_source(text, source_settings(settings)) for text in texts)


def source_settings(settings: Settings) -> SourceSettings:
    """The limits of sources, and how they reach AWS."""
    return SourceSettings(
        aws=aws_settings(settings),
        lookup_days=settings.aws.lookup_days,
        lookup_calls_per_second=settings.aws.lookup_calls_per_second,
    )


def feed_settings(settings: Settings) -> FeedSettings:
    """Beats and bounds of feeds, and how they reach AWS."""
    from keytrail.sources.feeds import FeedSettings

    told = {one.name: getattr(settings.feeds, one.name) for one in fields(FeedSettings) if one.name != "source"}
    return FeedSettings(source=source_settings(settings), **told)


def aws_settings(settings: Settings) -> AwsSettings:
    """How AWS is reached."""
    aws = settings.aws
    return AwsSettings(
        profile=aws.profile or "",
        region=aws.region or "",
        role_arn=aws.role_arn or "",
        external_id=aws.external_id or "",
        endpoint_url=aws.endpoint_url or "",
        connect_timeout_seconds=aws.connect_timeout_seconds,
        read_timeout_seconds=aws.read_timeout_seconds,
        max_attempts=aws.max_attempts,
    )


@dataclass(slots=True)
class Run:
    """One pass over sources as it goes: yields the results and keeps count of everything but the matches."""

    sources: tuple[Source, ...]
    patterns: tuple[Pattern, ...]
    settings: Settings
    options: Options
    jobs: int = 0
    observe: Observe | None = None
    report: Report | None = None
    crew: Crew | None = None
    counts: Counts = field(default_factory=Counts)
    listing: Listing = field(default_factory=Listing)
    errors: list[InputError] = field(default_factory=list)
    failures: list[SourceError] = field(default_factory=list)
    problems: int = 0
    alerts: int = 0
    _started: float = field(default_factory=time.perf_counter)

    def results(self) -> Iterator[Result]:
        """Every batch's result, its errors already told; the caller sets `alerts` for the progress."""
        plan = Plan(
            patterns=self.patterns,
            now=datetime.now(UTC),
            sources=self.sources,
            options=self.options,
            geo_paths=tuple(str(path) for path in self.settings.geoip.databases),
        )
        sizes = sizes_of(self.settings, self.jobs)
        for result in search.run(plan, sizes, listing=self.listing, crew=self.crew):
            self.counts.add(result.counts)
            for error in result.errors:
                self._problem(error)
            if result.failure is not None:
                self._failed(result.failure)
            yield result
            if self.observe is not None:
                self.observe(
                    Progress(
                        objects_done=self.counts.objects,
                        objects_total=self.listing.objects if self.listing.complete else None,
                        bytes_total=(self.listing.stored_bytes or None) if self.listing.complete else None,
                        bytes_done=self.counts.stored_bytes,
                        alerts=self.alerts,
                        elapsed_seconds=self.elapsed_seconds,
                        current=result.last,
                    )
                )
        for source in self.sources:
            for problem in source.problems:
                self._problem(problem)

    @property
    def elapsed_seconds(self) -> float:
        return time.perf_counter() - self._started

    def tell(self, problems: Iterable[InputError | SourceError]) -> None:
        """Take problems that another pass over the same objects met, but for those that this one met as well."""
        known = {str(one) for one in (*self.errors, *self.failures)}
        for problem in problems:
            if str(problem) in known:
                continue
            if isinstance(problem, SourceError):
                self._failed(problem)
            else:
                self._problem(problem)

    def skipped(self) -> dict[str, int]:
        """How many files or folders were passed over, by what they are, and records that are not events."""
        total: Counter[str] = Counter()
        for source in self.sources:
            passed = source.skipped
            total.update({"digest": passed.digest, "insight": passed.insight, "other": passed.other})
        total["insight or digest records"] = self.counts.asides
        return {kind: count for kind, count in total.items() if count}

    def notes(self) -> tuple[str, ...]:
        """What the sources say about what they cannot show; complete after the last result."""
        return tuple(f"{source.label}: {note}" for source in self.sources for note in source.notes)

    def _problem(self, error: InputError) -> None:
        self.problems += 1
        if len(self.errors) < _MOST_ERRORS_KEPT:
            self.errors.append(error)
        if self.report is not None:
            self.report(error)

    def _failed(self, failure: SourceError) -> None:
        self.failures.append(failure)
        if self.report is not None:
            self.report(failure)
