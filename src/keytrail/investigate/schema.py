"""The JSON Schema of the document under `keytrail.investigation`, made from the types that the document is made of.

docs/investigation.schema.json is what this gives, and is what users are pointed to; a test holds them equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from keytrail.investigate.model import (
    SCHEMA_VERSION,
    ComparedChange,
    Investigation,
    JsonObject,
    Judgement,
    PolicyVersion,
)
from keytrail.policy.findings import SEVERITIES

_ID = "https://example.invalid/keytrail/investigation.schema.json"
_PROOF = {"enum": ["proved", "witnessed", "possible"]}
_TEXT: JsonObject = {"type": "string"}
_TEXTS: JsonObject = {"type": "array", "items": _TEXT}
_TIME: JsonObject = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}

_SIMPLE: Mapping[object, JsonObject] = {
    str: _TEXT,
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    datetime: _TIME,
    NoneType: {"type": "null"},
}


def schema() -> JsonObject:
    """Return the schema (JSON Schema 2020-12). Every member is listed; none is optional."""
    made: dict[str, JsonObject] = {"Comparison": _comparison(), "Finding": _finding(), "PolicyVersion": _version()}
    whole, judged, change = (get_type_hints(one) for one in (Investigation, Judgement, ComparedChange))
    members = {
        "schema_version": {"const": SCHEMA_VERSION},
        **{name: _of(whole[name], made) for name in ("revision", "as_of", "event_id")},
        **{name: _of(judged[name], made) for name in ("verdict", "score", "summary", "reasons", "would_change")},
        "key": _of(whole["key"], made),
        **{name: _of(change[name], made) for name in ("before", "after", "comparison")},
        "compared_with": _of(change["baseline"], made),
        **{
            name: _of(change[name], made)
            for name in ("history", "refused_before", "reverted_by", "reverted_at", "in_force_until", "notes")
        },
        **{name: _of(whole[name], made) for name in ("accounts", "data_at_stake", "actor")},
        "related_activity": _of(whole["related"], made),
        **{name: _of(whole[name], made) for name in ("timeline", "findings", "coverage", "truncated")},
    }
    members["score"] = {"type": "integer", "minimum": 0, "maximum": 100}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _ID,
        "title": "keytrail.investigation",
        "description": "What keytrail found about one change of the policy of an AWS KMS key. Texts come from records: "
        "make them safe before they are shown.",
        **_object(members),
        "$defs": dict(sorted(made.items())),
    }


def _of(kind: Any, made: dict[str, JsonObject]) -> JsonObject:  # a type, as `get_type_hints` gives them
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, UnionType):
        return {"anyOf": [_of(one, made) for one in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _of(arguments[0], made)}
    if origin is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        values = arguments[1]
        return {"type": "object"} if values is object else {"type": "object", "additionalProperties": _of(values, made)}
    kind_of_items = arguments[0] if arguments else None
    name = (origin or kind).__name__ + ("" if kind_of_items is None else f"Of{_name(kind_of_items)}")
    if name not in made:
        made[name] = {}  # so that a type may hold itself
        made[name] = _dataclass(origin or kind, kind_of_items, made)
    return {"$ref": f"#/$defs/{name}"}


def _dataclass(kind: Any, items: Any, made: dict[str, JsonObject]) -> JsonObject:
    assert is_dataclass(kind), kind
    hints = get_type_hints(kind)
    if items is None:
        items = next((get_args(base)[0] for base in getattr(kind, "__orig_bases__", ()) if get_args(base)), None)
    members = {
        one.name: _of(tuple[items, ...] if one.name == "items" else hints[one.name], made) for one in fields(kind)
    }
    text = " ".join(line.strip() for line in (kind.__doc__ or "").strip().splitlines())
    return {"description": text, **_object(members)}


def _name(kind: Any) -> str:
    return {str: "Text"}.get(kind) or str(kind.__name__)


def _object(members: Mapping[str, object]) -> JsonObject:
    return {
        "type": "object",
        "properties": dict(members),
        "required": list(members),
        "additionalProperties": False,
    }


# What `policy` and `PolicyVersion` write in their own way -----------------------------------------------------------


def _version() -> JsonObject:
    statuses = get_args(get_type_hints(PolicyVersion)["status"])
    return {
        "description": "A version of the key's policy: known, default (AWS's), none (no key yet), unknown, or gap: the "
        "last one that is known, and something that is not known may have come after it.",
        **_object(
            {
                "status": {"enum": list(statuses)},
                "source": {"anyOf": [{"$ref": "#/$defs/VersionSource"}, {"type": "null"}]},
                "digest": {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"},
                "reason": {"type": ["string", "null"]},
                "document": {"type": ["object", "null"]},
            }
        ),
    }


def _witness() -> JsonObject:
    value = {"anyOf": [_TEXT, _TEXTS]}
    context = {"type": "object", "additionalProperties": value}
    members = {"principal": _TEXT, "action": _TEXT, "context": context, "needs_iam": {"type": "boolean"}}
    return {"anyOf": [_object(members), {"type": "null"}]}


def _statement() -> JsonObject:
    return _object({"index": {"type": "integer"}, "sid": {"type": ["string", "null"]}})


def _change() -> JsonObject:
    statements = {"type": "array", "items": _statement()}
    return _object(
        {
            **dict.fromkeys(("principals", "actions", "groups", "conditions"), _TEXTS),
            "statements": statements,
            "denials": statements,
            "bound": {"enum": ["strict", "upper bound"]},
            "needs_iam": {"type": "boolean"},
            "proof": _PROOF,
            "witness": _witness(),
        }
    )


def _comparison() -> JsonObject:
    flags = ("new_access", "lost_access", "upper_bound_new_access", "upper_bound_lost_access", "public")
    changes = {"type": "array", "items": _change()}
    return {
        "description": "The difference of the two policies, proved; see `keytrail policy diff`.",
        **_object(
            {
                **{name: {"type": "boolean"} for name in flags},
                "external_accounts": _TEXTS,
                "witness": _witness(),
                "lost_witness": _witness(),
                "gains": changes,
                "losses": changes,
                "proof": _object(dict.fromkeys((*flags, "external_accounts"), _PROOF)),
                "incomplete": _TEXTS,
                "findings": {"type": "array", "items": {"$ref": "#/$defs/Finding"}},
            }
        ),
    }


def _finding() -> JsonObject:
    reference = _object(
        {
            "side": {"enum": ["before", "after"]},
            "index": {"type": "integer"},
            "sid": {"type": ["string", "null"]},
        }
    )
    return {
        "description": "One dangerous thing about the change, with what proves it and what to do.",
        **_object(
            {
                "id": {"type": "string", "pattern": r"^KMS-P\d\d$"},
                "title": _TEXT,
                "severity": {"enum": list(SEVERITIES)},
                "techniques": {"type": "array", "items": _object({"id": _TEXT, "name": _TEXT})},
                **dict.fromkeys(("sentence", "remedy"), _TEXT),
                **dict.fromkeys(("principals", "actions"), _TEXTS),
                "statements": {"type": "array", "items": reference},
                "witness": _witness(),
                "proof": _PROOF,
                "bound": {"enum": ["strict", "upper bound", None]},
                "standing": {"type": "boolean"},
            }
        ),
    }
