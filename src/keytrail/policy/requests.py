"""One request on a key: who calls, what for, with which context; and the witness form of the truth cases."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from keytrail.errors import UsageError

Context = Mapping[str, tuple[str, ...]]

_CALLER = re.compile(
    r"arn:(aws[a-z-]*):(iam|sts)::(\d{12}):(root|(user|role|assumed-role|federated-user)/(.+))", re.DOTALL
)


class CallerKind(StrEnum):
    """What makes a request."""

    ROOT = "root"  # the root user of an account
    USER = "user"
    ROLE = "role"  # a session of a role; session None = any session no policy names
    FEDERATED_USER = "federated-user"
    SERVICE = "service"  # an AWS service with its own identity


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `name` is the path and name of a user or role, the name of a federated user, or a service.

    >>> Caller.parse("arn:aws:sts::111122223333:assumed-role/App/i-1")
    Caller(kind=<CallerKind.ROLE: 'role'>, account='111122223333', name='App', session='i-1', partition='aws')
    >>> Caller.parse("service:sns.amazonaws.com").account is None
    True
    """

    kind: CallerKind
    account: str | None
    name: str = ""
    session: str | None = None
    partition: str = "aws"

    @classmethod
    def parse(cls, text: str) -> Caller:
        """Read an IAM or STS ARN, or `service:<name>`. Raises UsageError for anything else.

        The ARN of a session has no path, so a session of a role with a path must be built with `Caller(...)`.
        """
        if text.startswith("service:") and len(text) > 8:
            return cls(CallerKind.SERVICE, None, text[8:])
        found = _CALLER.fullmatch(text)
        if found is not None:
            partition, service, account, rest, kind, name = found.groups()
            if rest == "root" and service == "iam":
                return cls(CallerKind.ROOT, account, partition=partition)
            if kind in ("user", "role") and service == "iam":
                return cls(CallerKind(kind), account, name, partition=partition)
            if kind == "federated-user" and service == "sts":
                return cls(CallerKind.FEDERATED_USER, account, name, partition=partition)
            role, slash, session = name.partition("/") if name else ("", "", "")
            if kind == "assumed-role" and service == "sts" and role and slash and session and "/" not in session:
                return cls(CallerKind.ROLE, account, role, session, partition=partition)
        raise UsageError(
            f"{text!r} is no caller",
            advice="Write the ARN of a user, role, assumed-role session, federated user or root, or service:<name>.",
        )

    @property
    def arn(self) -> str:
        """The ARN of the caller itself (of the session where one is known), or `service:<name>`."""
        if self.kind is CallerKind.ROLE and self.session is not None:
            role = self.name.rpartition("/")[2]
            return f"arn:{self.partition}:sts::{self.account}:assumed-role/{role}/{self.session}"
        return self.principal_arn or f"service:{self.name}"

    @property
    def principal_arn(self) -> str | None:
        """The value of aws:PrincipalArn: the role for its sessions; None for services (1.8)."""
        match self.kind:
            case CallerKind.SERVICE:
                return None
            case CallerKind.ROOT:
                return f"arn:{self.partition}:iam::{self.account}:root"
            case CallerKind.FEDERATED_USER:
                return f"arn:{self.partition}:sts::{self.account}:federated-user/{self.name}"
            case _:
                return f"arn:{self.partition}:iam::{self.account}:{self.kind}/{self.name}"

    def __str__(self) -> str:
        return self.arn


@dataclass(frozen=True, slots=True)
class Request:
    """One request on the key. `needs_iam` is bit g of the formal model (1.9): IAM of the caller's account allows it.

    `context` holds what the request states, by key name (any case). The keys that follow from the caller need
    not be there: `evaluate` adds them (`keytrail.policy.context`).
    """

    caller: Caller
    action: str
    context: Context = field(default_factory=dict)
    needs_iam: bool = False

    @classmethod
    def from_witness(cls, witness: Mapping[str, object]) -> Request:
        """Read the form `{principal, action, context, needs_iam}`. Raises UsageError when it is not that."""
        principal, action, context = witness.get("principal"), witness.get("action"), witness.get("context") or {}
        if not isinstance(principal, str) or not isinstance(action, str) or not isinstance(context, Mapping):
            raise UsageError("a witness needs principal and action as text and context as an object")
        return cls(
            Caller.parse(principal),
            action,
            {str(key): _texts(value) for key, value in context.items()},
            bool(witness.get("needs_iam", False)),
        )

    def to_witness(self) -> dict[str, object]:
        """The request in the witness form; one value stands alone, several are a list."""
        return {
            "principal": self.caller.arn,
            "action": self.action,
            "context": {key: values[0] if len(values) == 1 else list(values) for key, values in self.context.items()},
            "needs_iam": self.needs_iam,
        }


def _texts(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    return tuple({True: "true", False: "false"}[item] if isinstance(item, bool) else str(item) for item in items)
