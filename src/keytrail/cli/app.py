"""The command line as a whole: the root with its global options, and the table of commands."""

from __future__ import annotations

import gc
import io
import os
import sys
from typing import Annotated

import typer

from keytrail.cli import colour, exits, messages
from keytrail.cli.commands import (
    accounts,
    alerts,
    case,
    config,
    events,
    exception_files,
    exceptions,
    guardrail,
    health,
    investigate,
    lake,
    notify,
    policies,
    policy,
    policy_history,
    query,
    respond,
    rule_runs,
    rules,
    rules_admin,
    scan,
    simulate,
    value_lists,
    watch,
)
from keytrail.cli.running import DEBUG, Commands
from keytrail.errors import KeytrailError

# Rich in help and errors would take a third of the time that --help may take; it is loaded where it draws.
app = typer.Typer(
    name="keytrail",
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=exits.table(),
)


def _version(asked: bool) -> None:
    if asked:
        from keytrail import __version__

        typer.echo(f"keytrail {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=f"Show tracebacks of errors; also {DEBUG}=1.")] = False,
) -> None:
    """Find what matters in AWS CloudTrail: who changed which KMS key policy, and what else detection rules see.

    \b
    Start here:
      keytrail simulate --out ./example       an example archive with an attack in it
      keytrail scan ./example                 your own: files, folders, s3://bucket, aws://
      keytrail scan ./example -o report.html  the same as a page: who gained what, and a verdict
      keytrail watch s3://my-trail-bucket     keep up with a live trail; then: alerts, events, health
      keytrail respond ALERT                  what can be done about an alert, proved; and do it
    """
    colour.use(colour.ColourMode.AUTO)
    if debug:
        # The environment, so that worker processes know as well.
        os.environ[DEBUG] = "1"


# The short help is what the list of commands says; a command's own --help has more.
app.command("scan", short_help="Run detection rules over CloudTrail archives.")(scan.scan)
app.command("investigate", short_help="Answer one alert about a key policy in full.")(investigate.investigate)
app.command("query", short_help="Print the events that match a KQL query.")(query.query)
app.command("ecs", short_help="Print every event as an ECS document.")(query.ecs)
app.command("watch", short_help="Keep up with a trail: detect, investigate, tell.")(watch.watch)
app.command("events", short_help="Print the events in the lake that match a KQL query.")(events.events)
app.command("health", short_help="Say whether the service is well.", epilog=exits.health_table())(health.health)
app.command("respond", short_help="Show what can be done about an alert, and do it.", epilog=exits.respond_table())(
    respond.respond
)
app.command("guardrail", short_help="Write policies that leave key policies to a few roles.")(guardrail.guardrail)
app.command("simulate", short_help="Write an example archive with an attack in it.")(simulate.simulate)

alerts_app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="List and show the service's alerts, and say what became of them."
)
alerts_app.command("list", short_help="List alerts.")(alerts.list_alerts)
alerts_app.command("show", short_help="Show one alert in full.")(alerts.show)
alerts_app.command("ack", short_help="Acknowledge alerts.")(alerts.acknowledge)
alerts_app.command("close", short_help="Close alerts, with the reason.")(alerts.close)
alerts_app.command("reopen", short_help="Open alerts again.")(alerts.reopen)
alerts_app.command("assign", short_help="Say who takes care of alerts.")(alerts.assign)
alerts_app.command("tag", short_help="Add and remove tags of alerts.")(alerts.tag)
alerts_app.command("note", short_help="Write a note about alerts.")(alerts.note)
alerts_app.command("snooze", short_help="Let alerts rest for a time.")(alerts.snooze)
alerts_app.command("history", short_help="Show what was done to an alert.")(alerts.history)
Commands.groups["alerts"] = alerts_app

case_app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Keep alerts, notes and remedies that belong together as a case."
)
case_app.command("open", short_help="Open a case about alerts.")(case.open_)
case_app.command("list", short_help="List cases.")(case.list_cases)
case_app.command("show", short_help="Show a case in full.")(case.show)
case_app.command("add", short_help="Put alerts into a case.")(case.add)
case_app.command("remove", short_help="Take alerts out of a case.")(case.remove)
case_app.command("note", short_help="Write a note about a case.")(case.note)
case_app.command("close", short_help="Close a case, with its outcome.")(case.close)
case_app.command("reopen", short_help="Open a case again.")(case.reopen)
case_app.command("export", short_help="Write a case with all that belongs to it.")(case.export)
Commands.groups["case"] = case_app

notify_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Try out the sinks that tell people.")
notify_app.command("test", short_help="Send a test message to sinks.")(notify.send_test)
Commands.groups["notify"] = notify_app

lake_app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Import records into the lake, export, check and merge them."
)
lake_app.command("import", short_help="Take archives into the lake.")(lake.import_)
lake_app.command("export", short_help="Write records of the lake.")(lake.export)
lake_app.command("verify", short_help="Check every segment of the lake.")(lake.verify)
lake_app.command("compact", short_help="Merge small segments now.")(lake.compact)
Commands.groups["lake"] = lake_app

