"""Exported key policies, from a file or a folder, as snapshots for the history of a key's policy.

A folder is read with everything below it, except hidden folders and files that do not end in .json, .ndjson or .jsonl.
A file holds

* a key policy, or what `aws kms get-key-policy` prints: `{"Policy": "<text>"}`. The file's name is that of the key,
  with its account and Region in the folders above or before it: `<account>/<region>/<key-id>.json`,
  `<account>_<region>_<key-id>.json`, or only `<key-id>.json`, which does not do for a multi-Region key;
* `{"KeyArn": …, "Policy": …, "Time": …}`; `Arn` or `KeyId` do as well, and the time may be missing;
* a configuration item of AWS Config for an AWS::KMS::Key, or a file with `configurationItems`; items of other
  resources and without a policy are passed over;
* a JSON list, or a line each (.ndjson, .jsonl), of the last two.

`Policy` is the text of a policy, or the policy itself. Times are RFC 3339, UTC where there is no offset. The time of a
file is no time of a policy (a checkout or copy changes it): a snapshot that does not say its time has none.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from keytrail.cloudtrail import ReadLimits, parse_json
from keytrail.errors import InputError, Place, UsageError
from keytrail.investigate import KeyName, Snapshot
from keytrail.policy import KeyPolicy

_MOST_BYTES = 64 * 1024**2  # of one file: an export of all keys of a large organisation
_MOST_FILES = 100_000
_LINES = (".jsonl", ".ndjson")
_SUFFIXES = (".json", *_LINES)
_ID = r"(mrk-[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_NAME = re.compile(rf"(?:(\d{{12}})_([a-z0-9-]+)_)?{_ID}", re.ASCII)
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d", re.ASCII)
_KEY_MEMBERS = ("KeyArn", "Arn", "KeyId")
_FORMS = "see the forms that a snapshot may have: a policy named by its key, or objects with KeyArn, Policy and Time"


@dataclass(frozen=True, slots=True)
class _Source:
    """A file with one snapshot or several, and where in it one lies."""

    path: Path
    place: Place

    def error(self, what: str, advice: str = _FORMS) -> UsageError:
        return UsageError(what, place=self.place, advice=advice)


def read_snapshots(name: str) -> tuple[Snapshot, ...]:
    """Read every snapshot in a file or folder, in the order of the file names.

    Raises UsageError for what cannot be read or understood, PolicyError for a policy that is none.
    """
    return tuple(snapshot for path in _files(Path(name)) for snapshot in _of_file(path))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = []
    for folder, folders, names in os.walk(path, onerror=_refuse):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        found += [Path(folder, one) for one in sorted(names) if Path(one).suffix.lower() in _SUFFIXES]
        if len(found) > _MOST_FILES:
            raise UsageError(
                f"{str(path)!r} holds more than {_MOST_FILES:,} files",
                advice="name the folder of the exported policies",
            )
    if not found:
        raise UsageError(
            f"{str(path)!r} holds no snapshot: no file there ends in {', '.join(_SUFFIXES)}", advice=_FORMS
        )
    yield from found


def _refuse(error: OSError) -> NoReturn:
    raise UsageError(
        f"cannot read the folder {error.filename!r}: {error.strerror}", advice="make it readable, or take it away"
    )


def _of_file(path: Path) -> Iterator[Snapshot]:
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(f"cannot read the snapshot {str(path)!r}: {reason}", advice=_FORMS) from error
    source = _Source(path, Place(str(path)))
    if len(content) > _MOST_BYTES:
        raise source.error(f"the file is larger than {_MOST_BYTES:,} bytes", "split it, or export key policies only")
    content = content.removeprefix(b"\xef\xbb\xbf")
    if path.suffix.lower() in _LINES:
        for number, line in enumerate(content.split(b"\n"), 1):
            if line.strip():
                at = _Source(path, Place(str(path), line=number))
                yield from _of_objects(_json(line, at), at)
        return
    value = _json(content, source)
    if isinstance(value, dict) and "Statement" in value:
        yield _snapshot(_key_of(source), None, content.decode(), source)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _of_objects(item, _Source(path, Place(str(path), record=number)))
    else:
        yield from _of_objects(value, source)


def _of_objects(value: object, source: _Source) -> Iterator[Snapshot]:
    if not isinstance(value, dict):
        raise source.error("a snapshot is an object")
    items = value.get("configurationItems")
    if isinstance(items, list):
        for item in items:
            if isinstance(item, dict):
                yield from _of_config(item, source)
    elif "resourceType" in value:
        yield from _of_config(value, source)
    elif "Policy" in value:
        if value.get("PolicyName", "default") != "default":
            raise source.error(f"{value['PolicyName']!r} is not the name of a key policy", "export the policy default")
        named = next((value[member] for member in _KEY_MEMBERS if value.get(member)), None)
        key = _key_of(source) if named is None else _key(named, source)
        yield _snapshot(key, _time(value.get("Time"), source), value["Policy"], source)
    else:
        raise source.error("neither a key policy nor an object with Policy")


def _of_config(item: Mapping[str, object], source: _Source) -> Iterator[Snapshot]:
    """The policy in a configuration item of AWS Config, if it is a key's and holds one."""
    more = item.get("supplementaryConfiguration")
    policy = more.get("Policy") if isinstance(more, dict) else None
    if item.get("resourceType") == "AWS::KMS::Key" and policy:
        key = _key(item.get("arn") or item.get("ARN"), source)
        yield _snapshot(key, _time(item.get("configurationItemCaptureTime"), source), policy, source)


def _snapshot(key: str, time: datetime | None, policy: object, source: _Source) -> Snapshot:
    if isinstance(policy, str) and policy.lstrip().startswith('"'):  # AWS Config may quote the text once more
        policy = _json(policy.encode(errors="surrogatepass"), source)
    text = policy if isinstance(policy, str) else json.dumps(policy)
    KeyPolicy.parse(text, name=str(source.place))
    return Snapshot(key, time, text, str(source.place))


def _key_of(source: _Source) -> str:
    """The key that a file's name, and the folders above it, name."""
    found = _NAME.fullmatch(source.path.stem)
    if found is None:
        raise source.error(
            f"the name {source.path.name!r} is not that of a key",
            "name the file <account>_<region>_<key-id>.json, or put it below <account>/<region>",
        )
    account, region, key_id = found.groups()
    folders = source.path.absolute().parts[-3:-1]
    if account is None and len(folders) == 2 and _ACCOUNT.fullmatch(folders[0]) and _REGION.fullmatch(folders[1]):
        account, region = folders
    if account is None:
        return _key(key_id, source)
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    return KeyName(partition, region, account, key_id).arn


def _key(named: object, source: _Source) -> str:
    """The ARN of a key, or the id of one that there is only one of."""
    if isinstance(named, str):
        if KeyName.parse(named) is not None or (re.fullmatch(_ID, named) and not named.startswith("mrk-")):
            return named
        if named.startswith("mrk-"):
            raise source.error(
                f"{named!r} is a multi-Region key, which has a policy in each Region",
                "give the ARN, or name the file <account>_<region>_<key-id>.json",
            )
    raise source.error(f"{named!r} is not a key", "write the ARN of the key, with its account and Region")


def _time(value: object, source: _Source) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise source.error(f"{value!r} is not a time", "write it like 2026-03-01T08:00:00Z") from None


def _json(raw: bytes, source: _Source) -> object:
    try:
        return parse_json(raw, source.place, ReadLimits())
    except InputError as error:
        raise source.error(error.what) from error
