"""Which accounts are meant, how each is reached, and what Regions it has."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from keytrail.aws import AwsSettings
from keytrail.errors import SourceError, UsageError
from keytrail.respond.accounts import Account, Wanted, accounts_of, check_wanted, regions_in
from tests.respond.estate import ROLE, aws_in, new_account, role_denied, role_of
from tests.servers.proxy import Answer, Proxy, Request, error

OWN = "123456789012"
"""Whose the credentials are, by moto's STS."""


@pytest.fixture
def aws(proxy: Proxy) -> AwsSettings:
    return AwsSettings(region="eu-west-1", endpoint_url=proxy.url, max_attempts=1)


def organisation(proxy: Proxy, *accounts: dict[str, str], page: int = 2) -> None:
    """Let Organizations answer with these accounts, so many at a time."""

    def listed(request: Request, ask: Callable[[], Answer]) -> Answer:
        start = int(json.loads(request.body).get("NextToken", "0"))
        answer: dict[str, Any] = {"Accounts": accounts[start : start + page]}
        if len(accounts) > start + page:
            answer["NextToken"] = str(start + page)
        return Answer(200, (("Content-Type", "application/x-amz-json-1.1"),), json.dumps(answer).encode())

    proxy.plan("ListAccounts", listed, times=100)


def test_without_a_name_it_is_the_account_of_the_credentials(aws: AwsSettings) -> None:
    assert accounts_of(Wanted(), aws) == (Account(OWN, aws),)
    # A role that leads nowhere else does no harm.
    assert accounts_of(Wanted(role_name=ROLE), aws) == (Account(OWN, aws),)


def test_other_accounts_are_reached_by_a_role_and_the_own_one_is_not(aws: AwsSettings) -> None:
    first, second = sorted((new_account(), new_account()))
    wanted = Wanted((second, OWN, first, second), role_name="ops/reader", external_id="secret")
    assert accounts_of(wanted, aws) == (
        Account(OWN, aws),
        *(
            Account(one, replace(aws, role_arn=f"arn:aws:iam::{one}:role/ops/reader", external_id="secret"))
            for one in (first, second)
        ),
    )


def test_another_account_needs_a_role(aws: AwsSettings) -> None:
    with pytest.raises(UsageError, match="no role is named to reach account") as caught:
        accounts_of(Wanted((new_account(),)), aws)
    assert "--role-name" in caught.value.advice


def test_the_active_accounts_of_the_organisation_page_by_page(proxy: Proxy, aws: AwsSettings) -> None:
    named = new_account()
    organisation(
        proxy,
        {"Id": OWN, "Name": "management", "Status": "ACTIVE"},
        {"Id": "700000000901", "Name": "left", "Status": "SUSPENDED"},
        {"Id": "700000000902", "Name": "\x1b[2Jdata", "Status": "ACTIVE", "State": "ACTIVE"},
        {"Id": "700000000903", "Name": "new", "State": "ACTIVE"},
        {"Id": "700000000904", "Name": "closing", "Status": "ACTIVE", "State": "PENDING_CLOSURE"},
    )
    found = accounts_of(Wanted((named,), organisation=True, role_name=ROLE), aws)
    assert {one.id: one.name for one in found} == {
        OWN: "management", named: "", "700000000902": "\x1b[2Jdata", "700000000903": "new",
    }  # fmt: skip
    assert proxy.count("ListAccounts") == 3
    proxy.clear()
    proxy.plan("ListAccounts", error("AccessDeniedException"))
    with pytest.raises(SourceError, match="denies organizations:ListAccounts"):
        accounts_of(Wanted(organisation=True), aws)


def test_a_partition_has_roles_of_its_own(proxy: Proxy, aws: AwsSettings) -> None:
    def in_china(request: Request, ask: Callable[[], Answer]) -> Answer:
        real = ask()
        return Answer(real.status, real.headers, real.body.replace(b"arn:aws:", b"arn:aws-cn:"))

    proxy.plan("GetCallerIdentity", in_china)
    [found] = accounts_of(Wanted(("700000000905",), role_name=ROLE), aws)
    assert found.aws.role_arn == f"arn:aws-cn:iam::700000000905:role/{ROLE}"


def test_regions_are_those_named_or_all_that_are_enabled(proxy: Proxy, aws: AwsSettings) -> None:
    account = Account(OWN, aws)
    assert regions_in(account, ["us-east-1", "eu-west-1", "us-east-1"]) == ("us-east-1", "eu-west-1")
    assert proxy.count("DescribeRegions") == 0
    enabled = regions_in(account, [])
    assert {"eu-west-1", "us-east-1"} < set(enabled)
    proxy.plan("DescribeRegions", error("UnauthorizedOperation", 403))
    with pytest.raises(SourceError):
        regions_in(account, [])


def test_an_account_that_cannot_be_reached_says_why(proxy: Proxy) -> None:
    account = new_account()
    proxy.plan("AssumeRole", role_denied)
    with pytest.raises(SourceError, match="denies sts:AssumeRole"):
        regions_in(Account(account, aws_in(proxy.url, account)), ["eu-west-1"])


def test_a_role_that_leads_elsewhere_is_not_used(proxy: Proxy) -> None:
    account, other = new_account(), new_account()
    with pytest.raises(SourceError, match=f"led into account {other} and not into {account}"):
        regions_in(Account(account, replace(aws_in(proxy.url, account), role_arn=role_of(other))), ["eu-west-1"])


@pytest.mark.parametrize(
    "wrong",
    [
        Wanted(("12345678901",)),
        Wanted(("１２３４５６７８９０１２",)),
        Wanted(regions=("../x",)),
        Wanted(regions=("eu-west",)),
        Wanted(role_name="arn:aws:iam::111122223333:role/x"),
        Wanted(role_name="/x"),
        Wanted(role_name="x\n"),
    ],
)
def test_what_cannot_be_meant_is_told_before_anybody_is_asked(wrong: Wanted) -> None:
    with pytest.raises(UsageError):
        check_wanted(wrong)


def test_regions_of_every_kind_have_names(aws: AwsSettings) -> None:
    check_wanted(Wanted(regions=("us-gov-west-1", "cn-north-1", "ap-southeast-4", "il-central-1", "us-iso-east-1")))
