"""Geography from MaxMind readers, and the errors for files that are none."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from keytrail.cloudtrail import Document, normalize, open_geo
from keytrail.cloudtrail.geo import MaxMind
from keytrail.errors import SettingsError

CITY = {
    "city": {"names": {"en": "Seattle", "de": "Seattle"}},
    "continent": {"code": "NA", "names": {"en": "North America"}},
    "country": {"iso_code": "US", "names": {"en": "United States"}},
    "location": {"latitude": 47.5, "longitude": -122.3, "time_zone": "America/Los_Angeles"},
    "subdivisions": [{"iso_code": "WA", "names": {"en": "Washington"}}],
}
ASN = {"autonomous_system_number": 64496, "autonomous_system_organization": "Example Net"}


class Reader:
    """Stands in for maxminddb.Reader: no database may be shipped."""

    def __init__(self, entries: dict[str, object]) -> None:
        self.entries = entries
        self.asked: list[str] = []

    def get(self, ip_address: str) -> object:
        self.asked.append(ip_address)
        if ":" in ip_address:
            raise ValueError("an IPv6 address in an IPv4 database")
        return self.entries.get(ip_address)


def test_the_document_has_place_and_network() -> None:
    readers = [("city.mmdb", Reader({"203.0.113.7": CITY})), ("asn.mmdb", Reader({"203.0.113.7": ASN}))]
    source = normalize({"sourceIPAddress": "203.0.113.7"}, geo=MaxMind(readers))["source"]
    assert source == {
        "address": "203.0.113.7",
        "ip": "203.0.113.7",
        "geo": {
            "city_name": "Seattle",
            "continent_name": "North America",
            "country_iso_code": "US",
            "country_name": "United States",
            "location": {"lat": 47.5, "lon": -122.3},
            "region_iso_code": "US-WA",
            "region_name": "Washington",
        },
        "as": {"number": 64496, "organization": {"name": "Example Net"}},
    }


def test_unknown_addresses_and_services_have_none() -> None:
    reader = Reader({"203.0.113.7": {"country": {"iso_code": "DE"}, "location": {"latitude": 1.0}, "city": "odd"}})
    geo = MaxMind([("c.mmdb", reader)])
    assert geo.look_up("203.0.113.7") == {"geo": {"country_iso_code": "DE"}}
    assert geo.look_up("198.51.100.1") == {}
    assert geo.look_up("2001:db8::1") == {}
    assert Document({"sourceIPAddress": "AWS Internal"}, geo=geo).values("source.geo.country_iso_code") == ()
    assert "AWS Internal" not in reader.asked


def test_what_a_look_up_returns_may_be_changed() -> None:
    geo = MaxMind([("asn.mmdb", Reader({"203.0.113.7": ASN}))])
    geo.look_up("203.0.113.7").clear()
    assert geo.look_up("203.0.113.7")["as"] == {"number": 64496, "organization": {"name": "Example Net"}}


def test_a_worker_process_opens_the_files_for_itself(tmp_path: Path) -> None:
    sent = pickle.dumps(MaxMind([(str(tmp_path / "city.mmdb"), Reader({}))]))
    with pytest.raises(SettingsError, match=r"city\.mmdb"):
        pickle.loads(sent)


def test_a_missing_file_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nothing\.mmdb.*No such file") as caught:
        open_geo([tmp_path / "nothing.mmdb"])
    assert "GeoLite2" in str(caught.value)


def test_a_file_that_is_no_database_is_a_settings_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.mmdb"
    path.write_text("not a database")
    with pytest.raises(SettingsError, match=r"notes\.mmdb cannot be used"):
        open_geo([path])
    with pytest.raises(SettingsError, match="cannot be used"):
        open_geo([tmp_path])


def test_a_database_that_is_damaged_inside_is_a_settings_error() -> None:
    import maxminddb

    class Damaged:
        def get(self, ip_address: str) -> object:
            raise maxminddb.InvalidDatabaseError("bad pointer")

    with pytest.raises(SettingsError, match=r"city\.mmdb.*bad pointer"):
        MaxMind([("city.mmdb", Damaged())]).look_up("203.0.113.7")
