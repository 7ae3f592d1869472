"""Keys of several accounts and Regions read into the state: what is new is kept once, what fails stops nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keytrail.aws import AwsSettings
from keytrail.errors import InputError, SourceError, UsageError
from keytrail.policy.digest import digest_of_text
from keytrail.respond.accounts import Wanted
from keytrail.respond.keys import DELETED
from keytrail.service.policy_snapshots import (
    SnapshotProgress,
    SnapshotRequest,
    SnapshotSummary,
    snapshot_request,
    take_snapshot,
)
from keytrail.settings import Settings
from keytrail.store.state.database import Database, sqlite_url
from keytrail.store.state.migrate import migrate
from keytrail.store.state.policies import KeySnapshot, document, latest_snapshots, snapshots_of
from tests.respond.estate import (
    ROLE,
    answered,
    in_account,
    key_id,
    make_key,
    new_account,
    of_key,
    policy,
    role_denied,
)
from tests.servers.proxy import Proxy, error

pytestmark = pytest.mark.usefixtures("aws_credentials")

OWN = "123456789012"
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
REGIONS = ("eu-west-1", "us-east-2")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(sqlite_url(tmp_path / "state.db"))
    migrate(made)
    yield made
    made.close()


class Looks:
    """Looks at the same accounts, one after the other."""

    def __init__(self, database: Database, proxy: Proxy, accounts: tuple[str, ...]) -> None:
        self._database, self._accounts = database, accounts
        self._aws = AwsSettings(region="eu-west-1", endpoint_url=proxy.url, max_attempts=1)
        self.problems: list[InputError | SourceError] = []
        self.progress: list[SnapshotProgress] = []
        self.folder: Path | None = None

    def take(self, at: datetime = NOW) -> SnapshotSummary:
        self.problems.clear()
        request = SnapshotRequest(Wanted(self._accounts, role_name=ROLE, regions=REGIONS), self._aws, self.folder)
        return take_snapshot(
            self._database, request, clock=lambda: at, observe=self.progress.append, report=self.problems.append
        )

    def known(self) -> dict[str, KeySnapshot]:
        with self._database.read() as connection:
            return {one.key_arn: one for one in latest_snapshots(connection)}

    def history(self, key: str) -> list[tuple[str | None, object]]:
        with self._database.read() as connection:
            return [(one.digest, one.facts["state"]) for one in snapshots_of(connection, key)]


@pytest.fixture
def accounts() -> tuple[str, str]:
    return new_account(), new_account()


@pytest.fixture
def looks(database: Database, proxy: Proxy, accounts: tuple[str, str]) -> Looks:
    return Looks(database, proxy, accounts)


def test_every_key_of_the_accounts_and_regions_is_kept(
    looks: Looks,
    database: Database,
    proxy: Proxy,
    accounts: tuple[str, str],
) -> None:
    keys = {make_key(proxy.url, account, region): (account, region) for account in accounts for region in REGIONS}
    done = looks.take()
    assert (done.keys, done.accounts, sorted(done.new), done.changed, done.deleted) == (4, 2, sorted(keys), (), ())
    assert (done.unread, done.partly, done.unreached, looks.problems) == (0, 0, 0, [])
    assert {key: (one.account, one.region) for key, one in looks.known().items()} == keys
    assert {one.first_seen for one in looks.known().values()} == {NOW}
    with database.read() as connection:
        for key, (account, _) in keys.items():
            assert document(connection, looks.known()[key].digest or "") == policy(owner=account)
    assert looks.progress[-1].keys_done == 4
    assert {(one.accounts_done, one.accounts_total) for one in looks.progress} == {(0, 2), (1, 2)}


def test_a_second_look_keeps_what_is_another_and_says_so(
    looks: Looks,
    proxy: Proxy,
    accounts: tuple[str, str],
) -> None:
    first, second = (make_key(proxy.url, accounts[0]) for _ in range(2))
    looks.take()
    opened = policy("arn:aws:iam::444455556666:root", owner=accounts[0])
    in_account(proxy.url, accounts[0]).put_key_policy(KeyId=key_id(first), PolicyName="default", Policy=opened)
    third = make_key(proxy.url, accounts[1])
    done = looks.take(NOW + HOUR)
    assert (done.keys, done.new, done.changed) == (3, (third,), (first,))
    before = digest_of_text(policy(owner=accounts[0]))
    assert looks.history(first) == [(before, "Enabled"), (digest_of_text(opened), "Enabled")]
    assert looks.history(second) == [(before, "Enabled")]
    assert looks.known()[second].last_seen == NOW + HOUR
    again = looks.take(NOW + 2 * HOUR)
    assert (again.new, again.changed) == ((), ())


def test_a_policy_that_aws_ram_wrote_is_a_change_as_well(
    looks: Looks,
    proxy: Proxy,
    accounts: tuple[str, str],
) -> None:
    key = make_key(proxy.url, accounts[0])
    looks.take()
    shared = policy("arn:aws:iam::444455556666:root")
    proxy.plan("ListKeyPolicies", answered({"PolicyNames": ["default", "AWS_RAM"], "Truncated": False}), times=2)
    proxy.plan("GetKeyPolicy", of_key(key, answered({"Policy": shared}), PolicyName="AWS_RAM"), times=100)
    assert looks.take(NOW + HOUR).changed == (key,)
    assert looks.take(NOW + 2 * HOUR).changed == ()
    assert looks.take(NOW + 3 * HOUR).changed == (key,)  # it is shared no more


def test_a_key_that_is_gone_is_noted_once_and_kept(
    looks: Looks,
    proxy: Proxy,
    accounts: tuple[str, str],
) -> None:
    key = make_key(proxy.url, accounts[0], alias="orders")
    looks.take()
    proxy.plan("ListKeys", answered({"Keys": [], "Truncated": False}), times=8)
    done = looks.take(NOW + HOUR)
    assert (done.keys, done.deleted) == (0, (key,))
    assert looks.take(NOW + 2 * HOUR).deleted == ()
    assert looks.history(key) == [(digest_of_text(policy(owner=accounts[0])), "Enabled"), (None, DELETED)]
    assert looks.known()[key].facts["aliases"] == ["alias/orders"]


def test_what_fails_is_told_and_stops_nothing_else(
    looks: Looks,
    proxy: Proxy,
    accounts: tuple[str, str],
) -> None:
    hidden, partly, lost = sorted(make_key(proxy.url, accounts[0]) for _ in range(3))
    other = make_key(proxy.url, accounts[1], "us-east-2")
    proxy.plan("GetKeyPolicy", of_key(hidden, error("AccessDeniedException")), times=100)
    proxy.plan("ListGrants", of_key(partly, error("AccessDeniedException")), times=100)
    proxy.plan("DescribeKey", of_key(lost, error("AccessDeniedException")), times=100)
    done = looks.take()
    assert str(done) == (
        "4 keys in 2 accounts: 0 policies changed since last time, 2 keys new; 2 keys could not be read; "
        "1 key only in part"
    )
    assert [problem.place.file for problem in looks.problems if problem.place] == [hidden, partly, lost]
    assert set(looks.known()) == {hidden, partly, other}
    assert looks.history(hidden) == [(None, "Enabled")]


def test_a_region_and_an_account_that_fail_are_told_and_no_key_there_is_taken_for_gone(
    looks: Looks,
    proxy: Proxy,
    accounts: tuple[str, str],
) -> None:
    keys = {make_key(proxy.url, account) for account in accounts}
    looks.take()
    proxy.plan("ListKeys", error("AccessDeniedException"))
    proxy.plan("AssumeRole", role_denied)
    proxy.clear()
    proxy.plan("ListKeys", error("AccessDeniedException"), times=2)
    done = looks.take(NOW + HOUR)
    assert (done.keys, done.accounts, done.unreached, done.deleted) == (1, 1, 2, ())
    assert all("denies kms:ListKeys" in problem.what for problem in looks.problems)
    assert set(looks.known()) == keys
    proxy.plan("AssumeRole", role_denied)  # the first account's; the other's works
    done = looks.take(NOW + 2 * HOUR)
    assert (done.keys, done.unreached, done.deleted) == (1, 1, ())
    [problem] = looks.problems
    assert isinstance(problem, SourceError)
    assert "denies sts:AssumeRole" in problem.what


def test_a_policy_that_may_not_be_read_any_more_is_no_change_of_it(
    looks: Looks,
    proxy: Proxy,
    accounts: tuple[str, str],
) -> None:
    key = make_key(proxy.url, accounts[0])
    looks.take()
    proxy.plan("GetKeyPolicy", error("AccessDeniedException"))
    denied = looks.take(NOW + HOUR)
    assert (denied.changed, denied.unread) == ((), 1)
    assert looks.take(NOW + 2 * HOUR).changed == ()
    known = digest_of_text(policy(owner=accounts[0]))
    assert looks.history(key) == [(known, "Enabled"), (None, "Enabled"), (known, "Enabled")]


def test_the_folder_is_written_as_well(
    looks: Looks,
    proxy: Proxy,
    accounts: tuple[str, str],
    tmp_path: Path,
) -> None:
    key = make_key(proxy.url, accounts[0])
    looks.folder = tmp_path / "policies"
    assert looks.take().written == 2  # the policy and the list of keys
    assert (looks.folder / accounts[0] / "eu-west-1" / f"{key_id(key)}.json").is_file()
    assert looks.take(NOW + HOUR).written == 0


def test_what_cannot_begin_raises(database: Database, proxy: Proxy) -> None:
    aws = AwsSettings(region="eu-west-1", endpoint_url=proxy.url, max_attempts=1)
    with pytest.raises(UsageError, match="no role is named"):
        take_snapshot(database, SnapshotRequest(Wanted((new_account(),)), aws), clock=lambda: NOW)


def test_the_settings_say_whose_keys_are_meant(tmp_path: Path) -> None:
    told = {
        "accounts": ["111122223333"],
        "organisation": True,
        "role_name": "reader",
        "external_id": "x",
        "regions": ["eu-west-1"],
        "folder": str(tmp_path),
    }
    request = snapshot_request(Settings.model_validate({"policies": told}))
    assert request.wanted == Wanted(("111122223333",), True, "reader", "x", ("eu-west-1",))
    assert request.folder == tmp_path


def test_the_summary_is_a_sentence() -> None:
    assert str(SnapshotSummary(312, 4, changed=("a", "b", "c"), unread=2)) == (
        "312 keys in 4 accounts: 3 policies changed since last time; 2 keys could not be read"
    )
    assert str(SnapshotSummary(1, 1, ("a",), deleted=("b",), unreached=1, written=0)) == (
        "1 key in 1 account: 0 policies changed since last time, 1 key new, 1 key gone; "
        "1 account or Region not at all; 0 files written"
    )
