"""A case with all that belongs to it, closed as a whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keytrail.errors import UsageError
from keytrail.respond.model import Basis, Call, Claim, Plan
from keytrail.service.case_dossier import SCHEMA, read_case
from keytrail.service.case_files import add_alerts, close_case, list_cases, open_case, remove_alerts, write_note
from keytrail.service.triage import change, show_alert
from keytrail.store.state.alerts import add_alerts as make_alerts
from keytrail.store.state.alerts import log, set_verdict
from keytrail.store.state.cases import add_revision, open_cases
from keytrail.store.state.database import Database, sqlite_url
from keytrail.store.state.migrate import migrate
from keytrail.store.state.plans import PlanStep, ShownPlan, add_step, put_plans
from keytrail.store.state.triage import AddNote, Assign, SetStatus, Snooze, Tag
from keytrail.text import for_json
from tests.store.state import made
from tests.store.state.made import HOSTILE, NOW

MINUTE = timedelta(minutes=1)
IDS = [made.alert(number).id for number in range(3)]
KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def document(number: int) -> dict[str, Any]:
    return dict(made.alert(number).document) | {
        "kibana.alert.rule.name": "Key opened",
        "event": {"action": "PutKeyPolicy", "id": f"event-{number}"},
        "aws.cloudtrail.resources": [{"type": "AWS::KMS::Key", "arn": KEY}],
    }


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Three alerts: the first two of one event, which was investigated."""
    found = Database(sqlite_url(tmp_path / "state.db"))
    migrate(found)
    with found.write() as connection:
        event = made.alert(0).event
        alerts = [made.alert(n, document=document(n), **({"event": event} if n == 1 else {})) for n in range(3)]
        make_alerts(connection, alerts, NOW)
        open_cases(connection, [made.case(0)])
        add_revision(connection, made.revision(0))
        set_verdict(connection, event, verdict="malicious", score=90, summary=HOSTILE, now=NOW)
    yield found
    found.close()


def kept_plan(database: Database, *states: tuple[int, str], minutes: int = 0) -> str:
    call = Call("kms", "PutKeyPolicy", {"KeyId": KEY}, "111122223333", "eu-west-1", KEY)
    claim = Claim("rogue_gone", "No stranger can use the key", "proved")
    basis = Basis("d" * 64, NOW, "KMS")
    plan = Plan("restore", IDS[1], KEY, KEY, "Put it back", "It was good", basis, (call, call), claims=(claim,))
    with database.write() as connection:
        put_plans(connection, [ShownPlan(plan.id, IDS[1], KEY, plan.kind, plan.to_dict(), NOW, "ada")])
        log(connection, who="ada", kind="plan", subject=plan.id, action="shown", detail={}, now=NOW + minutes * MINUTE)
        for number, (step, state) in enumerate(states):
            at = NOW + minutes * MINUTE + timedelta(seconds=number)
            add_step(connection, PlanStep(plan.id, step, state, at, "ada", "arn:aws:iam::1:role/x", {"why": HOSTILE}))
    return plan.id


def opened(database: Database, ids: list[str], minutes: int = 1, **changes: Any) -> str:
    values: dict[str, Any] = {"title": "T", "note": "", "who": "ada", "now": NOW + minutes * MINUTE}
    return open_case(database, ids, **values | changes).id


def test_what_belongs_to_a_case_is_told_in_the_order_of_time(database: Database) -> None:
    case = opened(database, [IDS[0][:8], "event-1"], note="one\ntwo")
    plan = kept_plan(database, (-1, "checked"), (0, "begun"), (0, "done"), minutes=2)
    for minutes, what in enumerate((AddNote("asked"), SetStatus("acknowledged"), Assign(("bo",)), Tag(("t",))), 3):
        change(database, IDS[:1], what, who="bo", now=NOW + minutes * MINUTE)
    change(database, IDS[:1], Snooze(NOW), who="bo", now=NOW + 7 * MINUTE)
    change(database, IDS[2:], AddNote("of no matter"), who="bo", now=NOW)
    add_alerts(database, case, [IDS[2]], who="cy", now=NOW + 8 * MINUTE)
    remove_alerts(database, case, [IDS[2]], who="cy", now=NOW + 9 * MINUTE)
    close_case(database, case, "Put back", close_alerts="issue_resolved", force=True, who="di", now=NOW + 10 * MINUTE)
    found = read_case(database, case)
    told = [(one.kind, one.about[:8], one.who, one.text) for one in found.moments]
    why = HOSTILE.replace("\0", "\\x00").replace("\ud800", "\\ud800")
    on = f"call 1 of 2, kms:PutKeyPolicy on {KEY}, as arn:aws:iam::1:role/x: "
    short = IDS[0][:8], IDS[1][:8], plan[:8]
    assert [(*one[:3], one[3].replace(HOSTILE, "…").replace(why, "…")) for one in told] == [
        ("event", short[0], "", "…"),
        ("alert", short[0], "", "raised by the rule Key opened"),
        ("alert", short[1], "", "raised by the rule Key opened"),
        ("case", "C-1", "ada", "opened with 2 alerts"),
        ("note", "C-1", "ada", "one\ntwo"),
        ("plan", short[2], "ada", "shown: Put it back"),
        ("step", short[2], "ada", "checked: the plan as a whole, as arn:aws:iam::1:role/x: …"),
        ("step", short[2], "ada", f"begun: {on}…"),
        ("step", short[2], "ada", f"done: {on}…"),
        ("note", short[0], "bo", "asked"),
        ("alert", short[0], "bo", "acknowledged"),
        ("alert", short[0], "bo", "assigned to bo"),
        ("alert", short[0], "bo", "tags: t"),
        ("alert", short[0], "bo", f"snoozed until {NOW.isoformat()}"),
        ("case", "C-1", "cy", "1 alert added"),
        ("case", "C-1", "cy", "1 alert removed"),
        ("case", "C-1", "di", "closed: Put back"),
        ("alert", short[0], "di", "closed: issue resolved"),
        ("alert", short[1], "di", "closed: issue resolved"),
    ]


