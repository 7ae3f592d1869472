"""The transaction that is to name a segment: if it does not come about, the segment's file goes too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.engine import Connection

from keytrail.errors import StoreError
from keytrail.service.installation import Installation
from keytrail.store.lake.model import SegmentFile
from keytrail.store.lake.segment import remove


@contextmanager
def committing(home: Installation, written: SegmentFile | None) -> Iterator[Connection]:
    """A transaction of the state. Raises what it raises, and StoreError where it cannot be committed.

    A disk that is full, and tried again and again, must not become fuller by what was written in vain.
    """
    whole = False
    try:
        with home.database.write() as connection:
            yield connection
            whole = True
    except BaseException:
        if written is not None:
            with suppress(StoreError):
                if not whole or _came_to_nothing(home, written):
                    remove(home.files, [written.path])
        raise


def _came_to_nothing(home: Installation, written: SegmentFile) -> bool:
    """Whether a commit that failed did not take place. A server that is out of reach may still be at it."""
    return home.database.is_sqlite and written.path not in {one.file.path for one in home.catalog.segments()}
