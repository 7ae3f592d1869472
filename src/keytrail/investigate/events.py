"""An event as an investigation reads it: who did what to which key, from where, whether it succeeded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, lru_cache

from keytrail.cloudtrail import Json, event_time, identity, text_of
from keytrail.errors import UsageError
from keytrail.policy import Caller, CallerKind
from keytrail.store import StoredRecord

USES: Mapping[str, tuple[str, ...]] = {
    name: (f"kms:{name}",)
    for name in (
        "Decapsulate", "Decrypt", "DeriveSharedSecret", "Encapsulate", "Encrypt", "GenerateDataKey",
        "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext", "GenerateMac",
        "Sign", "Verify", "VerifyMac",
    )
} | {"ReEncrypt": ("kms:ReEncryptFrom", "kms:ReEncryptTo")}  # fmt: skip
"""The events that are a use of a key, and the permissions each needs (spec/key-policy.md section 2)."""


@dataclass(frozen=True, eq=False)
class Event:
    """One event with a readable time. Texts stand as in the record: whoever shows them makes them safe."""

    id: str
    time: datetime
    name: str
    provider: str
    account: str
    region: str
    data: Json

    @classmethod
    def of(cls, data: Json) -> Event | None:
        """The event of a record, None when it has no time that can be read."""
        moment = event_time(data)
        if moment is None:
            return None
        who = identity(data)
        return cls(
            who.event_id,
            moment,
            text_of(data, "eventName"),
            text_of(data, "eventSource"),
            who.account,
            who.region,
            data,
        )

    # What was asked and answered -------------------------------------------------------------------------------

    @cached_property
    def parameters(self) -> Json:
        """`requestParameters`, empty when there are none."""
        return member(self.data, "requestParameters")

    @cached_property
    def response(self) -> Json:
        """`responseElements`, empty when there are none."""
        return member(self.data, "responseElements")

    @cached_property
    def error(self) -> str:
        """Why a call failed: the error code, of one without (a sign-in, say) the message; "" of one that succeeded."""
        return text_of(self.data, "errorCode") or text_of(self.data, "errorMessage")

    @property
    def succeeded(self) -> bool:
        """Whether the call did what it was for."""
        return not self.error

    @cached_property
    def resources(self) -> tuple[str, ...]:
        """The ARNs of `resources`, in their order."""
        listed = self.data.get("resources")
        items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        arns = [item.get("ARN", item.get("arn")) for item in items]
        return tuple(arn for arn in arns if isinstance(arn, str))

    @cached_property
    def contexts(self) -> tuple[tuple[tuple[str, str], ...], ...]:
        """The encryption contexts of the call, each as sorted pairs; ReEncrypt may have two."""
        names = ("encryptionContext", "sourceEncryptionContext", "destinationEncryptionContext")
        found = [member(self.parameters, name) for name in names]
        pairs = [tuple(sorted((k, v) for k, v in one.items() if isinstance(v, str))) for one in found]
        return tuple(dict.fromkeys(one for one in pairs if one))

    @property
    def operation(self) -> tuple[str, str, str]:
        """What an operation is known by, of which two accounts may each have an event, with an id of its own."""
        shared = text_of(self.data, "sharedEventID")
        return ("", "", shared) if shared else (self.account, self.region, self.id)

    # Who and from where ----------------------------------------------------------------------------------------

    @cached_property
    def identity(self) -> Json:
        """`userIdentity`."""
        return member(self.data, "userIdentity")

    @property
    def caller_account(self) -> str:
        """The account of the caller, "" for a service."""
        return text_of(self.identity, "accountId")

    @property
    def who(self) -> str:
        """The caller as the record names it: an ARN (of the session of a role), a service, an id."""
        one = self.identity
        named = (text_of(one, name) for name in ("arn", "invokedBy", "principalId", "type"))
        return next((name for name in named if name), "an unknown caller")

    @cached_property
    def principal(self) -> str:
        """The principal behind the caller, as policies name it.

        A user's ARN, a role's for its sessions, a service; the account's root ARN for callers from elsewhere, of whom
        a record tells the account only.
        """
        issuer = text_of(self.identity, "sessionContext", "sessionIssuer", "arn")
        kind, arn = text_of(self.identity, "type"), text_of(self.identity, "arn")
        if kind == "AWSService" or (not arn and not self.caller_account):
            return text_of(self.identity, "invokedBy") or self.who
        if kind == "AWSAccount" or not (issuer or arn):
            return f"arn:aws:iam::{self.caller_account}:root"
        return issuer if ":role/" in issuer else arn

    @cached_property
    def caller(self) -> Caller | None:
        """The caller as the evaluator of policies takes it, None when the record does not tell enough."""
        one = self.identity
        try:
            if text_of(one, "type") == "AWSService":
                return Caller.parse(f"service:{text_of(one, 'invokedBy')}")
            if not text_of(one, "arn") and self.caller_account:
                # Somebody of another account; any name that no policy holds will do.
                return Caller(CallerKind.ROLE, self.caller_account, text_of(one, "principalId") or "unknown")
            caller = Caller.parse(text_of(one, "arn"))
            # The ARN of a session has no path; that of its role has.
            role = Caller.parse(self.principal) if caller.session is not None else caller
        except UsageError:
            return None
        return replace(role, session=caller.session)

    @cached_property
    def access_key(self) -> str:
        """The access key the call was signed with, "" where the record has none."""
        return text_of(self.identity, "accessKeyId")

    @property
    def invoked_by(self) -> str:
        """The service that passed the caller on, "" for a call by the caller itself."""
        return text_of(self.identity, "invokedBy")

    @property
    def address(self) -> str:
        """Where the call came from: an IP address, or the name of a service."""
        return text_of(self.data, "sourceIPAddress")

    @property
    def agent(self) -> str:
        """The program, as it named itself."""
        return text_of(self.data, "userAgent")


@lru_cache(2_048)
def event_of(record: StoredRecord) -> Event | None:
    """The event of a record, None when it has no time. Many changes by one actor ask for the same ones again."""
    return Event.of(record.data)


def events_of(records: Iterable[StoredRecord]) -> Iterator[Event]:
    """The events of records that have a time; an operation that two accounts saw, once (`sharedEventID`)."""
    shared: set[str] = set()
    for record in records:
        event = event_of(record)
        if event is None:
            continue
        if (mark := text_of(record.data, "sharedEventID")) and mark in shared:
            continue
        shared.add(mark)
        yield event


def each_once(events: Iterable[Event]) -> tuple[Event, ...]:
    """Each operation once, by time; of its copies the caller's, which names the caller."""
    best: dict[tuple[str, str, str], Event] = {}
    for event in sorted(events, key=lambda one: (not one.access_key, not text_of(one.identity, "arn"), one.id)):
        best.setdefault(event.operation, event)
    return tuple(sorted(best.values(), key=lambda one: (one.time, one.id)))


def member(data: Mapping[str, object], name: str) -> Json:
    """A member that is an object, {} for anything else."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}
