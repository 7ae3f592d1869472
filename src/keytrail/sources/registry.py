"""Which source a text names: one dict from scheme to factory."""

from __future__ import annotations

import re
from collections.abc import Callable

from keytrail.errors import UsageError
from keytrail.sources.model import Source, SourceSettings

Factory = Callable[[str, SourceSettings], Source]

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE | re.ASCII)


def _files(text: str, settings: SourceSettings) -> Source:
    from keytrail.sources.files import open_path

    return open_path(text, settings)


def _s3(text: str, settings: SourceSettings) -> Source:
    from keytrail.sources.s3 import open_bucket

    return open_bucket(text, settings)


def _lookup(text: str, settings: SourceSettings) -> Source:
    from keytrail.sources.lookup import open_account

    return open_account(text, settings)


SCHEMES: dict[str, Factory] = {"file": _files, "s3": _s3, "aws": _lookup}
"""From the scheme of a source (`s3` of `s3://…`) to what opens it; a text without scheme is a file."""


def open_source(text: str, settings: SourceSettings) -> Source:
    """Return the source that `text` names: a path, a pattern, `-`, `s3://bucket/prefix` or `aws://region`.

    Nothing is listed or sent yet. Raises UsageError for a text that names no source.
    """
    if not text or "\0" in text:
        raise UsageError(f"{text!r} is not a source", advice=_ADVICE)
    scheme = match[1].lower() if (match := _SCHEME.match(text)) else "file"
    if (factory := SCHEMES.get(scheme)) is None:
        raise UsageError(f"no source is known for {scheme}:// in {text!r}", advice=_ADVICE)
    return factory(text, settings)


_ADVICE = "name a file, a folder, a pattern in quotes, - for standard input, s3://bucket/prefix or aws://region"
