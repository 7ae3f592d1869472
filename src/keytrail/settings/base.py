"""What sections of keytrail.toml are made of: their base class, and the types of values that several of them have."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_settings import NoDecode

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

Severity = Literal["low", "medium", "high", "critical"]


def _paths(value: object) -> object:
    """An environment variable holds a JSON list, or paths separated as in PATH."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part for part in value.split(os.pathsep) if part]


def _path(value: object) -> object:
    """Refuse what no file can be called; pydantic would take an empty text for the current folder."""
    if value == "" or "\0" in str(value):
        raise ValueError("no file is called so")
    return value


def _texts(value: object) -> object:
    """An environment variable holds a JSON list, or texts with blanks between them."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else value.split()


Paths = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_paths)]
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_texts)]
Numbers = Annotated[tuple[int, ...], NoDecode, BeforeValidator(_texts)]
OnePath = Annotated[Path, BeforeValidator(_path)]


class Section(BaseModel):
    """One table of keytrail.toml. Unknown keys are refused, so that a misspelt limit is never silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
