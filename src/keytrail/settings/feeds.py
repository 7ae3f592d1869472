"""The section of keytrail.toml about feeds: how often they look, how much they hold, what they do with what fails."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from keytrail.settings.base import GIB, KIB, MIB, Section, Texts

_DAY_SECONDS = 86_400


class FeedsSettings(Section):
    """How the sources of [watch] are asked for what is new."""

    max_under_way: int = Field(
        default=2_000,
        ge=1,
        le=100_000,
        description="Objects or messages of a source that are handed on and not yet committed, at most.",
    )
    max_tries: int = Field(
        default=5,
        ge=1,
        le=100,
        description="Tries at an object that is damaged or gone, until it is set aside. What is denied or throttled is"
        " tried without end.",
    )
    first_pause_seconds: float = Field(
        default=1,
        gt=0,
        le=3600,
        description="Seconds until a source that failed is asked again; twice as long each time.",
    )
    longest_pause_seconds: float = Field(
        default=300, gt=0, le=_DAY_SECONDS, description="Seconds that such a pause may grow to."
    )
    folder_poll_seconds: float = Field(
        default=0.5, gt=0, le=3600, description="Seconds between two looks at the lively folders below a folder."
    )
    folder_settle_seconds: float = Field(
        default=0.5,
        ge=0,
        le=3600,
        description="Seconds for which a file must keep its size and time until it is taken to be written.",
    )
    folder_full_seconds: float = Field(
        default=600,
        ge=1,
        le=30 * _DAY_SECONDS,
        description="Seconds between two listings of everything below a folder, old date folders included.",
    )
    folder_notices: bool = Field(default=True, description="Let the kernel tell of new files, where it can.")
    folder_max_watched: int = Field(
        default=5_000,
        ge=0,
        le=1_000_000,
        description="Folders below a folder up to which the kernel is asked for that (fs.inotify.max_user_watches).",
    )
    s3_since: date | None = Field(
        default=None,
        description="Day (2026-03-01) from which on a bucket that is listed is read; left out, the day before the first"
        " start.",
    )
    s3_poll_seconds: float = Field(
        default=60,
        ge=1,
        le=_DAY_SECONDS,
        description="Seconds between two listings of a bucket's date folders of today and yesterday.",
    )
    s3_full_seconds: float = Field(
        default=6 * 3600,
        ge=60,
        le=30 * _DAY_SECONDS,
        description="Seconds between two listings of its older date folders, for what came late.",
    )
    s3_full_days: int = Field(
        default=14,
        ge=1,
        le=36_500,
        description="Days that these reach back, once everything since the start was found.",
    )
    sqs_visibility_seconds: int = Field(
        default=300,
        ge=30,
        le=43_200,
        description="Seconds for which a queue keeps from others what is under way here; extended as long as it is.",
    )
    sqs_batch_messages: int = Field(
        default=100, ge=1, le=10_000, description="Messages that are taken from a queue at a time, about."
    )
    sqs_max_receives: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="Times a message is received until, without a redrive policy, it is tried every 12 hours only.",
    )
    sqs_delete_poison: bool = Field(
        default=False,
        description="Delete messages that nobody can use (no known form, an object that does not exist) from a queue"
        " without a redrive policy.",
    )
    sqs_buckets: Texts = Field(
        default=(), description="Buckets that the messages of a queue may name; left out, any that can be read."
    )
    lookup_poll_seconds: float = Field(
        default=30, ge=1, le=_DAY_SECONDS, description="Seconds between two looks at an account's event history."
    )
    lookup_overlap_minutes: float = Field(
        default=20,
        ge=15,
        le=24 * 60,
        description="Minutes that are looked at again, since events appear up to 15 minutes late.",
    )
    lookup_slice_hours: float = Field(
        default=6,
        gt=0,
        le=24 * 90,
        description="Hours of the history that are read and committed at a time when catching up.",
    )
    lookup_role_arns: Texts = Field(
        default=(),
        description="Roles whose accounts aws:// looks at, if it names none; left out, the account of the"
        " credentials. [aws] external_id goes with each.",
    )
    stdin_block_bytes: int = Field(
        default=1 * MIB, ge=4 * KIB, le=1 * GIB, description="Bytes of standard input that are handed on at a time."
    )
    stdin_block_seconds: float = Field(
        default=0.2, ge=0, le=60, description="Seconds that a line of standard input waits for others."
    )
    stdin_max_line_bytes: int = Field(
        default=16 * MIB, ge=1 * KIB, le=1 * GIB, description="Bytes of a line; a longer one is set aside."
    )
