"""`guardrail`: the policies that leave the power over key policies to a few roles, tried on what was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from keytrail.cloudtrail import Json
from keytrail.errors import InputError, Place, PolicyError, SourceError, UsageError
from keytrail.investigate import Event, KeyName
from keytrail.policy import KeyPolicy
from keytrail.respond.guardrail.calls import query_of
from keytrail.respond.guardrail.lockout import LockOut, lock_out
from keytrail.respond.guardrail.model import Document, Group, Guardrail, Kind, guardrail
from keytrail.respond.guardrail.registry import FORMS, Form, forms_of
from keytrail.respond.guardrail.simulate import Simulation, simulate
from keytrail.respond.guardrail.statements import WAYS, denied_actions, denied_groups, groups_but
from keytrail.respond.keys import DELETED
from keytrail.search.examine import read_row
from keytrail.service.accounts import trust
from keytrail.service.installation import Installation, installation, is_set_up
from keytrail.service.lake_store import limits_of
from keytrail.service.query import run_query
from keytrail.service.requests import Observe, QueryRequest, Report
from keytrail.service.running import read_limits
from keytrail.service.snapshots import read_snapshots
from keytrail.settings import Settings
from keytrail.store.lake.hunt import Hunt, hunt
from keytrail.store.state.policies import document, latest_policies, latest_snapshots

_ALWAYS = (
    "grants that exist stay as they are: `keytrail investigate` shows those of a key, RevokeGrant ends one",
    "keys of accounts outside the organisation follow the policies of their own",
    "TagResource, UntagResource and the calls for aliases stay possible: where a policy decides by tags or aliases, who"
    " may set these has power over it",
    "the trust policies of the break-glass roles decide who may use them: watch AssumeRole of each",
)


@dataclass(frozen=True, slots=True)
class GuardrailRequest:
    """A guardrail that is asked for. What is left out of `break_glass` and `days` is what [guardrail] says.

    `forms` are names of forms, none for all that fit; `without` names groups of actions that stay possible; `keys` are
    ARNs of the keys that it is for, none for all. `sources` are tried instead of the lake. `management_account` is the
    id of the organisation's, if it is known, `organisation` that of the organisation.
    """

    break_glass: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    days: int | None = None
    organisation: str | None = None
    management_account: str | None = None
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class Written:
    """A form with its files."""

    form: Form
    documents: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class GuardrailResult:
    """A guardrail in its forms, and what is known of its effect.

    `simulation` is None where there are no records to try it on. `warnings` are about it, `notes` about what was not
    done, `not_covered` what no form of it prevents.
    """

    guardrail: Guardrail
    written: tuple[Written, ...]
    simulation: Simulation | None
    lock_out: LockOut
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    not_covered: tuple[str, ...]

    @property
    def denied(self) -> tuple[Group, ...]:
        """The groups of actions that the forms deny, templates with all that is in them."""
        return denied_groups(self.guardrail, (kind for one in self.written for kind in one.form.kinds))


def make_guardrail(
    request: GuardrailRequest, *, now: datetime, observe: Observe | None = None, report: Report = lambda _: None
) -> GuardrailResult:
    """Write a guardrail, and try it on the events of the last days and on the key policies that are known.

    Raises UsageError for one that is none or would lock everybody out, and for a form asked for that it does not fit
    into; SourceError, StoreError.
    """
    settings = request.settings
    accounts = trust(settings, organisation=request.organisation)
    rail = guardrail(
        request.break_glass or settings.guardrail.break_glass,
        groups=groups_but(request.without),
        keys=request.keys,
        organisation=accounts.organisation,
    )
    forms = forms_of(request.forms)
    written, unfit = _written(rail, forms, asked=bool(request.forms))
    kinds = _kinds(written, asked=bool(request.forms))
    known = list(_keys(settings))
    found = lock_out(rail, (one for one in known if one[0].account != request.management_account))
    days = request.days if request.days is not None else settings.guardrail.days
    since = now - timedelta(days=days)
    notes = list(unfit)
    warnings = list(_warnings(rail, kinds, request.management_account))
    tried: Simulation | None = None
    if not kinds:
        notes.append("no form that was asked for denies anything: there is nothing to try on records")
    elif not request.sources and not is_set_up(settings):
        notes.append("it was not tried: there is no lake here, and no SOURCE was given")
    else:
        if not request.sources:
            warnings += _unknown_days(settings, since)
        query = query_of(denied_actions(rail, kinds))
        events = (
            _of_sources(request, query, since, now, observe, report)
            if request.sources
            else _of_lake(settings, query, since, now)
        )
        tried = simulate(
            events,
            rail,
            kinds,
            since=since,
            until=now,
            accounts=frozenset(accounts.names),
            management=request.management_account,
        )
    if not known:
        notes.append(
            "no key policies are known, so that each key can still be changed was not checked: `keytrail policies"
            " snapshot` reads them, --snapshots names exported ones"
        )
    limits = (text for one in _parts(written) for text in one.limits)
    return GuardrailResult(
        rail,
        written,
        tried,
        found,
        tuple(warnings),
        tuple(notes),
        tuple(dict.fromkeys((*limits, *_ALWAYS))),
    )


# -- forms ------------------------------------------------------------------------------------------------------------


def _written(rail: Guardrail, forms: Iterable[Form], *, asked: bool) -> tuple[tuple[Written, ...], list[str]]:
    """The forms with their files. Of those that nobody named, one that it does not fit into is left out and told."""
    written, unfit = [], []
    for form in forms:
        try:
            written.append(Written(form, form.write(rail)))
        except UsageError as error:
            if asked:
                raise
            unfit.append(f"left out: {form.title}, since {error.what}")
    return tuple(written), unfit


def _kinds(written: Iterable[Written], *, asked: bool) -> tuple[Kind, ...]:
    """The denying policies that are to be tried. A boundary is for those without an organisation: only if it is named
    itself, not as a part of a template."""
    names = {one.form.name for one in written}
    kinds: dict[Kind, None] = {}
    for one in written:
        for kind in one.form.kinds:
            if kind != "boundary" or (asked and "boundary" in names):
                kinds[kind] = None
    return tuple(kinds)


def _parts(written: Iterable[Written]) -> Iterator[Form]:
    """The forms that say what they do not do: of a template, those that are in it."""
    for one in written:
        if one.form.name in ("cloudformation", "terraform"):
            yield from FORMS
        else:
            yield one.form


def _warnings(rail: Guardrail, kinds: tuple[Kind, ...], management: str | None) -> Iterator[str]:
    if rail.any_account:
        wide = ", ".join(one.arn for one in rail.break_glass if one.account == "*")
        yield (
            f"a role of that name in any account of the organisation is break-glass: {wide}; make it in every account"
            " before somebody else does"
        )
    if "takeover" not in rail.groups and kinds:
        yield "without takeover, who may change a break-glass role in IAM can make it theirs"
    elif "scp" in kinds or "boundary" in kinds:
        yield (
            "only the break-glass roles can make or change these roles from then on, pipelines and stack sets can not:"
            " deploy the roles first"
        )
    if management is None and set(kinds) & {"scp", "rcp"}:
        yield (
            "calls of the management account count as denied, though these policies do not reach it: name it with"
            " --management-account"
        )
    if any(":key/mrk-" in one and one.split(":")[3] != "*" for one in rail.keys):
        yield "a multi-Region key has a policy in each Region: write * for the Region in its ARN"


# -- records ----------------------------------------------------------------------------------------------------------


def _of_sources(
    request: GuardrailRequest, query: str, since: datetime, until: datetime, observe: Observe | None, report: Report
) -> Iterator[Event]:
    asked = QueryRequest(
        request.sources, query, raw=True, since=since, until=until, jobs=request.settings.scan.jobs,
        settings=request.settings,
    )  # fmt: skip
    limits = read_limits(request.settings)
    told: list[InputError | SourceError] = []

    def tell(problem: InputError | SourceError) -> None:
        told.append(problem)
        report(problem)

    some = False
    try:
        for found in run_query(asked, observe=observe, report=tell):
            some = True
            event = Event.of(read_row(found.raw, Place(""), limits))
            if event is not None:
                yield event
    except SourceError as error:
        # What other sources gave still counts; nothing at all would read as if nothing were denied.
        if error not in told or not some:
            raise


def _of_lake(settings: Settings, query: str, since: datetime, until: datetime) -> Iterator[Event]:
    with installation(settings) as home:
        what = Hunt(query, until, since, until)
        for found in hunt(home.folder, home.catalog, what, newest=False, limits=limits_of(home)):
            data: Json = found.data
            event = Event.of(data)
            if event is not None:
                yield event


def _unknown_days(settings: Settings, since: datetime) -> Iterator[str]:
    """Says where the lake does not reach back to a time: nothing denied there is no sign of anything."""
    with installation(settings) as home:
        begin = min((one.first for segment in home.catalog.segments() for one in segment.file.sites), default=None)
    if begin is None:
        yield "the lake has no records yet: it was tried on nothing"
    elif begin > since:
        yield f"the lake's records begin at {begin:%Y-%m-%d %H:%M} UTC: on the days before, it was not tried"


# -- keys -------------------------------------------------------------------------------------------------------------


def _keys(settings: Settings) -> Iterator[tuple[KeyName, KeyPolicy]]:
    """The keys whose policies are known: of the state, and of exported files, which come later."""
    texts: dict[str, str] = {}
    if is_set_up(settings):
        with installation(settings) as home:
            texts |= _of_state(home)
    for path in settings.investigate.snapshots:
        texts |= {one.key_arn: one.policy for one in read_snapshots(str(path))}
    for arn, text in sorted(texts.items()):
        name = KeyName.parse(arn)
        if name is None:
            continue  # a file that names a key by its id alone tells no account
        try:
            yield name, KeyPolicy.parse(text, name=arn)
        except PolicyError:
            continue  # what KMS took and we cannot read proves nothing either way


def _of_state(home: Installation) -> dict[str, str]:
    with home.database.read() as connection:
        gone = {one.key_arn for one in latest_snapshots(connection) if one.facts.get("state") == DELETED}
        found = {
            arn: document(connection, span.digest)
            for arn, span in latest_policies(connection).items()
            if arn not in gone
        }
    return {arn: text for arn, text in found.items() if text is not None}


__all__ = ["WAYS", "GuardrailRequest", "GuardrailResult", "Written", "make_guardrail"]
