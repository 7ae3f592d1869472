"""The published catalogue: every mapped field, its Elasticsearch type, and which fields copy which raw path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keytrail.cloudtrail.copies import CONSTANTS, COPIES, TLS_COPIES
from keytrail.cloudtrail.entities import ENTITY_FIELDS
from keytrail.cloudtrail.geo import GEO_TYPES

FLATTENED = (
    "aws.cloudtrail.flattened.request_parameters",
    "aws.cloudtrail.flattened.response_elements",
    "aws.cloudtrail.flattened.additional_eventdata",
    "aws.cloudtrail.flattened.service_event_details",
    "aws.cloudtrail.flattened.digest",
    "aws.cloudtrail.flattened.insight_details",
    "aws.cloudtrail.user_identity.session_context.web_id_federation_data.attributes",
)
"""Objects whose every leaf is a keyword under its dotted path."""

WITH_TEXT = (
    "aws.cloudtrail.request_parameters",
    "aws.cloudtrail.response_elements",
    "aws.cloudtrail.additional_eventdata",
    "aws.cloudtrail.service_event_details",
    "user.name",
    "user.target.name",
    "user.changes.name",
    "user_agent.original",
    "user_agent.os.name",
    "user_agent.os.full",
    "source.as.organization.name",
    "file.path",
)
"""Keyword fields that have a `text` twin named `.text`, searched by words."""

RESOURCES = "aws.cloudtrail.resources"

_SESSION = "aws.cloudtrail.user_identity.session_context."
_TYPES = {
    "boolean": (
        "aws.cloudtrail.read_only",
        "aws.cloudtrail.console_login.additional_eventdata.mobile_version",
        "aws.cloudtrail.console_login.additional_eventdata.mfa_used",
        f"{_SESSION}assumed_root",
    ),
    "date": ("@timestamp", "event.ingested", "event.created", f"{_SESSION}creation_date"),
    "ip": ("source.ip", "related.ip"),
    "text": ("error.message", *(f"{field}.text" for field in WITH_TEXT)),
    "flattened": FLATTENED,
    "constant_keyword": (
        "event.dataset",
        "event.module",
        "data_stream.type",
        "data_stream.dataset",
        "data_stream.namespace",
    ),
}
_KEYWORDS = (
    *COPIES,
    *TLS_COPIES,
    *CONSTANTS,
    *ENTITY_FIELDS,
    *WITH_TEXT,
    *(f"aws.cloudtrail.{name}" for name in ("management_event", "shared_event_id")),
    *(f"{RESOURCES}.{name}" for name in ("arn", "account_id", "type")),
    "aws.cloudtrail.console_login.additional_eventdata.login_to",
    *(f"event.{name}" for name in ("kind", "category", "type", "outcome")),
    *("cloud.account.id", "cloud.service.name", "service.name"),
    *("user.id", "user.email", "user.target.id", "group.id", "group.name"),
    *(f"user_agent.{name}" for name in ("name", "version", "os.version", "device.name")),
    *("tls.version", "tls.version_protocol"),
    *("related.user", "related.hosts", "related.hash"),
    "tags",
    # Filled by the agent that reads a bucket, and so mapped, but by nobody here (event.created is another).
    *("aws.s3.bucket.name", "aws.s3.bucket.arn", "aws.s3.object.key"),
)


@dataclass(frozen=True, slots=True)
class FieldCatalogue:
    """Field types and constants. Source: spec, sections 11 and 14, and ECS 8.11."""

    types: Mapping[str, str]
    constants: Mapping[str, str]
    raw_paths: Mapping[str, tuple[str, ...]]

    def type_of(self, field: str) -> str | None:
        """Return the Elasticsearch type of `field`, None when it is not mapped; a flattened field's child is flattened.

        >>> CATALOGUE.type_of("source.ip"), CATALOGUE.type_of("user.name.text"), CATALOGUE.type_of("process.name")
        ('ip', 'text', None)
        >>> CATALOGUE.type_of("aws.cloudtrail.flattened.request_parameters.policyName")
        'flattened'
        """
        found = self.types.get(field)
        if found is None and flattened_root(field) is not None:
            return "flattened"
        return found

    def constant_of(self, field: str) -> str | None:
        """Return the value of a constant_keyword field, None for every other field.

        >>> CATALOGUE.constant_of("event.dataset")
        'aws.cloudtrail'
        """
        return self.constants.get(field) if self.types.get(field) == "constant_keyword" else None

    def ignore_above(self, field: str) -> int | None:
        """Return the length from which Elasticsearch leaves a value of `field` out of its index, None without bound.

        keytrail matches such values all the same; `--strict` queries leave them out too. Source: spec, section 11.

        >>> CATALOGUE.ignore_above("aws.cloudtrail.request_parameters"), CATALOGUE.ignore_above("event.action")
        (8191, None)
        """
        return _IGNORE_ABOVE.get(field)

    def names(self) -> Iterable[str]:
        """Return every mapped field, `.text` twins included; children of flattened fields have no fixed names."""
        return self.types.keys()

    def raw_path(self, field: str) -> tuple[str, ...] | None:
        """Return the path in the record that a string in `field` is a copy of, None when the field is computed.

        A value that the scrub takes away ("", "-", "none") is at the path and not in the field.

        >>> CATALOGUE.raw_path("event.action"), CATALOGUE.raw_path("cloud.account.id")
        (('eventName',), None)
        """
        return self.raw_paths.get(field)


_IGNORE_ABOVE = {"aws.cloudtrail.request_parameters": 8191, "aws.cloudtrail.response_elements": 8191}


def flattened_root(field: str) -> str | None:
    """Return the flattened field that `field` is a child of, None when it is none."""
    if field.startswith("aws.cloudtrail."):
        for root in FLATTENED:
            if field.startswith(root) and field[len(root) :].startswith("."):
                return root
    return None


def _types() -> dict[str, str]:
    types = dict.fromkeys(_KEYWORDS, "keyword") | GEO_TYPES
    for kind, fields in _TYPES.items():
        types.update(dict.fromkeys(fields, kind))
    return dict(sorted(types.items()))


CATALOGUE = FieldCatalogue(types=_types(), constants=CONSTANTS, raw_paths=COPIES | TLS_COPIES)
"""The catalogue of this version of the mapping."""
