"""Where the call came from and over what: source.ip, tls.*, related.ip, related.hosts."""

from __future__ import annotations

import ipaddress
import re

from keytrail.cloudtrail.contents import resources
from keytrail.cloudtrail.copies import TLS_COPIES
from keytrail.cloudtrail.flat import SCALARS, Flat, scalar
from keytrail.cloudtrail.javatext import java_scalar
from keytrail.cloudtrail.records import Json
from keytrail.cloudtrail.scrub import at, items_at, text_at

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)
_AWS = ".amazonaws.com"
_INSTANCE_KEYS = ("instanceId", "target", "resourceId")
_SHORTEST_INSTANCE_ID = 10

TLS_FIELDS = ("tls.version", "tls.version_protocol", *TLS_COPIES)


def is_ip(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 literal, without a zone.

    >>> [is_ip(text) for text in ("203.0.113.9", "2001:db8::1", "fe80::1%eth0", "AWS Internal")]
    [True, True, False, False]
    """
    if _IPV4.fullmatch(text):
        return True
    if ":" not in text or "%" in text:
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def source_ip(record: Json) -> str:
    """The caller's address, "" where the record names a service."""
    address = text_at(record, "sourceIPAddress")
    return address if is_ip(address) else ""


def address_fields(record: Json, problems: list[str]) -> Flat:
    return {"source.ip": source_ip(record)}


def tls_fields(record: Json, problems: list[str]) -> Flat:
    """Source: spec, section 7. A record whose tlsVersion is the word "tlsVersion" holds placeholders only."""
    version = at(record, "tlsDetails", "tlsVersion")
    if version == "tlsVersion":
        return {}
    fields: Flat = {field: scalar(at(record, *path), field, problems) for field, path in TLS_COPIES.items()}
    if isinstance(version, str) and "v" in version:
        protocol, _, number = version.partition("v")
        fields["tls.version_protocol"] = protocol.lower()
        fields["tls.version"] = number
    else:
        fields["tls.version"] = scalar(version, "tls.version", problems)
    return fields


def related_fields(record: Json, problems: list[str]) -> Flat:
    """related.ip and related.hosts. Source: spec, section 14."""
    address = source_ip(record)
    addresses = dict.fromkeys([address] if address else [])
    service_address = text_at(record, "serviceEventDetails", "sourceIpAddress")
    if is_ip(service_address):
        addresses[service_address] = None

    hosts: dict[str, None] = {}
    server = tls_fields(record, []).get("tls.client.server_name")
    if isinstance(server, str) and not server.endswith(_AWS):
        hosts[server] = None
    name = text_at(record, "sourceIPAddress")
    if not address and "." in name and " " not in name and not name.endswith(_AWS):
        hosts[name] = None
    computer = at(record, "requestParameters", "computerName")
    if isinstance(computer, SCALARS):
        hosts[java_scalar(computer)] = None
    hosts.update(dict.fromkeys(_instances(record)))
    return {"related.ip": list(addresses), "related.hosts": list(hosts)}


def _instances(record: Json) -> list[str]:
    """The EC2 instance ids that a record names, in the places where the APIs name them."""
    found: list[object] = []
    listed = resources(record)
    for resource in listed if isinstance(listed, list) else []:
        arn = resource.get("arn")
        if isinstance(arn, str) and ":instance/" in arn:
            found.append(arn.rpartition("/")[2])
    for part in ("requestParameters", "responseElements"):
        found += [at(record, part, key) for key in _INSTANCE_KEYS]
        found += items_at(record, part, "instanceIds")
        for item in items_at(record, part, "instancesSet", "items"):
            if isinstance(item, dict):
                found.append(item.get("instanceId"))
    return [
        item for item in found if isinstance(item, str) and len(item) >= _SHORTEST_INSTANCE_ID and item.startswith("i-")
    ]
