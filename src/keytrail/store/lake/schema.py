"""The columns of a segment: the record as stored, and what hunts and pruning need of it. Any tool can read them."""

from __future__ import annotations

import pyarrow as pa

from keytrail.cloudtrail.copies import COPIES

_WORD = pa.dictionary(pa.int32(), pa.string())

SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("us", "UTC")),  # eventTime; null where there is none that exists
        ("ingested", pa.timestamp("us", "UTC")),
        ("event_id", pa.string()),  # of the event's identity (cloudtrail.identity): never null, as are the next two
        ("account", _WORD),
        ("region", _WORD),
        ("provider", _WORD),
        ("action", _WORD),
        ("outcome", _WORD),  # success or failure, as event.outcome of the ECS document
        ("error_code", _WORD),
        ("identity_type", _WORD),
        ("identity_arn", pa.string()),
        ("identity_issuer", pa.string()),  # userIdentity.sessionContext.sessionIssuer.arn
        ("access_key", pa.string()),
        ("source_address", pa.string()),
        ("user_agent", pa.string()),
        ("resources", pa.list_(pa.string())),  # resources[].ARN
        ("read_only", pa.bool_()),
        ("management", pa.bool_()),
        ("digest", pa.int64()),  # of the identity: the same for the same event, see dedup
        ("object", _WORD),  # the name of the object or message that brought it
        ("raw", pa.binary()),  # the exact bytes of the record
    ]
)

COLUMN_OF = {
    COPIES[field]: column
    for field, column in {
        "event.provider": "provider",
        "event.action": "action",
        "aws.cloudtrail.error_code": "error_code",
        "aws.cloudtrail.user_identity.type": "identity_type",
        "aws.cloudtrail.user_identity.arn": "identity_arn",
        "aws.cloudtrail.user_identity.session_context.session_issuer.arn": "identity_issuer",
        "aws.cloudtrail.user_identity.access_key_id": "access_key",
        "source.address": "source_address",
        "user_agent.original": "user_agent",
    }.items()
}
"""Raw path -> the column that holds its value wherever that is a string; such a column may be searched instead."""
