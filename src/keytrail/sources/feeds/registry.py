"""Which feed a text names, and what each has to be allowed: one table from form to both."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from keytrail.errors import UsageError
from keytrail.sources.feeds.limits import FeedSettings
from keytrail.sources.feeds.model import Feed, Ledger
from keytrail.sources.feeds.timing import FeedClock

Needs = tuple[tuple[str, str], ...]

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE | re.ASCII)
_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}(?:\.fifo)?", re.ASCII)
_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_ROLE = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)
_ADVICE = (
    "name a folder, s3://bucket/prefix, sqs://queue-name, https://sqs.REGION.amazonaws.com/ACCOUNT/NAME, aws://region "
    "or - for standard input"
)
_QUEUE_ACTIONS = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes")


@dataclass(frozen=True, slots=True)
class _Form:
    """How a feed is opened, and the (action, resource) pairs that it has to be allowed."""

    open: Callable[[str, FeedSettings, Ledger, FeedClock], Feed]
    needs: Callable[[str, FeedSettings], Needs]


def open_feed(text: str, settings: FeedSettings, ledger: Ledger, clock: FeedClock | None = None) -> Feed:
    """Return the feed that `text` names; nothing is listed or sent yet. Raises UsageError if it names none."""
    return _form(text).open(text, settings, ledger, clock or FeedClock())


def iam_needs(text: str, settings: FeedSettings | None = None) -> Needs:
    """What IAM has to allow for a feed: pairs of an action and the ARN, or pattern of ARNs, that it is for.

    A queue does not tell which buckets it speaks of, so unless `sqs_buckets` names them it is CloudTrail's layout in
    any. kms:Decrypt is not among them: where bucket or queue are encrypted by a key of KMS, allow it on that key.

    >>> iam_needs("s3://trail/security")
    (('s3:ListBucket', 'arn:aws:s3:::trail'), ('s3:GetObject', 'arn:aws:s3:::trail/security*'))
    """
    return _form(text).needs(text, settings or FeedSettings())


def _form(text: str) -> _Form:
    if not text or "\0" in text:
        raise UsageError(f"{text!r} is no feed", advice=_ADVICE)
    if text == "-":
        return FORMS["-"]
    scheme = match[1].lower() if (match := _SCHEME.match(text)) else "file"
    if (form := FORMS.get(scheme)) is None:
        raise UsageError(f"no feed is known for {scheme}:// in {text!r}", advice=_ADVICE)
    return form


# -- folders and standard input ----------------------------------------------------------------------------------------


def _open_folder(text: str, settings: FeedSettings, ledger: Ledger, clock: FeedClock) -> Feed:
    from keytrail.sources.feeds.folder import FolderFeed

    path = text[len("file://") :] if text.lower().startswith("file://") else text
    if os.path.isfile(path):
        raise UsageError(f"{text} is a file", advice="name the folder that new files come to; scan reads a file")
    return FolderFeed(text, path, settings, ledger, clock)


def _open_lines(text: str, settings: FeedSettings, ledger: Ledger, clock: FeedClock) -> Feed:
    from keytrail.sources.feeds.lines import LineFeed

    return LineFeed(settings, clock)


def _none(text: str, settings: FeedSettings) -> Needs:
    return ()


# -- buckets -----------------------------------------------------------------------------------------------------------


def _open_bucket(text: str, settings: FeedSettings, ledger: Ledger, clock: FeedClock) -> Feed:
    from keytrail.sources.feeds.bucket import BucketFeed
    from keytrail.sources.s3 import S3Source, bucket_and_prefix

    return BucketFeed(S3Source(text, settings.source, *bucket_and_prefix(text)), settings, ledger, clock)


def _bucket_needs(text: str, settings: FeedSettings) -> Needs:
    from keytrail.sources.s3 import bucket_and_prefix

    bucket, prefix = bucket_and_prefix(text)
    # An access point is named by its ARN, and its objects lie below /object.
    arn, objects = (bucket, f"{bucket}/object") if bucket.startswith("arn:") else (f"arn:aws:s3:::{bucket}",) * 2
    return ("s3:ListBucket", arn), ("s3:GetObject", f"{objects}/{_literal(prefix)}*")


# -- queues ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _QueueName:
    name: str
    url: str = ""
    region: str = ""
    account: str = ""

    @property
    def arn(self) -> str:
        region = self.region
        partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
        return f"arn:{partition}:sqs:{region or '*'}:{self.account or '*'}:{self.name}"


def _queue_name(text: str, settings: FeedSettings) -> _QueueName:
    from keytrail.sources.feeds.sqs import region_of_host

    if text.lower().startswith("sqs://"):
        name = text[len("sqs://") :].rstrip("/")
        if _QUEUE_NAME.fullmatch(name):
            return _QueueName(name)
        raise UsageError(f"{text!r} names no queue", advice=_ADVICE)
    try:
        parts = urlsplit(text)
        region = region_of_host(parts.hostname or "")
        # A test server or a store that speaks SQS has a host of its own, which then has to be set as endpoint.
        own = bool(settings.source.aws.endpoint_url) and text.startswith(settings.source.aws.endpoint_url.rstrip("/"))
    except ValueError:
        region, own, parts = None, False, urlsplit("")
    account, _, name = parts.path.strip("/").partition("/")
    if (region is None and not own) or not _ACCOUNT.fullmatch(account) or not _QUEUE_NAME.fullmatch(name):
        raise UsageError(f"{text!r} is no URL of a queue", advice=_ADVICE)
    if parts.username is not None or parts.query or parts.fragment or (parts.scheme != "https" and not own):
        raise UsageError(f"{text!r} has more in it than the URL of a queue", advice=_ADVICE)
    return _QueueName(name, text, region or "", account)


def _open_queue(text: str, settings: FeedSettings, ledger: Ledger, clock: FeedClock) -> Feed:
    from keytrail.sources.feeds.queue import QueueFeed
    from keytrail.sources.feeds.sqs import Queue

    named = _queue_name(text, settings)
    return QueueFeed(Queue(text, settings.source.aws, named.name, named.url, named.region), settings, ledger, clock)


def _queue_needs(text: str, settings: FeedSettings) -> Needs:
    named = _queue_name(text, settings)
    actions = _QUEUE_ACTIONS if named.url else (*_QUEUE_ACTIONS, "GetQueueUrl")
    objects = [f"arn:aws:s3:::{bucket}/*" for bucket in settings.sqs_buckets] or ["arn:aws:s3:::*/AWSLogs/*"]
    return (
        *((f"sqs:{action}", named.arn) for action in actions),
        *(("s3:GetObject", pattern) for pattern in objects),
    )


# -- LookupEvents ------------------------------------------------------------------------------------------------------


def _history(text: str, settings: FeedSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Regions and roles: the roles of the text or, without any, those of the settings."""
    from keytrail.sources.lookup import named_regions

    names, _, query = text[len("aws://") :].partition("?")
    pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)
    roles = tuple(dict.fromkeys(value for _, value in pairs)) or settings.lookup_role_arns
    if any(name != "role" for name, _ in pairs) or not all(map(_ROLE.fullmatch, roles)):
        raise UsageError(
            f"{text!r} names no role", advice="write aws://eu-west-1?role=arn:aws:iam::111122223333:role/NAME"
        )
    return named_regions(names, text), roles


def _open_history(text: str, settings: FeedSettings, ledger: Ledger, clock: FeedClock) -> Feed:
    from keytrail.sources.feeds.history import HistoryFeed

    return HistoryFeed(text, *_history(text, settings), settings, ledger, clock)


def _history_needs(text: str, settings: FeedSettings) -> Needs:
    regions, roles = _history(text, settings)
    own = [("cloudtrail:LookupEvents", "*"), *([("ec2:DescribeRegions", "*")] if "all" in regions else [])]
    return tuple(("sts:AssumeRole", role) for role in roles) or tuple(own)


def _literal(prefix: str) -> str:
    """Without what a resource's pattern would take for a wildcard: there is no escape for these, but any character."""
    return re.sub(r"[*?$]", "?", prefix)


_QUEUE = _Form(_open_queue, _queue_needs)

FORMS: dict[str, _Form] = {
    "file": _Form(_open_folder, _none),
    "-": _Form(_open_lines, _none),
    "s3": _Form(_open_bucket, _bucket_needs),
    "sqs": _QUEUE,
    "https": _QUEUE,
    "http": _QUEUE,
    "aws": _Form(_open_history, _history_needs),
}
"""From the scheme of a feed to its form; a text without scheme is a folder."""
