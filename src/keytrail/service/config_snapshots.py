"""What AWS Config recorded of keys, kept in the state as snapshots of the times at which Config saw it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.engine import Connection

from keytrail.aws import AwsSettings
from keytrail.investigate import KeyName
from keytrail.respond.config_history import Recorded, config_history
from keytrail.service.kept_policies import CONFIG
from keytrail.store.state.database import Database
from keytrail.store.state.policies import DEFAULT, put_snapshot, snapshots_of


def take_config_history(database: Database, settings: AwsSettings, key_arns: Iterable[str]) -> tuple[str, ...]:
    """Keep what AWS Config recorded of keys of one account and Region since it was last asked; returns notes.

    Where Config is off or may not be read, that is a note. Raises StoreError.
    """
    names = [name for arn in key_arns if (name := KeyName.parse(arn)) is not None]
    with database.read() as connection:
        since = {name: known_until(connection, name) for name in names}
    found = config_history(settings, since)
    if found.recorded:
        with database.write() as connection:
            for one in found.recorded:
                put_recorded(connection, one)
    return found.notes


def known_until(connection: Connection, key: KeyName) -> datetime | None:
    """Up to when the state has what AWS Config recorded of a key, None where it has nothing."""
    mine = [one.last_seen for one in snapshots_of(connection, key.arn) if one.source == CONFIG]
    return max(mine, default=None)


def put_recorded(connection: Connection, recorded: Recorded) -> bool:
    """Keep what AWS Config recorded as a snapshot of that time; returns whether it is new."""
    key = recorded.key
    return put_snapshot(
        connection,
        key_arn=key.arn,
        account=key.account,
        region=key.region,
        source=CONFIG,
        texts={DEFAULT: recorded.policy},
        facts={},
        at=recorded.time,
    )


__all__ = ["known_until", "put_recorded", "take_config_history"]
