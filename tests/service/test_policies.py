"""Keys found by what people call them, their versions, and what people vouch for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from keytrail.errors import UsageError
from keytrail.policy.digest import digest_of_text
from keytrail.service.policies import (
    diff_versions,
    find_key,
    list_keys,
    mark_version,
    show_key,
    version_named,
    versions_of,
)
from keytrail.service.policy_export import INDEX, Exported, export_policies
from keytrail.service.snapshots import read_snapshots
from keytrail.settings import Accounts
from keytrail.store.state.database import Database, sqlite_url
from keytrail.store.state.migrate import migrate
from keytrail.store.state.policies import put_snapshot
from keytrail.store.state.tables import audit
from tests.respond.estate import policy

ACCOUNT = "111122223333"
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
A, B = policy(owner=ACCOUNT), policy("arn:aws:iam::444455556666:root", owner=ACCOUNT)
DIGEST_A, DIGEST_B = digest_of_text(A), digest_of_text(B)
HOSTILE = "alias/\x1b[2J\u202e"


def arn(number: int, region: str = "eu-west-1", id: str = "") -> str:
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{id or f'{number:08x}-0000-4000-8000-000000000000'}"


ORDERS, OTHER = arn(0x1234ABCD), arn(0x1234FFFF)
MULTI = "mrk-" + "0" * 32


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    database = Database(sqlite_url(tmp_path / "state.db"))
    migrate(database)
    with database.write() as opened:
        yield opened
    database.close()


def put(
    connection: Connection,
    key: str = ORDERS,
    text: str | None = A,
    at: datetime = NOW,
    source: str = "kms",
    others: dict[str, str] | None = None,
    **facts: object,
) -> None:
    put_snapshot(
        connection,
        key_arn=key,
        account=key.split(":")[4],
        region=key.split(":")[3],
        source=source,
        texts=({} if text is None else {"default": text}) | (others or {}),
        facts={"state": "Enabled"} | facts,
        at=at,
    )


# -- which key --------------------------------------------------------------------------------------------------------


def test_a_key_is_found_by_all_that_people_call_it(connection: Connection) -> None:
    put(connection, aliases=["alias/orders", HOSTILE])
    put(connection, OTHER, aliases=["alias/orders-old"])
    for name in (
        ORDERS, ORDERS.rpartition("/")[2], "1234abcd", "alias/orders", "orders", f" {ORDERS} ", HOSTILE,
        f"arn:aws:kms:eu-west-1:{ACCOUNT}:alias/orders",
    ):  # fmt: skip
        assert find_key(connection, name).snapshot.key_arn == ORDERS, name
    assert find_key(connection, "orders-").snapshot.key_arn == OTHER


def test_an_ambiguous_name_tells_which_keys_it_could_be(connection: Connection) -> None:
    put(connection, aliases=["alias/orders"])
    put(connection, OTHER)
    with pytest.raises(UsageError, match="'1234' names 2 keys") as caught:
        find_key(connection, "1234")
    assert f"{ORDERS} (alias/orders)" in caught.value.advice
    assert f"{OTHER} (no alias)" in caught.value.advice


def test_a_replica_is_ambiguous_by_its_id_and_found_by_its_arn(connection: Connection) -> None:
    for region in ("eu-west-1", "us-east-1"):
        put(connection, arn(0, region, MULTI))
    with pytest.raises(UsageError, match="names 2 keys"):
        find_key(connection, MULTI)
    assert find_key(connection, arn(0, "us-east-1", MULTI)).snapshot.region == "us-east-1"


def test_an_unknown_key_says_what_to_do(connection: Connection) -> None:
    with pytest.raises(UsageError, match="no key is known yet"):
        find_key(connection, "orders")
    put(connection)
    for name in ("orders", "", "  "):
        with pytest.raises(UsageError, match="no key is known as"):
            find_key(connection, name)


def test_keys_are_listed_by_account_region_and_mark(connection: Connection) -> None:
    put(connection, aliases=["alias/orders"], grants_total=3)
    put(connection, arn(2, "us-east-1"), B)
    put(connection, arn(3, "us-east-1").replace(ACCOUNT, "444455556666"), B, aliases=[])
    mark_version(connection, ORDERS, None, who="ada", note="", now=NOW)
    assert [row.snapshot.key_arn for row in list_keys(connection, accounts=[ACCOUNT], regions=["us-east-1"])] == [
        arn(2, "us-east-1")
    ]
    put(connection, arn(4), None, state="Deleted")
    not_good = [row.snapshot.key_arn for row in list_keys(connection, not_good=True)]
    assert not_good == [arn(2, "us-east-1"), arn(3, "us-east-1").replace(ACCOUNT, "444455556666")]
    first = list_keys(connection)[0]
    assert (first.aliases, first.grants, first.is_good) == (("alias/orders",), 3, True)
    assert first.to_dict()["good_versions"] == [{"digest": DIGEST_A, "at": NOW.isoformat(), "who": "ada", "note": ""}]


# -- which version ----------------------------------------------------------------------------------------------------


def test_versions_are_the_policies_one_after_the_other(connection: Connection) -> None:
    put(connection, source="config", at=NOW - HOUR)
    put(connection)
    put(connection, state="Disabled", at=NOW + HOUR)
    put(connection, text=B, at=NOW + 2 * HOUR)
    put(connection, text=None, at=NOW + 3 * HOUR)
    put(connection, text=A, at=NOW + 4 * HOUR)
    assert [(one.digest, one.first_seen, one.last_seen, one.sources) for one in versions_of(connection, ORDERS)] == [
        (DIGEST_A, NOW - HOUR, NOW + HOUR, ("config", "kms")),
        (DIGEST_B, NOW + 2 * HOUR, NOW + 2 * HOUR, ("kms",)),
        (DIGEST_A, NOW + 4 * HOUR, NOW + 4 * HOUR, ("kms",)),
    ]


def test_a_version_is_shown_by_digest_and_by_time(connection: Connection) -> None:
    put(connection)
    put(connection, text=B, at=NOW + 2 * HOUR)
    assert show_key(connection, ORDERS).text == B
    assert show_key(connection, ORDERS, version=DIGEST_A[:8].upper()).text == A
    at_once = show_key(connection, ORDERS, at=NOW)
    assert (at_once.text, at_once.notes) == (A, ())
    between = show_key(connection, ORDERS, at=NOW + HOUR)
    assert between.text == A
    assert "nobody looked between 2026-03-01 08:00:00 and 2026-03-01 10:00:00 UTC" in between.notes[0]
    assert show_key(connection, ORDERS, at=NOW + 99 * HOUR).text == B
    with pytest.raises(UsageError, match="is not known: it was first read at 2026-03-01 08:00:00 UTC"):
        show_key(connection, ORDERS, at=NOW - HOUR)


def test_a_version_has_to_be_one_and_only_one(connection: Connection) -> None:
    put(connection)
    put(connection, text=B, at=NOW + HOUR)
    versions = versions_of(connection, ORDERS)
    for wrong in ("", DIGEST_A[:3], "f" * 64, "../x", "zzzz"):
        with pytest.raises(UsageError, match="has no version") as caught:
            version_named(versions, wrong)
        assert DIGEST_A[:12] in caught.value.advice
    twins = [versions[0], type(versions[0])(DIGEST_A[:-1] + "_", NOW, NOW, ())]
    with pytest.raises(UsageError, match="names 2 versions"):
        version_named(twins, DIGEST_A[:8])


def test_what_the_last_look_could_not_read_is_said(connection: Connection) -> None:
    put(connection, others={"AWS_RAM": B})
    assert "another policy besides, AWS_RAM" in show_key(connection, ORDERS).notes[0]
    put(connection, text=None, at=NOW + HOUR)
    shown = show_key(connection, ORDERS)
    assert shown.text == A
    assert "could not be read the last time" in shown.notes[0]
    assert shown.to_dict()["version"] == DIGEST_A
    put(connection, OTHER, None)
    never = show_key(connection, OTHER)
    assert (never.text, never.version, never.notes) == (None, None, ("the policy could not be read yet",))


# -- what changed -----------------------------------------------------------------------------------------------------


def test_the_last_change_or_any_two_versions_are_compared(connection: Connection) -> None:
    put(connection)
    with pytest.raises(UsageError, match="only 1 version"):
        diff_versions(connection, ORDERS, accounts=Accounts(), now=NOW)
    put(connection, text=B, at=NOW + HOUR)
    found = diff_versions(connection, ORDERS, accounts=Accounts(), now=NOW)
    assert (found.answer, found.key_arn, found.account) == ("new access", ORDERS, ACCOUNT)
    assert found.comparison is not None
    assert found.comparison.external_accounts == ("444455556666",)
    assert DIGEST_A[:12] in found.before.origin
    back = diff_versions(connection, ORDERS, DIGEST_B, DIGEST_A, accounts=Accounts(), now=NOW)
    assert back.answer == "no new access"
    assert diff_versions(connection, ORDERS, DIGEST_A, accounts=Accounts(), now=NOW).answer == "new access"


# -- who vouches ------------------------------------------------------------------------------------------------------


def test_marks_are_kept_with_who_and_why_and_audited(connection: Connection) -> None:
    put(connection)
    put(connection, text=B, at=NOW + HOUR)
    done = mark_version(connection, "1234abcd", DIGEST_A[:6], who="ada", note="CHG-1", now=NOW)
    assert (done.digest, done.changed) == (DIGEST_A, True)
    assert not mark_version(connection, ORDERS, DIGEST_A, who="ada", note="", now=NOW).changed
    assert mark_version(connection, ORDERS, None, who="grace", note="", now=NOW).digest == DIGEST_B
    assert mark_version(connection, ORDERS, DIGEST_A, who="ada", note="", now=NOW, good=False).changed
    assert not mark_version(connection, ORDERS, DIGEST_A, who="ada", note="", now=NOW, good=False).changed
    assert [(one.who, one.kind, one.subject, one.action, one.detail) for one in connection.execute(audit.select())] == [
        ("ada", "policy", ORDERS, "marked good", {"digest": DIGEST_A, "note": "CHG-1"}),
        ("grace", "policy", ORDERS, "marked good", {"digest": DIGEST_B}),
        ("ada", "policy", ORDERS, "mark taken away", {"digest": DIGEST_A}),
    ]
    put(connection, OTHER, None)
    with pytest.raises(UsageError, match="no policy of the key"):
        mark_version(connection, OTHER, None, who="ada", note="", now=NOW)


# -- files ------------------------------------------------------------------------------------------------------------


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_each_policy_and_is_read_as_snapshots(connection: Connection, tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    spaced = '{"Statement" : [{"Sid":"\\u202e", "Effect":"Allow",   "Principal":"*", "Action":"kms:*"}]}'
    put(connection, aliases=["alias/orders", "=alias/x"], others={"AWS_RAM": B})
    put(connection, arn(0, "us-east-1", MULTI), spaced, multi_region={"type": "REPLICA"})
    put(connection, OTHER, None)
    mark_version(connection, ORDERS, None, who="ada", note="", now=NOW)
    assert export_policies(connection, folder) == Exported(2, 4)
    name = ORDERS.rpartition("/")[2]
    written = files(folder)
    assert set(written) == {
        f"{ACCOUNT}/eu-west-1/{name}.json", f"{ACCOUNT}/eu-west-1/{name}.AWS_RAM.policy",
        f"{ACCOUNT}/us-east-1/{MULTI}.json", INDEX,
    }  # fmt: skip
    assert all(text.isascii() and text.isprintable() is False for text in written.values())
    assert written[f"{ACCOUNT}/us-east-1/{MULTI}.json"].startswith(
        '{\n  "Statement": [\n    {\n      "Sid": "\\u202e",\n'
    )
    assert written[INDEX] == (
        "key,aliases,state,multi_region,policy,good\n"
        f"{ORDERS},alias/orders =alias/x,Enabled,,{DIGEST_A},good\n"
        f"{arn(0, 'us-east-1', MULTI)},,Enabled,REPLICA,{digest_of_text(spaced)},\n"
    )
    found = {one.key_arn: digest_of_text(one.policy) for one in read_snapshots(str(folder))}
    assert found == {ORDERS: DIGEST_A, arn(0, "us-east-1", MULTI): digest_of_text(spaced)}


def test_only_what_changed_is_written_again(connection: Connection, tmp_path: Path) -> None:
    put(connection, others={"AWS_RAM": B})
    put(connection, OTHER)
    export_policies(connection, tmp_path)
    place = tmp_path / ACCOUNT / "eu-west-1"
    untouched = place / f"{OTHER.rpartition('/')[2]}.json"
    before = untouched.stat()
    assert export_policies(connection, tmp_path).written == 0
    put(connection, text=B, at=NOW + HOUR)
    # The policy, the list, and the other policy, which is there no more.
    assert export_policies(connection, tmp_path).written == 3
    assert (untouched.stat().st_ino, untouched.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert sorted(path.name for path in place.iterdir()) == sorted(
        f"{one.rpartition('/')[2]}.json" for one in (ORDERS, OTHER)
    )
    # Of a key that is gone, or may not be read any more, the file stays.
    put(connection, text=None, at=NOW + 2 * HOUR, state="Deleted")
    assert export_policies(connection, tmp_path).written == 1
    assert digest_of_text((place / f"{ORDERS.rpartition('/')[2]}.json").read_text()) == DIGEST_B
    assert "Deleted" in (tmp_path / INDEX).read_text()


def test_a_folder_that_cannot_be_written_is_an_error(connection: Connection, tmp_path: Path) -> None:
    put(connection)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        export_policies(connection, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
