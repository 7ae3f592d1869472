"""The sections of keytrail.toml about the service: where its state and its lake are, how it keeps up."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from keytrail.settings.base import MIB, Numbers, OnePath, Paths, Section, Texts


class StateSettings(Section):
    """Where the service keeps what it must not forget: alerts, cursors, the catalog of the lake."""

    url: str = Field(
        default="",
        description="sqlite:////absolute/path.db, or postgresql://user@host/database; left out, a SQLite file in the"
        " lake's folder. With a password in it, better as the variable KEYTRAIL_STATE__URL.",
    )
    lock_wait_seconds: float = Field(
        default=30, gt=0, le=3600, description="Seconds that a write waits for another process that writes."
    )


class LakeSettings(Section):
    """Where events are kept, as Parquet files, and for how long."""

    folder: OnePath = Field(default=Path("keytrail-lake"), description="Folder of the lake; made if it is not there.")
    retention_days: int = Field(
        default=400, ge=1, le=36_500, description="Days after their arrival for which events are kept."
    )
    segment_bytes: int = Field(
        default=256 * MIB, ge=1 * MIB, le=16 * 1024 * MIB, description="Bytes of a file that merging aims at."
    )
    grace_seconds: float = Field(
        default=600, ge=1, le=86_400, description="Seconds for which files stay that compaction has replaced."
    )
    memory_bytes: int = Field(
        default=256 * MIB, ge=64 * MIB, le=1024 * 1024 * MIB, description="Bytes of memory that a hunt may take."
    )
    threads: int = Field(default=0, ge=0, le=1024, description="Threads of a hunt; 0 is one for each core.")


class WatchSettings(Section):
    """How the service keeps up with its sources, and which rules it runs."""

    sources: Texts = Field(
        default=(),
        description="Where records arrive: a folder, s3://bucket/prefix, sqs://queue, aws://region, - for standard"
        " input.",
    )
    rules: Paths = Field(default=(), description="Files and folders with rules of your own.")
    builtin: bool = Field(default=True, description="Run the built-in rules.")
    jobs: int = Field(default=0, ge=0, le=1024, description="Processes that read records; 0 is one for each core.")
    batch_seconds: float = Field(
        default=0.5, gt=0, le=60, description="Seconds that records may wait for others to be committed with."
    )
    batch_bytes: int = Field(
        default=32 * MIB, ge=1 * MIB, le=1024 * MIB, description="Inflated bytes that are committed at a time, about."
    )
    eager: bool = Field(
        default=True, description="Run rules as soon as records arrive, and not only when their interval is over."
    )
    retry_seconds: float = Field(
        default=5, gt=0, le=3600, description="Seconds until what failed is tried again; twice as long each time."
    )
    longest_retry_seconds: float = Field(
        default=900, gt=0, le=86_400, description="Seconds that such a pause may grow to."
    )
    look_again_minutes: Numbers = Field(
        default=(15, 60, 1440), description="Minutes after the first investigation in which it is made again."
    )
    touch_pause_seconds: float = Field(
        default=30,
        ge=0,
        le=86_400,
        description="Seconds that records which touch an investigated key are gathered, before it is looked at again.",
    )
    case_days: int = Field(
        default=30, ge=0, le=3650, description="Days for which new records make an investigation be made again."
    )
    compact_minutes: float = Field(
        default=10, gt=0, le=1440, description="Minutes between two looks for segments to merge and to drop."
    )
    rules_seconds: float = Field(
        default=5, gt=0, le=3600, description="Seconds between two looks for changed rules and exceptions."
    )
    log_days: int = Field(
        default=90,
        ge=1,
        le=3650,
        description="Days for which records of executions, of what was told, and of investigations that said nothing"
        " new are kept.",
    )
    metrics_address: str = Field(
        default="", description="host:port at which Prometheus may read metrics; none where left out."
    )
    health_lag_seconds: float = Field(
        default=900, gt=0, le=604_800, description="Seconds of lag from which `keytrail health` calls it unwell."
    )
