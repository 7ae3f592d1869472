"""Where the value of a condition key comes from, for one class of callers and one action: fixed, absent, or free.

Free keys that show parts of the same thing share its base, which is what makes the linking axioms (1.9) hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from keytrail.policy.catalogue import ConditionKey, catalogue
from keytrail.policy.prover.checks import Domain
from keytrail.policy.prover.classes import PrincipalClass
from keytrail.policy.prover.globs import Language
from keytrail.policy.prover.views import ACCOUNTS, ORGANISATION_PATHS, prefixed
from keytrail.policy.requests import CallerKind

ENCRYPTION_CONTEXT = "kms:encryptioncontext:"
CONTEXT_KEYS = "kms:encryptioncontextkeys"
_TYPES = {
    CallerKind.ROOT: "Account",
    CallerKind.USER: "User",
    CallerKind.ROLE: "AssumedRole",
    CallerKind.FEDERATED_USER: "FederatedUser",
}

ANYTHING = Domain("text")
_BOOLEANS = Domain("list", texts=("false", "true"))


@dataclass(frozen=True, slots=True)
class Fixed:
    """The key has these values in every such request; () = it is absent."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Free:
    """The key shows `view` of the value of `base`. `presence` names what makes it present: None = always.

    A presence that starts with "!" is the absence of the rest.
    """

    base: str
    view: str = ""
    presence: str | None = None
    multi: bool = False


Slot = Fixed | Free
ABSENT = Fixed(())


@dataclass(frozen=True, slots=True)
class Setting:
    """One class of callers and one action, on a key of `owner`; `organisation` is the owner's, where known."""

    caller: PrincipalClass
    action: str
    owner: str
    organisation: str | None = None
    floor: int = 0

    def slot(self, name: str) -> Slot:
        """The slot of a key by its lower-case name."""
        known = catalogue().key(name)
        if known is None:
            return Free(f"key:{name}", presence=name)
        is_service = self.caller.caller.kind is CallerKind.SERVICE
        if not known.present_on(self.action) or known.callers == ("iam" if is_service else "service"):
            return ABSENT
        if known.presence == "caller":
            return self._from_caller(name)
        linked = self._linked(name)
        if linked is not None:
            return linked
        presence = None if known.presence == "always" else name
        return Free(f"key:{name}", presence=presence, multi=known.multi)

    def _from_caller(self, name: str) -> Slot:
        group = self.caller
        caller = group.caller
        service = caller.kind is CallerKind.SERVICE
        match name:
            case "kms:encryptioncontextkeys":
                return Free("context keys", presence=name, multi=True)
            case "aws:resourceaccount":
                return Fixed((self.owner,))
            case "aws:principalisawsservice":
                return Fixed(("true" if service else "false",))
            case "aws:principaltype":
                return ABSENT if service else Fixed((_TYPES[caller.kind],))
            case "aws:principalservicename":
                return Free("principal") if group.domain is not None else Fixed((caller.name,))
            case "kms:calleraccount" | "aws:principalaccount":
                return Free("principal", "account") if group.account is None else Fixed((group.account,))
            case "aws:principalarn":
                return Free("principal") if group.domain is not None else Fixed((caller.principal_arn or "",))
            case "aws:username":
                if caller.kind is not CallerKind.USER:
                    return ABSENT
                if group.domain is not None:
                    return Free("principal", "user name")
                return Fixed((caller.name.rpartition("/")[2],))
            case _:
                raise AssertionError(f"the catalogue says {name} follows from the caller")

    def _linked(self, name: str) -> Slot | None:
        group = self.caller
        match name:
            case "aws:userid" if group.caller.kind is CallerKind.ROOT:
                return self._from_caller("aws:principalaccount")
            case "aws:principalorgid" | "aws:principalorgpaths":
                known = self.organisation is not None and group.account == self.owner
                return self._organisation(name, "organisation", None if known else "aws:principalorgid")
            case "aws:resourceorgid" | "aws:resourceorgpaths":
                if group.account == self.owner:  # the same organisation, and the same place in it
                    return self._linked(name.replace("resource", "principal"))
                presence = None if self.organisation is not None else "aws:resourceorgid"
                return self._organisation(name, "resource organisation", presence)
            case "aws:sourceorgid" | "aws:sourceorgpaths":
                return self._organisation(name, "source organisation", "aws:sourceorgid")
            case "aws:sourceip":
                return Free("key:aws:sourceip", presence="!endpoint")
            case "aws:sourcevpce" | "aws:sourcevpc" | "aws:vpcsourceip":
                return Free(f"key:{name}", presence="endpoint")
            case "aws:currenttime":
                return Free("time", "iso")
            case "aws:epochtime":
                return Free("time")
            case "aws:calledvia":
                return Free("chain", presence="aws:calledvia", multi=True)
            case "aws:calledviafirst" | "aws:calledvialast":
                return Free("chain", name.removeprefix("aws:calledvia"), presence="aws:calledvia")
            case _:
                return None

    def _organisation(self, name: str, base: str, presence: str | None) -> Slot:
        if name.endswith("orgid"):
            if presence is None and self.organisation is not None:
                return Fixed((self.organisation,))
            return Free(base, "organisation", presence)
        return Free(base, "", presence)  # one place, though the key may list several

    def domain(self, base: str) -> Domain:
        """The values the base can have."""
        match base:
            case "principal":
                return Domain("text", self.caller.domain, self.caller.excluded)
            case "organisation" | "resource organisation":
                own = base == "resource organisation" or self.caller.account == self.owner
                if own and self.organisation is not None:
                    within = [
                        glob.then(path) for glob in Language.of(self.organisation + "/").globs for path in _PLACES
                    ]
                    return Domain("text", Language(within))
                return Domain("text", ORGANISATION_PATHS)
            case "source organisation":
                return Domain("text", ORGANISATION_PATHS)
            case "time":
                return Domain("instant", floor=self.floor)
        if not base.startswith("key:"):
            return ANYTHING
        name = base[4:]
        known = catalogue().key(name)
        return ANYTHING if known is None else _key_domain(name, known)


_PLACES = tuple(
    glob for path in ORGANISATION_PATHS.quotient("o-x/", "").globs for glob in (path,) if len(glob.steps) >= 3
)


def _key_domain(name: str, known: ConditionKey) -> Domain:
    match known.type:
        case "Bool":
            return _BOOLEANS
        case "Numeric":
            return Domain("integer")
        case "Date":
            return Domain("instant")
        case "IpAddress":
            return Domain("address")
    if name == "kms:grantoperations":
        return Domain("list", texts=_grant_operations())
    return _TEXTS.get(name, ANYTHING)


_TEXTS = {
    "aws:sourceaccount": Domain("text", ACCOUNTS),
    "aws:sourcevpce": Domain("text", prefixed("vpce-")),
    "aws:sourcevpc": Domain("text", prefixed("vpc-")),
}


@lru_cache(maxsize=1)
def _grant_operations() -> tuple[str, ...]:
    return tuple(action.name.removeprefix("kms:") for action in catalogue().key_actions() if action.grant)
