"""`policies export`: the last known policy of every key as a file, in a folder fit for git.

`<account>/<region>/<key-id>.json` is the policy `default`, as `--snapshots` reads it; another one lies beside it as
`<key-id>.<name>.policy`. `keys.csv` says which key is which. A file changes only when what it holds changes, and says
nothing about when it was read; a key that is gone stays.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import Connection

from keytrail.errors import OutputError
from keytrail.investigate import KeyName
from keytrail.policy.digest import document_of
from keytrail.store.state.policies import (
    DEFAULT,
    KeySnapshot,
    all_good_versions,
    document,
    latest_policies,
    latest_snapshots,
)
from keytrail.text import csv_cell, file_name

INDEX = "keys.csv"
_COLUMNS = ("key", "aliases", "state", "multi_region", "policy", "good")
_OTHER_SUFFIX = ".policy"


@dataclass(frozen=True, slots=True)
class Exported:
    """How many policies the folder holds, and how many files were written or removed because they changed."""

    policies: int
    written: int


def export_policies(connection: Connection, folder: Path) -> Exported:
    """Write what changed. Raises OutputError for a file or folder that cannot be written."""
    policies = latest_policies(connection)
    snapshots = latest_snapshots(connection)
    good = all_good_versions(connection)
    rows: list[tuple[str, ...]] = []
    exported = written = 0
    for snapshot in snapshots:
        span, key = policies.get(snapshot.key_arn), KeyName.parse(snapshot.key_arn)
        text = None if span is None else document(connection, span.digest)
        if key is None or span is None or text is None:
            continue
        place = folder / file_name(key.account) / file_name(key.region)
        written += _write(place / f"{file_name(key.id)}.json", pretty(text))
        written += _others(connection, snapshot, place, file_name(key.id))
        exported += 1
        is_good = any(one.digest == span.digest for one in good.get(snapshot.key_arn, ()))
        rows.append((snapshot.key_arn, *_about(snapshot), span.digest, "good" if is_good else ""))
    written += _write(folder / INDEX, _table(rows))
    return Exported(exported, written)


def pretty(text: str) -> str:
    """A policy's text with one member a line and nothing but ASCII: safe to show, and lines that git can compare.

    >>> print(pretty('{"Id": "\\x7f"}'), end="")
    {
      "Id": "\\u007f"
    }
    """
    return json.dumps(document_of(text), indent=2, ensure_ascii=True).replace("\x7f", "\\u007f") + "\n"


def _others(connection: Connection, snapshot: KeySnapshot, place: Path, name: str) -> int:
    """Write the policies besides the default one, and remove those that the key has no more; returns how many."""
    there = {_other(name, one): digest for one, digest in snapshot.policies.items() if one != DEFAULT}
    changed = 0
    for file, digest in there.items():
        if (text := document(connection, digest)) is not None:
            changed += _write(place / file, pretty(text))
    if snapshot.digest is None:
        return changed  # nothing is known about what it has now
    try:
        stale = [one for one in place.glob(f"{name}.*{_OTHER_SUFFIX}") if one.name not in there]
        for one in stale:
            one.unlink()
    except OSError as error:
        raise _unwritable(place, error) from error
    return changed + len(stale)


def _other(name: str, policy: str) -> str:
    return f"{name}.{file_name(policy)}{_OTHER_SUFFIX}"


def _about(snapshot: KeySnapshot) -> Iterator[str]:
    """Aliases, state and kind of multi-Region key; of one that is gone, the last ones."""
    facts = snapshot.facts
    aliases, regions = facts.get("aliases"), facts.get("multi_region")
    yield " ".join(map(str, aliases)) if isinstance(aliases, list) else ""
    yield str(facts.get("state") or "")
    yield str(regions.get("type") or "") if isinstance(regions, dict) else ""


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([csv_cell(cell) for cell in row] for row in sorted(rows))
    return out.getvalue()


def _write(path: Path, text: str) -> bool:
    """Give a file this content, whole or not at all; returns whether it had another."""
    data = text.encode()
    partial = path.with_name(f".{path.name}.{os.urandom(6).hex()}.part")
    try:
        with suppress(FileNotFoundError):
            if path.read_bytes() == data:
                return False
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    return True


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {str(path)!r}: {error.strerror or error}",
        advice="name a folder that may be written to; what is in it already stays as it is",
    )
