"""A change compared: what is proved, against what, who gained, whether it was tried before and taken back."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from pathlib import Path

import pytest

from keytrail.investigate import compare as comparing
from keytrail.investigate.change import KeyName, attempt_of, change_of
from keytrail.investigate.compare import compare_change, gained_principals
from keytrail.investigate.events import Event, events_of
from keytrail.investigate.history import Snapshot, history_of
from keytrail.investigate.limits import Limits
from keytrail.investigate.model import ComparedChange
from keytrail.investigate.queries import CHANGES_QUERY, LOGGING_QUERY
from keytrail.policy import Caller, CallerKind, Comparison, KeyPolicy, compare
from keytrail.settings.trust import Accounts, ApprovedAccount
from keytrail.simulation import LEDGER, simulate
from keytrail.store import Coverage, Damage, MemoryStore, Selector
from tests.investigate.records import (
    DEFAULT,
    KEY,
    OUTSIDE,
    OWNER,
    Json,
    allow,
    change,
    create_key,
    event,
    moment,
    policy,
    put_omitted,
    put_policy,
    record,
    refused,
    replicate_key,
    role_arn,
    root_arn,
    session,
    user,
)

PARTNER = "777788889999"
DELEGATED = allow(root_arn(OWNER))
CLOSED = policy(DELEGATED)
OPEN = policy(DELEGATED, allow(root_arn(OUTSIDE), "kms:Decrypt"))
# The same in other words: what a person would not call the same text.
ALIKE = policy(allow(OUTSIDE, ["kms:Decrypt", "kms:decrypt"], Sid="B"), allow(OWNER, "*", Sid="A"))
NOBODY = Accounts()
PRIMARY = f"arn:aws:kms:eu-west-1:{OWNER}:key/mrk-1234abcd12ab34cd56ef1234567890ab"
REPLICA = PRIMARY.replace("eu-west-1", "us-east-1")


def compared(
    about: Json,
    *others: Json,
    accounts: Accounts = NOBODY,
    coverage: Coverage | None = None,
    logging: tuple[Json, ...] = (),
    snapshots: tuple[Snapshot, ...] = (),
    limits: Limits | None = None,
) -> ComparedChange:
    """The change of one record, with these around it."""
    by_key: dict[KeyName, list[Event]] = {}
    for one in map(event, (about, *others)):
        attempt = attempt_of(one)
        assert attempt is not None
        by_key.setdefault(attempt.key, []).append(one)
    return compare_change(
        change(about),
        {key.arn: history_of(key, events, snapshots) for key, events in by_key.items()},
        accounts=accounts,
        coverage=coverage or Coverage(),
        logging=[event(one) for one in logging],
        limits=limits or Limits(),
    )


def put(when: str, document: Json | str = OPEN, who: Json | None = None, *, key: str = KEY) -> Json:
    return put_policy(when, who or user(), document, key=key)


def findings(found: ComparedChange) -> set[str]:
    assert found.comparison is not None
    return {one.id for one in found.comparison.findings}


# -- against what ---------------------------------------------------------------------------------------------------


def test_a_change_is_compared_with_the_policy_before_it() -> None:
    found = compared(put("09:00"), create_key("08:00", user(), CLOSED), put("10:00", CLOSED))
    assert (found.before.status, found.after.status, found.baseline) == ("known", "known", "before")
    assert found.comparison is not None
    assert found.comparison.external_accounts == (OUTSIDE,)
    assert gained_principals(found) == (root_arn(OUTSIDE),)
    assert (found.in_force_until, found.notes) == (moment("10:00"), ())
    assert (len(found.history), found.history_total) == (3, 3)


def test_the_same_requests_in_other_words_are_proved_to_be_no_change() -> None:
    found = compared(put("09:00", ALIKE), put("08:00", OPEN))
    assert found.comparison is not None
    assert found.comparison.unchanged
    assert "KMS-P00" in findings(found)
    assert gained_principals(found) == ()


@pytest.mark.parametrize(
    "doubt",
    [
        {"lost": put_omitted("08:30", user())},
        {"logging": record("cloudtrail:StopLogging", "08:30", user(), {"name": "main"})},
        {"damage": Damage("x.gz", OWNER)},
        {"snapshot": Snapshot(KEY, None, json.dumps(CLOSED), "export.json")},
    ],
    ids=lambda doubt: next(iter(doubt)),
)
def test_where_something_may_be_missing_equal_policies_are_never_proof_of_no_change(doubt: dict[str, object]) -> None:
    def of(name: str, kind: type) -> tuple:  # type: ignore[type-arg]
        return (doubt[name],) if isinstance(doubt.get(name), kind) else ()

    snapshots = of("snapshot", Snapshot)
    found = compared(
        put("09:00", CLOSED),
        *(() if snapshots else (put("08:00", CLOSED),)),
        *of("lost", dict),
        logging=of("logging", dict),
        coverage=Coverage(damage=of("damage", Damage)),
        snapshots=snapshots,
    )
    assert (found.before.status, found.before.document, found.baseline) == ("gap", CLOSED, "before")
    assert "KMS-P00" not in findings(found)
    assert "KMS-P26" in findings(found)
    assert found.comparison is not None
    assert any("the last that is known" in one.sentence for one in found.comparison.findings)
    assert any("the last policy that is known" in note and found.before.reason in note for note in found.notes)


def test_without_any_policy_before_everything_from_outside_counts_as_gained() -> None:
    found = compared(put("09:00"))
    assert (found.before.status, found.baseline) == ("unknown", "nothing")
    assert {"KMS-P26"} <= findings(found)
    assert not {"KMS-P00", "KMS-P27"} & findings(found)
    assert gained_principals(found) == (root_arn(OUTSIDE),)
    assert "compared with nothing" in found.notes[0]


def test_a_policy_after_that_is_not_known_is_compared_with_nothing_and_said() -> None:
    found = compared(put_omitted("09:00", user()), put("08:00", CLOSED), refused(put("08:30", CLOSED)))
    assert (found.comparison, found.after.status, found.before.status) == (None, "unknown", "known")
    assert "nothing is compared" in found.notes[-1]
    assert (gained_principals(found), found.refused_before) == ((), ())


def test_a_new_key_had_nothing_and_its_owner_gains_nothing() -> None:
    found = compared(create_key("08:00", user(), OPEN))
    assert (found.before.status, found.baseline) == ("none", "nothing")
    assert gained_principals(found) == (root_arn(OUTSIDE),)
    assert "KMS-P27" in findings(found)
    assert gained_principals(compared(create_key("08:00", user(), DEFAULT))) == ()


# -- the facts of the event -----------------------------------------------------------------------------------------


def test_a_caller_that_lets_itself_in_and_the_bypass_of_the_check_are_findings() -> None:
    caller = session("teams/App")
    own = policy(DELEGATED, allow(role_arn("teams/App")))
    bypassing = put("09:00", own, caller)
    parameters = bypassing["requestParameters"]
    assert isinstance(parameters, dict)
    parameters["bypassPolicyLockoutSafetyCheck"] = True
    found = compared(bypassing, put("08:00", CLOSED))
    assert {"KMS-P13", "KMS-P19"} <= findings(found)
    assert gained_principals(found) == (role_arn("teams/App"),)
    assert not {"KMS-P13", "KMS-P19"} & findings(compared(put("09:00", own), put("08:00", CLOSED)))


def test_copies_in_other_regions_are_held_against_it_as_they_were_then() -> None:
    born = create_key("07:00", user(), OPEN, key=PRIMARY)
    replicated = replicate_key("08:00", user(), OPEN, primary=PRIMARY, replica=REPLICA)
    closing = put("09:00", CLOSED, key=PRIMARY)
    assert "KMS-P28" in findings(compared(closing, born, replicated))
    assert "KMS-P28" not in findings(compared(closing, born, replicated, put("08:30", CLOSED, key=REPLICA)))
    later = put("09:30", CLOSED, key=REPLICA)
    assert "KMS-P28" in findings(compared(closing, born, replicated, later))


def test_a_new_copy_is_held_against_its_primary_however_its_event_names_that() -> None:
    born = create_key("07:00", user(), CLOSED, key=PRIMARY)
    for named in (PRIMARY, PRIMARY.rpartition("/")[2]):
        replicated = replicate_key("08:00", user(), OPEN, primary=PRIMARY, replica=REPLICA)
        parameters = replicated["requestParameters"]
        assert isinstance(parameters, dict)
        parameters["keyId"] = named
        histories = {
            arn: history_of(name, [event(born), event(replicated)])
            for arn in (PRIMARY, REPLICA)
            if (name := KeyName.parse(arn)) is not None
        }
        made = change(replicated)
        facts = comparing.facts_of(made, histories, histories[REPLICA].before(made))
        assert [arn for arn, _ in facts.replicas] == [PRIMARY]
        assert facts.primary == histories[PRIMARY].versions[0].policy
        assert facts.caller == Caller(CallerKind.USER, OWNER, "alice")


def test_approvals_count_as_of_the_change_and_the_owner_is_never_milder_for_being_known() -> None:
    def gravest(accounts: Accounts, after: Json = OPEN, before: Json = CLOSED) -> dict[str, str]:
        found = compared(put("09:00", after), put("08:00", before), accounts=accounts)
        assert found.comparison is not None
        return {one.id: one.severity for one in found.comparison.findings}

    until = [Accounts(approved=(ApprovedAccount(OUTSIDE, "why", moment(end)),)) for end in ("08:59", "09:01")]
    assert gravest(until[0])["KMS-P02"] == gravest(NOBODY)["KMS-P02"] == "high"
    assert gravest(until[1])["KMS-P02"] == "medium"
    apart = [policy(*(allow(role_arn(name)) for name in names)) for names in (("Admin", "App"), ("Admin",))]
    assert gravest(Accounts(names={OWNER: "own"}), *apart) == gravest(NOBODY, *apart)


def test_what_is_allowed_only_until_before_the_change_is_no_gain() -> None:
    def until(time: str) -> Json:
        limit: Json = {"DateLessThan": {"aws:CurrentTime": time}}
        return policy(DELEGATED, allow(root_arn(OUTSIDE), "kms:Decrypt", limit))

    assert gained_principals(compared(put("09:00", until("2026-03-01T00:00:00Z")), put("08:00", CLOSED))) == ()
    assert gained_principals(compared(put("09:00", until("2026-03-03T00:00:00Z")), put("08:00", CLOSED))) != ()


# -- who gained -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (allow(role_arn("a/App", OUTSIDE), "kms:Decrypt"), {role_arn("a/App", OUTSIDE)}),
        (allow(f"arn:aws:iam::{OWNER}:user/eve", "kms:Decrypt"), {f"arn:aws:iam::{OWNER}:user/eve"}),
        (
            allow(f"arn:aws:sts::{OUTSIDE}:assumed-role/App/i-1", "kms:Decrypt"),
            {f"arn:aws:sts::{OUTSIDE}:assumed-role/App/i-1"},
        ),
        (allow({"Service": "sns.amazonaws.com"}, "kms:Decrypt"), {"sns.amazonaws.com"}),
        (allow({"AWS": [OUTSIDE, PARTNER]}, "kms:Decrypt"), {root_arn(OUTSIDE), root_arn(PARTNER)}),
        (allow("*", "kms:Decrypt", {"StringEquals": {"kms:CallerAccount": OUTSIDE}}), {root_arn(OUTSIDE)}),
    ],
)  # fmt: skip
def test_who_gained_is_named_as_policies_name_them(statement: Json, expected: set[str]) -> None:
    found = compared(put("09:00", policy(DELEGATED, statement)), put("08:00", CLOSED))
    assert gained_principals(found) == tuple(sorted(expected))


def test_everyone_stands_for_all_but_those_that_are_named_as_well() -> None:
    known = Accounts(names={OWNER: "own", PARTNER: "other"})
    wide = policy(DELEGATED, allow("*", "kms:Decrypt", {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}))
    found = compared(put("09:00", wide), put("08:00", CLOSED), accounts=known)
    assert gained_principals(found) == ("*",)
    both = policy(DELEGATED, allow({"AWS": ["*", role_arn("App", OUTSIDE)]}, "kms:Decrypt"))
    found = compared(put("09:00", both), put("08:00", CLOSED), accounts=known)
    assert gained_principals(found) == ("*", role_arn("App", OUTSIDE))


# -- tried before, taken back ---------------------------------------------------------------------------------------


def test_the_same_change_tried_before_and_refused_is_found_by_text_document_and_meaning() -> None:
    tries = [
        refused(put("08:10", json.dumps(OPEN, indent=1), user("mallory"))),
        refused(put("08:20", json.dumps(dict(reversed(OPEN.items()))))),
        refused(put("08:30", ALIKE)),
    ]
    others = [
        refused(put("08:40", policy(allow("*")))),
        refused(put("08:45", "{not json")),
        refused(put("09:00", OPEN)),  # the same second: not before
        refused(put("09:10", OPEN)),
        refused(put("08:50", OPEN, key=PRIMARY)),
    ]
    found = compared(put("09:00"), put("08:00", CLOSED), *others, *tries)
    assert found.refused_before == tuple(one["eventID"] for one in tries)
    assert found.refused_total == 3


def test_of_many_attempts_the_last_are_listed_and_all_counted() -> None:
    tries = [refused(put(f"08:10:{second:02}")) for second in range(40)]
    found = compared(put("09:00"), *tries, limits=Limits(max_event_ids=2))
    assert found.refused_before == tuple(one["eventID"] for one in tries[-2:])
    assert found.refused_total == 40


def test_a_flood_of_attempts_is_compared_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    proofs = 0

    def counted(one: KeyPolicy, other: KeyPolicy, owner: str, *, org: str | None) -> Comparison:
        nonlocal proofs
        proofs += 1
        return compare(one, other, owner, org=org)

    monkeypatch.setattr(comparing, "compare", counted)
    flood = [refused(put("08:30", policy(allow(role_arn(f"R{number}"))))) for number in range(200)]
    near = refused(put("08:40", ALIKE))
    found = compared(put("09:00"), *flood, near, refused(put("08:00")))
    assert found.refused_total == 2
    assert 0 < proofs <= 5


@pytest.mark.parametrize(
    ("back", "expected"),
    [
        (put("09:30", CLOSED), True),
        (put("09:30", policy(allow(OWNER, "*", Sid="again"))), True),
        (put("10:00", CLOSED), True),
        (put("10:00:01", CLOSED), False),
        (put("09:30", policy(allow("*"))), False),
        (put_omitted("09:30", user()), False),
        (refused(put("09:30", CLOSED)), False),
    ],
)
def test_a_change_that_is_taken_back_within_the_hour_is_reverted(back: Json, *, expected: bool) -> None:
    found = compared(put("09:00"), put("08:00", CLOSED), back)
    told = event(back)
    assert (found.reverted_by, found.reverted_at) == ((told.id, told.time) if expected else (None, None))
    assert found.in_force_until == (None if told.error else told.time)


def test_the_first_change_that_gives_it_back_counts_even_after_others() -> None:
    found = compared(put("09:00"), put("08:00", CLOSED), put("09:10", policy(allow("*"))), put("09:20", CLOSED))
    assert (found.in_force_until, found.reverted_at) == (moment("09:10"), moment("09:20"))


def test_what_changed_nothing_cannot_be_taken_back() -> None:
    assert compared(put("09:00", ALIKE), put("08:00", OPEN), put("09:10", OPEN)).reverted_by is None


def test_the_history_shown_is_the_part_around_the_change() -> None:
    others = [put(f"{hour:02}:30") for hour in range(20)]
    found = compared(put("09:00"), *others, limits=Limits(max_timeline=4))
    assert [one.source.time for one in found.history] == [
        moment(f"{at}") for at in ("06:30", "07:30", "08:30", "09:00")
    ]
    assert found.history_total == 21
    first = compared(others[0], *others[1:], limits=Limits(max_timeline=4))
    assert [one.source.time for one in first.history] == [moment(f"0{hour}:30") for hour in range(4)]


# -- the story ------------------------------------------------------------------------------------------------------


def test_every_change_of_the_story_is_told_as_its_ledger_has_it(tmp_path: Path) -> None:
    simulate(tmp_path, events=1000, seed=3, layout="large")
    told = json.loads((tmp_path / LEDGER).read_text())
    found = [record for path in tmp_path.rglob("*.json.gz") for record in _records(path)]
    store = MemoryStore(found)
    events = list(events_of(store.find(Selector.kql(CHANGES_QUERY))))
    logging = list(events_of(store.find(Selector.kql(LOGGING_QUERY))))
    assert {one.name for one in logging} == {"PutEventSelectors", "StopLogging"}  # refused both
    keys = {made.key for one in events if (made := attempt_of(one)) is not None}
    histories = {key.arn: history_of(key, events) for key in keys}
    names, trusted = told["organisation"]["accounts"], told["organisation"]["approved_accounts"]
    approved = [
        ApprovedAccount(one["account"], one["reason"], datetime.fromisoformat(one["expires"])) for one in trusted
    ]
    accounts = Accounts(told["organisation"]["id"], names, tuple(approved))
    by_id = {one.id: one for one in events}
    assert len(told["changes"]) > 20
    for one in told["changes"]:
        made = change_of(by_id[one["event_id"]])
        assert made is not None
        family = {arn: each for arn, each in histories.items() if each.key.id == made.key.id}
        compared = compare_change(
            made, family, accounts=accounts, coverage=store.coverage(), logging=logging, limits=Limits()
        )
        omitted = one["step"] == "after-omission"  # the ledger compares with nothing there, we with the last known
        assert compared.before.status == ("gap" if omitted else one["before"]["status"]), one["step"]
        assert compared.after.status == one["after"]["status"], one["step"]
        assert omitted or compared.before.document == one["before"]["policy"], one["step"]
        assert compared.after.document == one["after"]["policy"], one["step"]
        assert gained_principals(compared) == tuple(sorted(gain["principal"] for gain in one["gained"])), one["step"]
        assert compared.refused_before == tuple(one["refused_before"]), one["step"]
        assert compared.reverted_by == one["reverted_by"], one["step"]


def _records(path: Path) -> list[Json]:
    found: list[Json] = json.loads(gzip.decompress(path.read_bytes())).get("Records", [])
    return found
