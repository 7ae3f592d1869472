"""A damaged segment is told by name, can be taken out, and what it held comes back from the trail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keytrail.errors import StoreError
from keytrail.service.lake import ImportRequest, drop_damaged, import_archives, verify_lake
from tests.service.watch.kit import Bench, probes, rule, stored_bytes

MakeBench = Callable[..., Bench]


def test_what_a_damaged_segment_held_comes_back_by_reading_its_trail_again(bench: MakeBench, tmp_path: Path) -> None:
    one = bench(rule())
    archive = tmp_path / "archive.json.gz"
    archive.write_bytes(stored_bytes(probes(1, 2, 3)))
    one.stop()
    request = ImportRequest((str(archive),), settings=one.settings)
    assert import_archives(request, clock=one.clock).records == 3
    one.restart()
    one.take("later", probes(4))
    one.stop()

    [path] = [
        file
        for file in (one.folder / "lake").rglob("*.parquet")
        if str(file).endswith(one.home.catalog.segments()[0].file.path)
    ]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    [(named, problem)] = verify_lake(one.settings, clock=one.clock).damaged
    assert path.name in named
    assert "not those that were written" in problem
    again = ImportRequest((str(archive),), again=True, settings=one.settings)
    with pytest.raises(StoreError, match="damaged"):  # what cannot be compared is not stored
        import_archives(again, clock=one.clock)

    assert len(drop_damaged(one.settings, clock=one.clock).damaged) == 1
    assert path.with_name(path.name + ".damaged").exists()
    assert import_archives(request, clock=one.clock).records == 0  # the object is known
    assert import_archives(again, clock=one.clock).records == 3
    assert verify_lake(one.settings, clock=one.clock).damaged == ()
    one.restart()
    assert sorted(event["eventID"] for event in one.lake()) == sorted(  # type: ignore[type-var]
        event["eventID"] for event in probes(1, 2, 3, 4)
    )
