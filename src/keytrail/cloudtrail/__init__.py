"""CloudTrail: bytes to records, records to ECS documents, and the catalogue of their fields. Pure; no I/O, no clock."""

from keytrail.cloudtrail.catalogue import CATALOGUE, FieldCatalogue
from keytrail.cloudtrail.document import Document, normalize
from keytrail.cloudtrail.envelope import Aside, read_items
from keytrail.cloudtrail.geo import GeoLookup, open_geo
from keytrail.cloudtrail.inflate import inflate
from keytrail.cloudtrail.records import (
    Identity,
    Json,
    Kind,
    ReadLimits,
    Record,
    classify,
    event_time,
    identity,
    parse_json,
    text_of,
)

__all__ = [
    "CATALOGUE",
    "Aside",
    "Document",
    "FieldCatalogue",
    "GeoLookup",
    "Identity",
    "Json",
    "Kind",
    "ReadLimits",
    "Record",
    "classify",
    "event_time",
    "identity",
    "inflate",
    "normalize",
    "open_geo",
    "parse_json",
    "read_items",
    "text_of",
]
