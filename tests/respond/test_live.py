"""What is there now of a key, and what is said of the parts that AWS does not show."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from keytrail.investigate import KeyName
from keytrail.policy.digest import digest_of_text
from keytrail.respond.calls import AwsCalls
from keytrail.respond.live import Live, read_live
from keytrail.respond.model import Call
from tests.respond.kit import ACCOUNT, NOW, ROGUE, Clock, applied, aws_at, iam, kms, make_key, make_plan, policy_answer
from tests.servers.proxy import Answer, Proxy, Request, edited, error


def live(proxy: Proxy, key: str) -> Live:
    name = KeyName.parse(key)
    assert name is not None
    return read_live(name, aws_at(proxy.url), now=NOW)


def make_grants(url: str, key: str, number: int) -> list[str]:
    role = f"arn:aws:iam::{ACCOUNT}:role/reader"
    return [
        str(kms(url).create_grant(KeyId=key, GranteePrincipal=role, Operations=["Decrypt", "Encrypt"])["GrantId"])
        for _ in range(number)
    ]


def paged(pages: list[dict[str, object]]) -> Callable[[Request, Callable[[], Answer]], Answer]:
    """ListGrants in pages, as KMS answers it."""

    def fault(request: Request, ask: Callable[[], Answer]) -> Answer:
        marker = json.loads(request.body).get("Marker", "0")
        return Answer(200, (("Content-Type", "application/x-amz-json-1.1"),), json.dumps(pages[int(marker)]).encode())

    return fault


def grant(name: str) -> dict[str, object]:
    return {"GrantId": name, "GranteePrincipal": f"arn:aws:iam::{ACCOUNT}:role/{name}", "Operations": ["Decrypt"]}


def test_everything_is_read_in_the_region_of_the_key(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    grants = make_grants(proxy.upstream, key, 3)
    found = live(proxy, key)
    assert (found.text, found.digest, found.state) == (ROGUE, digest_of_text(ROGUE), "Enabled")
    assert found.grants is not None
    assert [one.grant_id for one in found.grants] == grants
    assert found.grants[0].operations == ("Decrypt", "Encrypt")
    assert found.caller is not None
    assert found.caller.account == ACCOUNT
    assert (found.read_at, found.missing) == (NOW, {})


def test_grants_are_read_to_the_last_page(proxy: Proxy) -> None:
    pages = [
        {"Grants": [grant("a"), grant("b")], "Truncated": True, "NextMarker": "1"},
        {"Grants": [], "Truncated": True, "NextMarker": "2"},
        {"Grants": [grant("c")], "Truncated": False},
    ]
    proxy.plan("ListGrants", paged(pages), 3)
    found = live(proxy, make_key(proxy.upstream))
    assert found.grants is not None
    assert [one.grant_id for one in found.grants] == ["a", "b", "c"]


def test_a_list_that_does_not_end_is_not_read_for_ever(proxy: Proxy) -> None:
    page = {"Grants": [grant("a")], "Truncated": True, "NextMarker": "0"}
    proxy.plan("ListGrants", paged([page]), 100)
    found = live(proxy, make_key(proxy.upstream))
    assert found.grants is None
    assert "does not end" in found.missing["grants"]
    assert proxy.count("ListGrants") == 2


@pytest.mark.parametrize(
    ("operation", "part"), [("GetKeyPolicy", "policy"), ("ListGrants", "grants"), ("DescribeKey", "state")]
)
def test_a_part_that_is_denied_does_not_keep_the_others_away(proxy: Proxy, operation: str, part: str) -> None:
    key = make_key(proxy.upstream)
    proxy.plan(operation, error("AccessDeniedException"))
    found = live(proxy, key)
    assert list(found.missing) == [part]
    assert f"denies kms:{operation}" in found.missing[part]
    known = {"policy": found.text, "grants": found.grants, "state": found.state}
    assert [name for name, value in known.items() if value is None] == [part]


def test_without_credentials_that_count_nothing_more_is_asked(proxy: Proxy) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("GetCallerIdentity", error("ExpiredToken", 403))
    found = live(proxy, key)
    assert set(found.missing) == {"caller", "policy", "grants", "state"}
    assert proxy.count("GetKeyPolicy|ListGrants|DescribeKey") == 0


@pytest.mark.parametrize("text", ["nonsense", "[]", ""])
def test_what_is_no_policy_is_not_taken_for_one(proxy: Proxy, text: str) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("GetKeyPolicy", policy_answer(text))
    found = live(proxy, key)
    assert (found.text, found.digest) == (None, None)
    assert "no policy" in found.missing["policy"]


@pytest.mark.parametrize("body", [b"{}", b"<html>portal</html>"])
def test_an_answer_that_is_not_of_aws_is_nothing_known(proxy: Proxy, body: bytes) -> None:
    key = make_key(proxy.upstream)
    proxy.plan("GetKeyPolicy", edited(lambda _: body))
    assert live(proxy, key).text is None


def test_an_access_key_is_switched_off(proxy: Proxy) -> None:
    iam(proxy.upstream).create_user(UserName="eve")
    made = iam(proxy.upstream).create_access_key(UserName="eve")["AccessKey"]["AccessKeyId"]
    call = Call(
        "iam",
        "UpdateAccessKey",
        {"UserName": "eve", "AccessKeyId": made, "Status": "Inactive"},
        ACCOUNT,
        "",
        f"arn:aws:iam::{ACCOUNT}:user/eve",
    )
    plan = make_plan("quarantine", make_key(proxy.upstream), call)
    assert applied(plan, proxy.url, clock=Clock()).outcome == "agreed"
    [key] = iam(proxy.upstream).list_access_keys(UserName="eve")["AccessKeyMetadata"]
    assert key["Status"] == "Inactive"
    assert applied(plan, proxy.url, clock=Clock()).outcome == "there already"


@pytest.mark.parametrize("gone", ["user", "key"])
def test_an_access_key_that_is_gone_needs_no_switching_off(proxy: Proxy, gone: str) -> None:
    name = f"gone-{gone}"
    if gone == "key":
        iam(proxy.upstream).create_user(UserName=name)
    call = Call(
        "iam",
        "UpdateAccessKey",
        {"UserName": name, "AccessKeyId": "AKIAABCDEFGHIJKLMNOP", "Status": "Inactive"},
        ACCOUNT,
        "",
        f"arn:aws:iam::{ACCOUNT}:user/{name}",
    )
    assert AwsCalls(lambda account, partition: aws_at(proxy.url)).look(call).value is None
