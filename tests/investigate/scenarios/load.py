"""Reads the scenarios of this folder: their events as whole CloudTrail records, and what they expect (README.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from keytrail.investigate import Inventory, InventoryEntry, Knowledge, Limits, Snapshot, change_of, investigate
from keytrail.investigate.events import USES, Event
from keytrail.settings.trust import Accounts, ApprovedAccount
from keytrail.store import MemoryStore
from tests.investigate import records

Json = dict[str, Any]

FOLDER = Path(__file__).parent
MEMBERS = frozenset({"about", "statements", "events", "accounts", "snapshots", "inventory", "limits", "investigate"})
SHORT = frozenset({"id", "at", "call", "by", "key", "replica", "policy", "request", "context", "alias", "grant"})
"""The members of an event that are not members of a record. All others are, and override what the loader fills in."""


@dataclass(frozen=True)
class Scenario:
    """One file: whole records in the order of the file, what is known besides, and the event to investigate."""

    name: str
    about: str
    records: tuple[Json, ...]
    knowledge: Knowledge
    event_id: str
    expect: Json

    def document(self, delivered: Iterable[Json] | None = None) -> Json:
        """The document of the investigation, over the records or over what of them was `delivered` and how."""
        told = self.records if delivered is None else tuple(delivered)
        event = next(one for data in told if (one := Event.of(data)) is not None and one.id == self.event_id)
        change = change_of(event)
        assert change is not None, f"{self.name}: event {self.event_id} gives no key a policy"
        [(_, found)] = investigate([change], MemoryStore(told), self.knowledge)
        return found.to_dict()


def names() -> list[str]:
    """The names of all scenarios."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


@cache
def scenario(name: str) -> Scenario:
    """Read the scenario with this name."""
    data: Json = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    unknown = data.keys() - MEMBERS - {"expect"}
    assert not unknown, f"{name}: {sorted(unknown)} mean nothing in a scenario"
    writer = _Writer(data.get("statements", {}))
    built = tuple(writer.record(one) for one in data["events"])
    ids = [one["eventID"] for one in built]
    assert len(ids) == len(set(ids)), f"{name}: an id stands twice"
    return Scenario(name, data["about"], built, _knowledge(data, writer), data["investigate"], data["expect"])


@cache
def document(name: str) -> Json:
    """The document of a scenario's investigation. Made once; not to be changed."""
    return scenario(name).document()


# Events ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Writer:
    """Writes whole records; `statements` are those that policies name."""

    statements: Mapping[str, Json]

    def record(self, short: Mapping[str, Any]) -> Json:
        """The record of an event as a scenario writes it."""
        build = CALLS.get(short["call"], _any_use if short["call"].partition(":")[2] in USES else _other)
        built = build(self, short)
        if asked := short.get("request"):
            built["requestParameters"] = {**(built["requestParameters"] or {}), **asked}
        more = {name: value for name, value in short.items() if name not in SHORT}
        if "invokedBy" in more:
            more["userIdentity"] = {**built["userIdentity"], "invokedBy": more.pop("invokedBy")}
        return {**built, "eventID": short["id"], "requestID": f"request of {short['id']}", **more}

    def policy(self, written: object) -> str:
        """The text of a policy: as it stands, or of an object, or of a list of statements and names of statements."""
        if isinstance(written, str):
            return written
        if isinstance(written, list):
            named = [self.statements[one] if isinstance(one, str) else one for one in written]
            written = records.policy(*({"Effect": "Allow", "Resource": "*", **one} for one in named))
        return json.dumps(written, indent=2, ensure_ascii=False)


def caller(written: object) -> Json:
    """`userIdentity`: whole, or in short "role/Admin", "user/ada", "777788889999" (another account), "x.amazonaws.com".

    `role/Admin/ada` names the session, `role/Admin@222233334444` the account of the role.
    """
    if isinstance(written, dict):
        return written
    assert isinstance(written, str), written
    if written.isdigit():
        return records.outsider(written)
    if written.endswith(".amazonaws.com"):
        return records.service(written)
    kind, _, rest = written.partition("/")
    name, _, account = rest.partition("@")
    role, _, session = name.partition("/")
    if kind == "user":
        return records.user(role, account or records.OWNER, access_key=f"AKIAEXAMPLE{role.upper():0<9}")
    assert kind == "role", written
    key = f"ASIAEXAMPLE{role.upper():0<9}"
    return records.session(role, account or records.OWNER, name=session or role.lower(), access_key=key)


Build = Callable[[_Writer, Mapping[str, Any]], Json]


def _put_policy(writer: _Writer, short: Mapping[str, Any]) -> Json:
    return records.put_policy(*_who(short), writer.policy(short.get("policy", "")), key=_key(short))


def _create_key(writer: _Writer, short: Mapping[str, Any]) -> Json:
    built = records.create_key(*_who(short), None, key=_key(short))
    if "policy" in short:
        built["requestParameters"]["policy"] = writer.policy(short["policy"])  # type: ignore[index]
    return built


def _replicate_key(writer: _Writer, short: Mapping[str, Any]) -> Json:
    built = records.replicate_key(*_who(short), {}, primary=_key(short), replica=short["replica"])
    text = writer.policy(short["policy"])
    built["requestParameters"]["policy"] = built["responseElements"]["replicaPolicy"] = text  # type: ignore[index]
    return built


