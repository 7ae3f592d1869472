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
from keytrail.settings.base import Section
from keytrail.settings.model import Settings
from keytrail.settings.notify import SINKS
from keytrail.settings.tomlfile import Tree, parse, places_in, read_text

FILE_NAME = "keytrail.toml"
ACCOUNTS_NAME = "accounts.toml"
_PREFIX = "KEYTRAIL_"
TABLES: Mapping[str, Mapping[str, type[Section]]] = {"notify.sinks": SINKS}
"""The settings that are arrays of tables, with what each kind of table may hold."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """Values from one place: a tree of sections, what to call the place, and where in it each name stands."""

    label: str
    values: Tree
    places: Mapping[str, Place]
    missing: Place

    def place(self, name: str) -> Place:
        """Where `name` (a section, section.key, a key of one of its tables) is set in this layer, or what holds it."""
        while name:
            if name in self.places:
                return self.places[name]
            name = name.rpartition(".")[0]
        return self.missing


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
    for array in TABLES:
        places = origin[array].places if array in origin else {}
        settings._origins.update({name: str(place) for name, place in places.items() if name.startswith(f"{array}.")})
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
    if name in TABLES:
        return _explain_table(detail, name, layer)
    if detail["type"] == "extra_forbidden":
        return _unknown(name, place)
    if name in sections():
        return SettingsError(
            f"{name} is a section, not a value", place=place, advice=f"Write [{name}] and its keys on the lines below."
        )
    given = "a hidden value" if looks_secret(name) else _shown(detail["input"])
    return SettingsError(
        f"{name}: {given} is not allowed: {_sentence(detail['msg'])}", place=place, advice=allowed(name)
    )


def _explain_table(detail: ErrorDetails, array: str, layer: _Layer | None) -> SettingsError:
    """An error of an array of tables, or in one of them. Values are shown of no key that holds secrets."""
    kinds = TABLES[array]
    number, *rest = detail["loc"][2:] or ("",)
    if number == "":
        message = _sentence(detail["msg"])
        advice = f"Write [[{array}]] above each of them, with two brackets on each side."
        if detail["type"] == "value_error":
            advice = "Give each of them a name of its own."
        return SettingsError(f"{array}: {message}", place=layer.place(array) if layer else None, advice=advice)
    kind = str(rest.pop(0)) if rest and rest[0] in kinds else ""  # pydantic puts the kind between number and key
    key = str(rest[0]) if rest else ""
    if detail["type"] in ("union_tag_not_found", "union_tag_invalid"):
        key = "kind"
    name = f"{array}.{number}" + (f".{key}" if key else "")
    place = layer.place(name) if layer else None
    if key == "kind":
        what = "no kind is given" if detail["type"] == "union_tag_not_found" else "no such kind"
        return SettingsError(f"{name}: {what}", place=place, advice=f"One of {', '.join(kinds)}.")
    if kind and detail["type"] == "extra_forbidden":
        known = [*kinds[kind].model_fields]
        near = difflib.get_close_matches(key, known, n=1)
        advice = f"Did you mean {near[0]}?" if near else f"Known for {kind}: {', '.join(known)}."
        return SettingsError(f"no key of a {kind} table is called {key}", place=place, advice=advice)
    if detail["type"] == "missing":
        return SettingsError(f"{name} is missing", place=place, advice=allowed(name, kind))
    what = f"{name}: "
    if key and key in kinds[kind].model_fields and not is_secret(kinds[kind], key):
        what += f"{_shown(detail['input'])} is not allowed: "
    return SettingsError(f"{what}{_sentence(detail['msg'])}", place=place, advice=allowed(name, kind) if key else "")


def is_secret(model: type[Section], key: str) -> bool:
    """Whether a key of a table holds a secret."""
    return "SecretStr" in str(model.model_fields[key].annotation)


def _sentence(message: str) -> str:
    """What pydantic says, to go on a sentence with."""
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:79] + "…"


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


def allowed(name: str, kind: str = "") -> str:
    """What the setting `name` may be, in words; `kind` is that of the table, where it is a key of one of an array."""
    section, _, key = name.partition(".")
    model = sections()[section]
    if kind:
        array, _, key = name.rpartition(".")
        model = TABLES[array.rpartition(".")[0]][kind]
    field = model.model_fields[key]
    schema = model.model_json_schema()["properties"][key]
    if f"{section}.{key}" in TABLES:
        return f"Tables [[{section}.{key}]]. {field.description}"
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
        item = rule.get("items", {})
        words = f"A list of {'whole numbers' if item.get('type') == 'integer' else 'texts'}"
        words = "A list of paths" if item.get("format") == "path" else words
    elif rule.get("format") == "path":
        words = "A path"
    else:
        words = "Text"  # what kind of text, the description says
    return f"{words}. {field.description}"


_SECRET = re.compile(r"(?i)secret|token|passw|passphrase|credential|api_?key|private|webhook")


def looks_secret(name: str) -> bool:
    """Whether the value of the setting `name` must not be shown."""
    return _SECRET.search(name) is not None
