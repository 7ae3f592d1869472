"""Reading settings: flags over environment over one file over defaults, and errors that say where to look."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from keytrail.errors import Place, SettingsError
from keytrail.settings.model import Section, Settings
from keytrail.settings.tomlfile import Tree, parse, places_in, read_text

FILE_NAME = "keytrail.toml"
ACCOUNTS_NAME = "accounts.toml"
_PREFIX = "KEYTRAIL_"


@dataclass(frozen=True, slots=True)
class _Layer:
    """Values from one place: a tree of sections, what to call the place, and where in it each name stands."""

    label: str
    values: Tree
    places: Mapping[str, Place]
    missing: Place

    def place(self, name: str) -> Place:
        """Where `name` (section.key, or a section) is set in this layer."""
        return self.places.get(name) or self.places.get(name.partition(".")[0]) or self.missing


def load_settings(*, config: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Return the settings in force: `overrides` over the environment over one file over the defaults.

    `overrides` holds flags by dotted name ({"scan.jobs": 2}); None means that the flag was not given. The file
    is `config`, else $KEYTRAIL_CONFIG, else ./keytrail.toml, else keytrail/keytrail.toml below $XDG_CONFIG_HOME
    (~/.config). Variables are named KEYTRAIL_SECTION__KEY. An accounts.toml beside that file, or else in the current
    folder, is `accounts.file` where none is named. Raises SettingsError with the place of the first error.
    """
    layers: list[_Layer] = []
    path = find_config(config)
    if path is not None:
        layers.append(_file_layer(path))
    layers.append(_environment_layer())
    layers.append(_override_layer(overrides or {}))
    merged, origin = _merge(layers)
    unknown = list(_unknown_variables())
    # A variable without a setting in a section that exists is an error of both.
    told = [error.place for error in unknown]
    errors = [*unknown, *(error for error in _validate(merged, origin) if error.place not in told)]
    if errors:
        first = errors[0]
        if len(errors) > 1:
            first.advice = f"{first.advice}\n{len(errors) - 1} more; `keytrail config check` lists them".lstrip()
        raise first
    if not merged.get("accounts") and (found := _accounts_beside(path)) is not None:
        merged["accounts"] = {"file": found}
    settings = Settings(**merged)  # type: ignore[arg-type]  # just validated
    settings._origins.update({name: str(layer.place(name)) for name, layer in origin.items() if "." in name})
    return settings


def check(path: Path) -> list[SettingsError]:
    """Every error in the settings file `path`, in the order of its lines; none when it is good."""
    try:
        merged, origin = _merge([_file_layer(path)])
    except SettingsError as error:
        return [error]
    return sorted(_validate(merged, origin), key=lambda error: (error.place.line or 0) if error.place else 0)


def find_config(config: Path | None = None) -> Path | None:
    """The settings file in force, or None. One that was asked for by name must exist."""
    named = os.environ.get("KEYTRAIL_CONFIG")
    if config is not None or named:
        path = config if config is not None else Path(str(named)).expanduser()
        if not path.is_file():
            raise SettingsError(
                "no such settings file" if config is not None else "no such settings file (named by KEYTRAIL_CONFIG)",
                place=Place(str(path)),
                advice="`keytrail config init` writes one.",
            )
        return path
    home = os.environ.get("XDG_CONFIG_HOME")
    base = Path(home) if home else Path("~/.config").expanduser()
    for path in (Path(FILE_NAME), base / "keytrail" / FILE_NAME):
        if path.is_file():
            return path
    return None


def accounts_place(settings: Settings, config: Path | None = None) -> Path:
    """The accounts.toml in force, or where it belongs: beside the settings file, or else in the current folder.

    `config` is what `load_settings` was given. Raises SettingsError when that does not exist.
    """
    if settings.accounts.file is not None:
        return settings.accounts.file
    path = find_config(config)
    return (path.parent if path is not None else Path()) / ACCOUNTS_NAME


def _accounts_beside(path: Path | None) -> Path | None:
    """The accounts.toml that is there without being named, given the settings file."""
    folders = (path.parent, Path()) if path is not None else (Path(),)
    return next((file for folder in folders if (file := folder / ACCOUNTS_NAME).is_file()), None)


# -- layers ---------------------------------------------------------------------------------------------------------


def _file_layer(path: Path) -> _Layer:
    name = str(path)
    text = read_text(path)
    values = parse(text, name, advice="Write key = value below [section].")
    return _Layer(name, values, places_in(text, name), Place(name))


def _environment_layer() -> _Layer:
    source = EnvSettingsSource(Settings)
    try:
        values: Tree = source()
    except ValueError as error:
        raise SettingsError(f"the environment cannot be read: {error}", advice=f"Look at {_PREFIX}…") from error
    places = {}
    for variable in os.environ:
        section, key = _variable(variable)
        if section:
            places[f"{section}.{key}"] = Place(f"environment variable {variable}")
    return _Layer("environment", values, places, Place("environment"))


def _override_layer(overrides: Mapping[str, object]) -> _Layer:
    values: Tree = {}
    for name, value in overrides.items():
        if value is None:
            continue
        section, _, key = name.partition(".")
        table = values.setdefault(section, {})
        assert isinstance(table, dict)
        table[key] = value
    return _Layer("command line", values, {}, Place("command line"))


