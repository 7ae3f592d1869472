"""Exported key policies: every documented form is read, and what is none of them is named with what to do."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keytrail.errors import PolicyError, UsageError
from keytrail.policy import KeyPolicy
from keytrail.service.snapshots import read_snapshots

OWNER = "111122223333"
KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
KEY = f"arn:aws:kms:eu-west-1:{OWNER}:key/{KEY_ID}"
REPLICATED = "mrk-1234abcd12ab34cd56ef1234567890ab"
POLICY = KeyPolicy.default(OWNER).to_dict()
TEXT = json.dumps(POLICY, indent=2)


def write(path: Path, value: object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(path)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (f"{KEY_ID}.json", KEY_ID),
        (f"{OWNER}/eu-west-1/{KEY_ID}.json", KEY),
        (f"{OWNER}_eu-west-1_{KEY_ID}.json", KEY),
        (f"{OWNER}_us-gov-west-1_{REPLICATED}.json", f"arn:aws-us-gov:kms:us-gov-west-1:{OWNER}:key/{REPLICATED}"),
        (f"{OWNER}/cn-north-1/{REPLICATED}.json", f"arn:aws-cn:kms:cn-north-1:{OWNER}:key/{REPLICATED}"),
    ],
)
@pytest.mark.parametrize("content", [TEXT, {"Policy": TEXT, "PolicyName": "default"}, {"Policy": POLICY}])
def test_a_policy_is_of_the_key_that_its_file_is_named_after(
    tmp_path: Path, name: str, key: str, content: object
) -> None:
    path = write(tmp_path / name, content)
    [found] = read_snapshots(path)
    assert (found.key_arn, found.time, found.place) == (key, None, path)
    assert KeyPolicy.parse(found.policy) == KeyPolicy.default(OWNER)
    assert read_snapshots(str(tmp_path)) == (found,)


@pytest.mark.parametrize("member", ["KeyArn", "Arn", "KeyId"])
def test_an_object_may_name_its_key_and_time(tmp_path: Path, member: str) -> None:
    objects = [
        {member: KEY, "Policy": TEXT, "Time": "2026-03-01T10:00:00+02:00"},
        {member: KEY_ID, "Policy": POLICY},
    ]
    lines = write(tmp_path / "all.ndjson", "\n".join(map(json.dumps, objects)) + "\n\n")
    listed = write(tmp_path / "all.json", objects)
    for path, places in ((lines, [f"{lines}:1", f"{lines}:2"]), (listed, [f"{listed} record 0", f"{listed} record 1"])):
        found = read_snapshots(path)
        assert [one.key_arn for one in found] == [KEY, KEY_ID]
        assert [one.time for one in found] == [datetime(2026, 3, 1, 8, tzinfo=UTC), None]
        assert [one.place for one in found] == places


def test_configuration_items_of_keys_are_read_and_others_passed_over(tmp_path: Path) -> None:
    def item(kind: str, policy: object) -> dict[str, object]:
        more = {} if policy is None else {"Policy": policy}
        time = "2026-03-01T08:00:00.000Z"
        return {
            "resourceType": kind,
            "ARN": KEY,
            "configurationItemCaptureTime": time,
            "supplementaryConfiguration": more,
        }

    kinds = [("AWS::KMS::Key", TEXT), ("AWS::KMS::Key", json.dumps(TEXT)), ("AWS::KMS::Key", POLICY)]
    others = [("AWS::S3::Bucket", TEXT), ("AWS::KMS::Key", None)]
    path = write(tmp_path / "config.json", {"configurationItems": [item(*one) for one in (*kinds, *others)]})
    found = read_snapshots(path)
    assert [(one.key_arn, one.time) for one in found] == [(KEY, datetime(2026, 3, 1, 8, tzinfo=UTC))] * 3
    assert {KeyPolicy.parse(one.policy) for one in found} == {KeyPolicy.default(OWNER)}


def test_a_folder_is_read_in_the_order_of_names_without_what_is_hidden_or_no_json(tmp_path: Path) -> None:
    for name in (f"b/{KEY_ID}.json", f"a/{KEY_ID}.JSON", ".git/x.json", "README.md"):
        write(tmp_path / name, TEXT)
    assert [Path(one.place).parent.name for one in read_snapshots(str(tmp_path))] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("policy.json", TEXT, "not that of a key"),
        (f"{REPLICATED}.json", TEXT, "a policy in each Region"),
        (f"{KEY_ID}.json", "{not json", "not JSON"),
        (f"{KEY_ID}.json", "[" * 100_000, "nested"),
        (f"{KEY_ID}.json", {"Policy": POLICY, "PolicyName": "AWS_RAM"}, "AWS_RAM"),
        (f"{KEY_ID}.json", {"KeyPolicy": POLICY}, "neither"),
        ("all.json", [7], "object"),
        ("all.json", [{"KeyArn": "alias/x", "Policy": TEXT}], "not a key"),
        ("all.json", [{"KeyArn": KEY, "Policy": TEXT, "Time": "yesterday"}], "not a time"),
        ("all.json", [{"KeyArn": KEY, "Policy": TEXT, "Time": "0001-01-01T00:00:00+14:00"}], "not a time"),
        ("all.json", [{"KeyArn": KEY, "Policy": TEXT, "Time": 7}], "not a time"),
    ],
)
def test_what_is_no_snapshot_is_an_error_that_names_the_file_and_says_what_to_do(
    tmp_path: Path, name: str, content: object, says: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(UsageError, match=says) as caught:
        read_snapshots(str(tmp_path))
    assert caught.value.place is not None
    assert caught.value.place.file == path
    assert caught.value.advice


def test_a_policy_that_is_none_is_an_error_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / "all.ndjson", json.dumps({"KeyArn": KEY, "Policy": {"Statement": {"Effect": "Maybe"}}}))
    with pytest.raises(PolicyError, match="Principal") as caught:
        read_snapshots(path)
    assert f"{path}:1" in str(caught.value)


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    for name in (str(tmp_path), str(tmp_path / "missing"), "nul\0"):
        with pytest.raises(UsageError):
            read_snapshots(name)
