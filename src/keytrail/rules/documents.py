"""Rules from documents of the API's form that stand in no file, as the state keeps imported ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keytrail.errors import Place, RuleError
from keytrail.rules.build import build
from keytrail.rules.checks import Path
from keytrail.rules.contents import Found
from keytrail.rules.model import Rule, TextPlace


def rule_from_dict(data: Mapping[str, object], origin: Place) -> Rule:
    """Return the rule of an API's form that stands at `origin`. Raises RuleError with all that is wrong with it."""
    made, errors = build(Found(data, _OnePlace(origin)))
    if made is None:
        raise RuleError("\n".join(error.what for error in errors), place=origin)
    return made


@dataclass(frozen=True, slots=True)
class _OnePlace:
    """The places of an object that did not come from a text: one for all of it."""

    place: Place

    def of(self, path: Path) -> Place:
        return self.place

    def text(self, path: Path) -> TextPlace | None:
        return None
