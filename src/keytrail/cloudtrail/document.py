"""The ECS document of one record: `normalize` makes it whole, `Document` gives single fields of it cheaply."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache

from keytrail.cloudtrail.catalogue import FLATTENED, RESOURCES, WITH_TEXT, flattened_root
from keytrail.cloudtrail.copies import CONSTANTS, COPIES
from keytrail.cloudtrail.dates import iso_date, utc_text
from keytrail.cloudtrail.flat import SCALARS, Flat, Part, present, scalar
from keytrail.cloudtrail.geo import GEO_TYPES, GeoLookup
from keytrail.cloudtrail.javatext import java_scalar
from keytrail.cloudtrail.network import source_ip
from keytrail.cloudtrail.parts import PART_OF, PARTS, SINGLE
from keytrail.cloudtrail.records import Json
from keytrail.cloudtrail.scrub import at

_TAGS = ("preserve_original_event", "actor_target_mapping")
_TEXT_OF = {f"{field}.text": field for field in WITH_TEXT}
_STATUS = frozenset({"event.kind", "error.message"})
_POINT = "source.geo.location"


def normalize(record: Json, *, ingested: str | datetime | None = None, geo: GeoLookup | None = None) -> Json:
    """Return the nested `_source` document that Elastic's aws.cloudtrail data stream (8.9.0) would hold of `record`.

    `ingested` is when the record arrived (an aware datetime or a date as text); without it event.ingested is the
    event's own time. Without `geo` there is no source.geo and source.as. event.original is not in it: whoever has the
    document has the record, and a copy of its text would double every alert. event.created, the agent's read time,
    is absent for want of an agent. The tags are those of an input that keeps originals and maps entities.

    It never raises for a JSON object, whatever its values are. A value of a wrong type is left out; that, and what the
    published pipeline reports (a bad date), stands in error.message, and event.kind is then pipeline_error.

    >>> document = normalize({"eventName": "PutKeyPolicy", "eventSource": "kms.amazonaws.com", "errorCode": "-"})
    >>> document["event"]["action"], document["event"]["outcome"], document["cloud"]["service"]["name"]
    ('PutKeyPolicy', 'success', 'kms')
    """
    return Document(record, ingested=ingested, geo=geo).to_dict()


class Document:
    """A lazy view of one record as its ECS document: equal to `normalize`, field by field, and computed as asked.

    >>> document = Document({"eventName": "PutKeyPolicy", "requestParameters": {"bypass": True, "tags": [{"k": 1}]}})
    >>> document.values("event.action"), document.values("user.name")
    (('PutKeyPolicy',), ())
    >>> document.values("aws.cloudtrail.flattened.request_parameters.tags.k")
    ('1',)
    """

    __slots__ = ("_geo", "_ingested", "_parts", "_values", "record")

    def __init__(self, record: Json, *, ingested: str | datetime | None = None, geo: GeoLookup | None = None) -> None:
        self.record = record
        self._ingested = ingested
        self._geo = geo
        self._values: dict[str, tuple[object, ...]] = {}
        self._parts: dict[Part, tuple[Flat, list[str]]] = {}

    def values(self, field: str) -> tuple[object, ...]:
        """Return the leaf values of `field`, arrays flattened, () when it is missing.

        Leaves are typed as in the document, except in flattened fields, where each is the string that Elasticsearch
        indexes (true -> "true"); a flattened field's own values are all its leaves. A `.text` twin has its field's
        values. A geo_point is one "lat,lon" text.
        """
        found = self._values.get(field)
        if found is None:
            found = self._values[field] = self._find(field)
        return found

    def fields(self) -> Iterator[str]:
        """The dotted names that have a value: flattened fields as their leaves' paths, `.text` twins included."""
        for field, value in self._flat().items():
            if field == RESOURCES or field in FLATTENED:
                yield from dict.fromkeys(f"{field}.{path}" for path in _leaf_paths(value))
            else:
                yield field
                if field in WITH_TEXT:
                    yield f"{field}.text"

    def objects(self, path: str) -> tuple[Json, ...]:
        """The objects at a `nested` path: CloudTrail's mapping has none."""
        return ()

    def to_dict(self) -> Json:
        """The nested document, as `normalize` gives it. Lists and flattened objects in it are shared: change none."""
        document: Json = {}
        for field, value in self._flat().items():
            parents, name = _steps(field)
            inner = document
            for parent in parents:
                below = inner.setdefault(parent, {})
                assert isinstance(below, dict)
                inner = below
            inner[name] = value
        return document

    # -- one field ----------------------------------------------------------------------------------------------------

    def _find(self, field: str) -> tuple[object, ...]:
        path = COPIES.get(field)
        if path is not None:
            value = at(self.record, *path)
            return (value,) if isinstance(value, SCALARS) else ()
        single = SINGLE.get(field)
        if single is not None:
            text = single(self.record)
            return (text,) if text else ()
        constant = CONSTANTS.get(field)
        if constant is not None:
            return (constant,)
        part = PART_OF.get(field)
        if part is not None:
            value = self._part(part)[0].get(field)
            return _flattened_leaves(value, None) if field in FLATTENED else _leaves(value)
        return self._find_other(field)

    def _find_other(self, field: str) -> tuple[object, ...]:
        root = flattened_root(field)
        if root is not None:
            return _flattened_leaves(self._part(PART_OF[root])[0].get(root), field[len(root) + 1 :])
        if field.startswith(f"{RESOURCES}."):
            value = self._part(PART_OF[RESOURCES])[0].get(RESOURCES)
            return tuple(_leaves_at(value, field[len(RESOURCES) + 1 :]))
        if field in _TEXT_OF:
            return self.values(_TEXT_OF[field])
        if field == "tags":
            return _TAGS
        if field == "event.ingested":
            return _leaves(self._ingested_text())
        if field in _STATUS:
            return _leaves(self._flat().get(field))
        if field in GEO_TYPES:
            value = self._geo_fields().get(field)
            if field == _POINT and isinstance(value, dict):
                return (f"{value.get('lat')},{value.get('lon')}",)
            return _leaves(value)
        return ()

    # -- all fields ---------------------------------------------------------------------------------------------------

    def _flat(self) -> Flat:
        """Every field of the document that is present, by its dotted name."""
        problems: list[str] = []
        fields: Flat = {"@timestamp": None, **CONSTANTS, "event.kind": "event"}
        for field, path in COPIES.items():
            value = at(self.record, *path)
            if value is not None:
                fields[field] = scalar(value, field, problems)
        for part, _ in PARTS:
            found, told = self._part(part)
            fields.update(found)
            problems += told
        fields.update(self._geo_fields())
        fields["event.ingested"] = self._ingested_text()
        fields["tags"] = list(_TAGS)
        if problems:
            fields["event.kind"] = "pipeline_error"
            fields["error.message"] = list(dict.fromkeys(problems))
        return present(fields)

    def _part(self, part: Part) -> tuple[Flat, list[str]]:
        found = self._parts.get(part)
        if found is None:
            problems: list[str] = []
            found = self._parts[part] = part(self.record, problems), problems
        return found

    def _ingested_text(self) -> object:
        if self._ingested is None:
            return self._part(PART_OF["@timestamp"])[0].get("@timestamp")
        if isinstance(self._ingested, datetime):
            return utc_text(self._ingested)
        return iso_date(self._ingested) or self._ingested

    def _geo_fields(self) -> Flat:
        address = source_ip(self.record) if self._geo is not None else ""
        if self._geo is None or not address:
            return {}
        return _geo_fields({"source": self._geo.look_up(address)})


