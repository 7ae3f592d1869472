"""Starting the service from settings: what it stands on is opened, and closed again when it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keytrail.errors import UsageError
from keytrail.notify import open_sinks
from keytrail.respond.accounts import check_wanted
from keytrail.service.installation import Installation, installation
from keytrail.service.policy_snapshots import snapshot_request
from keytrail.service.running import aws_settings, feed_settings
from keytrail.service.watch.clock import Clock, system_clock
from keytrail.service.watch.loop import watch
from keytrail.service.watch.metrics import Metrics, Tally, serve_metrics
from keytrail.service.watch.threads import Stop
from keytrail.settings import Settings
from keytrail.sources.feeds import Feed, Ledger, open_feed
from keytrail.store.state.objects import SqlLedger


def run_watch(
    settings: Settings,
    stop: Stop,
    *,
    once: bool = False,
    started: Callable[[Installation], None] = lambda _: None,
    clock: Clock = system_clock,
) -> Tally:
    """Run the service that the settings describe, until `stop` is set, or with `once` until nothing is left to do.

    Raises UsageError for settings that cannot be, StoreError when the state cannot be had or is lost.
    """
    if not settings.watch.sources:
        raise UsageError(
            "there is nothing to watch",
            advice="Name a source: keytrail watch ./AWSLogs, or sources in [watch] of keytrail.toml.",
        )
    if settings.policies.every_hours:
        check_wanted(snapshot_request(settings).wanted)
    with installation(settings, set_up=True) as home:
        ledger = SqlLedger(home.database)
        address = settings.watch.metrics_address
        return watch(
            home,
            lambda: open_feeds(settings, ledger),
            open_sinks(settings.notify, aws_settings(settings)),
            clock,
            stop,
            once=once,
            serve=_server(address) if address else None,
            started=started,
        )


def open_feeds(settings: Settings, ledger: Ledger) -> Sequence[Feed]:
    """The feeds of [watch] sources. Raises UsageError for one that cannot be one."""
    given = feed_settings(settings)
    return tuple(open_feed(text, given, ledger) for text in settings.watch.sources)


def _server(address: str) -> Callable[[Metrics], object]:
    return lambda metrics: serve_metrics(metrics, address)
