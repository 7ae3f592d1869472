"""From records to the columns of a segment: an Arrow table in SCHEMA, with a row for each record in its order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate, chain

import numpy as np
import pyarrow as pa

from keytrail.cloudtrail import event_time
from keytrail.store.lake.digest import digests
from keytrail.store.lake.members import NO_OUTCOME, Caller, Members, Values, micros_of, storable
from keytrail.store.lake.rows import Rows
from keytrail.store.lake.schema import SCHEMA

_TYPES = {field.name: field.type for field in SCHEMA}
_WORDS = frozenset(name for name, kind in _TYPES.items() if pa.types.is_dictionary(kind))


def table_of(rows: Rows, name: str, ingested: datetime) -> pa.Table:
    """The rows as a table in SCHEMA; `name` is that of their object, `ingested` (aware) when they arrived."""
    return table_of_all([(rows, name)], ingested)


def table_of_all(objects: Sequence[tuple[Rows, str]], ingested: datetime) -> pa.Table:
    """The rows of several objects as one table, in their order: what a table costs is paid once for many small ones."""
    members = [one for rows, _ in objects for one in rows.members]
    columns = _of_members(members)
    first = 0
    for rows, _ in objects:
        for index, values in rows.odd.items():
            for column, value in zip(Values._fields, values, strict=True):
                columns[column][first + index] = value
        first += len(rows)
    arrays = {column: _array(column, columns[column]) for column in Values._fields}
    numbers = np.repeat(np.arange(len(objects), dtype=np.int32), [len(rows) for rows, _ in objects])
    names = pa.array([storable(name) for _, name in objects], pa.string())
    arrays["ingested"] = pa.array(np.full(len(members), micros_of(ingested), np.int64)).cast(_TYPES["ingested"])
    arrays["object"] = pa.DictionaryArray.from_arrays(pa.array(numbers), names)
    arrays["raw"] = _raw([rows for rows, _ in objects])
    return pa.table([arrays[column] for column in SCHEMA.names], schema=SCHEMA)


def _of_members(some: Sequence[Members]) -> dict[str, list[object]]:
    """The columns of plain records, each as a list. What follows is run for every record there is: see `make bench`."""
    nobody = Caller()
    callers = [one.userIdentity or nobody for one in some]
    accounts = [one.recipientAccountId or caller.accountId or "" for one, caller in zip(some, callers, strict=True)]
    regions = [one.awsRegion or "" for one in some]
    ids = [one.eventID or "" for one in some]
    times = [one.eventTime or "" for one in some]
    joined = map("\0".join, zip(accounts, regions, ids, times, strict=True))
    return {
        "time": list(map(_Times().__getitem__, times)),
        "event_id": ids,
        "account": accounts,
        "region": regions,
        "provider": [one.eventSource for one in some],
        "action": [one.eventName for one in some],
        "outcome": [
            "success" if one.errorCode in NO_OUTCOME and one.errorMessage in NO_OUTCOME else "failure" for one in some
        ],
        "error_code": [one.errorCode for one in some],
        "identity_type": [caller.type for caller in callers],
        "identity_arn": [caller.arn for caller in callers],
        "identity_issuer": [
            session.sessionIssuer.arn
            if (session := caller.sessionContext) is not None and session.sessionIssuer is not None
            else None
            for caller in callers
        ],
        "access_key": [caller.accessKeyId for caller in callers],
        "source_address": [one.sourceIPAddress for one in some],
        "user_agent": [one.userAgent for one in some],
        "resources": [
            None if one.resources is None else [found.ARN for found in one.resources if found.ARN is not None]
            for one in some
        ],
        "read_only": [one.readOnly for one in some],
        "management": [one.managementEvent for one in some],
        "digest": digests(joined).tolist(),
    }


class _Times(dict[str, int | None]):
    """Texts of times -> microseconds since 1970; records of one object share few."""

    def __missing__(self, text: str) -> int | None:
        found = self[text] = micros_of(event_time({"eventTime": text}))
        return found


def _array(column: str, values: list[object]) -> pa.Array:
    kind = _TYPES[column]
    if column in _WORDS:
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, kind)


def _raw(objects: Sequence[Rows]) -> pa.Array:
    """The records as they stand one behind the other; where it is one object, without a copy."""
    data = objects[0].data if len(objects) == 1 else b"".join(rows.data for rows in objects)
    lengths = chain.from_iterable(rows.lengths for rows in objects)
    ends = np.fromiter(accumulate(lengths, initial=0), np.int32)
    return pa.BinaryArray.from_buffers(pa.binary(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(data)])


__all__ = ["table_of", "table_of_all"]
