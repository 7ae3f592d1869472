"""Settings for people: the commented file that `config init` writes and the rows that `config show` prints."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from keytrail.settings.load import TABLES, allowed, looks_secret, sections
from keytrail.settings.model import Settings
from keytrail.settings.notify import EXAMPLE

_MASK = "********"
_EXAMPLES = {"notify.sinks": EXAMPLE}
_USER_INFO = re.compile(r"(://)[^/@\s]+@")


class Row(NamedTuple):
    """One setting: its dotted name, its value as TOML would have it, where that came from, what it is for."""

    name: str
    value: str
    origin: str
    description: str


def template() -> str:
    """The text of a keytrail.toml that names every setting with its default, all commented out."""
    lines = [
        "# Settings of keytrail. Flags win over environment variables (KEYTRAIL_SECTION__KEY), those over this file,",
        "# this file over the defaults, which are the values shown here. `keytrail config check` checks it.",
    ]
    defaults = Settings()
    for section, model in sections().items():
        values: BaseModel = getattr(defaults, section)
        lines += ["", f"# {' '.join((model.__doc__ or '').split())}", f"[{section}]"]
        for key in model.model_fields:
            value = getattr(values, key)
            about = allowed(f"{section}.{key}")
            lines += textwrap.wrap(about, 110, initial_indent="# ", subsequent_indent="# ")
            lines.append(f"#{key} = {_toml(value) if value is not None else _toml('')}")
            if example := _EXAMPLES.get(f"{section}.{key}"):
                lines += ["# Or, instead of that line and below the other keys:"]
                lines += [f"#   {line}".rstrip() for line in example.splitlines()]
    return "\n".join(lines) + "\n"


def describe(settings: Settings) -> list[Row]:
    """Every setting in force, in the order of the file; what looks like a secret is masked."""
    rows: list[Row] = []
    for section, model in sections().items():
        values: BaseModel = getattr(settings, section)
        for key, field in model.model_fields.items():
            name = f"{section}.{key}"
            value = getattr(values, key)
            if name in TABLES and value:
                rows += _table_rows(settings, name, value)
                continue
            if value is None:
                shown = "(not set)"
            elif looks_secret(name):
                shown = _MASK
            else:
                shown = _USER_INFO.sub(rf"\1{_MASK}@", _toml(value))
            rows.append(Row(name, shown, settings._origins.get(name, "default"), field.description or ""))
    return rows


def _table_rows(settings: Settings, array: str, tables: tuple[BaseModel, ...]) -> Iterator[Row]:
    """What is set in each table of an array, in the order of the file."""
    for number, table in enumerate(tables):
        for key, field in type(table).model_fields.items():
            if key not in table.model_fields_set:
                continue
            name = f"{array}.{number}.{key}"
            value = getattr(table, key)
            shown = _masked(value.get_secret_value()) if isinstance(value, SecretStr) else _toml(value)
            origin = settings._origins.get(name) or settings._origins.get(array, "default")
            about = field.description or f"One of {', '.join(TABLES[array])}."
            yield Row(name, shown, origin, about)


def _masked(secret: str) -> str:
    """A secret as it may be shown: of a URL its host is no secret, and tells which it is."""
    host = urlsplit(secret).hostname if "://" in secret else None
    return _toml(f"{secret.partition('://')[0]}://{host}/{_MASK}") if host else _MASK


def _toml(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)
