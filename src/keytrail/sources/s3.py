"""An S3 bucket as a source: walks CloudTrail's layout, lists only the dates asked for, reads with resumption."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from keytrail.aws import client, explained, is_fatal, source_error
from keytrail.aws.answers import check_whole
from keytrail.errors import ObjectError, Place, SourceError, UsageError
from keytrail.sources.layout import EXPECTED, date_of, is_trail, kind_of_folder, kind_of_key, trail_of
from keytrail.sources.model import Days, Skipped, Source, SourceObject, SourceSettings, TimeWindow

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, ListObjectsV2OutputTypeDef, ObjectTypeDef

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}|arn:[A-Za-z0-9:._/-]{1,250}", re.ASCII)
# Below AWSLogs/ an organization's id or an account; hive-style folders of other services stand there too.
_OWNER = re.compile(r"o-[a-z0-9]{1,40}|\d{12}", re.ASCII)
_GLANCE = 5
_LIST = "s3:ListBucket"


class StoredObject(NamedTuple):
    """An object as a listing tells of it: stored size in bytes, ETag without quotes, when it was written."""

    key: str
    size: int
    etag: str
    written: datetime


def is_bucket_name(text: str) -> bool:
    """Whether a bucket, an access point or its ARN can be called so."""
    return bool(_BUCKET.fullmatch(text))


def open_bucket(text: str, settings: SourceSettings) -> Source:
    """Return the source for `s3://bucket/prefix`; the prefix is taken as it stands (no URL escapes).

    Raises UsageError when there is no bucket name.
    """
    return S3Source(text, settings, *bucket_and_prefix(text))


def bucket_and_prefix(text: str) -> tuple[str, str]:
    """The two parts of `s3://bucket/prefix`. Raises UsageError when there is no bucket name."""
    bucket, _, prefix = text[len("s3://") :].partition("/")
    if not is_bucket_name(bucket):
        raise UsageError(f"{text!r} names no bucket", advice="write s3://bucket or s3://bucket/prefix")
    return bucket, prefix


@dataclass(slots=True)
class S3Source:
    """All of a bucket, of a prefix at any level of CloudTrail's layout, or one object."""

    label: str
    settings: SourceSettings
    bucket: str
    prefix: str
    parallel: bool = True
    skipped: Skipped = field(default_factory=Skipped)
    problems: list[ObjectError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    region: str = ""
    """Region of the bucket where it is known and may be another than that of the settings."""

    @property
    def read_ahead(self) -> int:
        return self.settings.read_ahead

    def name(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def objects(self, window: TimeWindow) -> Iterator[SourceObject]:
        """Yield the objects that may hold events of the window, page by page.

        Above `CloudTrail/` folders are listed by delimiter. Below it, without a window everything is listed; with one,
        each region from the first day on, up to the last (one day after `until`), so that no other day costs a call.
        A prefix without CloudTrail's layout gives the keys whose names fit.
        """
        found = False
        for item in self.listed(window):
            found = True
            yield SourceObject(item.key, item.size)
        if not found:
            raise self._nothing(window.days())

    def listed(self, window: TimeWindow) -> Iterator[StoredObject]:
        """Yield the same with what a listing tells of each; finding nothing is no error."""
        self.skipped, self.problems, self.notes = Skipped(), [], []
        yield from self._start(window.days())

    def etag(self, key: str) -> str:
        """The ETag of an object as it is now, without quotes. Raises ObjectError or SourceError."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return self._s3().head_object(Bucket=self.bucket, Key=key)["ETag"].strip('"')
        except (BotoCoreError, ClientError) as error:
            # The answer to HEAD has no body, and so only a number for a code.
            if isinstance(error, BotoCoreError) or is_fatal(error):
                raise source_error(error, action="s3:GetObject", resource=self.name(key)) from error
            raise self._unreadable(key, error) from error

    def read(self, key: str, etag: str = "") -> Iterator[bytes]:
        """Yield the bytes of an object; after a dropped connection it goes on where it was, if the object is the same.

        With `etag` (without quotes) an object that has another one is not read: it was replaced, or is not yet the new
        one. Raises ObjectError when this object cannot be read, SourceError when no other could be read either.
        """
        from botocore.exceptions import BotoCoreError, HTTPClientError, IncompleteReadError

        size = self.settings.chunk_bytes
        offset, failures, etag = 0, 0, f'"{etag}"' if etag else ""
        while True:
            answer = self._get(key, offset, etag)
            etag, body = answer["ETag"], answer["Body"]
            try:
                while data := body.read(size):
                    yield data
                    offset += len(data)
                    if (
                        len(data) >= size
                    ):  # Only real progress counts, or a server could keep us here with single bytes.
                        failures = 0
                return
            except (HTTPClientError, IncompleteReadError) as error:
                failures += 1
                if failures >= self.settings.read_attempts:
                    raise self._unreadable(key, error) from error
                time.sleep(min(0.1 * 2**failures, 5.0))
            except BotoCoreError as error:  # The checksum does not fit.
                raise self._unreadable(key, error) from error
            finally:
                body.close()

    def _get(self, key: str, offset: int, etag: str) -> GetObjectOutputTypeDef:
        from botocore.exceptions import BotoCoreError, ClientError

        s3 = self._s3()
        try:
            if not etag:
                return s3.get_object(Bucket=self.bucket, Key=key)
            if not offset:
                return s3.get_object(Bucket=self.bucket, Key=key, IfMatch=etag)
            answer = s3.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={offset}-", IfMatch=etag)
        except ClientError as error:
            if is_fatal(error):
                raise source_error(error, action="s3:GetObject", resource=self.name(key)) from error
            raise self._unreadable(key, error) from error
        except BotoCoreError as error:
            raise source_error(error, action="s3:GetObject", resource=self.name(key)) from error
        if offset and answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
            raise ObjectError("the connection broke, and the server cannot resume", place=Place(self.name(key)))
        return answer

    def _s3(self) -> S3Client:
        return client("s3", self.settings.aws, self.region or None)

    def _unreadable(self, key: str, error: Exception) -> ObjectError:
        said = source_error(error, action="s3:GetObject", resource=self.name(key))
        return ObjectError(said.what, place=Place(self.name(key)), advice=said.advice)

    # -- listing ---------------------------------------------------------------------------------------------------

    def _start(self, days: Days | None) -> Iterator[StoredObject]:
        prefix = self.prefix
        if prefix and not prefix.endswith("/"):
            # A folder, an object, or the beginning of names; a folder is meant if there is one.
            if self._first(f"{prefix}/") is not None:
                prefix += "/"
            elif (first := self._first(prefix)) is not None and first.key == prefix:
                yield first
                return
            else:
                yield from self._dated(prefix, days)
                return
        if trail_of(prefix) is not None:
            yield from self._trail(prefix, days)
        else:
            yield from self._search(prefix, days)

    def _search(self, start: str, days: Days | None) -> Iterator[StoredObject]:
        """Walk every `CloudTrail/` below `start`, nearest first; without one, all keys below `start`.

        Below `AWSLogs/` every organization and account is looked into. Above it a bucket may hold anything, so the
        listings spent there are bounded.
        """
        logs, above = deque[str](), deque[str]()
        (above if _below_logs(start) is None else logs).append(start)
        left = self.settings.search_listings
        found = False
        passed = Skipped()
        while logs or (above and left > 0):
            bounded = not logs
            for page in self._pages((logs or above).popleft(), delimiter="/"):
                for item in page.get("Contents", ()):
                    if not item["Key"].endswith("/"):
                        passed.add("other", self.name(item["Key"]))
                for folder in page.get("CommonPrefixes", ()):
                    path = folder["Prefix"]
                    if (kind := kind_of_folder(path)) != "events":
                        passed.add(kind, self.name(path))
                    elif is_trail(path):
                        found = True
                        yield from self._trail(path, days)
                    elif (owner := _below_logs(path)) is None:
                        above.append(path)
                    elif _is_owner(owner):
                        logs.append(path)
                    else:
                        passed.add("other", self.name(path))
                if bounded and (left := left - 1) <= 0 and page.get("IsTruncated"):
                    above.append(start)  # What this folder still holds was not looked at.
                    break
        if not found:
            yield from self._dated(start, days)
            return
        self.skipped.merge(passed)
        if above:
            self.notes.append(
                f"stopped looking for AWSLogs/ after {self.settings.search_listings} listings; "
                "name the prefix above AWSLogs/ to be sure that all is read"
            )

    def _trail(self, prefix: str, days: Days | None) -> Iterator[StoredObject]:
        """Yield the keys below a prefix that is `CloudTrail/` or lies below it."""
        if days is None:
            yield from self._keys(prefix)
        elif is_trail(prefix):
            for page in self._pages(prefix, delimiter="/"):
                for folder in page.get("CommonPrefixes", ()):
                    yield from self._region(folder["Prefix"], folder["Prefix"], days)
        else:
            yield from self._region(prefix, trail_of(prefix) or prefix, days)

    def _region(self, prefix: str, region: str, days: Days) -> Iterator[StoredObject]:
        """Yield the keys below `prefix`, in `region` (the prefix up to it), that lie in the folders of the days.

        Keys come in their order, and the order of `yyyy/mm/dd` is that of time: the listing starts after the name of
        the first day and ends with the first key beyond the last one.
        """
        if (date := date_of(prefix)) is not None and not days.touches(date):
            self.skipped.add_day(self.name(prefix))
            return
        start, length = region + days.first, len(region)
        for item in self._keys(prefix, start if start > prefix else ""):
            day = item.key[length : length + len(days.first)]
            if day > days.last:
                return
            if day >= days.first:
                yield item

    def _dated(self, prefix: str, days: Days | None) -> Iterator[StoredObject]:
        """Yield the keys that begin with `prefix`, those in date folders of other days left out."""
        for item in self._keys(prefix):
            if days is None or (date := date_of(item.key)) is None or days.touches(date):
                yield item

    def _keys(self, prefix: str, after: str = "") -> Iterator[StoredObject]:
        """Yield the objects below `prefix`, from the key `after` on, whose names fit; count the others."""
        for page in self._pages(prefix, after=after):
            for item in page.get("Contents", ()):
                key = item["Key"]
                if (kind := kind_of_key(key)) == "events":
                    yield _stored(item)
                elif not key.endswith("/"):  # The empty object that consoles make for a folder.
                    self.skipped.add(kind, self.name(key))

    def _pages(self, prefix: str, *, after: str = "", delimiter: str = "") -> Iterator[ListObjectsV2OutputTypeDef]:
        with self._listing(prefix):
            pages = (
                self._s3()
                .get_paginator("list_objects_v2")
                .paginate(
                    Bucket=self.bucket,
                    Prefix=prefix,
                    Delimiter=delimiter,
                    StartAfter=after,
                    PaginationConfig={"PageSize": self.settings.list_page_keys},
                )
            )
            for page in pages:
                check_whole(page, "IsTruncated", action=_LIST, resource=self.name(prefix))
                yield page

    def _first(self, prefix: str) -> StoredObject | None:
        with self._listing(prefix):
            page = self._s3().list_objects_v2(Bucket=self.bucket, Prefix=prefix, MaxKeys=1)
        for item in page.get("Contents", ()):
            return _stored(item)
        return None

    def _listing(self, prefix: str) -> AbstractContextManager[None]:
        return explained(action=_LIST, resource=self.name(prefix))

    def _nothing(self, days: Days | None) -> SourceError:
        wanted = f" for the days {days}" if days else ""
        lay = str(self.skipped) or self._glance()
        return SourceError(
            f"{self.label}: no CloudTrail objects found{wanted}; found {lay}",
            advice=f"expected {EXPECTED}; the prefix may end at any level of it",
        )

    def _glance(self) -> str:
        """What lies in the folder of the prefix, or in the nearest one above that holds anything, for a message."""
        folder = self.prefix[: self.prefix.rfind("/") + 1]
        while True:
            with self._listing(folder):
                page = self._s3().list_objects_v2(Bucket=self.bucket, Prefix=folder, Delimiter="/", MaxKeys=_GLANCE)
            names = [item["Prefix"] for item in page.get("CommonPrefixes", ())]
            names += [item["Key"] for item in page.get("Contents", ())]
            if names or not folder:
                break
            folder = folder[: folder.rfind("/", 0, -1) + 1]
        more = ", …" if page.get("IsTruncated") else ""
        return f"in {self.name(folder)}: {', '.join(sorted(names)) or 'nothing'}{more}"


def _stored(item: ObjectTypeDef) -> StoredObject:
    return StoredObject(item["Key"], item["Size"], item["ETag"].strip('"'), item["LastModified"])


def _below_logs(path: str) -> str | None:
    """Return what stands below `AWSLogs/` in a prefix that ends in `/`, None above it.

    >>> _below_logs("a/AWSLogs/o-1/2/"), _below_logs("AWSLogs/"), _below_logs("a/")
    ('o-1/2', '', None)
    """
    _, mark, below = f"/{path}".partition("/AWSLogs/")
    return below.rstrip("/") if mark else None


def _is_owner(below: str) -> bool:
    """Whether what stands below `AWSLogs/` is an organization, an account, or an account of an organization."""
    parts = below.split("/") if below else []
    return len(parts) <= 2 and all(map(_OWNER.fullmatch, parts))