exceptions_app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Say which events are to raise no alerts."
)
exceptions_app.command("list", short_help="List exceptions.")(exceptions.list_exceptions)
exceptions_app.command("show", short_help="Show one exception.")(exceptions.show)
exceptions_app.command("add", short_help="Add an exception to a rule or a list.")(exceptions.add)
exceptions_app.command("edit", short_help="Change an exception.")(exceptions.edit)
exceptions_app.command("remove", short_help="Remove exceptions, or a list.")(exceptions.remove)
exceptions_app.command("expire", short_help="Let exceptions count no more.")(exceptions.expire)
exceptions_app.command("test", short_help="Print the alerts that one would have kept.")(exceptions.try_on)
exceptions_app.command("import", short_help="Take over exceptions from a file.")(exception_files.import_file)
exceptions_app.command("export", short_help="Write exceptions to a file.")(exception_files.export)
values_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Keep lists of values for exceptions.")
values_app.command("list", short_help="List the value lists.")(value_lists.list_value_lists)
values_app.command("show", short_help="Print the values of a list.")(value_lists.show)
values_app.command("import", short_help="Make a value list of a file.")(value_lists.import_file)
values_app.command("remove", short_help="Remove a value list.")(value_lists.remove)
exceptions_app.add_typer(values_app, name="value-lists")
Commands.groups["exceptions"] = exceptions_app

rules_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="List, show and check detection rules.")
rules_app.command("list", short_help="List the rules and whether they run.")(rules.list_rules)
rules_app.command("show", short_help="Show one rule in full.")(rules.show)
rules_app.command("validate", short_help="Check rule files.")(rules.validate)
rules_app.command("enable", short_help="Enable rules of the service.")(rules_admin.enable)
rules_app.command("disable", short_help="Disable rules of the service.")(rules_admin.disable)
rules_app.command("snooze", short_help="Tell nobody of a rule's alerts for a time.")(rules_admin.snooze)
rules_app.command("import", short_help="Take over rules and exceptions from a file.")(rules_admin.import_file)
rules_app.command("export", short_help="Write rules and exceptions to a file.")(rules_admin.export)
rules_app.command("log", short_help="Show what rules did, and what they covered.")(rules_admin.log)
rules_app.command("preview", short_help="Count the alerts a rule would have made.")(rule_runs.preview)
rules_app.command("run", short_help="Run rules over what is in the lake already.")(rule_runs.run)
Commands.groups["rules"] = rules_app

policy_app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Prove what a change of a KMS key policy grants, and read, check and try one.",
    epilog=exits.policy_table(),
)
policy_app.command("diff", short_help="Prove what a change grants, with an example request.")(policy.diff)
policy_app.command("explain", short_help="Show who can do what by a policy.")(policy.explain)
policy_app.command("lint", short_help="Check a policy for what is odd about it.")(policy.lint)
policy_app.command("simulate", short_help="Answer one request by a policy.")(policy.simulate)
Commands.groups["policy"] = policy_app

policies_app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Keep the policies of all keys: read, list, show, compare, export.",
)
policies_app.command("snapshot", short_help="Read every key of accounts, and keep what is new.")(policies.snapshot)
policies_app.command("list", short_help="List the keys as they were found last.")(policies.list_policies)
policies_app.command("show", short_help="Show one key, its versions and its policy.")(policies.show)
policies_app.command("diff", short_help="Prove what changed between two versions.", epilog=exits.policy_table())(
    policies.diff
)
policies_app.command("history", short_help="Show every policy a key is known to have had.")(policy_history.history)
policies_app.command("export", short_help="Write the policies as files, fit for git.")(policies.export)
policies_app.command("mark-good", short_help="Say that a version is known to be good.")(policies.mark_good)
Commands.groups["policies"] = policies_app

accounts_app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List, approve and revoke the outside accounts that may be let in.",
)
accounts_app.command("list", short_help="List the organisation's and the approved accounts.")(accounts.list_accounts)
accounts_app.command("approve", short_help="Approve an outside account, or renew it.")(accounts.approve)
accounts_app.command("revoke", short_help="Take back the approval of an account.")(accounts.revoke)
Commands.groups["accounts"] = accounts_app

config_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Write, check and show settings.")
config_app.command("init", short_help="Write a settings file that explains every setting.")(config.init)
config_app.command("check", short_help="Check a settings file.")(config.check)
config_app.command("show", short_help="Show every setting and where its value comes from.")(config.show)
config_app.command("iam-policy", short_help="Print the least IAM policy that the settings need.")(config.iam_policy)
Commands.groups["config"] = config_app


def main() -> None:
    """Run the command that the process was started with, and exit."""
    # Records are trees, of which nothing is left over in circles: looking for these costs a tenth of an investigation.
    gc.set_threshold(500_000, 20, 20)
    # Arrow's own pool keeps what was let go of: a fifth of what `watch` and its workers hold. Read when Arrow loads.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    _buffer_stdout()
    try:
        app(prog_name="keytrail")
    except KeyboardInterrupt:  # Before the command began; what comes later is told by `Commands`.
        messages.error(KeytrailError("interrupted"))
        sys.exit(exits.ExitCode.INTERRUPTED)


def _buffer_stdout() -> None:
    """Give stdout a buffer if it has none (PYTHONUNBUFFERED): Python loses what a full disk takes only a part of."""
    stdout = sys.stdout
    if isinstance(getattr(stdout, "buffer", None), io.RawIOBase):
        sys.stdout = open(  # noqa: SIM115 - it lives as long as the process
            stdout.fileno(), "w", buffering=1, encoding=stdout.encoding, errors=stdout.errors, closefd=False
        )