def _any_use(_: _Writer, short: Mapping[str, Any]) -> Json:
    call = short["call"].partition(":")[2]
    return records.use(*_who(short), short.get("context"), call=call, key=_key(short))


def _grant(_: _Writer, short: Mapping[str, Any]) -> Json:
    asked = short["request"]
    return records.grant(*_who(short), asked["granteePrincipal"], grant_id=short["grant"], key=_key(short))


def _alias(_: _Writer, short: Mapping[str, Any]) -> Json:
    call = short["call"].partition(":")[2]
    return records.alias(call, *_who(short), short["alias"], key=_key(short))


def _assume_role(_: _Writer, short: Mapping[str, Any]) -> Json:
    asked = short["request"]
    name = asked.get("roleSessionName", "i-1")
    key = caller(f"role/{asked['roleArn'].rpartition('/')[2]}")["accessKeyId"]
    return records.assume_role(*_who(short), asked["roleArn"], name=name, access_key=key)


def _other(writer: _Writer, short: Mapping[str, Any]) -> Json:
    service, _, name = short["call"].partition(":")
    if service == "kms":
        return records.key_call(name, *_who(short), key=_key(short))
    return records.record(short["call"], *_who(short), {})


CALLS: Mapping[str, Build] = {
    "kms:PutKeyPolicy": _put_policy,
    "kms:CreateKey": _create_key,
    "kms:ReplicateKey": _replicate_key,
    "kms:CreateGrant": _grant,
    "kms:CreateAlias": _alias,
    "kms:UpdateAlias": _alias,
    "kms:DeleteAlias": _alias,
    "sts:AssumeRole": _assume_role,
}
"""The calls that are filled in each in its own way; uses of the key, other calls of KMS and of all else are too."""


def _who(short: Mapping[str, Any]) -> tuple[str, Json]:
    return short["at"], caller(short["by"])


def _key(short: Mapping[str, Any]) -> str:
    return str(short.get("key", records.KEY))


# What is known besides ------------------------------------------------------------------------------------------------


def _knowledge(data: Json, writer: _Writer) -> Knowledge:
    told = data.get("accounts", {})
    approved = tuple(
        ApprovedAccount(one["account"], one["reason"], _moment(one.get("expires"))) for one in told.get("approved", ())
    )
    return Knowledge(
        accounts=Accounts(told.get("organisation"), told.get("accounts", {}), approved, tuple(told.get("trusted", ()))),
        inventory=Inventory(tuple(InventoryEntry(**one) for one in data.get("inventory", ()))),
        snapshots=tuple(
            Snapshot(one.get("key", records.KEY), _moment(one.get("at")), writer.policy(one["policy"]), one["place"])
            for one in data.get("snapshots", ())
        ),
        limits=Limits(**data.get("limits", {})),
    )


def _moment(written: str | None) -> datetime | None:
    return None if written is None else records.moment(written)


# What is expected -----------------------------------------------------------------------------------------------------


def problems(found: Json, expect: Mapping[str, Any]) -> list[str]:
    """What of an investigation is not as expected, a line each."""
    wrong: list[str] = []
    for path, wanted in expect.items():
        value = at(found, path)
        tests = wanted.items() if isinstance(wanted, dict) and wanted.keys() <= OPERATORS.keys() else [("is", wanted)]
        wrong += [
            f"{path}: {value!r}, expected {'' if name == 'is' else f'{name} '}{argument!r}"
            for name, argument in tests
            if not OPERATORS[name](value, argument)
        ]
    return wrong


def at(value: object, path: str) -> object:
    """What a path leads to: `a.b` a member, `a[0]` an item, `a[*].b` that of every item, `a[x=1]` the only such item.

    Raises KeyError for a path that leads nowhere, so that a misspelt one is no success.
    """
    found = _STEP.fullmatch(path)
    if found is None or not isinstance(value, dict) or found["name"] not in value:
        raise KeyError(f"no such member: {path!r}")
    value, which, rest = value[found["name"]], found["which"], found["rest"]
    if which is None:
        return at(value, rest) if rest else value
    if not isinstance(value, list):
        raise KeyError(f"no list: {path!r}")
    if which == "*":
        return [at(item, rest) if rest else item for item in value]
    if which.isdigit() and int(which) >= len(value):
        raise KeyError(f"only {len(value)} items: {path!r}")
    item = value[int(which)] if which.isdigit() else _only(value, which)
    return at(item, rest) if rest else item


_STEP = re.compile(r"(?P<name>[^.\[]+)(\[(?P<which>[^\]]*)\])?(\.(?P<rest>.+))?")


def _only(items: Sequence[object], which: str) -> object:
    """The only one of the items with a member of a value, `member=value`."""
    member, _, wanted = which.partition("=")
    found = [item for item in items if str(at(item, member)) == wanted]
    if len(found) != 1:
        raise KeyError(f"{len(found)} items have {which}")
    return found[0]


def _several(wanted: object) -> Sequence[Any]:
    return wanted if isinstance(wanted, list) else [wanted]


OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "is": lambda value, wanted: value == wanted,
    "contains": lambda value, wanted: all(one in value for one in _several(wanted)),
    "lacks": lambda value, wanted: not any(one in value for one in _several(wanted)),
    "at_least": lambda value, wanted: value >= wanted,
    "at_most": lambda value, wanted: value <= wanted,
    "count": lambda value, wanted: len(value) == wanted,
    "none": lambda value, wanted: (value is None or value == []) is wanted,
}
"""What an expectation may say of a value instead of the value itself."""
