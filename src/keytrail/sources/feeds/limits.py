"""What can be set about feeds, and what they are opened with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from keytrail.sources.model import SourceSettings


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """Beats and bounds of feeds. The same numbers are the defaults of `[feeds]`, which says what each is for."""

    source: SourceSettings = field(default_factory=SourceSettings)

    max_under_way: int = 2_000
    max_tries: int = 5
    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 300.0

    folder_poll_seconds: float = 0.5
    folder_settle_seconds: float = 0.5
    folder_full_seconds: float = 600.0
    folder_notices: bool = True
    folder_max_watched: int = 5_000

    s3_since: date | None = None
    s3_poll_seconds: float = 60.0
    s3_full_seconds: float = 6 * 3600.0
    s3_full_days: int = 14

    sqs_visibility_seconds: int = 300
    sqs_batch_messages: int = 100
    sqs_max_receives: int = 20
    sqs_delete_poison: bool = False
    sqs_buckets: tuple[str, ...] = ()

    lookup_poll_seconds: float = 30.0
    lookup_overlap_minutes: float = 20.0
    lookup_slice_hours: float = 6.0
    lookup_role_arns: tuple[str, ...] = ()

    stdin_block_bytes: int = 1 << 20
    stdin_block_seconds: float = 0.2
    stdin_max_line_bytes: int = 16 << 20
