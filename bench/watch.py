"""`make bench`: how fast the service takes in records and raises alerts, and how fast the lake is searched.

Taking in is the whole program (`keytrail lake import --detect`, which does what `watch` does with a folder) with 100
rules; the limit beside it is inflating alone. Alerts are timed from the moment at which a file is there to the moment
at which another process sees the alert. Hunts are over ten million records, beside DuckDB reading the same column.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb

from bench.__main__ import ROUNDS, archive
from bench.limit import Limit
from bench.memory import measure
from bench.rules import FILES
from keytrail.cloudtrail import ReadLimits
from keytrail.detect import alert_id
from keytrail.search import available_cores
from keytrail.service.installation import installation
from keytrail.service.lake import HuntRequest, count_lake, hunt_lake
from keytrail.settings import Settings
from keytrail.store.lake.columns import table_of
from keytrail.store.lake.rows import read_rows
from keytrail.store.lake.segment import write_segment
from keytrail.store.state.alerts import existing
from keytrail.store.state.catalog import add_segment
from keytrail.store.state.database import Database, sqlite_url

DATA = Path("bench-data")
RULES = 100
RECORDS = 10_000_000
RULE = "5bca119d-7e7b-4ca9-b1d8-1eb58928d62a"
"""A key was disabled: a rule of the pack whose alerts are not investigated."""
RATE = 5_000
PER_FILE = 250
SECONDS = 20
"""Of the stream of files: RATE events a second, PER_FILE in each, for so long."""

Json = dict[str, object]


def take_in(events: int) -> None:
    """Events a second of an archive that is taken in with 100 rules, and the memory of all processes at its peak."""
    where = archive("large", events)
    paths = [str(path) for path in sorted(where.path.rglob("*.json.gz"))]
    rules = DATA / "take-in-rules.ndjson"
    rules.write_text("".join(FILES[1].read_text().splitlines(keepends=True)[:RULES]))
    os.environ |= {"KEYTRAIL_WATCH__RULES": str(rules), "KEYTRAIL_WATCH__BUILTIN": "false"}
    rates, whole, limits = [], [], []
    with Limit(paths, 4) as limit:
        for _ in range(ROUNDS):
            limits.append(events / limit.measure()[0])
            with tempfile.TemporaryDirectory(dir=DATA) as folder:
                started = time.perf_counter()
                done = subprocess.run(_import(where.path, folder), capture_output=True, text=True, check=True)
                whole.append(time.perf_counter() - started)
                rates.append(events / _seconds_told(done.stderr))
    with tempfile.TemporaryDirectory(dir=DATA) as folder:
        measured = measure(_import(where.path, folder))
    print(
        f"{'take in, 100 rules':48}{max(rates):12,.0f} events/s{max(rates) / max(limits):8.2f} of the limit"
        f"{min(whole):9.1f} s with start-up{measured.peak_bytes / 1e6:8,.0f} MB at the peak",
        flush=True,
    )
    for name in ("KEYTRAIL_WATCH__RULES", "KEYTRAIL_WATCH__BUILTIN"):
        del os.environ[name]


def _import(archive: Path, lake: str) -> list[str]:
    return [sys.executable, "-m", "keytrail", "lake", "import", str(archive), "--detect", "--lake", lake]


def _seconds_told(text: str) -> float:
    """How long the records took, as the command says it at its end."""
    found = re.search(r", in ([\d.]+) s$", text, re.MULTILINE)
    if found is None:
        sys.exit(f"keytrail lake import did not end well: {text}")
    return float(found[1])


# -- from a file to its alert -----------------------------------------------------------------------------------------


def to_alert() -> None:
    """The time from a file's arrival to its committed alert, with a stream of files at RATE events a second."""
    with tempfile.TemporaryDirectory(dir=DATA) as place:
        folder, lake = Path(place) / "trail", Path(place) / "lake"
        folder.mkdir()
        command = [sys.executable, "-m", "keytrail", "watch", str(folder), "--lake", str(lake)]
        service = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert service.stderr is not None
        service.stderr.readline()  # it says that it watches
        threading.Thread(target=service.stderr.read, daemon=True).start()
        try:
            seconds = _stream(folder, lake)
        finally:
            service.terminate()
            service.wait()
    seconds.sort()
    print(
        f"{f'from file to alert, {RATE:,} events/s':48}{statistics.median(seconds):9.2f} s median"
        f"{seconds[int(len(seconds) * 0.99)]:9.2f} s 99th percentile{seconds[-1]:9.2f} s at most",
        flush=True,
    )


