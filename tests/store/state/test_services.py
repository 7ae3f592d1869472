"""What the service does with the state, on every database: the same questions, the same answers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from keytrail.errors import Place, UsageError
from keytrail.rules import ExceptionItem, MatchEntry, builtin, of_service
from keytrail.service.alert_events import would_exclude
from keytrail.service.exceptions import Author, add_item, default_list, exceptions_for
from keytrail.service.rule_admin import all_rules, coverage, decide, import_rules, named, snooze, standings
from keytrail.service.triage import change, document_of, list_alerts, number_of_alerts, show_alert
from keytrail.settings import Settings
from keytrail.store.state.alerts import add_alerts, alert
from keytrail.store.state.cases import add_revision, open_cases
from keytrail.store.state.catalog import SqlCatalog, add_segment
from keytrail.store.state.database import Database
from keytrail.store.state.rule_states import RuleState, begin_stretch, choices, put_state
from keytrail.store.state.triage import AlertFilter, Assign, SetStatus
from tests.store.state import made
from tests.store.state.made import NOW

ADA = Author("ada", NOW)
RULE = builtin().rules[0]


def test_a_document_is_what_the_rule_made_with_what_was_done_since(database: Database) -> None:
    with database.write() as connection:
        suppressed = {"kibana.alert.suppression.docs_count": 3}
        add_alerts(connection, [made.alert(1, suppression=suppressed), made.alert(2)], NOW)
        open_cases(connection, [made.case(1)])
        for number in (1, 2):
            add_revision(connection, made.revision(1, number))
        stored = alert(connection, made.alert(1).id)
    assert document_of(stored) == {
        **made.alert(1).document,
        **suppressed,
        "kibana.alert.workflow_status": "open",
        "kibana.alert.workflow_tags": [],
        "kibana.alert.workflow_assignee_ids": [],
    }
    done = change(database, [made.alert(1).id[:10]], SetStatus("closed", "duplicate"), who="ada", now=NOW)
    assert (done.named, done.changed) == (1, (made.alert(1).id,))
    shown = show_alert(database, "event-1")
    assert shown.document["keytrail.investigation"] == made.revision(1, 2).document
    assert shown.document["kibana.alert.workflow_reason"] == "duplicate"
    assert shown.document["kibana.alert.workflow_status_updated_at"] == "2026-03-01T08:00:12.345Z"
    assert (shown.revision, shown.revised_at, shown.raw) == (2, NOW, '{"eventID": "\ufffd"}')
    assert list(list_alerts(database, AlertFilter(statuses=("closed",)))) == [shown.document]
    assert [one["kibana.alert.uuid"] for one in list_alerts(database, AlertFilter())] == [
        made.alert(2).id,
        made.alert(1).id,
    ]


def test_pages_have_every_alert_once_however_many(database: Database) -> None:
    with database.write() as connection:
        add_alerts(connection, [made.alert(number) for number in range(201)], NOW)
    for most in (None, 1, 100, 101, 200, 201, 500):
        listed = [str(one["kibana.alert.uuid"]) for one in list_alerts(database, AlertFilter(), most=most)]
        assert listed == [made.alert(number).id for number in reversed(range(201))][:most]
    assert number_of_alerts(database, AlertFilter()) == 201
    changed = change(database, [made.alert(n).id for n in range(201)], Assign(("ada",)), who="ada", now=NOW)
    assert len(changed.changed) == 201


def test_an_id_that_names_nothing_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        add_alerts(connection, [made.alert(1)], NOW)
    with pytest.raises(UsageError, match="no alert has the id"):
        change(database, [made.alert(1).id, *(f"ffffffff{n}" for n in range(9))], Assign(("a",)), who="a", now=NOW)
    assert show_alert(database, made.alert(1).id).history == ()


def test_rules_are_those_of_files_of_imports_and_of_the_pack_as_decided(database: Database, tmp_path: Path) -> None:
    rule = {
        "rule_id": "mine", "name": "Mine", "description": "d", "type": "query", "severity": "low", "risk_score": 1,
        "query": "event.action: DisableKey",
    }  # fmt: skip
    (tmp_path / "mine.ndjson").write_text(json.dumps(rule))
    (tmp_path / "more.ndjson").write_text(
        "\n".join(json.dumps(rule | {"rule_id": one, "name": one}) for one in ("imported", "mine", RULE.rule_id))
    )
    settings = Settings(watch={"rules": [str(tmp_path / "mine.ndjson")]})  # type: ignore[arg-type]
    done = import_rules(settings, database, [str(tmp_path / "more.ndjson")], ADA, overwrite=True)
    assert (done.rules, len(done.errors)) == (2, 1)
    with database.write() as connection:
        rules = all_rules(settings, connection).rules
        assert decide(connection, [named(rules, "mine")], enabled=False, catch_up=False, author=ADA) == ("mine",)
        assert snooze(connection, [named(rules, "mine")], NOW + timedelta(hours=1), ADA) == ("mine",)
        assert decide(connection, [named(rules, "Mine")], enabled=False, catch_up=False, author=ADA) == ()
        assert choices(connection)["mine"].snoozed_until == NOW + timedelta(hours=1)
    with database.read() as connection:
        found = {rule.rule_id: rule for rule in all_rules(settings, connection).rules}
        assert not found["mine"].enabled
        assert found[RULE.rule_id].name == RULE.rule_id  # the imported one
        assert len(found) == len(builtin().rules) + len(of_service().rules) + 2
        [mine] = standings(connection, [found["mine"]], 10)
        assert mine.decided is not None
        assert (mine.decided.who, mine.state, mine.behind) == ("ada", None, 0)
        assert len(all_rules(Settings(watch={"builtin": False}), connection).rules) == 2  # type: ignore[arg-type]


def test_an_exception_of_a_rule_counts_for_it_and_says_what_it_would_have_kept(database: Database) -> None:
    list_id, namespace = default_list(RULE)
    item = ExceptionItem(
        item_id="i", list_id=list_id, namespace_type=namespace, name="n", origin=Place("a test"),
        entries=(MatchEntry("user.name", "ada"),), expire_time=NOW.replace(microsecond=0),
    )  # fmt: skip
    documents = [{"user": {"name": name}, "event": {"kind": "signal"}} for name in ("ada", "grace")]
    with database.write() as connection:
        add_item(connection, item, ADA, RULE)
        of_rule = [made.alert(n, rule_id=RULE.rule_id, document=one) for n, one in enumerate(documents)]
        add_alerts(connection, [*of_rule, made.alert(9, document=documents[0])], NOW)
        assert exceptions_for(connection, RULE) == ((item,), {})
        with pytest.raises(UsageError, match="already"):
            add_item(connection, item, ADA, RULE)
    assert [one.id for one in would_exclude(database, item, [RULE.rule_id], NOW)] == [made.alert(0).id]
    assert list(would_exclude(database, item, [], NOW)) == []


def test_what_files_except_counts_unless_the_state_has_the_same_item(database: Database) -> None:
    list_id, namespace = default_list(RULE)
    item = ExceptionItem(
        item_id="i", list_id=list_id, namespace_type=namespace, name="state", origin=Place("a test"),
        entries=(MatchEntry("user.name", "ada"),),
    )  # fmt: skip
    reference = {"id": "x", "list_id": list_id, "type": "rule_default", "namespace_type": namespace}
    rule = replace(RULE, exceptions_list=(reference,))
    others = (replace(item, name="file"), replace(item, item_id="j"), replace(item, item_id="k", list_id="other"))
    with database.write() as connection:
        add_item(connection, item, ADA, rule)
        found, _ = exceptions_for(connection, rule, others)
    assert [(one.item_id, one.name) for one in found] == [("i", "state"), ("j", "state")]


def test_coverage_follows_the_cursor(database: Database) -> None:
    catalog = SqlCatalog(database)
    with database.write() as connection:
        add_segment(connection, made.segment_file(1, 30), ingested=NOW)
        begin_stretch(connection, "r", "searched", 5, NOW)
        put_state(connection, RuleState("r", "R", "f" * 64, 20))
    with database.read() as connection:
        parts = coverage(connection, catalog, "r")
        assert [(one.kind, one.first, one.end, one.since) for one in parts] == [
            ("searched", 5, 20, NOW),
            ("waiting", 20, 30, NOW),
        ]
        assert coverage(connection, catalog, "none") == ()
