"""Keys as KMS shows them: everything of each, page by page; what is denied is said, what throttles is waited for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from keytrail.errors import SourceError
from keytrail.policy.digest import digest_of_text
from keytrail.respond.keys import MOST_GRANTS, KeyRead, Listed, NotRead, list_keys, patient, read_keys
from tests.respond.estate import (
    REGION,
    answered,
    aws_in,
    bodies,
    in_account,
    in_pages,
    key_id,
    make_key,
    new_account,
    of_key,
    policy,
    with_member,
)
from tests.servers.proxy import Proxy, cut, error

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
DENIED = error("AccessDeniedException", message="no")


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def read(proxy: Proxy, account: str, threads: ThreadPoolExecutor, attempts: int = 1) -> list[KeyRead | NotRead | None]:
    aws = aws_in(proxy.url, account, attempts=attempts)
    return list(read_keys(list_keys(account, REGION, aws), aws, threads, lambda: NOW))


def one(found: list[KeyRead | NotRead | None]) -> KeyRead:
    [key] = found
    assert isinstance(key, KeyRead)
    return key


def test_all_of_a_key_is_read(proxy: Proxy, threads: ThreadPoolExecutor) -> None:
    account = new_account()
    text = policy(owner=account)
    tags = [{"TagKey": "team", "TagValue": "\x1b[2J"}, {"TagKey": "app", "TagValue": "orders"}]
    arn = make_key(
        proxy.url, account, alias="orders", text=text, Description="Orders", Tags=tags, KeyUsage="ENCRYPT_DECRYPT"
    )
    kms = in_account(proxy.url, account)
    kms.create_alias(AliasName="alias/legacy", TargetKeyId=key_id(arn))
    kms.enable_key_rotation(KeyId=key_id(arn))
    grantee = f"arn:aws:iam::{account}:role/app"
    grant = kms.create_grant(
        KeyId=key_id(arn), GranteePrincipal=grantee, Operations=["Encrypt", "Decrypt"], Name="for the app"
    )["GrantId"]
    key = one(read(proxy, account, threads))
    assert (key.key_arn, key.account, key.region, key.at) == (arn, account, REGION, NOW)
    assert key.texts == {"default": text}
    assert key.digests == {"default": digest_of_text(text)}
    assert key.problems == ()
    facts: dict[str, Any] = dict(key.facts)
    [shown] = facts.pop("grants")
    assert shown == {
        "grant_id": grant,
        "name": "for the app",
        "grantee": grantee,
        "operations": ["Decrypt", "Encrypt"],
        "retiring": "",
        "constraints": {},
        # moto does not tell
        "issued_by": "",
        "created_at": None,
    }
    assert facts.pop("created_at")
    assert facts == {
        "state": "Enabled",
        "description": "Orders",
        "deletion_at": None,
        "spec": "SYMMETRIC_DEFAULT",
        "usage": "ENCRYPT_DECRYPT",
        "origin": "AWS_KMS",
        "multi_region": None,
        "aliases": ["alias/legacy", "alias/orders"],
        "tags": {"app": "orders", "team": "\x1b[2J"},
        "grants_total": 1,
        "rotation": True,
        "rotation_days": None,
        "unread": {},
    }
    assert json.loads(json.dumps(facts)) == facts


def test_lists_come_in_pages(proxy: Proxy, threads: ThreadPoolExecutor) -> None:
    account = new_account()
    arns = [make_key(proxy.url, account, alias=f"key-{number}") for number in range(7)]
    kms = in_account(proxy.url, account)
    for number in range(5):
        kms.create_grant(
            KeyId=key_id(arns[0]), GranteePrincipal=f"arn:aws:iam::{account}:role/{number}", Operations=["Decrypt"]
        )
    kms.tag_resource(KeyId=key_id(arns[0]), Tags=[{"TagKey": f"t{n}", "TagValue": ""} for n in range(5)])
    proxy.clear()
    for operation, member in (
        ("ListKeys", "Keys"), ("ListAliases", "Aliases"), ("ListGrants", "Grants"), ("ListResourceTags", "Tags"),
    ):  # fmt: skip
        proxy.plan(operation, in_pages(member, 2), times=1000)
    found = read(proxy, account, threads)
    assert [key.key_arn for key in found if isinstance(key, KeyRead)] == sorted(arns)
    assert {key.facts["aliases"][0] for key in found if isinstance(key, KeyRead)} == {  # type: ignore[index]
        f"alias/key-{number}" for number in range(7)
    }
    first = next(key for key in found if isinstance(key, KeyRead) and key.key_arn == arns[0])
    assert first.facts["grants_total"] == 5
    assert first.facts["tags"] == {f"t{n}": "" for n in range(5)}
    assert [one.get("Marker") for one in bodies(proxy, "ListKeys")] == [None, "2", "4", "6"]
    assert {one["Limit"] for one in bodies(proxy, "ListKeys")} == {1000}
    assert {one["Limit"] for one in bodies(proxy, "ListGrants")} == {100}


def test_keys_of_aws_are_passed_over_and_keys_to_be_deleted_are_not(proxy: Proxy, threads: ThreadPoolExecutor) -> None:
    account = new_account()
    managed, dying = make_key(proxy.url, account), make_key(proxy.url, account)
    in_account(proxy.url, account).schedule_key_deletion(KeyId=key_id(dying), PendingWindowInDays=7)
    proxy.plan("DescribeKey", of_key(managed, with_member("KeyMetadata", KeyManager="AWS")), times=10)
    found = dict(zip(sorted([managed, dying]), read(proxy, account, threads), strict=True))
    assert found[managed] is None
    key = found[dying]
    assert isinstance(key, KeyRead)
    assert (key.facts["state"], key.facts["rotation"]) == ("PendingDeletion", None)
    assert str(key.facts["deletion_at"]).startswith("20")
    assert set(key.digests) == {"default"}
    assert {one["KeyId"] for one in bodies(proxy, "GetKeyPolicy")} == {key_id(dying)}


def test_a_replica_is_a_key_of_its_own(proxy: Proxy, threads: ThreadPoolExecutor) -> None:
    account = new_account()
    primary = make_key(proxy.url, account, MultiRegion=True)
    made = in_account(proxy.url, account).replicate_key(KeyId=key_id(primary), ReplicaRegion="us-east-2")
    replica = made["ReplicaKeyMetadata"]["Arn"]
    aws = aws_in(proxy.url, account)
    there = one(list(read_keys(list_keys(account, "us-east-2", aws), aws, threads, lambda: NOW)))
    here = one(read(proxy, account, threads))
    assert (here.key_arn, there.key_arn) == (primary, replica)
    regions = here.facts["multi_region"]
    assert isinstance(regions, dict)
    # Once it has a replica, moto calls the primary key one as well.
    assert (regions["primary"], regions["replicas"]) == (primary, [replica])
    assert there.facts["multi_region"] == {"type": "REPLICA", "primary": primary, "replicas": [replica]}


def test_the_policy_of_aws_ram_is_read_as_well(proxy: Proxy, threads: ThreadPoolExecutor) -> None:
    account = new_account()
    arn = make_key(proxy.url, account)
    shared = policy("arn:aws:iam::444455556666:root")
    proxy.plan("ListKeyPolicies", answered({"PolicyNames": ["default", "AWS_RAM"], "Truncated": False}))
    proxy.plan("GetKeyPolicy", of_key(arn, answered({"Policy": shared}), PolicyName="AWS_RAM"), times=2)
    key = one(read(proxy, account, threads))
    assert key.texts == {"default": policy(owner=account), "AWS_RAM": shared}
    assert key.digests["AWS_RAM"] == digest_of_text(shared)


def test_what_is_denied_is_a_fact_and_the_rest_is_read(proxy: Proxy, threads: ThreadPoolExecutor) -> None:
    account = new_account()
    arn = make_key(proxy.url, account, alias="orders")
    operations = ("GetKeyPolicy", "ListKeyPolicies", "ListGrants", "ListResourceTags", "GetKeyRotationStatus")
    for operation in (*operations, "ListAliases"):
        proxy.plan(operation, DENIED)
    aws = aws_in(proxy.url, account)
    listed = list_keys(account, REGION, aws)
    key = one(list(read_keys(listed, aws, threads, lambda: NOW)))
    assert key.texts == {}
    assert key.digests == {}
    assert key.facts["state"] == "Enabled"
    parts = ("policies", "policy names", "aliases", "tags", "grants", "rotation")
    assert key.facts["unread"] == dict.fromkeys(parts, "AccessDeniedException")
    assert [key.facts[part] for part in ("aliases", "tags", "grants", "rotation")] == [None] * 4
    told = [problem.what for problem in key.problems]
    assert [any(f"kms:{operation} on" in what for what in told) for operation in operations] == [True] * 5
    assert all(problem.place is not None and problem.place.file == arn for problem in key.problems)
    assert all("allow kms:" in problem.advice for problem in key.problems)
    [problem] = listed.problems
    assert "kms:ListAliases" in problem.what


def test_what_fails_otherwise_tells_nothing_about_the_key(proxy: Proxy, threads: ThreadPoolExecutor) -> None:
    account = new_account()
    arns = sorted(make_key(proxy.url, account) for _ in range(4))
    proxy.plan("DescribeKey", of_key(arns[0], DENIED), times=8)
    proxy.plan("ListGrants", of_key(arns[1], cut(5)), times=8)
    proxy.plan("GetKeyPolicy", of_key(arns[2], answered({"Policy": "no JSON"})), times=8)
    found = read(proxy, account, threads)
    assert [type(key) for key in found] == [NotRead, NotRead, NotRead, KeyRead]
    problems = [key.problem for key in found if isinstance(key, NotRead)]
    assert "denies kms:DescribeKey" in problems[0].what
    assert problems[1].what
    assert "is not JSON" in problems[2].what
    assert [problem.place.file for problem in problems if problem.place] == arns[:3]


def test_a_key_that_is_gone_by_now_is_passed_over(proxy: Proxy, threads: ThreadPoolExecutor) -> None:
    account = new_account()
    make_key(proxy.url, account)
    proxy.plan("DescribeKey", error("NotFoundException"))
    assert read(proxy, account, threads) == [None]
    proxy.plan("ListGrants", error("NotFoundException"))
    assert read(proxy, account, threads) == [None]


def test_a_kind_of_key_without_rotation_is_no_failure(proxy: Proxy, threads: ThreadPoolExecutor) -> None:
    account = new_account()
    make_key(proxy.url, account, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    assert one(read(proxy, account, threads)).facts["rotation"] is None
    assert proxy.count("GetKeyRotationStatus") == 0
    other = new_account()
    make_key(proxy.url, other)
    proxy.plan("GetKeyRotationStatus", error("UnsupportedOperationException"))
    key = one(read(proxy, other, threads))
    assert (key.facts["rotation"], key.problems) == (None, ())


def test_throttling_is_waited_for(proxy: Proxy, threads: ThreadPoolExecutor) -> None:
    account = new_account()
    make_key(proxy.url, account)
    aws = patient(aws_in(proxy.url, account))
    proxy.plan("GetKeyPolicy", error("ThrottlingException"))
    key = one(list(read_keys(list_keys(account, REGION, aws), aws, threads, lambda: NOW)))
    assert key.problems == ()
    assert proxy.count("GetKeyPolicy") == 2


def test_keys_that_cannot_be_listed_are_an_error(proxy: Proxy) -> None:
    account = new_account()
    aws = aws_in(proxy.url, account)
    for fault, told in ((DENIED, "denies kms:ListKeys"), (answered({}), "did not arrive whole")):
        proxy.plan("ListKeys", fault)
        with pytest.raises(SourceError, match=told):
            list_keys(account, REGION, aws)
    # A page that says there are more, and not where, would leave keys out.
    proxy.plan("ListKeys", answered({"Keys": [], "Truncated": True}))
    with pytest.raises(SourceError, match="did not arrive whole"):
        list_keys(account, REGION, aws)


def test_of_very_many_grants_the_first_are_kept_and_all_counted(proxy: Proxy, threads: ThreadPoolExecutor) -> None:
    account = new_account()
    make_key(proxy.url, account)
    grants = [{"GrantId": f"{number:05d}", "Operations": ["Decrypt"]} for number in range(MOST_GRANTS + 5)]
    proxy.plan("ListGrants", answered({"Grants": grants[::-1], "Truncated": False}))
    key = one(read(proxy, account, threads))
    assert key.facts["grants_total"] == MOST_GRANTS + 5
    kept = key.facts["grants"]
    assert isinstance(kept, list)
    assert (len(kept), kept[0]["grant_id"]) == (MOST_GRANTS, "00000")


def test_an_empty_region_has_no_keys(proxy: Proxy) -> None:
    account = new_account()
    found = list_keys(account, "ap-south-1", aws_in(proxy.url, account))
    assert isinstance(found, Listed)
    assert found.keys == ()