def _stream(folder: Path, lake: Path) -> list[float]:
    """Write files, each with one event in it that raises an alert, and wait for these."""
    arrived: dict[str, float] = {}
    taken: list[float] = []
    done = threading.Event()

    def watch() -> None:
        database = Database(sqlite_url(lake / "state.db"))
        while arrived or not done.is_set():
            with database.read() as connection:
                for found in existing(connection, list(arrived)):
                    taken.append(time.time() - arrived.pop(found))
            time.sleep(0.01)
        database.close()

    watching = threading.Thread(target=watch)
    watching.start()
    started = time.time()
    for number in range(RATE * SECONDS // PER_FILE):
        records, alert = _records(number)
        data = gzip.compress(json.dumps({"Records": records}).encode(), 1)
        wait = started + number * PER_FILE / RATE - time.time()
        if wait > 0:
            time.sleep(wait)
        (folder / f".{number}").write_bytes(data)
        arrived[alert] = time.time()
        (folder / f".{number}").rename(folder / f"{number:06}.json.gz")
    done.set()
    watching.join(60)
    if watching.is_alive():
        sys.exit("alerts are missing")
    return taken


def _records(number: int) -> tuple[list[Json], str]:
    """PER_FILE events of now, the last one of a key that is disabled, and the id of its alert."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    records = [
        _event(now, "GetObject", "s3.amazonaws.com", {"bucketName": f"b{at}", "key": "k" * 400})
        for at in range(PER_FILE)
    ]
    change = _event(now, "DisableKey", "kms.amazonaws.com", {"keyId": str(uuid.uuid4())})
    records[-1] = change
    return records, alert_id(RULE, change)


def _event(now: str, name: str, source: str, parameters: Json) -> Json:
    return {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "arn": "arn:aws:sts::444455556666:assumed-role/app/i-0123456789abcdef0",
            "accountId": "444455556666",
            "accessKeyId": "ASIAEXAMPLEEXAMPLE00",
        },
        "eventTime": now,
        "eventSource": source,
        "eventName": name,
        "awsRegion": "eu-central-1",
        "sourceIPAddress": "192.0.2.17",
        "userAgent": "aws-sdk-java/2.20",
        "requestParameters": parameters,
        "responseElements": None,
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": "444455556666",
    }


# -- hunts ------------------------------------------------------------------------------------------------------------


def big_lake(records: int, events: int) -> Settings:
    """A lake of the simulated archive again and again, each time in another month and with other ids."""
    folder = DATA / f"lake-{records}"
    settings = Settings(lake={"folder": folder})
    if (folder / "done").exists():
        return settings
    print(f"writing {folder} …", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    where = archive("large", events)
    with installation(settings, set_up=True) as home:
        for number in range(records // events):
            file = write_segment(home.files, date.today(), _tables(where.path, number))
            with home.database.write() as connection:
                add_segment(connection, file, ingested=datetime.now(UTC), history=True)
    (folder / "done").touch()
    return settings


def _tables(path: Path, number: int) -> Iterator[object]:
    month = f'"eventTime":"{2024 + number // 12}-{number % 12 + 1:02}-'.encode()
    now = datetime.now(UTC)
    for file in sorted(path.rglob("*.json.gz")):
        for rows in read_rows((file.read_bytes(),), file.name, ReadLimits()):
            changed = [
                one.replace(b'"eventTime":"2026-03-', month, 1).replace(b'"eventID":"', b'"eventID":"%02d' % number, 1)
                for one in rows.raws
            ]
            for again in read_rows((b"\n".join(changed),), file.name, ReadLimits()):
                yield table_of(again, file.name, now)


def hunts(settings: Settings) -> None:
    """Hunts by column and by text, each beside DuckDB that counts the same rows in the same files."""
    files = str(settings.lake.folder / "day=*" / "*.parquet")
    since, until = datetime(2024, 6, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC) + timedelta(days=30)
    columns = {
        "by columns: all PutKeyPolicy": HuntRequest("event.action: PutKeyPolicy", settings=settings),
        "by columns: two actions of KMS": HuntRequest(
            "event.provider: kms.amazonaws.com and event.action: (ScheduleKeyDeletion or DisableKey)", settings=settings
        ),
        "by columns: refused calls of a month, newest 1,000": HuntRequest(
            "aws.cloudtrail.error_code: AccessDenied", since, until, limit=1000, settings=settings
        ),
    }
    for name, request in columns.items():
        seconds, found = min(_timed(lambda request=request: sum(1 for _ in hunt_lake(request))) for _ in range(ROUNDS))
        print(f"{name:48}{seconds:9.2f} s{found:12,} events", flush=True)
    seconds, found = min(
        _timed(lambda: count_lake(HuntRequest("event.provider: kms.amazonaws.com", settings=settings)))
        for _ in range(ROUNDS)
    )
    print(f"{'count by columns: KMS':48}{seconds:9.2f} s{found:12,} events", flush=True)
    text = "exfil-worker"
    for _ in range(2):
        own, found = _timed(lambda: sum(1 for _ in hunt_lake(HuntRequest("", containing=text, settings=settings))))
        connection = duckdb.connect()
        connection.execute(f"SET threads = {available_cores()}; SET memory_limit = '1GB'")
        query = connection.sql(
            "SELECT count(*) FROM read_parquet(?, binary_as_string = true) WHERE contains(raw, ?)", params=[files, text]
        )
        theirs, rows = _timed(lambda query=query: query.fetchall()[0][0])
        connection.close()
    if rows != found:  # it counts rows that hold the text anywhere, in a name or a key as well
        print(f"DuckDB counts {rows:,} rows", file=sys.stderr)
    print(
        f"{'by free text, all':48}{own:9.2f} s{found:12,} events{own / theirs:8.2f} of DuckDB's {theirs:.2f} s",
        flush=True,
    )


def _timed(work: object) -> tuple[float, int]:
    started = time.perf_counter()
    found: int = work()  # type: ignore[operator]
    return time.perf_counter() - started, found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--scale", type=float, default=1.0, help="a fraction of the records, for a quick look")
    arguments.add_argument("--only", choices=["take-in", "alert", "hunts"])
    given = arguments.parse_args()
    DATA.mkdir(exist_ok=True)
    events = int(500_000 * given.scale)
    print(f"{available_cores()} cores, Python {sys.version.split()[0]}, {datetime.now(UTC):%Y-%m-%d}")
    if given.only in (None, "take-in"):
        take_in(events)
    if given.only in (None, "alert"):
        to_alert()
    if given.only in (None, "hunts"):
        hunts(big_lake(int(RECORDS * given.scale), events))


if __name__ == "__main__":
    main()