def _merge(layers: list[_Layer]) -> tuple[Tree, dict[str, _Layer]]:
    """The values of all layers, the last one winning, and which layer each dotted name came from."""
    merged: Tree = {}
    origin: dict[str, _Layer] = {}
    for layer in layers:
        for section, values in layer.values.items():
            if not isinstance(values, dict):
                merged[section] = values
                origin[section] = layer
                continue
            table = merged.setdefault(section, {})
            if not isinstance(table, dict):
                continue  # already an error of a lower layer
            origin.setdefault(section, layer)
            for key, value in values.items():
                table[key] = value
                origin[f"{section}.{key}"] = layer
    return merged, origin


# -- errors ---------------------------------------------------------------------------------------------------------


def _validate(merged: Tree, origin: Mapping[str, _Layer]) -> list[SettingsError]:
    try:
        Settings(**merged)  # type: ignore[arg-type]  # the point is to find out
    except ValidationError as error:
        return [_explain(detail, origin) for detail in error.errors(include_url=False)]
    return []


def _explain(detail: ErrorDetails, origin: Mapping[str, _Layer]) -> SettingsError:
    name = ".".join(str(part) for part in detail["loc"][:2])
    layer = origin.get(name) or origin.get(name.partition(".")[0])
    place = layer.place(name) if layer else None
    if detail["type"] == "extra_forbidden":
        return _unknown(name, place)
    if name in sections():
        return SettingsError(
            f"{name} is a section, not a value", place=place, advice=f"Write [{name}] and its keys on the lines below."
        )
    shown = repr(detail["input"])
    given = "a hidden value" if looks_secret(name) else shown if len(shown) <= 80 else shown[:79] + "…"
    message = detail["msg"].removeprefix("Value error, ")
    return SettingsError(
        f"{name}: {given} is not allowed: {message[:1].lower()}{message[1:]}", place=place, advice=allowed(name)
    )


def _unknown(name: str, place: Place | None) -> SettingsError:
    section, _, key = name.partition(".")
    known = sections()
    if key and section in known:
        choices = [f"{section}.{field}" for field in known[section].model_fields]
        what = f"no setting is called {name}"
    else:
        choices = list(known)
        what = f"no section is called {section}"
    # A key put in the wrong section is as likely as a misspelt one.
    everything = [f"{s}.{field}" for s, model in known.items() for field in model.model_fields]
    moved = [full for full in everything if key and full.partition(".")[2] == key]
    near = moved or difflib.get_close_matches(name if key and section in known else section, choices, n=1)
    if not near and not key:
        near = [full for full in everything if full.partition(".")[2] == section]
    advice = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(choices)}."
    return SettingsError(what, place=place, advice=advice)


def _unknown_variables() -> Iterator[SettingsError]:
    """Variables that look like settings and name none; pydantic-settings passes them over in silence."""
    known = sections()
    for variable in sorted(os.environ):
        section, key = _variable(variable)
        if section and not (section in known and key in known[section].model_fields):
            error = _unknown(f"{section}.{key}", Place(f"environment variable {variable}"))
            error.advice = re.sub(
                r"Did you mean (\w+)\.(\w+)\?",
                lambda m: f"Did you mean {_PREFIX}{m[1].upper()}__{m[2].upper()}?",
                error.advice,
            )
            yield error


def _variable(name: str) -> tuple[str, str]:
    """Section and key that an environment variable names, or two empty strings."""
    upper = name.upper()
    if not upper.startswith(_PREFIX) or "__" not in upper:
        return "", ""
    section, _, key = upper[len(_PREFIX) :].partition("__")
    return section.lower(), key.lower()


def sections() -> dict[str, type[Section]]:
    """The sections by name, in the order of the file."""
    found: dict[str, type[Section]] = {}
    for name, field in Settings.model_fields.items():
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, Section)
        found[name] = field.annotation
    return found


def allowed(name: str) -> str:
    """What the setting `name` may be, in words."""
    section, _, key = name.partition(".")
    field = sections()[section].model_fields[key]
    schema = sections()[section].model_json_schema()["properties"][key]
    variants = schema.get("anyOf", [schema])
    rule = next(variant for variant in variants if variant.get("type") != "null")
    if "enum" in rule:
        words = "One of " + ", ".join(map(str, rule["enum"]))
    elif rule["type"] in ("integer", "number"):
        low, above = rule.get("minimum"), rule.get("exclusiveMinimum")
        words = f"{'A whole number' if rule['type'] == 'integer' else 'A number'} "
        words += f"from {low}" if low is not None else f"above {above}"
        words += f" to {rule.get('maximum')}"
    elif rule["type"] == "boolean":
        words = "Either true or false"
    elif rule["type"] == "array":
        words = "A list of paths"
    elif rule.get("format") == "path":
        words = "A path"
    else:
        words = "Text"  # what kind of text, the description says
    return f"{words}. {field.description}"


_SECRET = re.compile(r"(?i)secret|token|passw|passphrase|credential|api_?key|private|webhook")


def looks_secret(name: str) -> bool:
    """Whether the value of the setting `name` must not be shown."""
    return _SECRET.search(name) is not None
