"""Messages for machines: the alert document as JSON, made to fit where a service sets a limit, and visibly so."""

from __future__ import annotations

import re
from collections.abc import Mapping

from keytrail.fields import INVESTIGATION
from keytrail.investigate.glance import Glance
from keytrail.investigate.reading import investigation_of
from keytrail.notify.model import Digest, Json, Message
from keytrail.notify.words import digest_text, text_of
from keytrail.text import for_json, shorten

SCHEMA = "keytrail.message/1"
SHORTENED = "keytrail.shortened"
"""The key that lists what was left out of a document or cut in it."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_LONG = 1000  # characters: of the texts that are left when every section is gone
_KEPT = ("schema_version", "revision", "as_of", "event_id", "verdict", "score", "summary")


def document_of(message: Message) -> Json:
    """The alert document, with the id and the reason of the message in it."""
    return {
        **message.alert,
        "keytrail.message.id": message.id,
        "keytrail.message.reason": message.reason,
    }


def envelope(message: Message, most_bytes: int) -> Json:
    """The message as an object: its id, why it comes, a text for people, and the alert, in at most `most_bytes`."""
    text = text_of(message)
    told: Json = {
        "schema": SCHEMA,
        "id": message.id,
        "reason": message.reason,
        "subject": text.subject,
        "text": text.plain(),
    }
    return told | {"alert": shrunk(message.alert, most_bytes - len(json_bytes(told)) - 16)}


def digest_envelope(digest: Digest) -> Json:
    """A digest as an object."""
    text = digest_text(digest)
    return {
        "schema": SCHEMA,
        "id": digest.id,
        "reason": "digest",
        "subject": text.subject,
        "text": text.plain(),
        "total": digest.total,
        "verdicts": dict(digest.verdicts),
        "rules": dict(digest.rules),
        "accounts": dict(digest.accounts),
        "gravest": [Glance.of(message.alert).alert_id for message in digest.gravest],
    }


def json_bytes(value: object) -> bytes:
    r"""The JSON of a value, ASCII only; what no Unicode text can hold becomes the replacement character.

    >>> json_bytes({"a": "\ud800", "b": float("nan")})
    b'{"a":"\\ufffd","b":"NaN"}'
    """
    text = for_json(value)
    return (for_json(_well_formed(value)) if "\\ud" in text else text).encode("ascii")


def shrunk(alert: Mapping[str, object], most_bytes: int) -> Json:
    """The alert document in at most `most_bytes` of JSON: the largest sections are left out first, those of the
    investigation before the alert's own, and listed under SHORTENED."""
    document = dict(alert)
    if len(json_bytes(document)) <= most_bytes:
        return document
    shortened: list[str] = []

    def fits() -> bool:
        return len(json_bytes({**document, SHORTENED: shortened})) <= most_bytes

    found = dict(investigation_of(alert))
    if found:
        document[INVESTIGATION] = found
        for name in _largest_first({name: value for name, value in found.items() if name not in _KEPT}):
            del found[name]
            shortened.append(f"{INVESTIGATION}.{name}")
            if fits():
                return document | {SHORTENED: shortened}
    small = {name: _cut(value) for name, value in document.items() if name.startswith(("kibana.alert.", "keytrail."))}
    for name in _largest_first({name: value for name, value in document.items() if name not in small}):
        del document[name]
        shortened.append(name)
        if fits():
            return document | {SHORTENED: shortened}
    document.clear()
    document.update(small)
    for name in _largest_first(small):
        if fits():
            break
        if name not in ("kibana.alert.uuid", INVESTIGATION):
            del document[name]
            shortened.append(name)
    return document | {SHORTENED: shortened[:100]}


def _largest_first(sections: Mapping[str, object]) -> list[str]:
    return sorted(sections, key=lambda name: -len(for_json(sections[name])))


def _cut(value: object) -> object:
    """The value with its texts cut, and those of an object."""
    if isinstance(value, str):
        return shorten(value, _LONG)
    if isinstance(value, Mapping):
        return {key: _cut(item) for key, item in value.items()}
    return value


def _well_formed(value: object) -> object:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_well_formed(key): _well_formed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_well_formed(item) for item in value]
    return value
