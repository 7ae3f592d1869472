"""Sinks that append to files: whole lines, whatever happens."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from keytrail.notify import DeliveryError, files
from keytrail.notify.files import append_lines
from keytrail.notify.sinks.ocsf import detection_finding
from tests.notify.conftest import KEY, NOW, hostile, message, opened


def lines(path: Path) -> list[dict[str, object]]:
    text = path.read_bytes()
    assert text.endswith(b"\n")
    assert text.isascii()
    return [json.loads(line) for line in text.splitlines()]


def test_ndjson_holds_alert_documents_with_the_id_of_their_message(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    sink = opened({"kind": "ndjson", "path": str(path)})
    sink.send([message(1), hostile(2)], NOW)
    sink.send([message(1, "raised")], NOW)
    first, odd, raised = lines(path)
    assert first.pop("keytrail.message.id") == "message-1-new"
    assert first.pop("keytrail.message.reason") == "new"
    assert first == message(1).alert
    assert str(odd["kibana.alert.rule.name"]).startswith("@here")
    assert raised["keytrail.message.id"] == "message-1-raised"
    assert sink.send_digest is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_that_a_crash_cut_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"
    path.write_bytes(b'{"whole":1}\n{"cut')
    append_lines(path, [b'{"next":1}'])
    assert path.read_bytes() == b'{"whole":1}\n{"cut\n{"next":1}\n'


def test_what_cannot_be_written_whole_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "alerts.ndjson"
    append_lines(path, [b"{}"])
    real = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) < 8:
            raise OSError(28, "No space left on device")
        return real(handle, bytes(data)[:5])

    monkeypatch.setattr(files.os, "write", full)
    with pytest.raises(DeliveryError, match="No space left on device") as caught:
        append_lines(path, [b'{"a":1}', b'{"b":2}'])
    assert caught.value.retry
    assert path.read_bytes() == b"{}\n"
    monkeypatch.undo()
    append_lines(path, [b'{"a":1}'])
    assert path.read_bytes() == b'{}\n{"a":1}\n'


@pytest.mark.parametrize("place", ["", "absent/alerts.ndjson", "\0"])
def test_a_place_that_is_no_file_says_so(place: str, tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="cannot be written") as caught:
        append_lines(tmp_path / place, [b"{}"])
    assert caught.value.retry
    assert caught.value.advice


def test_lines_of_several_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "alerts.ndjson"

    def write(number: int) -> None:
        for _ in range(20):
            append_lines(path, [json.dumps({"writer": number, "text": "x" * 5000}).encode()] * 3)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(lines(path)) == 4 * 20 * 3


def test_ocsf_findings_are_of_class_2004(tmp_path: Path) -> None:
    path = tmp_path / "findings.ndjson"
    opened({"kind": "ocsf", "path": str(path)}).send([message(1), message(1, "raised"), hostile(2)], NOW)
    new, raised, odd = lines(path)
    assert (new["class_uid"], new["category_uid"], new["type_uid"], raised["type_uid"]) == (2004, 2, 200401, 200402)
    assert (new["severity_id"], new["severity"]) == (4, "High")
    assert new["time"] == 1_772_836_050_000
    info, info_raised = new["finding_info"], raised["finding_info"]
    assert isinstance(info, dict)
    assert isinstance(info_raised, dict)
    assert info["uid"] == info_raised["uid"] == f"{1:064x}"
    assert info["analytic"]["uid"] == "kms-policy-changed"
    assert info["attacks"] == [{"technique": {"uid": "T1098", "name": "Account Manipulation"}}]
    assert new["resources"] == [{"uid": KEY, "name": "alias/orders", "region": "eu-west-1"}]
    assert new["evidences"][0]["src_endpoint"] == {"ip": "198.51.100.7"}  # type: ignore[index]
    assert "ip" not in odd["evidences"][0]["src_endpoint"]  # type: ignore[index]
    assert new["metadata"]["uid"] == "message-1-new"  # type: ignore[index]


def test_an_ocsf_finding_has_what_the_class_requires() -> None:
    required = {
        "activity_id", "category_uid", "class_uid", "cloud", "finding_info", "metadata", "severity_id", "time",
        "type_uid",
    }  # fmt: skip
    for one in (message(), message(verdict=None), message(**{"kibana.alert.severity": "odd"})):
        finding = detection_finding(one, NOW)
        assert required <= set(finding)
        assert finding["type_uid"] == finding["class_uid"] * 100 + finding["activity_id"]  # type: ignore[operator]
    assert detection_finding(message(**{"kibana.alert.severity": "odd"}), NOW)["severity_id"] == 99
