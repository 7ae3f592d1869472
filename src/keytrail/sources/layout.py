"""How CloudTrail lays out what it delivers: which names hold events, which are digests, where the date stands. Pure.

A bucket holds `[prefix/]AWSLogs/[o-organization/]account/CloudTrail/region/yyyy/mm/dd/<account>_CloudTrail_….json.gz`,
beside it `CloudTrail-Digest` and `CloudTrail-Insight`, and folders of other services in place of `CloudTrail`
(CloudTrail user guide, "Finding your CloudTrail log files").
"""

from __future__ import annotations

import re

from keytrail.sources.model import ObjectKind

EXPECTED = "[prefix/]AWSLogs/[o-…/]<account>/CloudTrail/<region>/yyyy/mm/dd/*.json.gz"
EXPECTED_NAMES = ".json, .jsonl or .ndjson, each also with .gz"

_SUFFIXES = (".json.gz", ".json", ".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_SERVICE = re.compile(r"(?:^|/)AWSLogs/(?:o-[a-z0-9]+/)?\d{12}/([^/]+)/$", re.ASCII)
_SERVICE_OF_KEY = re.compile(r"(?:^|/)AWSLogs/(?:o-[a-z0-9]+/)?\d{12}/([^/]+)/", re.ASCII)
_TRAIL = re.compile(r"(?:^|.*?/)CloudTrail/(?:[^/]+/)?", re.DOTALL)
_DATE = re.compile(r"(?:^|/)CloudTrail/[^/]+/(\d{4}(?:/\d\d(?:/\d\d)?)?)/", re.ASCII)


def kind_of_name(name: str) -> ObjectKind:
    """Return what a file of this name holds, as far as a name tells; any case.

    >>> kind_of_name("1_CloudTrail_us-east-1_20240101T0000Z_x.json.gz"), kind_of_name("readme.txt")
    ('events', 'other')
    >>> kind_of_name("1_CloudTrail-Digest_us-east-1_trail_us-east-1_20240101T000000Z.json.gz")
    'digest'
    """
    if "_CloudTrail-" in name:
        if "_CloudTrail-Digest_" in name:
            return "digest"
        if "_CloudTrail-Insight_" in name:
            return "insight"
    # The second test is for the rare name in capitals; most names pass the first.
    return "events" if name.endswith(_SUFFIXES) or name.lower().endswith(_SUFFIXES) else "other"


def kind_of_key(key: str) -> ObjectKind:
    """Return what the object `key` holds, by its folders and its name.

    >>> kind_of_key("AWSLogs/123456789012/CloudTrail-Insight/us-east-1/x.json.gz"), kind_of_key("a/b.json")
    ('insight', 'events')
    """
    path = f"/{key}"
    if "/CloudTrail-Digest/" in path:
        return "digest"
    return "insight" if "/CloudTrail-Insight/" in path else kind_of_name(key)


def kind_of_delivery(key: str) -> ObjectKind:
    """Return what the object `key` holds that nobody asked for: as `kind_of_key`, but other services' are "other".

    >>> kind_of_delivery("AWSLogs/123456789012/Config/x.json.gz"), kind_of_delivery("export/b.json")
    ('other', 'events')
    """
    service = _SERVICE_OF_KEY.search(key)
    kind = kind_of_key(key)
    return "other" if kind == "events" and service and service[1] != "CloudTrail" else kind


def kind_of_folder(path: str) -> ObjectKind:
    """Return what the folder `path` (ending in `/`) is for: its last part decides, and where it stands.

    >>> kind_of_folder("AWSLogs/123456789012/CloudTrail-Digest/"), kind_of_folder("AWSLogs/123456789012/Config/")
    ('digest', 'other')
    >>> kind_of_folder("AWSLogs/123456789012/CloudTrail/"), kind_of_folder("logs/Config/")
    ('events', 'events')
    """
    name = path.rstrip("/").rpartition("/")[2]
    if name == "CloudTrail-Digest":
        return "digest"
    if name == "CloudTrail-Insight":
        return "insight"
    service = _SERVICE.search(path)
    return "other" if service and service[1] != "CloudTrail" else "events"


def trail_of(prefix: str) -> str | None:
    """Return `prefix` (ending in `/`) up to its region if it names one, else up to `CloudTrail/`; None above that.

    >>> trail_of("a/AWSLogs/123456789012/CloudTrail/eu-west-1/2024/01/")
    'a/AWSLogs/123456789012/CloudTrail/eu-west-1/'
    >>> trail_of("CloudTrail/"), trail_of("a/AWSLogs/")
    ('CloudTrail/', None)
    """
    return found[0] if (found := _TRAIL.match(prefix)) else None


def is_trail(prefix: str) -> bool:
    """Return whether `prefix` is a `CloudTrail/` folder, the one that holds the regions."""
    return f"/{prefix}".endswith("/CloudTrail/")


def date_of(path: str) -> str | None:
    """Return the date folder (`yyyy`, `yyyy/mm` or `yyyy/mm/dd`) that `path` lies in, a key or a folder ending in `/`.

    >>> date_of("AWSLogs/1/CloudTrail/us-east-1/2024/01/30/"), date_of("logs/2024/01/30/")
    ('2024/01/30', None)
    """
    return found[1] if (found := _DATE.search(path)) else None
