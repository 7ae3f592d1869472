"""The last two versions of a key's policy, out of an archive: which events count, in which order, what is not known."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keytrail.errors import PolicyError, SourceError, UsageError
from keytrail.policy import Caller, CallerKind, KeyPolicy
from keytrail.service.policy import owner_of, read_policy, read_version
from keytrail.service.policy_diff import diff_change, diff_policies
from keytrail.service.policy_history import HistoryRequest, LastChange, last_change
from keytrail.simulation import LEDGER, simulate

OWNER, OTHER = "111122223333", "444455556666"
KEY = f"arn:aws:kms:eu-west-1:{OWNER}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
PRIMARY = f"arn:aws:kms:eu-west-1:{OWNER}:key/mrk-1234abcd12ab34cd56ef1234567890ab"
REPLICA = PRIMARY.replace("eu-west-1", "us-east-1")


def policy(*principals: str, actions: str = "kms:Decrypt") -> str:
    """The text of a policy that gives some principals something."""
    statements = [
        {"Sid": f"S{n}", "Effect": "Allow", "Principal": {"AWS": one}, "Action": actions, "Resource": "*"}
        for n, one in enumerate(principals)
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def event(name: str, day: int, request: object, response: object = None, **more: Any) -> dict[str, Any]:
    return {
        "eventVersion": "1.09",
        "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::{OWNER}:user/ada", "accountId": OWNER},
        "eventTime": f"2026-03-{day:02}T08:00:00Z",
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": "eu-west-1",
        "sourceIPAddress": "192.0.2.10",
        "requestParameters": request,
        "responseElements": response,
        "resources": [{"accountId": OWNER, "type": "AWS::KMS::Key", "ARN": KEY}],
        "eventID": f"{name}-{day}",
        "recipientAccountId": OWNER,
    } | more


def put(day: int, text: str, **more: Any) -> dict[str, Any]:
    request = {"keyId": KEY, "policyName": "default", "policy": text, "bypassPolicyLockoutSafetyCheck": False}
    return event("PutKeyPolicy", day, request, **more)


def created(day: int, text: str | None = None, arn: str = KEY, **more: Any) -> dict[str, Any]:
    request = {"origin": "AWS_KMS"} | ({} if text is None else {"policy": text})
    return event("CreateKey", day, request, {"keyMetadata": {"arn": arn}}, **more)


def find(folder: Path, records: Sequence[object], key: str = KEY, until: datetime | None = None) -> LastChange:
    (folder / "a.json.gz").write_bytes(gzip.compress(json.dumps({"Records": records}).encode()))
    return last_change(HistoryRequest(key, (str(folder),), until=until, jobs=1))


def given(known: KeyPolicy | None) -> list[str]:
    assert known is not None
    return [str(principal) for statement in known.statements for principal in statement.principals or ()]


# -- from archives --------------------------------------------------------------------------------------------------


def test_the_last_two_count_by_event_time_wherever_they_lie(tmp_path: Path) -> None:
    change = find(tmp_path, [put(3, policy("*")), put(1, policy(OTHER)), put(2, policy(OWNER))])
    assert (given(change.before.policy), given(change.after.policy)) == ([OWNER], ["*"])
    assert "PutKeyPolicy at 2026-03-02T08:00:00Z" in change.before.origin
    assert "arn:aws:iam::111122223333:user/ada" in change.after.origin
    assert "PutKeyPolicy-3" in change.after.origin
    assert change.time == datetime(2026, 3, 3, 8, tzinfo=UTC)
    assert (change.account, change.complete, change.notes) == (OWNER, True, ())


def test_until_looks_at_an_earlier_change(tmp_path: Path) -> None:
    records = [put(1, policy(OTHER)), put(2, policy(OWNER)), put(3, policy("*"))]
    change = find(tmp_path, records, until=datetime(2026, 3, 3, tzinfo=UTC))
    assert (given(change.before.policy), given(change.after.policy)) == ([OTHER], [OWNER])


def test_what_failed_or_is_about_another_key_or_policy_changed_nothing(tmp_path: Path) -> None:
    records = [
        put(1, policy(OWNER)),
        put(2, policy(OTHER)),
        put(3, policy("*"), errorCode="AccessDenied"),
        put(4, policy("*"), resources=[{"ARN": KEY.replace("1234abcd", "9876fedc")}]),
        event("PutKeyPolicy", 5, {"keyId": KEY, "policyName": "AWS_RAM", "policy": policy("*")}),
        event("GetKeyPolicy", 6, {"keyId": KEY, "policyName": "default"}),
    ]
    change = find(tmp_path, records)
    assert (given(change.before.policy), given(change.after.policy)) == ([OWNER], [OTHER])


def test_a_change_that_two_accounts_saw_is_one(tmp_path: Path) -> None:
    twice = [put(2, policy("*"), sharedEventID="s", eventID=f"e{n}", recipientAccountId=n) for n in (OWNER, OTHER)]
    change = find(tmp_path, [put(1, policy(OWNER)), *twice])
    assert given(change.before.policy) == [OWNER]


def test_a_key_created_without_a_policy_had_the_default_one(tmp_path: Path) -> None:
    change = find(tmp_path, [created(1), put(2, policy("*"))])
    assert (change.before.status, change.before.policy) == ("default", KeyPolicy.default(OWNER))
    assert change.facts.before_known
    assert str(change.facts.before_date) == "2026-03-01"


def test_the_event_that_creates_a_key_has_nothing_before_it(tmp_path: Path) -> None:
    change = find(tmp_path, [created(1, policy(OTHER))])
    assert (change.before.status, change.before.policy, given(change.after.policy)) == ("none", None, [OTHER])
    assert diff_change(change).answer == "new access"


@pytest.mark.parametrize(
    "before",
    [
        [],
        [event("PutKeyPolicy", 1, {"omitted": True, "originalSize": 104211, "reason": "requestParameters too large"})],
        [event("PutKeyPolicy", 1, None)],
        [put(1, policy(OWNER)), event("PutKeyPolicy", 1, None, eventTime="2026-03-01T09:00:00Z", eventID="later")],
        [event("CreateKey", 1, None, {"keyMetadata": {"arn": KEY}})],
        [event("CreateKey", 1, {"omitted": True}, {"keyMetadata": {"arn": KEY}})],
        [put(1, "{not json")],
        [put(1, '{"Statement": {"Effect": "Maybe"}}')],
        [created(1, userIdentity={"type": "AWSService", "invokedBy": "kms.amazonaws.com"})],
    ],
    ids=[
        "nothing",
        "omitted",
        "null",
        "known-and-null",
        "created-null",
        "created-omitted",
        "not-json",
        "no-policy",
        "replica",
    ],
)
def test_a_policy_before_that_is_not_known_is_never_taken_for_none(tmp_path: Path, before: list[object]) -> None:
    change = find(tmp_path, [*before, put(2, policy(OTHER))])
    assert (change.before.status, change.before.policy) == ("unknown", None)
    assert change.before.reason
    assert not change.facts.before_known
    found = diff_change(change)
    assert found.answer == "not proved"
    assert found.comparison is not None
    assert "KMS-P26" in [finding.id for finding in found.comparison.findings]
    assert change.before.reason in found.to_dict()["incomplete"]  # type: ignore[operator]


def test_a_policy_after_that_is_not_known_proves_nothing(tmp_path: Path) -> None:
    found = diff_change(find(tmp_path, [put(1, policy(OWNER)), event("PutKeyPolicy", 2, {"omitted": True})]))
    assert (found.answer, found.comparison, found.to_dict()["new_access"]) == ("not proved", None, None)


def test_a_replica_is_created_once_with_the_policy_of_the_replication(tmp_path: Path) -> None:
    response = {"replicaKeyMetadata": {"arn": REPLICA}, "replicaPolicy": policy(OTHER)}
    replicated = event("ReplicateKey", 2, {"keyId": PRIMARY}, response, resources=[{"ARN": PRIMARY}])
    made_by_kms = {"type": "AWSService", "invokedBy": "kms.amazonaws.com"}
    records = [created(1, policy(OWNER), PRIMARY), replicated, created(3, None, REPLICA, userIdentity=made_by_kms)]
    change = find(tmp_path, records, REPLICA)
    assert (change.before.status, given(change.after.policy)) == ("none", [OTHER])
    assert given(change.facts.primary) == [OWNER]
    assert [arn for arn, _ in change.facts.replicas] == [PRIMARY]
    # The primary's own policy is what it was.
    assert given(find(tmp_path, records, PRIMARY).after.policy) == [OWNER]


def test_two_changes_in_one_second_are_told(tmp_path: Path) -> None:
    change = find(tmp_path, [put(1, policy(OWNER)), put(1, policy("*"), eventID="other")])
    assert "which came last" in change.notes[0]


def test_the_one_who_changed_it_is_known_with_the_path_of_the_role(tmp_path: Path) -> None:
    role = f"arn:aws:iam::{OWNER}:role/teams/Admin"
    identity = {
        "type": "AssumedRole",
        "arn": f"arn:aws:sts::{OWNER}:assumed-role/Admin/mallory",
        "sessionContext": {"sessionIssuer": {"arn": role}},
    }
    change = find(tmp_path, [put(1, policy(OWNER)), put(2, policy(role), userIdentity=identity)])
    assert change.facts.caller == Caller(CallerKind.ROLE, OWNER, "teams/Admin", "mallory")


@pytest.mark.parametrize("identity", [{}, {"type": "AWSAccount"}, {"arn": 7}, {"type": "AWSService"}, None])
def test_an_identity_that_names_nobody_stops_nothing(tmp_path: Path, identity: object) -> None:
    change = find(tmp_path, [put(1, policy(OWNER)), put(2, policy("*"), userIdentity=identity)])
    assert change.facts.caller is None


def test_input_that_cannot_be_read_makes_the_answer_uncertain(tmp_path: Path) -> None:
    (tmp_path / "broken.json.gz").write_bytes(b"\x1f\x8b\x08\x00damaged")
    change = find(tmp_path, [put(1, policy(OTHER)), put(2, policy(OTHER))])
    assert not change.complete
    assert "could not be read" in change.notes[0]
    assert diff_change(change).answer == "not proved"


def test_a_key_that_no_event_is_about_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="9876fedc"):
        find(tmp_path, [put(1, policy("*"))], KEY.replace("1234abcd", "9876fedc"))


@pytest.mark.parametrize("key", ["", "1234abcd", "arn:aws:kms:eu-west-1:1:key/x", f"{KEY}\n", "arn:aws:s3:::bucket"])
def test_a_key_is_named_by_its_arn(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match="--key"):
        last_change(HistoryRequest(key, (str(tmp_path),)))


def test_the_story_is_told_as_its_ledger_has_it(tmp_path: Path) -> None:
    simulate(tmp_path / "story", events=1000, seed=1, layout="large")
    changes = json.loads((tmp_path / "story" / LEDGER).read_text())["changes"]
    last = {change["key"]: change for change in changes}
    assert len(last) > 10
    for key, told in last.items():
        found = last_change(HistoryRequest(key, (str(tmp_path / "story"),), jobs=1))
        assert (found.before.status, found.after.status) == (told["before"]["status"], told["after"]["status"]), key
        for version, side in ((found.before, told["before"]), (found.after, told["after"])):
            assert version.policy == (side["policy"] and KeyPolicy.parse(side["policy"])), key
        assert told["event_id"] in found.after.origin
        if told["before"]["status"] == "unknown":
            assert diff_change(found).answer == "not proved"
        elif told["before"]["status"] != "none":
            assert (diff_change(found).answer == "new access") is bool(told["gained"]), key


# -- from names -----------------------------------------------------------------------------------------------------


def test_a_policy_is_a_file_default_or_none(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(policy("*"))
    assert read_version(str(path), OWNER).policy == read_policy(str(path))
    assert read_version("default", OWNER).policy == KeyPolicy.default(OWNER)
    assert read_version("none", OWNER).policy is None


def test_an_unreadable_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    for name in (str(tmp_path), str(tmp_path / "missing"), "nul\0"):
        with pytest.raises(UsageError):
            read_policy(name)
    (tmp_path / "big").write_bytes(b" " * 10_000_000)
    with pytest.raises(PolicyError, match="larger"):
        read_policy(str(tmp_path / "big"))


def test_an_endless_file_is_read_no_further_than_a_policy_goes() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("no /dev/zero here")
    with pytest.raises(PolicyError, match="larger"):
        read_policy("/dev/zero")


def test_the_owner_is_the_account_that_is_delegated_to() -> None:
    assert owner_of(KeyPolicy.parse(policy(OWNER, actions="kms:*"))) == OWNER
    assert owner_of(KeyPolicy.parse(policy(f"arn:aws:iam::{OWNER}:role/App"))) == OWNER
    for text in (policy("*"), policy(OWNER, OTHER)):
        with pytest.raises(UsageError, match="account"):
            owner_of(KeyPolicy.parse(text))


def test_who_could_from_outside_before_is_known(tmp_path: Path) -> None:
    names = []
    for number, text in enumerate((policy(OWNER), policy(OTHER))):
        (tmp_path / f"{number}.json").write_text(text)
        names.append(str(tmp_path / f"{number}.json"))
    closed, opened = (read_version(name, OWNER) for name in names)
    assert diff_policies(closed, opened, OWNER).outside_before == ()
    assert diff_policies(opened, closed, OWNER).outside_before == (OTHER,)
