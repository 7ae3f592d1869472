"""Telling people: messages about alerts, and the sinks that deliver them.

A message is routed (`routes`), paced (`pace`, `digest_of`) and sent; what failed of it a DeliveryError tells exactly.
"""

from keytrail.notify.digests import digest_of, pace
from keytrail.notify.model import DeliveryError, Digest, Message, Reason, Sink
from keytrail.notify.registry import SINKS, open_sinks, test_message
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
    "routes",
    "test_message",
]
