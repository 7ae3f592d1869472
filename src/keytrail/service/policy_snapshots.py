"""`policies snapshot`: every customer managed key of accounts and Regions is read, and what is new of it kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from keytrail.aws import AwsSettings, forget
from keytrail.errors import InputError, SourceError
from keytrail.phrases import count
from keytrail.respond.accounts import Account, Wanted, accounts_of, regions_in
from keytrail.respond.keys import DELETED, KeyRead, Listed, NotRead, list_keys, patient, read_keys
from keytrail.service.config_snapshots import take_config_history
from keytrail.service.kept_policies import LIVE
from keytrail.service.policy_export import export_policies
from keytrail.service.requests import Report
from keytrail.service.running import aws_settings
from keytrail.settings import Settings
from keytrail.store.state.database import Database
from keytrail.store.state.policies import (
    DEFAULT,
    KeySnapshot,
    latest_policies,
    latest_snapshots,
    put_snapshot,
    thin_snapshots,
)

# Calls that are under way at a time: few enough to leave most of the quotas of an account to what uses its keys.
_THREADS = 8
# Keys that are written to the state at a time.
_BATCH_KEYS = 100
# What is said of accounts and Regions without AWS Config, of which there may be hundreds.
_MOST_NOTES = 3
# After this time lines are let go that tell of nothing but grants, tags and the like between two of the same policy.
_FACTS_KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """Whose keys are read, with which credentials to begin with, and the folder that is written to, if any.

    `config_history` asks for what AWS Config recorded of them, too.
    """

    wanted: Wanted
    aws: AwsSettings
    folder: Path | None = None
    config_history: bool = False


@dataclass(frozen=True, slots=True)
class SnapshotProgress:
    """How far a run is: accounts, and the keys so far (AWS managed ones among them)."""

    accounts_done: int
    accounts_total: int
    keys_done: int
    current: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotSummary:
    """What a run found: the ARNs of keys that are new, whose policy is another than last time, and that are gone.

    `unread` are keys whose policy could not be read, `partly` those of which something else could not, `unreached` the
    accounts, or Regions of them, in which no key could be listed. `written` files changed in the folder. `notes` are
    sentences about what AWS Config could not tell.
    """

    keys: int
    accounts: int
    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    unread: int = 0
    partly: int = 0
    unreached: int = 0
    written: int | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In a line: `312 keys in 4 accounts: 3 policies changed since last time; 2 keys could not be read`."""
        changes = [f"{count(len(self.changed), 'policy')} changed since last time"]
        changes += [f"{count(len(self.new), 'key')} new"] if self.new else []
        changes += [f"{count(len(self.deleted), 'key')} gone"] if self.deleted else []
        failures = [f"{count(self.unread, 'key')} could not be read"] if self.unread else []
        failures += [f"{count(self.partly, 'key')} only in part"] if self.partly else []
        failures += (
            [f"{self.unreached:,} {'account or Region' if self.unreached == 1 else 'accounts or Regions'} not at all"]
            if self.unreached
            else []
        )
        files = [] if self.written is None else [f"{count(self.written, 'file')} written"]
        found = f"{count(self.keys, 'key')} in {count(self.accounts, 'account')}"
        return "; ".join([f"{found}: {', '.join(changes)}", *failures, *files])


def snapshot_request(settings: Settings) -> SnapshotRequest:
    """What the settings of [policies] ask for."""
    told = settings.policies
    wanted = Wanted(told.accounts, told.organisation, told.role_name, told.external_id, told.regions)
    return SnapshotRequest(wanted, aws_settings(settings), told.folder, told.config_history)


def take_snapshot(
    database: Database,
    request: SnapshotRequest,
    *,
    clock: Callable[[], datetime],
    observe: Callable[[SnapshotProgress], None] | None = None,
    report: Report | None = None,
) -> SnapshotSummary:
    """Read all keys that are meant and keep what is new; `clock` says when a key was read.

    An account, a Region or a key that cannot be read is told to `report` and stops nothing else. Raises UsageError,
    SourceError or StoreError when it cannot begin, or the state cannot be written.
    """
    aws = patient(request.aws)
    accounts = accounts_of(request.wanted, aws)
    with database.read() as connection:
        known = {key_arn: span.digest for key_arn, span in latest_policies(connection).items()}
    run = _Run(database, known, clock, report)
    with _threads() as threads:
        for number, account in enumerate(accounts):
            for listed in _listings(run, account, request.wanted.regions, threads):
                run.begin(listed)
                for keys in _batches(read_keys(listed, account.aws, threads, clock)):
                    run.keep(keys)
                    if request.config_history:
                        run.keep_config_history(keys, account.aws)
                    if observe is not None:
                        where = f"{account.name or account.id} {listed.region}"
                        observe(SnapshotProgress(number, len(accounts), run.looked_at, where))
                run.keep_deleted(listed)
            forget(account.aws)
    with database.write() as connection:
        thin_snapshots(connection, clock() - _FACTS_KEPT)
    written = None
    if request.folder is not None:
        with database.read() as connection:
            written = export_policies(connection, request.folder).written
    return run.summary(written)


