"""Where an address is and whose network it belongs to, from MaxMind database files the user points to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from keytrail.cloudtrail.records import Json
from keytrail.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

GEO_TYPES = {
    "source.geo.city_name": "keyword",
    "source.geo.continent_name": "keyword",
    "source.geo.country_iso_code": "keyword",
    "source.geo.country_name": "keyword",
    "source.geo.location": "geo_point",
    "source.geo.region_iso_code": "keyword",
    "source.geo.region_name": "keyword",
    "source.as.number": "long",
    "source.as.organization.name": "keyword",
}
"""The fields that a look-up can fill, with their types."""


class GeoLookup(Protocol):
    """Something that knows addresses."""

    def look_up(self, address: str) -> Json:
        """Return {"geo": {...}, "as": {...}} in ECS names for an IP address; {} when nothing is known of it."""


class AddressReader(Protocol):
    """The part of maxminddb.Reader that is needed."""

    def get(self, ip_address: str) -> object: ...


class MaxMind:
    """Looks addresses up in City (or Country) and ASN readers, whichever there are; `readers` pairs file and reader."""

    def __init__(self, readers: Sequence[tuple[str, AddressReader]]) -> None:
        from maxminddb import InvalidDatabaseError

        self._readers = tuple(readers)
        self._damaged = InvalidDatabaseError
        # Few addresses make most of a trail's calls.
        self._cached = lru_cache(maxsize=8192)(self._look_up)

    def __reduce__(self) -> tuple[object, ...]:
        # A worker process opens the files for itself.
        return open_geo, ([file for file, _ in self._readers],)

    def look_up(self, address: str) -> Json:
        geo, system = self._cached(address)
        found: Json = {}
        if geo:
            found["geo"] = dict(geo)
        if system:
            found["as"] = dict(system)
        return found

    def _look_up(self, address: str) -> tuple[Json, Json]:
        geo: Json = {}
        system: Json = {}
        for file, reader in self._readers:
            try:
                entry = reader.get(address)
            except ValueError:  # not an address of the database's family
                continue
            except self._damaged as error:
                raise _unusable(file, str(error)) from error
            if isinstance(entry, dict):
                geo |= _geo(entry)
                system |= _system(entry)
        return geo, system


def open_geo(paths: Sequence[str | Path]) -> GeoLookup:
    """Open MaxMind files (GeoLite2 or GeoIP2 City, Country, ASN) for look-ups.

    This does I/O, unlike the rest of the room: only the caller's edge calls it, with the paths the user gave. Raises
    SettingsError for a file that is missing or no such database.
    """
    import maxminddb

    readers = []
    for path in paths:
        try:
            readers.append((str(path), maxminddb.open_database(path)))
        except OSError as error:
            raise _unusable(str(path), error.strerror or str(error)) from error
        except (maxminddb.InvalidDatabaseError, ValueError) as error:
            raise _unusable(str(path), str(error)) from error
    return MaxMind(readers)


def _unusable(file: str, reason: str) -> SettingsError:
    return SettingsError(
        f"{file} cannot be used for geography: {reason}",
        advice="Give --geoip the .mmdb files of MaxMind's City and ASN databases (GeoLite2 or GeoIP2).",
    )


def _geo(entry: Json) -> Json:
    country = _object(entry, "country")
    regions = entry.get("subdivisions")
    region = regions[0] if isinstance(regions, list) and regions and isinstance(regions[0], dict) else {}
    place = _object(entry, "location")
    geo: Json = {
        "city_name": _name(_object(entry, "city")),
        "continent_name": _name(_object(entry, "continent")),
        "country_iso_code": country.get("iso_code"),
        "country_name": _name(country),
        "region_name": _name(region),
    }
    if country.get("iso_code") and region.get("iso_code"):
        geo["region_iso_code"] = f"{country['iso_code']}-{region['iso_code']}"
    if place.get("latitude") is not None and place.get("longitude") is not None:
        geo["location"] = {"lat": place["latitude"], "lon": place["longitude"]}
    return {name: value for name, value in geo.items() if value is not None}


def _system(entry: Json) -> Json:
    system: Json = {}
    if entry.get("autonomous_system_number") is not None:
        system["number"] = entry["autonomous_system_number"]
    if entry.get("autonomous_system_organization"):
        system["organization"] = {"name": entry["autonomous_system_organization"]}
    return system


def _object(entry: Json, key: str) -> Json:
    value = entry.get(key)
    return value if isinstance(value, dict) else {}


def _name(entry: Json) -> object:
    return _object(entry, "names").get("en")
