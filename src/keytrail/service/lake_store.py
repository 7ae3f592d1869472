"""The lake of an installation as an event store, and hunts in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from keytrail.search import available_cores
from keytrail.service.installation import Installation
from keytrail.store import Damage
from keytrail.store.lake.duck import DuckLimits
from keytrail.store.lake.read import Limits
from keytrail.store.lake.store import LakeStore
from keytrail.store.state.objects import damage_of


@contextmanager
def lake_store(home: Installation, now: datetime) -> Iterator[LakeStore]:
    """The events of the lake; `now` is what relative dates in queries count from."""

    def damage() -> Sequence[Damage]:
        with home.database.read() as connection:
            return damage_of(connection)

    store = LakeStore(home.folder, home.catalog, now=now, limits=limits_of(home), damage=damage)
    try:
        yield store
    finally:
        store.close()


def limits_of(home: Installation) -> Limits:
    """What a question to the lake may take."""
    lake = home.settings.lake
    threads = lake.threads or available_cores()
    return Limits(DuckLimits(lake.memory_bytes, threads, Path(tempfile.gettempdir())), threads)
