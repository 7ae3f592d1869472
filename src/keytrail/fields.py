"""Fields of ECS and alert documents, whose names may be nested, dotted or both."""

from __future__ import annotations

from collections.abc import Mapping

INVESTIGATION = "keytrail.investigation"
"""The field of an alert document that holds its investigation."""

DRIFT = "keytrail.drift"
"""The field of an alert about a policy that nothing reported: both policies, and what is proved about them."""


def value_at(document: Mapping[str, object], name: str) -> object:
    """The value of a field, None when it is missing.

    >>> value_at({"event": {"action": "PutKeyPolicy"}}, "event.action")
    'PutKeyPolicy'
    >>> value_at({"kibana.alert": {"severity": "high"}}, "kibana.alert.severity"), value_at({}, "event.action")
    ('high', None)
    """
    if name in document:
        return document[name]
    end = name.find(".")
    while end > 0:
        inner = document.get(name[:end])
        if isinstance(inner, Mapping) and (found := value_at(inner, name[end + 1 :])) is not None:
            return found
        end = name.find(".", end + 1)
    return None
