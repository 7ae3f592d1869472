"""The context of a request as KMS would see it: what follows from the caller and what cannot be there (1.7 to 1.9).

The linking axioms of the formal model live here, so every request that is evaluated is one that can happen.
"""

from __future__ import annotations

from collections.abc import Mapping

from keytrail.policy import values
from keytrail.policy.catalogue import ConditionKey, catalogue
from keytrail.policy.requests import CallerKind, Request

_ENCRYPTION_CONTEXT = "kms:encryptioncontext:"
_VPC_KEYS = ("aws:sourcevpce", "aws:sourcevpc", "aws:vpcsourceip")
_ORGANISATIONS = (
    ("aws:principalorgid", "aws:principalorgpaths"),
    ("aws:sourceorgid", "aws:sourceorgpaths"),
    ("aws:resourceorgid", "aws:resourceorgpaths"),
)
_PRINCIPAL_TYPES = {
    CallerKind.ROOT: "Account",
    CallerKind.USER: "User",
    CallerKind.ROLE: "AssumedRole",
    CallerKind.FEDERATED_USER: "FederatedUser",
}

CompleteContext = Mapping[str, tuple[str, ...]]  # by lower-case key; no empty values


def complete(request: Request, owner: str) -> CompleteContext:
    """The context of `request` on a key of account `owner`, by lower-case key name.

    Stated keys that such a request cannot carry are dropped: encryption context on DescribeKey, an organisation on a
    service's call, an address on a call through a VPC endpoint. Keys that follow from others are added or corrected.
    """
    context: dict[str, tuple[str, ...]] = {}
    names: dict[str, None] = {}  # of the encryption context, in order and in their own case
    for key, given in request.context.items():
        known = catalogue().key(key)
        if not given or (known is not None and not can_carry(known, request)):
            continue
        lower = key.lower()
        # Two names that differ in case are one key; that leaves a single-valued key with two values.
        context[lower] = context.get(lower, ()) + tuple(given)
        if lower.startswith(_ENCRYPTION_CONTEXT):
            names[key[len(_ENCRYPTION_CONTEXT) :]] = None
    context.update(_from_caller(request))
    context["aws:resourceaccount"] = (owner,)
    if names:
        context["kms:encryptioncontextkeys"] = tuple(names)
    if any(key in context for key in _VPC_KEYS):
        context.pop("aws:sourceip", None)
    _link_services(context)
    _link_organisations(context, same=request.caller.account == owner)
    _link_times(context)
    return context


def can_carry(key: ConditionKey, request: Request) -> bool:
    """Whether a request by this caller for this action may state `key`."""
    if key.presence == "caller":
        return False
    if key.callers == "iam" and request.caller.kind is CallerKind.SERVICE:
        return False
    if key.callers == "service" and request.caller.kind is not CallerKind.SERVICE:
        return False
    action = catalogue().action(request.action)
    return action is None or key.present_on(action.name)


def unstated(name: str, request: Request, context: CompleteContext) -> bool:
    """Whether a request that can happen would carry the key `name` (lower case) while this one does not say its value.

    Such a request is unfinished: an answer that rests on the key's absence does not hold for real requests.
    """
    if name in context:
        return False
    if name == "aws:sourceip":  # missing on VPC endpoints only
        return not any(key in context for key in _VPC_KEYS)
    if name in _VPC_KEYS:
        return any(key in context for key in _VPC_KEYS)
    for identity, paths in _ORGANISATIONS:
        if name == paths and identity in context:
            return True
    known = catalogue().key(name)
    return known is not None and known.presence == "always" and can_carry(known, request)


def _from_caller(request: Request) -> dict[str, tuple[str, ...]]:
    caller = request.caller
    if caller.kind is CallerKind.SERVICE:
        found: dict[str, tuple[str, ...]] = {
            "aws:principalisawsservice": ("true",),
            "aws:principalservicename": (caller.name,),
        }
        if not any(key.lower() == "aws:principalservicenameslist" for key in request.context):
            found["aws:principalservicenameslist"] = (caller.name,)
        return found
    account = caller.account or ""
    found = {
        "aws:principalisawsservice": ("false",),
        "aws:principalaccount": (account,),
        "kms:calleraccount": (account,),
        "aws:principalarn": (caller.principal_arn or "",),
        "aws:principaltype": (_PRINCIPAL_TYPES[caller.kind],),
    }
    if caller.kind is CallerKind.USER:
        found["aws:username"] = (caller.name.rpartition("/")[2],)
    if caller.kind is CallerKind.ROOT:
        found["aws:userid"] = (account,)
    return found


def _link_services(context: dict[str, tuple[str, ...]]) -> None:
    chain = context.get("aws:calledvia")
    if chain:
        context["aws:calledviafirst"], context["aws:calledvialast"] = (chain[0],), (chain[-1],)
    if "aws:viaawsservice" not in context:
        through = "kms:viaservice" in context or "aws:calledviafirst" in context or "aws:calledvialast" in context
        context["aws:viaawsservice"] = ("true" if through else "false",)


def _link_organisations(context: dict[str, tuple[str, ...]], *, same: bool) -> None:
    for identity, paths in _ORGANISATIONS:
        if paths in context:
            context[identity] = (context[paths][0].partition("/")[0],)
    if same and "aws:principalorgid" in context:  # the owner's identities are in the organisation of the key
        context.setdefault("aws:resourceorgid", context["aws:principalorgid"])


def _link_times(context: dict[str, tuple[str, ...]]) -> None:
    stated = context.get("aws:currenttime") or context.get("aws:epochtime")
    seconds = values.time(stated[0]) if stated else None
    if seconds is None:
        return
    context["aws:epochtime"] = (str(int(seconds)),)
    if "aws:currenttime" not in context and (text := values.iso_time(seconds)) is not None:
        context["aws:currenttime"] = (text,)
