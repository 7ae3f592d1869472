"""The chaos program in short: real processes, killed and stopped, on a folder, a queue, a disk without room."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tests.chaos.disk import small_disk
from tests.chaos.episode import Plan, play
from tests.conftest import require


def test_a_service_that_is_killed_stopped_frozen_and_locked_out_keeps_its_promise(tmp_path: Path) -> None:
    report = play(Plan(seed=4, seconds=5, events=200), tmp_path)
    assert report.starts > 2
    assert report.alerts > 10


def test_the_same_events_from_a_folder_and_a_queue_alert_once(tmp_path: Path) -> None:
    if find_spec("moto") is None:
        require("moto", "moto[s3,sqs,server] from PyPI")
    report = play(Plan(seed=6, seconds=2.5, events=120, feeds=("folder", "queue")), tmp_path)
    assert report.alerts > 10


def test_a_disk_without_room_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        if disk is None:
            require("tmpfs", "nothing, but run as root: a small disk has to be mounted")
        report = play(Plan(seed=3, seconds=2.5, events=120, disk=disk, troubles=("disk", "kill")), tmp_path)
    assert "disk" in report.done
    assert report.alerts > 10
