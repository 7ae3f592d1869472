"""`keytrail policy`: what a change of a key policy grants, and what one policy says."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from keytrail.cli import messages, options
from keytrail.cli.colour import wanted
from keytrail.cli.exits import ExitCode, PolicyExit
from keytrail.cli.output import open_output, terminal_width
from keytrail.errors import PolicyError, UsageError
from keytrail.phrases import count
from keytrail.text import for_json

if TYPE_CHECKING:
    from keytrail.service.policy_diff import PolicyDiff
    from keytrail.settings import Accounts, Settings


class TextFormat(StrEnum):
    """The values of `--format` of these commands."""

    TEXT = "text"
    JSON = "json"


Form = Annotated[TextFormat, typer.Option("--format", help="How to print it.")]
Policy = Annotated[
    str, typer.Argument(metavar="POLICY", help="A file with a key policy, or - for stdin.", show_default=False)
]


def diff(
    before: Annotated[
        str | None,
        typer.Argument(
            metavar="BEFORE",
            help="A file, - for stdin, default (AWS's default key policy), or none (a new key).",
            show_default=False,
        ),
    ] = None,
    after: Annotated[
        str | None, typer.Argument(metavar="AFTER", help="A file, - for stdin, or default.", show_default=False)
    ] = None,
    account: Annotated[
        str | None, typer.Option(metavar="ID", help="The account that owns the key.", show_default=False)
    ] = None,
    org: options.Organisation = None,
    trust: options.Trust = None,
    accounts: options.AccountsFile = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="ARN", help="Compare the last two versions of this key's policy.", show_default=False),
    ] = None,
    within: Annotated[
        list[str] | None,
        typer.Option(
            "--in", metavar="SOURCE", help="Where to look for them: as for scan; repeatable.", show_default=False
        ),
    ] = None,
    until: options.Until = None,
    statements: Annotated[
        bool, typer.Option("--statements/--no-statements", help="Show the difference of the statements' JSON.")
    ] = True,
    output_format: Form = TextFormat.TEXT,
    color: options.Colour = None,
    quiet: options.Quiet = False,
    jobs: options.Jobs = None,
    config: options.Config = None,
    profile: options.Profile = None,
    region: options.Region = None,
    role_arn: options.RoleArn = None,
    endpoint_url: options.EndpointUrl = None,
) -> None:
    """Prove what a change of a key policy grants: who gained and who lost which access, with an example request.

    Exit code 0: proved that nobody gained access. 1: somebody did. 2: bad input. 3: not proved.

    \b
    Examples:
      keytrail policy diff before.json after.json --account 111122223333
      keytrail policy diff default new.json --account 111122223333 --trust 444455556666 --format json
      aws kms get-key-policy --key-id alias/app --output text | keytrail policy diff old.json - --account 111122223333
      keytrail policy diff --key arn:aws:kms:eu-west-1:111122223333:key/1234abcd-... --in ./AWSLogs
    """
    from keytrail.service.accounts import trust as trust_of

    organisation, trusted = options.trusted(org, trust)
    overrides: dict[str, object] = {"output.color": color, "accounts.file": accounts}
    with _every_problem():
        if key is not None or within:
            _only(
                before is None and after is None and account is None, "--key and --in take no other policy or account"
            )
            _only(key is not None and bool(within), "--key ARN and --in SOURCE belong together")
            flags = options.source_flags(None, profile, region, role_arn, endpoint_url)
            settings = options.settings(config, overrides | flags | {"scan.jobs": jobs})
            known = trust_of(settings, organisation=organisation, trusted=trusted)
            found = _recorded(key or "", within or [], until, settings, known, quiet=quiet)
        else:
            settings = options.settings(config, overrides)
            _only(until is None, "--until belongs to --key ARN and --in SOURCE")
            known = trust_of(settings, organisation=organisation, trusted=trusted)
            found = _given(before, after, account, known)
    with open_output(None) as out:
        if output_format is TextFormat.JSON:
            out.write(for_json(found.to_dict()) + "\n")
        else:
            from keytrail.cli.policy_text import diff_text

            out.write(diff_text(found, colour=wanted(out), statements=statements) + "\n")
    raise typer.Exit(PolicyExit.of(found.answer))


def explain(
    policy: Policy,
    account: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="The account that owns the key, if the policy leaves it open.", show_default=False
        ),
    ] = None,
    output_format: Form = TextFormat.TEXT,
    color: options.Colour = None,
    config: options.Config = None,
) -> None:
    """Show who can do what by a key policy, and under which conditions.

    \b
    Examples:
      keytrail policy explain policy.json
      aws kms get-key-policy --key-id alias/app --output text | keytrail policy explain - --account 111122223333
    """
    from keytrail.cli.policy_pages import Access, explain_text
    from keytrail.policy import compare
    from keytrail.service.policy import account_id, owner_of, read_policy

    options.settings(config, {"output.color": color})
    with _every_problem():
        read = read_policy(policy)
    owner = account_id(account) if account is not None else owner_of(read)
    comparison = compare(None, read, owner)
    with open_output(None) as out:
        if output_format is TextFormat.JSON:
            whole = comparison.to_dict()
            shown = {name: whole[name] for name in ("public", "external_accounts", "incomplete")}
            out.write(for_json({"account": owner, "access": whole["gains"], **shown}) + "\n")
        else:
            text = explain_text(Access(read, owner, comparison), available=terminal_width(out), colour=wanted(out))
            out.write(text + "\n")
    if account is None:
        messages.note(f"account {owner} is taken for the owner of the key; --account says otherwise")


def lint(
    policy: Policy,
    output_format: Form = TextFormat.TEXT,
    color: options.Colour = None,
    config: options.Config = None,
) -> None:
    """Check a key policy: what KMS refuses, what does nothing, and what means more or less than it seems.

    Exit code 0: nothing, or notes only. 1: an error or a warning. 2: not a legal policy.

    \b
    Examples:
      keytrail policy lint policy.json
      keytrail policy lint policy.json --format json | jq -r '.[].code'
    """
    from keytrail.cli.policy_pages import lint_lines
    from keytrail.policy import lint as oddities
    from keytrail.service.policy import read_policy

    options.settings(config, {"output.color": color})
    with _every_problem():
        read = read_policy(policy)
    found = oddities(read)
    with open_output(None) as out:
        if output_format is TextFormat.JSON:
            rows = [
                {
                    "code": one.code,
                    "severity": one.severity,
                    "message": one.message,
                    "statement": one.statement,
                    "path": one.path,
                    "file": one.place.file,
                    "line": one.place.line,
                    "column": one.place.column,
                }
                for one in found
            ]
            out.write(for_json(rows) + "\n")
        else:
            out.writelines(line + "\n" for line in lint_lines(read, colour=wanted(out)))
    by_severity = [(sum(one.severity == level for one in found), level) for level in ("error", "warning", "note")]
    numbers = ", ".join(count(number, level) for number, level in by_severity if number)
    messages.plain(f"{count(len(read.statements), 'statement')}: {numbers or 'nothing to say'}")
    if any(number for number, level in by_severity if level != "note"):
        raise typer.Exit(PolicyExit.YES)


def simulate(
    policy: Policy,
    account: Annotated[str, typer.Option(metavar="ID", help="The account that owns the key.", show_default=False)],
    principal: Annotated[
        str,
        typer.Option(
            metavar="ARN",
            help="Who calls: the ARN of a user, role, session, federated user or root, or service:NAME.",
            show_default=False,
        ),
    ],
    action: Annotated[str, typer.Option(help="What for, such as kms:Decrypt.", show_default=False)],
    context: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="A condition key that the request carries; repeatable, for several values too.",
            show_default=False,
        ),
    ] = None,
    no_iam: Annotated[
        bool, typer.Option("--no-iam", help="IAM of the caller's account does not allow the request.")
    ] = False,
    key_arn: Annotated[
        str | None,
        typer.Option("--key", metavar="ARN", help="The key, for statements about one key only.", show_default=False),
    ] = None,
    output_format: Form = TextFormat.TEXT,
    color: options.Colour = None,
    config: options.Config = None,
) -> None:
    """Answer one request by a key policy: allowed or not, by which statements, and why.

    IAM of the caller's account is taken to allow it; --no-iam says that it does not.

    Exit code 0: allowed. 1: not allowed. 3: it hangs on something that AWS does not document.

    \b
    Examples:
      keytrail policy simulate policy.json --account 111122223333 --action kms:Decrypt \\
          --principal arn:aws:iam::444455556666:role/App --context kms:ViaService=s3.eu-west-1.amazonaws.com
    """
    from keytrail.cli.policy_pages import decision_text
    from keytrail.policy import Caller, Outcome, Request, evaluate
    from keytrail.service.policy import account_id, read_policy

    options.settings(config, {"output.color": color})
    with _every_problem():
        read = read_policy(policy)
    request = Request(Caller.parse(principal), _action(action), _context(context or ()), needs_iam=not no_iam)
    owner = account_id(account)
    decision = evaluate(read, request, owner, key_arn=key_arn)
    with open_output(None) as out:
        if output_format is TextFormat.JSON:
            shown = {
                "outcome": decision.outcome.value,
                "request": request.to_witness(),
                "allowed_by": [{"index": one.index, "sid": one.sid} for one in decision.allowed_by],
                "denied_by": [{"index": one.index, "sid": one.sid} for one in decision.denied_by],
                "statements": [
                    {
                        "index": one.statement.index,
                        "sid": one.statement.sid,
                        "effect": one.statement.effect,
                        "applies": one.applies,
                        "part": one.part,
                        "condition": None if one.condition is None else str(one.statement.conditions[one.condition]),
                    }
                    for one in decision.results
                ],
                "barrier": decision.barrier,
                "unstated": sorted(decision.unstated),
            }
            out.write(for_json(shown) + "\n")
        else:
            out.write(decision_text(decision, request, colour=wanted(out)) + "\n")
    for text in _left_out(request):
        messages.note(text)
    if decision.outcome is Outcome.UNKNOWN:
        raise typer.Exit(PolicyExit.UNDECIDED)
    raise typer.Exit(PolicyExit.NO if decision.allowed else PolicyExit.YES)


def _given(before: str | None, after: str | None, account: str | None, accounts: Accounts) -> PolicyDiff:
    """Compare two policies that were named; approvals count as of now."""
    from datetime import UTC, datetime

    from keytrail.service.policy import DEFAULT, NONE, STDIN, account_id, read_version
    from keytrail.service.policy_diff import diff_policies

    if before is None or after is None:
        raise UsageError(
            "two policies are needed: BEFORE and AFTER",
            advice=f"name files, - for stdin, {DEFAULT} or {NONE}; or give --key ARN and --in SOURCE",
        )
    if account is None:
        raise UsageError(
            "--account is missing: what a policy grants depends on whose key it is",
            advice="add --account ID, the account that owns the key",
        )
    _only(after != NONE, f"AFTER cannot be {NONE}: a key always has a policy")
    _only((before, after) != (STDIN, STDIN), "stdin can be only one of the two policies")
    owner = account_id(account)
    versions = read_version(before, owner), read_version(after, owner)
    return diff_policies(*versions, owner, accounts=accounts, at=datetime.now(UTC))


def _recorded(
    key: str,
    sources: Sequence[str],
    until: str | None,
    settings: Settings,
    accounts: Accounts,
    *,
    quiet: bool,
) -> PolicyDiff:
    """Compare the last two versions that an archive holds; approvals count as of the change."""
    from datetime import UTC, datetime

    from keytrail.cli.progress import watching
    from keytrail.service.policy_diff import diff_change
    from keytrail.service.policy_history import HistoryRequest, last_change
    from keytrail.service.times import parse_window

    _, end = parse_window(None, until, datetime.now(UTC))
    request = HistoryRequest(key, tuple(sources), until=end, jobs=settings.scan.jobs, settings=settings)
    problems = messages.Problems()
    try:
        with watching(wanted=not quiet) as observe:
            change = last_change(request, observe=observe, report=problems.add)
    finally:
        # A source that cannot be reached is raised, and told at the end.
        problems.unreached.clear()
        problems.tell()
    return diff_change(change, accounts=accounts)


def _action(text: str) -> str:
    """The action in the spelling of the catalogue; `kms:` may be left out."""
    from difflib import get_close_matches

    from keytrail.policy import catalogue

    known = catalogue()
    found = known.action(text if ":" in text else f"kms:{text}")
    if found is not None:
        return found.name
    close = get_close_matches(text[:100].lower().removeprefix("kms:"), [a[4:] for a in known.actions], n=1)
    near = f"did you mean {known.actions[f'kms:{close[0]}'].name}?" if close else "write it like kms:Decrypt"
    raise UsageError(f"--action: {text!r} is no KMS action known on {known.date}", advice=near)


def _context(pairs: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(
                f"--context: {pair!r} is not KEY=VALUE", advice="write it like kms:ViaService=s3.amazonaws.com"
            )
        found[key] = (*found.get(key, ()), value)
    return found


def _left_out(request: object) -> Iterator[str]:
    """What of the stated context such a request cannot carry, so that it was not looked at."""
    from keytrail.policy import Request, catalogue

    assert isinstance(request, Request)
    for name in request.context:
        key = catalogue().key(name)
        if key is None:
            yield f"{name} is no condition key known for KMS"
        elif key.presence == "caller":
            yield f"{name} follows from who calls; what --context says of it does not count"
        elif not key.present_on(request.action):
            yield f"a request for {request.action} does not carry {name}; it was left out"


def _only(holds: bool, otherwise: str) -> None:
    if not holds:
        raise UsageError(otherwise, advice="see `keytrail policy diff --help`")


@contextmanager
def _every_problem() -> Iterator[None]:
    """Tell all that is wrong with a policy, each at its place, not the first alone."""
    try:
        yield
    except PolicyError as error:
        if len(error.problems) == 1:
            raise
        for problem in error.problems:
            what = f"{problem.path}: {problem.what}" if problem.path else problem.what
            messages.error(UsageError(what, place=problem.place))
        print(error.advice, file=sys.stderr)  # noqa: T201
        raise typer.Exit(ExitCode.USAGE) from error
