"""What a reader finds in the text of one rule file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from keytrail.errors import RuleError
from keytrail.rules.places import Places


@dataclass(frozen=True, slots=True)
class Found:
    """One rule, exception list or item as a file has it: the API's form, nothing checked yet."""

    data: Mapping[str, object]
    places: Places


@dataclass(frozen=True, slots=True)
class Contents:
    """The rules of a file, its exception lists and items, how many of its parts are neither, and what cannot be read.

    `foreign` says why a file that reads well is no rule file at all, as other files in a folder are.
    """

    found: tuple[Found, ...] = ()
    lists: tuple[Found, ...] = ()
    items: tuple[Found, ...] = ()
    errors: tuple[RuleError, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    foreign: str = ""
