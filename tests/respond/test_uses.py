"""Who used a key lately, who acts as an identity, and whom IAM deleted, as records tell it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keytrail.investigate import KeyName
from keytrail.policy import KeyPolicy
from keytrail.respond import uses
from keytrail.respond.uses import RecentUses, recent_uses
from keytrail.settings import Accounts
from keytrail.store import MemoryStore
from tests.investigate import records
from tests.respond.attacks import ADMIN, APP, GOOD, Json

SINCE, UNTIL = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
S3 = {"aws:s3:arn": "arn:aws:s3:::ledger/a"}


def told(*built: Json, policy: Json = GOOD, identities: tuple[str, ...] = (), **times: Any) -> RecentUses:
    key = KeyName.parse(records.KEY)
    assert key is not None
    since, until = times.get("since", SINCE), times.get("until", UNTIL)
    parsed = KeyPolicy.parse(policy)
    return recent_uses(MemoryStore(built), key, since, until, Accounts(), [parsed], identities)


def test_uses_of_one_kind_are_counted_together() -> None:
    app = records.session("App")
    found = told(*(records.use(f"09:0{number}", app, S3, via="s3.amazonaws.com") for number in range(4)))
    [use] = found.uses
    assert (use.principal, use.action, use.via, use.count) == (APP, "Decrypt", "s3.amazonaws.com", 4)
    assert (use.first, use.last) == (SINCE + timedelta(hours=9), SINCE + timedelta(hours=9, minutes=3))
    assert use.resources == ("arn:aws:s3:::ledger/a",)


def test_uses_that_policies_tell_apart_are_kinds_of_their_own() -> None:
    bound = records.allow(APP, "kms:Decrypt", {"StringEquals": {"kms:EncryptionContext:stage": "prod"}})
    app = records.session("App")
    built = [records.use("09:00", app, {"stage": "prod"}), records.use("09:01", app, {"stage": "test"})]
    assert len(told(*built).uses) == 1
    assert len(told(*built, policy=records.policy(bound)).uses) == 2


def test_what_failed_and_what_was_about_another_key_is_no_use() -> None:
    other = records.KEY[:-1] + "1"
    failed = records.refused(records.use("09:00", records.session("App")))
    assert told(failed, records.use("09:00", records.session("App"), key=other)).uses == ()


def test_only_the_interval_counts() -> None:
    built = [records.use("2026-03-01T09:00:00Z", records.session("App")), records.use("09:00", records.session("App"))]
    [use] = told(*built).uses
    assert use.count == 1


def test_a_grant_that_is_made_is_a_use_of_the_key_as_well() -> None:
    [use] = told(records.grant("09:00", records.session("App"), ADMIN, grant_id="g")).uses
    assert use.permissions == ("kms:CreateGrant",)


def test_more_kinds_than_are_told_apart_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uses, "MOST_USES", 2)
    built = [records.use("09:00", records.session(f"App{number}")) for number in range(3)]
    found = told(*built)
    assert (len(found.uses), found.complete) == (2, False)


def test_a_busy_key_is_read_in_batches_with_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    app = records.session("App")
    built = [records.use(f"09:{number:02}", app) for number in range(23)]
    whole = told(*built)
    monkeypatch.setattr(uses, "_BATCH", 5)
    assert told(*built) == whole
    assert whole.uses[0].count == 23


def test_sessions_of_an_identity_are_told_apart_by_who_uses_them() -> None:
    built = [
        records.record("s3:ListBuckets", f"0{number}:00", records.session("App", name=name))
        for number, name in enumerate(["ci", "dana", "ci"])
    ]
    found = told(*built, records.record("s3:ListBuckets", "03:00", records.session("Other")), identities=(APP,))
    assert [(one.who.rpartition("/")[2], one.count) for one in found.sessions] == [("ci", 2), ("dana", 1)]


def test_long_lived_access_keys_of_a_user_are_listed_once() -> None:
    eve = f"arn:aws:iam::{records.OWNER}:user/eve"
    built = [
        records.record("s3:ListBuckets", f"0{number}:00", records.user("eve", access_key=key))
        for number, key in enumerate(["AKIAEXAMPLE000000001", "ASIAEXAMPLE000000001", "AKIAEXAMPLE000000001"])
    ]
    [session] = told(*built, identities=(eve,)).sessions
    assert session.access_keys == ("AKIAEXAMPLE000000001",)


def test_a_role_that_was_deleted_at_any_time_is_told() -> None:
    gone = records.iam("DeleteRole", "2025-01-01T00:00:00Z", records.session("Admin"), {"roleName": "App"})
    [deleted] = told(gone).deleted
    assert (deleted.principal, deleted.remade) == (APP, None)


def test_a_role_made_again_is_told_with_who_made_it() -> None:
    gone = records.iam("DeleteRole", "09:00", records.session("Admin"), {"roleName": "App"})
    made = records.iam("CreateRole", "09:05", records.session("Mallory", name="m"), {"roleName": "App"})
    [deleted] = told(gone, made).deleted
    assert deleted.remade == SINCE + timedelta(hours=9, minutes=5)
    assert deleted.remade_by.endswith("assumed-role/Mallory/m")


def test_a_role_of_that_name_in_another_account_or_a_deletion_that_failed_says_nothing() -> None:
    elsewhere = records.iam(
        "DeleteRole", "09:00", records.session("Admin"), {"roleName": "App"}, account=records.OUTSIDE
    )
    failed = records.refused(records.iam("DeleteRole", "09:00", records.session("Admin"), {"roleName": "App"}))
    assert told(elsewhere, failed).deleted == ()


def test_a_path_in_the_policy_does_not_hide_a_deletion() -> None:
    arn = records.role_arn("team/App")
    gone = records.iam("DeleteRole", "09:00", records.session("Admin"), {"roleName": "App"})
    assert [one.principal for one in told(gone, policy=records.policy(records.allow(arn))).deleted] == [arn]
