"""Settings for people: the commented file that `config init` writes and the rows that `config show` prints."""

from __future__ import annotations

import json
import re
import textwrap
from typing import NamedTuple

from pydantic import BaseModel

from keytrail.settings.load import allowed, looks_secret, sections
from keytrail.settings.model import Settings

_MASK = "********"
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
    return "\n".join(lines) + "\n"


def describe(settings: Settings) -> list[Row]:
    """Every setting in force, in the order of the file; what looks like a secret is masked."""
    rows = []
    for section, model in sections().items():
        values: BaseModel = getattr(settings, section)
        for key, field in model.model_fields.items():
            name = f"{section}.{key}"
            value = getattr(values, key)
            if value is None:
                shown = "(not set)"
            elif looks_secret(name):
                shown = _MASK
            else:
                shown = _USER_INFO.sub(rf"\1{_MASK}@", _toml(value))
            rows.append(Row(name, shown, settings._origins.get(name, "default"), field.description or ""))
    return rows


def _toml(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)
