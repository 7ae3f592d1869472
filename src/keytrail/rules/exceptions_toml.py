"""Exceptions in TOML, as in the repository elastic/detection-rules: a container and its items in [[exceptions]]."""

from __future__ import annotations

from collections.abc import Mapping

from keytrail.errors import RuleError
from keytrail.rules.contents import Contents, Found
from keytrail.rules.toml_places import TomlIndex, TomlPlaces

_ADVICE = "Write the list as [exceptions.container] and each item as [[exceptions.items]] below [[exceptions]]."
# Other programs' files have exceptions of their own.
_FOREIGN = "holds no exception list"
# What an item that does not say it has from its container.
_INHERITED = ("list_id", "namespace_type")


def read_exceptions(data: Mapping[str, object], index: TomlIndex) -> Contents:
    """Return the exception lists and items of a TOML text that `data` was read from."""
    tables = data.get("exceptions", [])
    if not isinstance(tables, list):
        error = _error("[exceptions] must be a list of tables", index, "exceptions")
        return Contents(errors=(error,), foreign=_FOREIGN)
    lists: list[Found] = []
    items: list[Found] = []
    errors: list[RuleError] = []
    for number, one in enumerate(tables):
        container = one.get("container") if isinstance(one, dict) else None
        if not isinstance(container, dict):
            errors.append(_error("an exception list without a table named container", index, "exceptions", number))
            continue
        lists.append(Found(container, TomlPlaces(index, ("exceptions", number, "container"), {})))
        within = one.get("items", [])
        if not isinstance(within, list):
            errors.append(_error("items must be a list of tables", index, "exceptions", number, "items"))
            continue
        for position, item in enumerate(within):
            at = ("exceptions", number, "items", position)
            if isinstance(item, dict):
                inherited = {name: container[name] for name in _INHERITED if name in container}
                items.append(Found(inherited | item, TomlPlaces(index, at, {})))
            else:
                errors.append(_error("an exception item must be a table", index, *at))
    return Contents(lists=tuple(lists), items=tuple(items), errors=tuple(errors), foreign="" if lists else _FOREIGN)


def _error(what: str, index: TomlIndex, *path: str | int) -> RuleError:
    return RuleError(what, place=TomlPlaces(index, (), {}).of(path), advice=_ADVICE)
