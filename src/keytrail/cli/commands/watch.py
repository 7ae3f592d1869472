"""`keytrail watch`: the service that keeps up with a trail."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.options import LogFormat
from keytrail.phrases import count

if TYPE_CHECKING:
    from keytrail.service.installation import Installation

_ONE_REQUEST_SECONDS = 1.0


def watch(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="A folder, s3://bucket/prefix, sqs://queue, aws://region, or - for stdin; default: [watch] sources.",
            show_default=False,
        ),
    ] = None,
    rules: options.Rules = None,
    no_builtin: Annotated[bool | None, typer.Option("--no-builtin", help="Leave out the built-in rules.")] = None,
    lake: options.LakeFolder = None,
    state: options.StateUrl = None,
    once: Annotated[bool, typer.Option("--once", help="Deal with what is there now, then end.")] = False,
    accounts: options.AccountsFile = None,
    inventory: options.InventoryFile = None,
    snapshots: options.Snapshots = None,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="HOST:PORT", help="Let Prometheus read metrics there.", show_default=False),
    ] = None,
    log_format: Annotated[LogFormat, typer.Option(help="Of the lines on stderr.")] = LogFormat.TEXT,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every commit too.")] = False,
    jobs: options.Jobs = None,
    geoip: options.GeoIp = None,
    config: options.Config = None,
    profile: options.Profile = None,
    region: options.Region = None,
    role_arn: options.RoleArn = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Keep up with a trail: take in new records, run rules, investigate alerts, tell people.

    Records are kept in the lake, alerts in the state; `keytrail alerts`, `events` and `health` work beside it.
    Ctrl-C, or SIGTERM, ends it after the batch at hand. One process at a time works on a lake.

    \b
    Examples:
      keytrail watch ./AWSLogs
      keytrail watch s3://my-trail-bucket --once
      keytrail watch sqs://cloudtrail-objects --config keytrail.toml --log-format json
    """
    from keytrail.service.health_state import heard_from
    from keytrail.service.logs import set_up
    from keytrail.service.supervisor import ready, stopping
    from keytrail.service.watch.clock import system_clock
    from keytrail.service.watch.start import run_watch
    from keytrail.service.watch.threads import Stop

    flags = options.source_flags(geoip, profile, region, role_arn, endpoint_url)
    flags |= options.investigation_flags(accounts, inventory, snapshots)
    flags |= options.lake_flags(lake, state)
    flags |= {
        "watch.sources": tuple(sources) if sources else None,
        "watch.rules": tuple(rules) if rules else None,
        "watch.builtin": None if no_builtin is None else not no_builtin,
        "watch.jobs": jobs,
        "watch.metrics_address": metrics,
    }
    settings = options.settings(config, flags)
    set_up(log_format.value, "info" if verbose else "warning")
    stop = Stop()

    asked = 0.0

    def end(_: int, __: FrameType | None) -> None:
        nonlocal asked
        # Whoever asks twice does not want to wait. Supervisors and terminals may ask a process and its group at once.
        if stop.event.is_set() and time.monotonic() - asked > _ONE_REQUEST_SECONDS:
            raise KeyboardInterrupt
        if not stop.event.is_set():
            asked = time.monotonic()
            stop.set()
            stopping()

    previous = {one: signal.signal(one, end) for one in (signal.SIGINT, signal.SIGTERM)}

    def started(home: Installation) -> None:
        ready(lambda: heard_from(home.database, system_clock()))
        if not once:
            messages.plain(f"Watching {', '.join(settings.watch.sources)}; Ctrl-C ends it.")

    try:
        done = run_watch(settings, stop, once=once, started=started)
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)
    if once:
        unreadable = f", {count(done.unreadable, 'input')} unreadable" if done.unreadable else ""
        messages.plain(f"{count(done.records, 'new record')}{unreadable}, {count(done.alerts, 'new alert')}")
        if done.alerts:
            messages.plain("`keytrail alerts list` shows them.")
