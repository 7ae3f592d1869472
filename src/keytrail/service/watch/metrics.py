"""What Prometheus may read of the service: how much came in, how far it is behind, what rules and sinks do."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from keytrail.errors import SettingsError
from keytrail.service.watch.ingest import Commit
from keytrail.service.watch.runner import Ran
from keytrail.service.watch.telling import Told

if TYPE_CHECKING:
    from keytrail.service.watch.drift import Checked
    from keytrail.service.watch.investigating import Looked
    from keytrail.service.watch.keys import Look
    from keytrail.service.watch.status import Status

_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@dataclass(frozen=True, slots=True)
class Tally:
    """What a service did while it ran."""

    records: int
    alerts: int
    unreadable: int


class Metrics:
    """Counters and gauges of one process, in a registry of their own. Used by several threads."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.records = Counter("keytrail_records", "Records taken in.", registry=registry)
        self.repeated = Counter("keytrail_repeated_records", "Records that were there already.", registry=registry)
        self.objects = Counter("keytrail_objects", "Objects and messages taken in.", registry=registry)
        self.unreadable = Counter(
            "keytrail_input_errors", "Records and objects that cannot be read.", registry=registry
        )
        self.commits = Counter("keytrail_commits", "Segments committed.", registry=registry)
        self.alerts = Counter("keytrail_alerts", "Alerts made.", registry=registry)
        self.matches = Counter("keytrail_rule_matches", "Matches of a rule.", ["rule_id"], registry=registry)
        self.rule_alerts = Counter("keytrail_rule_alerts", "Alerts of a rule.", ["rule_id"], registry=registry)
        self.deferred = Counter("keytrail_rule_deferred", "Matches that waited.", ["rule_id"], registry=registry)
        self.rule_failures = Counter("keytrail_rule_failures", "Failed runs.", ["rule_id"], registry=registry)
        self.rule_seconds = Histogram(
            "keytrail_rule_pass_seconds", "Seconds that rules took in a pass.", buckets=_SECONDS, registry=registry
        )
        self.investigations = Counter("keytrail_investigations", "Investigations made.", ["verdict"], registry=registry)
        self.messages = Counter("keytrail_messages", "Messages delivered.", ["sink", "how"], registry=registry)
        self.sink_failures = Counter("keytrail_sink_failures", "Deliveries that failed.", ["sink"], registry=registry)
        self.failures = Counter("keytrail_failures", "Failures that were tried again.", ["part"], registry=registry)
        self.event_lag = Gauge("keytrail_event_lag_seconds", "From the latest event to its arrival.", registry=registry)
        self.rule_lag = Gauge(
            "keytrail_rule_lag_records", "Records that the slowest rule has to examine.", registry=registry
        )
        self.alert_seconds = Histogram(
            "keytrail_alert_seconds", "Seconds from a commit to the alerts of it.", buckets=_SECONDS, registry=registry
        )
        self.waiting = Gauge("keytrail_outbox_waiting", "Messages that wait for a sink.", ["sink"], registry=registry)
        self.head = Gauge("keytrail_position", "Records that ever arrived.", registry=registry)
        self.feed_lag = Gauge("keytrail_feed_lag_seconds", "How far a feed is behind.", ["feed"], registry=registry)
        self.feed_up = Gauge("keytrail_feed_up", "1 if a feed works.", ["feed"], registry=registry)
        self.keys = Gauge("keytrail_keys", "Keys that were read at the last look.", registry=registry)
        self.snapshots = Counter(
            "keytrail_policy_snapshots", "New policies that looks at keys found.", registry=registry
        )
        self.look_problems = Gauge(
            "keytrail_key_problems", "What could not be read at the last look.", registry=registry
        )
        self.drifted = Gauge(
            "keytrail_keys_drifted", "Keys whose policy is not the one that was reported last.", registry=registry
        )
        self._committed_at: float | None = None

    def tally(self) -> Tally:
        """What was counted so far."""
        names = ("keytrail_records_total", "keytrail_alerts_total", "keytrail_input_errors_total")
        return Tally(*(int(self.registry.get_sample_value(name) or 0) for name in names))

    def committed(self, commit: Commit) -> None:
        """Count a commit."""
        self.records.inc(commit.new)
        self.repeated.inc(commit.repeated)
        self.objects.inc(len(commit.deliveries))
        self.unreadable.inc(len(commit.errors))
        if commit.segment is not None:
            self.commits.inc()
            self._committed_at = time.monotonic()
            if commit.lag_seconds is not None:
                self.event_lag.set(commit.lag_seconds)

    def ran(self, ran: Ran) -> None:
        """Count a round of the runner."""
        self.alerts.inc(ran.created)
        for line in ran.executions:
            self.matches.labels(line.rule_id).inc(line.matched)
            self.rule_alerts.labels(line.rule_id).inc(line.created)
            self.deferred.labels(line.rule_id).inc(line.deferred)
        for rule_id, _ in ran.failures:
            self.rule_failures.labels(rule_id).inc()
        if ran.passes:
            self.rule_seconds.observe(ran.seconds)
        if ran.created and self._committed_at is not None:
            self.alert_seconds.observe(time.monotonic() - self._committed_at)

    def looked(self, looked: Looked) -> None:
        """Count an investigation."""
        if looked.revision is not None:
            self.investigations.labels(looked.revision.verdict).inc()
        else:
            self.failed("investigate")

    def keys_seen(self, look: Look) -> None:
        """Count a look at the keys."""
        self.keys.set(look.keys)
        self.snapshots.inc(look.new)
        self.look_problems.set(len(look.problems))

    def compared(self, checked: Checked) -> None:
        """Count a comparison of the keys with what was reported."""
        self.alerts.inc(checked.created)
        self.drifted.set(len(checked.drifted))

    def told(self, told: Told) -> None:
        """Count deliveries to a sink."""
        for how, number in (("single", told.sent), ("digest", told.digested), ("refused", told.refused)):
            if number:
                self.messages.labels(told.sink, how).inc(number)
        if told.error:
            self.sink_failures.labels(told.sink).inc()

    def failed(self, part: str) -> None:
        """Count a failure that is tried again."""
        self.failures.labels(part).inc()

    def status(self, status: Status) -> None:
        """Take over what the status says."""
        self.head.set(status.head)
        self.rule_lag.set(status.head - min((one.cursor for one in status.rules), default=status.head))
        for sink in status.sinks:
            self.waiting.labels(sink.name).set(sink.waiting)
        for feed in status.feeds:
            self.feed_up.labels(feed.label).set(0 if feed.problem else 1)
            if feed.lag_seconds is not None:
                self.feed_lag.labels(feed.label).set(feed.lag_seconds)


def serve_metrics(metrics: Metrics, address: str) -> int:
    """Let Prometheus read them at `host:port`; returns the port. Raises SettingsError."""
    host, _, port = address.rpartition(":")
    try:
        server, _ = start_http_server(int(port), host.strip("[]") or "127.0.0.1", metrics.registry)
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"[watch] metrics_address: cannot serve at {address!r}: {reason}",
            advice="Write host:port of this machine, such as 127.0.0.1:9464.",
        ) from error
    return int(server.server_port)
