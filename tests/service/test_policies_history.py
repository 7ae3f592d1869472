"""The history of a key's policies: looks, AWS Config, records and files as one, and what is not certain about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keytrail.cloudtrail import Json
from keytrail.errors import SourceError, StoreError, UsageError
from keytrail.service.policies_history import HistoryLine, HistoryOfKey, HistoryOfKeyRequest, history_of_key
from keytrail.settings import Settings
from keytrail.store.state.policies import mark_good, put_document, put_snapshot
from tests.investigate import records as made
from tests.service.watch.kit import Bench, event, stored_bytes

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OWN = made.allow({"AWS": made.root_arn(made.OWNER)})
CLOSED = made.policy(OWN)
OPEN = made.policy(OWN, made.allow(made.root_arn(made.OUTSIDE)))
OTHER = made.policy(OWN, made.allow(made.role_arn("App"), "kms:Decrypt"))
CREATED = made.create_key("09:00", made.user(), CLOSED)
OPENED = made.put_policy("10:00", made.user("mallory"), OPEN)
CLOSED_AGAIN = made.put_policy("11:00", made.user(), CLOSED)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path / "bench") as one:
        yield one


def found(bench: Bench, at: datetime, document: Json | None, *, source: str = "kms", **facts: Any) -> None:
    """Keep what a look at the key found."""
    with bench.home.database.write() as connection:
        put_snapshot(
            connection, key_arn=made.KEY, account=made.OWNER, region=made.REGION, source=source,
            texts={} if document is None else {"default": json.dumps(document)}, facts=facts, at=at,
        )  # fmt: skip


def history(bench: Bench, key: str = made.KEY, **more: Any) -> HistoryOfKey:
    return history_of_key(HistoryOfKeyRequest(key, settings=bench.settings, **more), now=NOON)


def shown(lines: tuple[HistoryLine, ...]) -> list[tuple[str, str, str]]:
    return [(f"{line.since:%H:%M}" if line.since else "", line.source, line.event_name) for line in lines]


def test_records_of_the_lake_tell_who_made_which_version_and_what_it_changed(bench: Bench) -> None:
    bench.take("a", [CREATED, OPENED, CLOSED_AGAIN])
    first, second, third = history(bench).lines
    assert shown((first, second, third)) == [
        ("09:00", "record", "CreateKey"), ("10:00", "record", "PutKeyPolicy"), ("11:00", "record", "PutKeyPolicy"),
    ]  # fmt: skip
    assert second.author == made.user("mallory")["arn"]
    assert second.event_id == OPENED["eventID"]
    assert f"Account {made.OUTSIDE} can now decrypt" in second.change
    assert second.severity == "high"
    assert third.change.startswith("The policy of 2026-03-02 09:00:00 UTC is back. ")
    assert first.digest == third.digest != second.digest
    assert [line.force for line in (first, second, third)] == ["", "", "reported"]
    assert [line.document for line in (first, second, third)] == [CLOSED, OPEN, CLOSED]
    assert not any(line.notes for line in (first, second, third))


def test_looks_say_what_is_live_and_until_when_a_version_was_seen(bench: Bench) -> None:
    bench.take("a", [CREATED, OPENED])
    found(bench, NOON, OPEN)
    found(bench, NOON + timedelta(hours=5), OPEN)
    lines = history(bench).lines
    assert [(line.source, line.force) for line in lines] == [("record", ""), ("record", "seen")]
    assert lines[-1].seen_until == NOON + timedelta(hours=5)
    # A record after the look: nobody has looked since.
    bench.take("b", [made.put_policy("2026-03-02T18:00:00Z", made.user(), OTHER)])
    assert [line.force for line in history(bench).lines] == ["", "", "reported"]


def test_a_look_that_no_record_explains_is_a_version_of_its_own_that_says_so(bench: Bench) -> None:
    stop = made.record("cloudtrail:StopLogging", "10:30", made.user(), {"name": "main"})
    bench.take("a", [CREATED, stop])
    found(bench, NOON, OPEN)
    line = history(bench).lines[-1]
    assert (line.source, line.author, line.force) == ("kms", "", "seen")
    assert f"Account {made.OUTSIDE} can now" in line.change
    assert line.notes[0].startswith(
        "No record gave it to the key: it was changed between 2026-03-02 09:00:00 UTC and 2026-03-02 12:00:00 UTC; "
        "the trail main was stopped at"
    )


def test_config_items_and_looks_of_a_key_without_records_are_a_history(bench: Bench) -> None:
    found(bench, NOON - timedelta(days=9), CLOSED, source="config")
    found(bench, NOON - timedelta(days=5), OPEN, source="config")
    found(bench, NOON, OTHER)
    told = history(bench)
    assert [line.source for line in told.lines] == ["config", "config", "kms"]
    assert told.lines[0].change == "The first one known."
    assert told.lines[2].force == "seen"
    assert any("who made these versions is not known" in note for note in told.notes)


def test_what_is_vouched_for_is_marked_wherever_it_comes_from(bench: Bench) -> None:
    bench.take("a", [CREATED, OPENED, CLOSED_AGAIN])
    with bench.home.database.write() as connection:
        digest = put_document(connection, json.dumps(CLOSED))
        mark_good(connection, made.KEY, digest, at=NOON, who="ada", note="")
    assert [line.good for line in history(bench).lines] == [True, False, True]


def test_gaps_and_what_cloudtrail_left_out_are_said(bench: Bench) -> None:
    bench.take("a", [CREATED, made.put_omitted("10:00", made.user()), CLOSED_AGAIN])
    _, second, third = history(bench).lines
    assert (second.status, second.digest, second.document) == ("unknown", None, None)
    assert "CloudTrail omits parameters that are too large" in second.change
    assert "Another version may have come before it" in third.notes[0]


def test_refused_attempts_and_a_policy_that_could_not_be_read_are_notes(bench: Bench) -> None:
    bench.take("a", [CREATED, made.refused(OPENED)])
    found(bench, NOON, None, unread={"policies": "AccessDeniedException"})
    told = history(bench)
    assert len(told.lines) == 1
    assert any("1 attempt to change the policy refused" in note and "mallory" in note for note in told.notes)
    assert any("could not be read" in note for note in told.notes)


def test_given_sources_take_the_place_of_the_lake_and_need_no_state(tmp_path: Path, bench: Bench) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "a.json.gz").write_bytes(stored_bytes([CREATED, OPENED, event("other")]))
    (archive / "bad.json.gz").write_bytes(b"\x1f\x8bnothing")
    settings = Settings(lake={"folder": tmp_path / "none"})  # type: ignore[arg-type]
    problems: list[object] = []
    request = HistoryOfKeyRequest(made.KEY, (str(archive),), 1, settings)
    told = history_of_key(request, now=NOON, report=problems.append)
    assert [line.event_name for line in told.lines] == ["CreateKey", "PutKeyPolicy"]
    assert len(problems) == 1
    # With a state, what it keeps counts, too.
    found(bench, NOON, OTHER)
    lines = history(bench, sources=(str(archive),)).lines
    assert [line.source for line in lines] == ["record", "record", "kms"]


def test_files_of_exported_policies_count_too(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(
        json.dumps({"KeyArn": made.KEY, "Policy": OTHER, "Time": "2026-03-01T08:00:00Z"})
    )
    bench.take("a", [OPENED])
    settings = bench.settings.model_copy(
        update={
            "investigate": bench.settings.investigate.model_copy(update={"snapshots": (tmp_path / "keys.json",)}),
        }
    )
    lines = history_of_key(HistoryOfKeyRequest(made.KEY, settings=settings), now=NOON).lines
    assert [line.source for line in lines] == ["file", "record"]


def test_a_key_is_found_by_its_alias_or_the_beginning_of_its_id(bench: Bench) -> None:
    found(bench, NOON, CLOSED, aliases=["alias/orders"])
    for name in ("alias/orders", "orders", "1234abcd", made.KEY):
        assert history(bench, name).key.arn == made.KEY
    with pytest.raises(UsageError):
        history(bench, "alias/invoices")


def test_what_nothing_is_known_of_is_an_error(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing tells"):
        history(bench)
    nothing = Settings(lake={"folder": tmp_path / "none"})  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        history_of_key(HistoryOfKeyRequest(made.KEY, settings=nothing), now=NOON)
    with pytest.raises(StoreError):
        history_of_key(HistoryOfKeyRequest("alias/orders", (str(tmp_path),), settings=nothing), now=NOON)


def test_json_has_everything_as_plain_values(bench: Bench) -> None:
    bench.take("a", [CREATED])
    found(bench, NOON, OPEN)
    rows = [json.loads(json.dumps(line.to_dict())) for line in history(bench).lines]
    assert [(row["since"], row["source"], row["in_force"], row["good"]) for row in rows] == [
        ("2026-03-02T09:00:00+00:00", "record", None, False), ("2026-03-02T12:00:00+00:00", "kms", "seen", False),
    ]  # fmt: skip
    assert rows[1]["document"] == OPEN