@cache
def _steps(field: str) -> tuple[tuple[str, ...], str]:
    """The objects that a field lies in, and its own name; fields are those of the mapping, so a few hundred."""
    *parents, name = field.split(".")
    return tuple(parents), name


def _geo_fields(found: Json) -> Flat:
    """The fields of a look-up's answer that the catalogue knows."""
    fields: Flat = {}
    for field in GEO_TYPES:
        value: object = found
        for key in field.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        fields[field] = value
    return fields


def _entered(values: list[object]) -> Iterator[object]:
    for value in values:
        if isinstance(value, list):
            yield from _entered(value)
        else:
            yield value


def _leaves(value: object) -> tuple[object, ...]:
    if value is None or value == "":
        return ()
    if not isinstance(value, list):
        return () if isinstance(value, dict) else (value,)
    return tuple(item for item in _entered(value) if not isinstance(item, dict))


def _flattened_leaves(value: object, path: str | None) -> tuple[object, ...]:
    """The strings that a flattened field indexes at `path`, at any path for None."""
    return tuple(java_scalar(leaf) for leaf in _leaves_at(value, path))


def _leaves_at(value: object, path: str | None) -> Iterator[object]:
    """Every leaf at the dotted `path`, at any path for None, lists on the way entered.

    A key with dots is a path too: {"a.b": 1} and {"a": {"b": 1}} are the same field.
    """
    if isinstance(value, list):
        for item in value:
            yield from _leaves_at(item, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            if path is None:
                yield from _leaves_at(item, None)
            elif path == key:
                yield from _leaves(item)
            elif path.startswith(f"{key}."):
                yield from _leaves_at(item, path[len(key) + 1 :])
    elif path is None and value is not None:
        yield value


def _leaf_paths(value: object, path: str | None = None) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _leaf_paths(item, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaf_paths(item, key if path is None else f"{path}.{key}")
    elif path is not None:
        yield path
