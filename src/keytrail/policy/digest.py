"""The digest of a policy: the same for the same members, whatever blanks, line breaks and order of names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import NoReturn

from keytrail.errors import Place, PolicyError, PolicyProblem


def digest_of(document: Mapping[str, object]) -> str:
    """The sha256 of the document's canonical JSON, in hex.

    >>> digest_of({"Version": "2012-10-17", "Id": "a"}) == digest_of({"Id": "a", "Version": "2012-10-17"})
    True
    """
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def digest_of_text(text: str, *, name: str = "policy") -> str:
    """The digest of the document in a JSON text. Raises PolicyError for a text that is no JSON object.

    What the document says is not looked at: one with a statement that this version does not know has a digest as well.

    >>> digest_of_text('{"Id": "a"}') == digest_of_text(' { "Id" :"a" }') == digest_of({"Id": "a"})
    True
    """
    return digest_of(document_of(text, name=name))


def document_of(text: str, *, name: str = "policy") -> dict[str, object]:
    """The document in a JSON text, as digests are made of it. Raises PolicyError for a text that is no JSON object."""
    try:
        # As the parser of policies has it, a number is its text: KMS takes it with quotes and without (1.1).
        document = json.loads(text.removeprefix("\ufeff"), parse_int=str, parse_float=str, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _refused("not JSON", name) from error
    if not isinstance(document, dict):
        raise _refused("not a JSON object", name)
    return document


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON value")


def _refused(what: str, name: str) -> PolicyError:
    return PolicyError((PolicyProblem(what, "", Place(name)),))