@dataclass(slots=True)
class _Run:
    """One run as it goes: writes to the state, and keeps count."""

    database: Database
    known: dict[str, str]
    clock: Callable[[], datetime]
    report: Report | None
    last: dict[str, KeySnapshot] = field(default_factory=dict)
    looked_at: int = 0
    found: int = 0
    accounts: set[str] = field(default_factory=set)
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    unread: int = 0
    partly: int = 0
    unreached: int = 0
    notes: dict[str, None] = field(default_factory=dict)

    def begin(self, listed: Listed) -> None:
        """Look up how the keys of an account and Region were found last."""
        with self.database.read() as connection:
            found = latest_snapshots(connection, account=listed.account, region=listed.region)
        self.last = {one.key_arn: one for one in found}

    def keep(self, keys: Sequence[KeyRead | NotRead | None]) -> None:
        """Write what is new of the keys, in one transaction."""
        with self.database.write() as connection:
            for key in keys:
                if isinstance(key, KeyRead):
                    put_snapshot(
                        connection,
                        key_arn=key.key_arn,
                        account=key.account,
                        region=key.region,
                        source=LIVE,
                        texts=key.texts,
                        facts=dict(key.facts),
                        at=key.at,
                    )
        for key in keys:
            self.looked_at += 1
            if key is not None:
                self._count(key)

    def keep_config_history(self, keys: Sequence[KeyRead | NotRead | None], aws: AwsSettings) -> None:
        """Keep what AWS Config recorded of the keys."""
        arns = [key.key_arn for key in keys if key is not None]
        self.notes.update(dict.fromkeys(take_config_history(self.database, aws, arns)))

    def keep_deleted(self, listed: Listed) -> None:
        """Note which of the keys known there are listed no longer: their waiting time is over, and they are gone."""
        listed_keys = frozenset(listed.keys)
        with self.database.write() as connection:
            for last in self.last.values():
                if last.key_arn in listed_keys or last.facts.get("state") == DELETED:
                    continue
                put_snapshot(
                    connection,
                    key_arn=last.key_arn,
                    account=last.account,
                    region=last.region,
                    source=LIVE,
                    texts={},
                    facts=last.facts | {"state": DELETED},
                    at=max(self.clock(), last.last_seen),
                )
                self.deleted.append(last.key_arn)

    def tell(self, problem: InputError | SourceError) -> None:
        if isinstance(problem, SourceError):
            self.unreached += 1
        if self.report is not None:
            self.report(problem)

    def summary(self, written: int | None) -> SnapshotSummary:
        return SnapshotSummary(
            self.found,
            len(self.accounts),
            tuple(self.new),
            tuple(self.changed),
            tuple(self.deleted),
            self.unread,
            self.partly,
            self.unreached,
            written,
            _few(tuple(self.notes)),
        )

    def _count(self, key: KeyRead | NotRead) -> None:
        self.found += 1
        problems = (key.problem,) if isinstance(key, NotRead) else key.problems
        for problem in problems:
            self.tell(problem)
        digests = {} if isinstance(key, NotRead) else key.digests
        if DEFAULT not in digests:
            self.unread += 1
            return
        self.partly += bool(problems)
        if (before := self._before(key.key_arn)) is None:
            self.new.append(key.key_arn)
        elif before != digests:
            self.changed.append(key.key_arn)

    def _before(self, key_arn: str) -> Mapping[str, str] | None:
        """The digests by name of the policies that a key was last known to have, None for one that is new."""
        if (digest := self.known.get(key_arn)) is None:
            return None
        last = self.last.get(key_arn)
        return {**(last.policies if last is not None else {}), DEFAULT: digest}


def _few(notes: Sequence[str]) -> tuple[str, ...]:
    """The first of many notes that say about the same, and how many there are."""
    more = len(notes) - _MOST_NOTES
    return (*notes[:_MOST_NOTES], f"AWS Config: {count(more, 'more note')} like these.") if more > 0 else tuple(notes)


def _listings(run: _Run, account: Account, regions: Sequence[str], threads: ThreadPoolExecutor) -> Iterator[Listed]:
    """The keys of each Region of an account that can be asked."""

    def listing(region: str) -> Listed | SourceError:
        try:
            return list_keys(account.id, region, account.aws)
        except SourceError as error:
            return error

    try:
        where = regions_in(account, regions)
    except SourceError as error:
        run.tell(error)
        return
    for found in threads.map(listing, where):
        if isinstance(found, SourceError):
            run.tell(found)
            continue
        run.accounts.add(account.id)
        for problem in found.problems:
            run.tell(problem)
        yield found


def _batches(keys: Iterator[KeyRead | NotRead | None]) -> Iterator[Sequence[KeyRead | NotRead | None]]:
    while batch := list(islice(keys, _BATCH_KEYS)):
        yield batch


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing more once the run is over or was interrupted."""
    threads = ThreadPoolExecutor(_THREADS, "keytrail-keys")
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)
