"""What AWS Config recorded of keys: read page by page, kept as snapshots of their time, and no error where it is off.

Moto has no configuration history of keys, so botocore's stubber answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from keytrail.aws import AwsSettings, client
from keytrail.investigate import KeyName
from keytrail.respond.config_history import config_history
from keytrail.service.config_snapshots import known_until, put_recorded, take_config_history
from keytrail.store.state.database import Database, sqlite_url
from keytrail.store.state.migrate import migrate
from keytrail.store.state.policies import snapshots_of
from tests.investigate import records as made

KEY = KeyName("aws", made.REGION, made.OWNER, "1234abcd-12ab-34cd-56ef-1234567890ab")
OTHER = KeyName("aws", made.REGION, made.OWNER, "9999abcd-12ab-34cd-56ef-1234567890ab")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FIRST = json.dumps(made.DEFAULT)
SECOND = json.dumps(made.policy(made.allow(made.root_arn(made.OWNER)), made.allow(made.root_arn(made.OUTSIDE))))


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> AwsSettings:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    return AwsSettings(region=made.REGION, endpoint_url="http://127.0.0.1:9", max_attempts=1)


@pytest.fixture
def config(settings: AwsSettings) -> Iterator[Stubber]:
    with Stubber(client("config", settings, made.REGION)) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(sqlite_url(tmp_path / "state.db"))
    migrate(found)
    yield found
    found.close()


def item(minutes: float, policy: str | None, **more: Any) -> dict[str, Any]:
    return {
        "configurationItemCaptureTime": NOON + timedelta(minutes=minutes),
        "resourceType": "AWS::KMS::Key",
        "resourceId": KEY.id,
        "supplementaryConfiguration": {} if policy is None else {"Policy": policy},
        **more,
    }


def asked(key: KeyName = KEY, **more: object) -> dict[str, object]:
    return {"resourceType": "AWS::KMS::Key", "resourceId": key.id, "limit": ANY, **more}


def test_pages_are_read_to_the_end_and_come_oldest_first(config: Stubber, settings: AwsSettings) -> None:
    call = "get_resource_config_history"
    # As Config writes it, the text of the policy is quoted once more; of a deleted key there is none.
    config.add_response(call, {"configurationItems": [item(60, None), item(30, json.dumps(SECOND))], "nextToken": "a"},
                        asked())  # fmt: skip
    config.add_response(call, {"configurationItems": [], "nextToken": "b"}, asked(nextToken="a"))
    config.add_response(call, {"configurationItems": [item(0, FIRST)]}, asked(nextToken="b"))
    found = config_history(settings, {KEY: None})
    assert found.notes == ()
    assert [(one.key, one.time, one.policy) for one in found.recorded] == [
        (KEY, NOON, FIRST), (KEY, NOON + timedelta(minutes=30), SECOND),
    ]  # fmt: skip


def test_only_what_is_new_is_asked_for_and_times_are_utc(config: Stubber, settings: AwsSettings) -> None:
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    config.add_response(
        "get_resource_config_history",
        {"configurationItems": [item(0, FIRST, configurationItemCaptureTime=east)]},
        asked(earlierTime=NOON),
    )
    [one] = config_history(settings, {KEY: NOON}).recorded
    assert (one.time, one.time.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize("policy", ["", "{", '"{"', '"[]"', "7", '"' * 3, "[" * 100_000])
def test_what_is_no_policy_is_passed_over(config: Stubber, settings: AwsSettings, policy: str) -> None:
    answer = {"configurationItems": [item(1, policy), item(0, FIRST)]}
    config.add_response("get_resource_config_history", answer, asked())
    assert [one.policy for one in config_history(settings, {KEY: None}).recorded] == [FIRST]


def test_a_key_that_config_does_not_know_is_no_trouble(config: Stubber, settings: AwsSettings) -> None:
    config.add_client_error("get_resource_config_history", "ResourceNotDiscoveredException")
    config.add_response("get_resource_config_history", {"configurationItems": [item(0, FIRST)]}, asked(OTHER))
    found = config_history(settings, {KEY: None, OTHER: None})
    assert ([one.key for one in found.recorded], found.notes) == ([OTHER], ())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("NoAvailableConfigurationRecorderException", "no recorder is on"),
        ("AccessDeniedException", "denies config:GetResourceConfigHistory"),
        ("ThrottlingException", "keeps throttling"),
        ("InternalFailure", "was not read"),
    ],
)
def test_config_that_is_off_or_may_not_be_read_is_one_note_and_no_error(
    config: Stubber, settings: AwsSettings, code: str, words: str
) -> None:
    config.add_client_error("get_resource_config_history", code, "no")
    found = config_history(settings, {KEY: None, OTHER: None})  # the second key is not asked for in vain
    assert found.recorded == ()
    [note] = found.notes
    assert words in note
    assert made.OWNER in note
    assert made.REGION in note


def test_an_answer_that_was_cut_is_a_note(settings: AwsSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    config = client("config", settings, made.REGION)
    monkeypatch.setattr(config, "get_resource_config_history", lambda **_: {})
    [note] = config_history(settings, {KEY: None}).notes
    assert "did not arrive whole" in note


def test_pages_without_end_are_left_with_a_note(settings: AwsSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    config = client("config", settings, made.REGION)
    answer = {"configurationItems": [item(0, FIRST)], "nextToken": "again"}
    monkeypatch.setattr(config, "get_resource_config_history", lambda **_: answer)
    found = config_history(settings, {KEY: None})
    assert found.recorded
    assert "more items" in found.notes[0]


def test_what_was_recorded_is_kept_once_as_snapshots_of_its_time(
    config: Stubber, settings: AwsSettings, database: Database
) -> None:
    items = {"configurationItems": [item(60, FIRST), item(30, SECOND), item(10, FIRST), item(0, FIRST)]}
    for expected in ([True, False, True, True], [False] * 4):
        config.add_response("get_resource_config_history", items, asked())
        with database.write() as connection:
            assert [put_recorded(connection, one) for one in config_history(settings, {KEY: None}).recorded] == expected
    with database.read() as connection:
        kept = snapshots_of(connection, KEY.arn)
        assert known_until(connection, KEY) == NOON + timedelta(minutes=60)
        assert known_until(connection, OTHER) is None
    assert {(one.source, one.account, one.region) for one in kept} == {("config", made.OWNER, made.REGION)}
    assert [(one.last_seen - one.first_seen).total_seconds() / 60 for one in kept] == [10, 0, 0]


def test_the_next_time_only_what_came_since_is_asked_for(
    config: Stubber, settings: AwsSettings, database: Database
) -> None:
    call = "get_resource_config_history"
    config.add_response(call, {"configurationItems": [item(0, FIRST)]}, asked())
    config.add_client_error(call, "ResourceNotDiscoveredException")
    config.add_response(call, {"configurationItems": [item(30, SECOND), item(0, FIRST)]}, asked(earlierTime=NOON))
    assert take_config_history(database, settings, [KEY.arn, OTHER.arn, "no key"]) == ()
    assert take_config_history(database, settings, [KEY.arn]) == ()
    with database.read() as connection:
        kept = [one.first_seen for one in snapshots_of(connection, KEY.arn)]
    assert kept == [NOON, NOON + timedelta(minutes=30)]
