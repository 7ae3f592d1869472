"""What a form of a guardrail is, and how the texts of all of them are made and measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from keytrail.errors import UsageError
from keytrail.phrases import joined
from keytrail.respond.guardrail.model import Document, FormName, Guardrail, Kind
from keytrail.respond.guardrail.statements import WAYS


@dataclass(frozen=True, slots=True)
class Form:
    """One form: `write` makes its files, and raises UsageError for a guardrail that does not fit into it.

    `kinds` are the denying policies that are in it. `use` says what to do with it, `limits` what it does not do.
    """

    name: FormName
    title: str
    kinds: tuple[Kind, ...]
    write: Callable[[Guardrail], tuple[Document, ...]]
    use: str
    limits: tuple[str, ...] = ()


def policy_text(document: object, *, most: int, what: str) -> str:
    """A policy as JSON: indented if AWS takes it so, without blanks if only that fits into `most` characters.

    Raises UsageError if neither does.
    """
    indented = json.dumps(document, indent=2)
    compact = json.dumps(document, separators=(",", ":"))
    if len(compact) > most:
        left_out = joined([group for group in WAYS if group != "policy"], "or")
        raise UsageError(
            f"the {what} would have {len(compact):,} characters; AWS takes {most:,}",
            advice=f"Name fewer break-glass roles (* stands for any account) or keys, or leave out {left_out}"
            " with --without.",
        )
    return (indented if len(indented) <= most else compact) + "\n"


def plain_json(document: object) -> str:
    """A document as indented JSON, whatever its size."""
    return json.dumps(document, indent=2) + "\n"
