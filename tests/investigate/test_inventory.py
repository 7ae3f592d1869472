"""The inventory: by which names a key and the data it protects are found, and how it is joined in."""

from __future__ import annotations

import pytest

from keytrail.investigate.data import data_at_stake
from keytrail.investigate.inventory import Inventory
from keytrail.investigate.limits import Limits
from keytrail.investigate.model import Alias, DataSummary, InventoryEntry, KeyFacts
from tests.investigate import records
from tests.investigate.records import KEY, OWNER, REGION

KEY_ID = KEY.rpartition("/")[2]
ALIAS = "alias/payments"


def inventory(*names: str) -> Inventory:
    return Inventory(
        tuple(InventoryEntry(name, "Team", "App", "secret", f"cmdb.csv:{n}") for n, name in enumerate(names))
    )


def found_for(resource: str, *names: str) -> list[str]:
    """Which of the entries with these names are about a resource."""
    moment = records.moment("09:00")
    row = DataSummary("any", "any", resource, contexts=1, count=1, first=moment, last=moment)
    return [entry.matched for entry in inventory(*names).for_resource(row)]


@pytest.mark.parametrize(
    "name",
    [KEY, KEY_ID, f"key/{KEY_ID}", ALIAS, f"arn:aws:kms:{REGION}:{OWNER}:{ALIAS}", "alias/pay*", KEY[:-10] + "*"],
)
def test_a_key_is_found_by_each_of_its_names(name: str) -> None:
    for aliases in ([ALIAS], [f"arn:aws:kms:{REGION}:{OWNER}:{ALIAS}"]):
        assert [entry.matched for entry in inventory("other", name).find(KEY, aliases)] == [name]


@pytest.mark.parametrize(
    "name",
    [
        KEY.replace("1234abcd", "9999abcd"), KEY.replace(REGION, "us-east-1"), KEY_ID[:-1], "alias/pay", "payments",
        f"arn:aws:kms:us-east-1:{OWNER}:{ALIAS}", KEY.upper(), "",
    ],
)  # fmt: skip
def test_a_key_is_not_found_by_the_name_of_another_one(name: str) -> None:
    assert inventory(name).find(KEY, [ALIAS]) == ()


def test_entries_come_in_the_order_of_the_file_and_each_once() -> None:
    names = ["alias/*", "other", KEY_ID, KEY, "alias/p*"]
    assert [entry.matched for entry in inventory(*names).find(KEY, [ALIAS])] == ["alias/*", KEY_ID, KEY, "alias/p*"]


@pytest.mark.parametrize(
    ("resource", "names"),
    [
        (
            "arn:aws:s3:::ledger/2026/cards.parquet",
            ["arn:aws:s3:::ledger/2026/cards.parquet", "ledger/2026/cards.parquet", "s3://ledger/2026/cards.parquet",
             "arn:aws:s3:::ledger", "ledger", "s3://ledger", "s3://ledger/", "arn:aws:s3:::ledger/2026/*", "led*"],
        ),
        ("arn:aws:s3:::ledger", ["arn:aws:s3:::ledger", "ledger", "s3://ledger", "arn:aws:s3:::led*"]),
        ("arn:aws:dynamodb:eu-west-1:1:table/cards", ["table/cards", "cards"]),
        ("arn:aws:sqs:eu-west-1:1:events", ["arn:aws:sqs:eu-west-1:1:events", "events"]),
        ("arn:aws:ssm:eu-west-1:1:parameter/pay/api", ["parameter/pay/api", "pay/api", "/pay/api", "/pay/*"]),
        (
            "arn:aws:secretsmanager:eu-west-1:1:secret:prod/db-a1B2c3",
            ["prod/db-a1B2c3", "prod/db", "arn:aws:secretsmanager:eu-west-1:1:secret:prod/db"],
        ),
        ("arn:aws:logs:eu-west-1:1:log-group:/aws/lambda/f", ["/aws/lambda/f", "log-group:/aws/lambda/f"]),
        ("db-XYZ", ["db-XYZ", "db-*"]),
        ("purpose=tokens, tenant=7", ["purpose=tokens, tenant=7"]),
    ],
)  # fmt: skip
def test_a_resource_is_found_by_each_of_its_names(resource: str, names: list[str]) -> None:
    assert found_for(resource, "other", *names) == names


@pytest.mark.parametrize(
    ("resource", "names"),
    [
        # A bucket is not its objects, nor an object another one, nor the end of a key a name.
        (
            "arn:aws:s3:::ledger",
            ["arn:aws:s3:::ledger/2026/cards.parquet", "arn:aws:s3:::ledge", "arn:aws:s3:::ledger/*"],
        ),
        ("arn:aws:s3:::ledger/cards", ["cards", "arn:aws:s3:::ledger/card", "ledge", "arn:aws:s3:::ledger-old"]),
        ("arn:aws:sqs:eu-west-1:1:events", ["arn:aws:sqs:us-east-1:1:events", "event", "Events"]),
        ("", ["cards"]),
    ],
)
def test_a_resource_is_not_found_by_the_name_of_another_one(resource: str, names: list[str]) -> None:
    assert found_for(resource, *names) == []


def test_a_key_has_the_inventory_of_the_aliases_that_still_named_it() -> None:
    facts = KeyFacts(
        KEY, "resources", KEY_ID, OWNER, REGION, multi_region=False,
        aliases=(
            Alias("alias/now", records.moment("08:00"), "1", current=True),
            Alias("alias/moved", records.moment("07:00"), "2", current=False),
        ),
    )  # fmt: skip
    joined = inventory("alias/moved", "alias/now").with_key(facts)
    assert [entry.place for entry in joined.inventory] == ["cmdb.csv:1"]
    assert facts.inventory == ()


def test_rows_and_summary_of_the_data_have_their_entries() -> None:
    app = records.session()
    activity = records.activity(
        records.use("09:00", app, {"aws:s3:arn": "arn:aws:s3:::ledger/cards"}),
        records.use("09:10", app, {"aws:s3:arn": "arn:aws:s3:::ledger/refunds"}),
        records.use("09:20", app, {"aws:sqs:arn": "arn:aws:sqs:eu-west-1:1:events"}),
    )
    change = records.change(records.put_policy("12:00", records.user(), records.DEFAULT))
    data = data_at_stake(change, activity, limits=Limits(max_data=2))
    joined = inventory("ledger", "arn:aws:s3:::ledger/cards", "events").with_data(data)
    assert [[entry.matched for entry in row.inventory] for row in joined.items] == [
        ["ledger", "arn:aws:s3:::ledger/cards"],
        ["ledger"],
    ]
    assert {one.resource: [entry.matched for entry in one.inventory] for one in joined.summary.items} == {
        "arn:aws:s3:::ledger": ["ledger"],
        "arn:aws:sqs:eu-west-1:1:events": ["events"],
    }
    assert (joined.total, joined.by_service, data.items[0].inventory) == (3, data.by_service, ())


def test_no_inventory_finds_nothing() -> None:
    assert Inventory().find(KEY, [ALIAS]) == ()
    assert Inventory().find("not an arn") == ()
    assert [entry.matched for entry in inventory("not an arn").find("not an arn")] == ["not an arn"]
