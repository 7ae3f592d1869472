"""Telling people: messages about alerts, and the sinks that deliver them.

A message is routed (`routes`), paced (`pace`, `digest_of`) and sent; a DeliveryError tells exactly what failed, and
`pause_seconds` when it is tried again.
"""

from keytrail.notify.digests import digest_of, pace
from keytrail.notify.model import DeliveryError, Digest, Message, Reason, Sink
from keytrail.notify.registry import SINKS, open_sinks, test_message
from keytrail.notify.retries import pause_seconds
from keytrail.notify.routing import Route, routes

__all__ = [
    "SINKS",
    "DeliveryError",
    "Digest",
    "Message",
    "Reason",
    "Route",
    "Sink",
    "digest_of",
    "open_sinks",
    "pace",
    "pause_seconds",
    "routes",
    "test_message",
]
