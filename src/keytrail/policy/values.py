"""Texts of conditions as the values they stand for: numbers, times, Booleans, networks, bytes (1.6)."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2})(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2}))?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=4096)
def number(text: str) -> Decimal | None:
    """An integer or decimal number.

    >>> number("7.50") == number("7.5"), number("7e1")
    (True, None)
    """
    return Decimal(text) if _NUMBER.fullmatch(text) else None


@lru_cache(maxsize=4096)
def time(text: str) -> Decimal | None:
    """Seconds since 1970 of an ISO 8601 (W3C) or epoch time. Four digits alone could be either: None.

    >>> time("2030-01-01T00:00:00Z") == time("1893456000") == time("2030-01-01")
    True
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return None if len(text) == 4 else number(text)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        at = datetime(
            int(year), int(month), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=_zone(zone)
        )
        whole = (at - _EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
    return whole + Decimal(f"0.{fraction or 0}")


def iso_time(seconds: Decimal) -> str | None:
    """The ISO 8601 form of seconds since 1970, in whole seconds; None beyond the years 1 to 9999."""
    try:
        return (_EPOCH + timedelta(seconds=int(seconds))).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError):
        return None


def boolean(text: str) -> bool | None:
    """True or False, written in any case."""
    return {"true": True, "false": False}.get(text.lower())


@lru_cache(maxsize=4096)
def network(text: str) -> Network | None:
    """An IPv4 or IPv6 network in CIDR form; a bare address is a network of one.

    >>> network("203.0.113.7/24")
    IPv4Network('203.0.113.0/24')
    """
    try:
        return ipaddress.ip_network(text, strict=False) if "%" not in text else None
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def address(text: str) -> Address | None:
    """One IPv4 or IPv6 address."""
    try:
        return ipaddress.ip_address(text) if "%" not in text else None
    except ValueError:
        return None


def binary(text: str) -> bytes | None:
    """The bytes of a base64 text."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))