def test_the_document_has_everything_and_is_json(database: Database) -> None:
    case = opened(database, IDS[:2], title=HOSTILE)
    write_note(database, case, HOSTILE, who="ada", now=NOW)
    plan = kept_plan(database, (0, "begun"))
    change(database, IDS[:1], AddNote("asked"), who="bo", now=NOW)
    found = json.loads(for_json(read_case(database, "1").to_dict(exported_at=NOW)))
    assert (found["schema"], found["exported_at"]) == (SCHEMA, NOW.isoformat())
    assert found["case"] | {"title": ""} == {
        "id": case, "title": "", "status": "open", "outcome": None, "opened_at": (NOW + MINUTE).isoformat(),
        "opened_by": "ada", "closed_at": None, "closed_by": None,
    }  # fmt: skip
    first, second = found["alerts"]
    assert first["document"] == json.loads(for_json(show_alert(database, IDS[0]).document))
    assert first["document"]["keytrail.investigation"]["verdict"] == "malicious"
    assert (first["id"], first["added_by"], first["record"]) == (IDS[0], "ada", '{"eventID": "\ufffd"}')
    assert [note["text"] for note in first["notes"]] == ["asked"]
    assert second["notes"] == []
    assert len(found["notes"]) == 1
    [kept] = found["plans"]
    assert (kept["id"], kept["standing"], kept["document"]["id"]) == (plan, "half applied", plan)
    assert [(step["step"], step["state"], step["caller"]) for step in kept["steps"]] == [
        (0, "begun", "arn:aws:iam::1:role/x")
    ]
    assert {(line["kind"], line["subject"], line["action"]) for line in found["audit"]} == {
        ("case", case, "open"),
        ("case", case, "note"),
        ("alert", IDS[0], "note"),
        ("plan", plan, "shown"),
    }
    assert len(found["timeline"]) == 8
    page = (Path(__file__).parents[2] / "docs" / "cases.md").read_text()
    for part in (found, found["case"], first, first["notes"][0], kept, kept["steps"][0], found["timeline"][0]):
        assert all(f"`{name}`" in page for name in part), sorted(part)
    assert all(f"`{name}`" in page for name in found["audit"][0])


def test_closing_is_refused_while_a_plan_is_half_applied_and_nothing_is_changed(database: Database) -> None:
    case = opened(database, IDS[:1])
    plan = kept_plan(database, (0, "begun"))
    with pytest.raises(UsageError, match=f"1 plan half applied \\({plan}\\)"):
        close_case(database, case, "x", close_alerts="duplicate", force=False, who="ada", now=NOW)
    found = read_case(database, case)
    assert found.file.status == "open"
    assert [(line.kind, line.action) for line in found.audit] == [("plan", "shown"), ("case", "open")]
    kept_plan(database, (0, "agreed"), (1, "there already"), minutes=1)
    assert close_case(database, case, "x", close_alerts=None, force=False, who="ada", now=NOW).changed
    assert read_case(database, case).alerts[0].document["kibana.alert.workflow_status"] == "open"


def test_alerts_that_were_closed_before_keep_their_reason(database: Database) -> None:
    case = opened(database, IDS)
    change(database, IDS[1:2], SetStatus("closed", "duplicate"), who="ada", now=NOW)
    done = close_case(database, case, "x", close_alerts="issue_resolved", force=False, who="ada", now=NOW)
    assert done.alerts == 2
    reasons = [one.document["kibana.alert.workflow_reason"] for one in read_case(database, case).alerts]
    assert reasons == ["issue_resolved", "duplicate", "issue_resolved"]


def test_a_case_without_a_title_is_named_after_its_first_alert(database: Database) -> None:
    case = opened(database, IDS[2:], title=None)
    assert read_case(database, case).file.title == "Key opened on 1234abcd-12ab-34cd-56ef-1234567890ab"


def test_one_wrong_id_opens_no_case(database: Database) -> None:
    for ids in (["ffffffff", IDS[0]], []):
        with pytest.raises(UsageError, match="no alert"):
            opened(database, ids)
    assert list(list_cases(database, (), most=10)) == []


def test_a_list_tells_the_gravest_verdict(database: Database) -> None:
    for ids in (IDS, IDS[2:], IDS[:1]):
        opened(database, ids)
    remove_alerts(database, "C-3", IDS[:1], who="ada", now=NOW)
    listed = list(list_cases(database, ("open",), most=10))
    assert [(one.file.id, one.alerts, one.verdict) for one in listed] == [
        ("C-3", 0, ""),
        ("C-2", 1, ""),
        ("C-1", 3, "malicious"),
    ]


def test_long_lists_are_read_in_parts(database: Database) -> None:
    for _ in range(130):
        opened(database, IDS[:1])
    assert [one.file.number for one in list_cases(database, (), most=120)] == list(range(130, 10, -1))
    assert len(list(list_cases(database, (), most=1000))) == 130
