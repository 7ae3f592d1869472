"""An alert at a glance: what is read from its document, and which of several alerts is the gravest."""

from __future__ import annotations

from itertools import pairwise

from keytrail.investigate.glance import Glance, alias_of
from keytrail.investigate.reading import Json, objects, total

KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
BUCKET = "arn:aws:s3:::orders"


def alert(verdict: str = "", score: int = 0, **fields: object) -> Json:
    found = {"keytrail.investigation": {"verdict": verdict, "score": score}} if verdict else {}
    return {f"kibana.alert.{name}": value for name, value in fields.items()} | found


def test_the_key_comes_before_other_resources_and_these_before_what_the_request_asks_for() -> None:
    bucket, key = {"arn": BUCKET}, {"arn": KEY, "type": "AWS::KMS::Key"}
    asked = {"aws.cloudtrail.flattened.request_parameters": {"keyId": "alias/asked"}}
    assert Glance.of(asked | {"aws.cloudtrail.resources": [bucket, key]}).resource == KEY
    assert Glance.of(asked | {"aws.cloudtrail.resources": bucket}).resource == BUCKET
    assert Glance.of(asked).key == "alias/asked"
    assert Glance.of(asked | {"keytrail.investigation": {"key": {"arn": KEY}}}).key == KEY.rpartition("/")[2]


def test_a_key_goes_by_the_alias_it_had_at_the_change() -> None:
    old, late = {"name": "alias/old", "current": True}, {"name": "alias/late", "current": False}
    assert alias_of({"key": {"aliases": [old, late]}}) == "alias/old"
    assert alias_of({"key": {"aliases": [late]}}) == "alias/late"
    assert alias_of({}) == ""


def test_the_gravest_is_told_by_verdict_then_score_then_severity_then_time() -> None:
    gravest_first = [
        alert("malicious", 70, severity="low"),
        alert("review", 60, severity="low"),
        alert("review", 40, severity="critical"),
        alert(severity="critical"),
        alert(severity="high", original_time="2026-03-06T22:27:30Z"),
        alert(severity="high", original_time="2026-03-07T22:27:30+02:00"),
        alert(severity="high", original_time="no time"),
        alert(severity="unheard of"),
        alert("expected", 20, severity="critical"),
        alert("no_effect", severity="critical"),
    ]
    ranks = [Glance.of(one).rank for one in gravest_first]
    assert all(one < other for one, other in pairwise(ranks))


def test_a_document_of_nonsense_reads_as_nothing() -> None:
    nonsense: Json = {
        "aws": ["x"], "event": {"action": {"a": 1}, "id": []}, "cloud": None, "@timestamp": 10**400,
        "keytrail.investigation": {"verdict": ["review"], "score": "87", "key": {"aliases": {"items": 7}}},
        "kibana.alert.rule.threat": [None, {"technique": [7, {"id": "T1", "name": None}]}],
    }  # fmt: skip
    found = Glance.of(nonsense)
    assert (found.action, found.event_id, found.region, found.resource, found.made) == ("", "", "", "", None)
    assert (found.verdict, found.score, found.techniques) == ("review", 0, (("T1", ""),))
    assert Glance.of({"keytrail.investigation": "none"}) == Glance.of({})


def test_a_capped_list_shows_fewer_than_it_counts() -> None:
    document: Json = {"capped": {"items": [{"id": 1}, "?"], "total": 9}, "plain": [{"id": 1}], "empty": {"items": None}}
    assert [len(objects(document, name)) for name in ("capped", "plain", "empty", "missing")] == [1, 1, 0, 0]
    assert [total(document, name) for name in ("capped", "plain", "empty", "missing")] == [9, 1, 0, 0]
