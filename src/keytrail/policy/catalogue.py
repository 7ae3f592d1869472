"""The catalogue of KMS actions and condition keys: what the data files say, and wildcard expansion against it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from keytrail.policy.model import Statement
from keytrail.policy.patterns import glob_match

KeyType = Literal["String", "Arn", "Bool", "Numeric", "Date", "IpAddress"]
Presence = Literal["always", "sometimes", "caller"]
Trust = Literal["yes", "no", "value", "network", "service"]


@dataclass(frozen=True, slots=True)
class Action:
    """One KMS permission; see the head of data/actions.toml for what the fields mean."""

    name: str  # "kms:Decrypt", as documented
    access: str
    group: str
    key_level: bool
    cross_account: bool
    grant: bool
    newer_than: str | None = None

    @property
    def lower(self) -> str:
        """The name to compare by: actions are case-insensitive (1.3)."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class ConditionKey:
    """One condition key or family of keys; see the head of data/keys.toml for what the fields mean.

    `actions` holds full action names ("kms:Decrypt"), None = every key-level action. `callers` None = all.
    """

    name: str
    type: KeyType
    presence: Presence
    trust: Trust
    multi: bool = False
    actions: frozenset[str] | None = None
    callers: Literal["iam", "service"] | None = None
    constant: bool = False

    def present_on(self, action: str) -> bool:
        """Whether a request for `action` (a full name in the catalogue's spelling) can carry the key (1.7)."""
        return self.actions is None or action in self.actions


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of it. `actions` is by lower-case full name, in the order of the file; `groups` by severity."""

    date: str
    groups: tuple[str, ...]
    actions: Mapping[str, Action]
    keys: Mapping[str, ConditionKey]
    families: tuple[ConditionKey, ...]

    def action(self, name: str) -> Action | None:
        """The action of that name in any case, with its `kms:`; None when the catalogue does not have it."""
        return self.actions.get(name.lower())

    def key(self, name: str) -> ConditionKey | None:
        """The condition key of that name in any case, or the family it belongs to; None when unknown.

        >>> catalogue().key("KMS:encryptioncontext:tenant").name
        'kms:EncryptionContext:*'
        """
        lower = name.lower()
        known = self.keys.get(lower)
        if known is not None:
            return known
        for family in self.families:
            if lower.startswith(family.name[:-1].lower()) and len(lower) >= len(family.name):
                return family
        return None

    def key_actions(self) -> tuple[Action, ...]:
        """The actions a key policy can give."""
        return tuple(action for action in self.actions.values() if action.key_level)

    def group(self, name: str) -> tuple[Action, ...]:
        """The actions of one group."""
        return tuple(action for action in self.actions.values() if action.group == name)


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The catalogue, read from the package's data files on first use."""
    actions, keys = _read("actions.toml"), _read("keys.toml")
    sets: dict[str, list[str]] = keys["sets"]
    entries = [_key(name, entry, sets) for name, entry in keys["keys"].items()]
    return Catalogue(
        date=actions["date"],
        groups=tuple(actions["groups"]),
        actions={action.lower: action for action in (_action(*item) for item in actions["actions"].items())},
        keys={key.name.lower(): key for key in entries if not key.name.endswith("*")},
        families=tuple(key for key in entries if key.name.endswith("*")),
    )


@lru_cache(maxsize=4096)
def expand(pattern: str) -> frozenset[str]:
    """The key-level actions, by catalogue name, that an action pattern of a policy covers, in any case (1.3).

    A pattern that covers none names an action that only IAM can give, another service, or nothing known: in a key
    policy it has no effect.

    >>> sorted(expand("KMS:re?ncrypt*"))
    ['kms:ReEncryptFrom', 'kms:ReEncryptTo']
    """
    lower = pattern.lower()
    return frozenset(a.name for a in catalogue().key_actions() if glob_match(lower, a.lower))


def actions_of(statement: Statement) -> frozenset[str]:
    """The key-level actions a statement is about; empty when it has neither Action nor NotAction (1.3)."""
    if statement.actions is not None:
        return _union(statement.actions)
    if statement.not_actions is not None:
        return frozenset(a.name for a in catalogue().key_actions()) - _union(statement.not_actions)
    return frozenset()


def _union(patterns: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*(expand(pattern) for pattern in patterns))


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("data", name).read_text("utf-8"))


def _action(name: str, entry: dict[str, Any]) -> Action:
    return Action(
        name=f"kms:{name}",
        access=entry["access"],
        group=entry["group"],
        key_level=entry["level"] == "key",
        cross_account=entry["cross_account"],
        grant=entry["grant"],
        newer_than=entry.get("newer_than"),
    )


def _key(name: str, entry: dict[str, Any], sets: dict[str, list[str]]) -> ConditionKey:
    actions = entry.get("actions")
    if isinstance(actions, str):
        actions = sets[actions]
    return ConditionKey(
        name=name,
        type=entry["type"],
        presence=entry["presence"],
        trust=entry["trust"],
        multi=entry.get("multi", False),
        actions=None if actions is None else frozenset(f"kms:{action}" for action in actions),
        callers=entry.get("callers"),
        constant="constant" in entry,
    )
