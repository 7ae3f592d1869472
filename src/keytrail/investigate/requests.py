"""A call as the evaluator of policies takes it: who may have made it, and what its record tells of its context.

A record tells some of the condition keys that KMS saw (the encryption context, the service that passed the caller on),
but not others (tags, MFA, the VPC endpoint). So a policy is asked twice: whether it may have allowed the call, whatever
the keys were that the record does not tell, and whether it must have.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from keytrail.errors import UsageError
from keytrail.investigate.activity import Call
from keytrail.investigate.change import KeyName
from keytrail.policy import (
    Caller,
    CallerKind,
    Condition,
    Decision,
    KeyPolicy,
    Part,
    PrincipalKind,
    Request,
    Statement,
    evaluate,
)
from keytrail.settings import Accounts

Pairs = tuple[tuple[str, tuple[str, ...]], ...]

_CONTEXT = "kms:encryptioncontext"
_PRIVATE = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)
_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn")
_OF_NAME = frozenset({"aws:principalarn", "aws:principaltype", "aws:username"})
_OF_ACCOUNT = frozenset(
    {
        "aws:principalaccount",
        "aws:principalisawsservice",
        "aws:principalservicename",
        "aws:resourceaccount",
        "kms:calleraccount",
    }
)


@dataclass(frozen=True, slots=True)
class Use:
    """What policies can tell of a call: two calls with the same value get the same answer.

    `callers` are all that the caller may have been: of a caller from another account a record often tells the account
    only. `told` names the condition keys (lower case) that the record tells; those it tells to be absent are in no pair
    of `context`.
    """

    callers: tuple[Caller, ...]
    actions: tuple[str, ...]
    context: Pairs
    told: frozenset[str]

    def requests(self, *, iam: bool = True) -> Iterator[Request]:
        """What it may have been as requests; `iam`: IAM of the caller's account allows it."""
        context = dict(self.context)
        return (Request(one, action, context, needs_iam=iam) for one in self.callers for action in self.actions)


class Reader:
    """Reads calls as far as some policies of a key look at them, so that thousands of calls are a few uses."""

    def __init__(self, policies: Iterable[KeyPolicy], key: KeyName, accounts: Accounts) -> None:
        self._policies = tuple(policies)
        self._key = key
        self._accounts = accounts
        conditions = " ".join(str(condition) for one in self._policies for _, condition in one.conditions()).lower()
        self._asked = tuple(name for name in _TOLD if name in conditions)
        named = [principal for one in self._policies for each in one.statements for principal in each.all_principals()]
        self._sessions = any(principal.kind is PrincipalKind.SESSION for principal in named)
        identities = (caller_of(one.value) for one in named if one.kind in _IDENTITIES)
        # By the identity of a policy, which the reader holds: to hash a large one takes longer than to ask it.
        self._bounds: dict[tuple[int, bool, Use], KeyPolicy] = {}
        self._identities = tuple(dict.fromkeys(one for one in identities if one is not None))

    def use(self, call: Call, actions: tuple[str, ...], more: Pairs = ()) -> Use | None:
        """The use that a call is, None when its record does not tell who called. `more` is context known otherwise."""
        if call.caller is None:
            return None
        nameless = is_nameless(call)
        pairs = dict(more)
        told = {name.lower() for name, _ in more} | (_OF_ACCOUNT if nameless else _OF_ACCOUNT | _OF_NAME)
        for name in self._asked:
            found = _TOLD[name](call, self._key)
            if found is not None:
                told.add(name)
                pairs.update(found)
        organisation = self._organisation(call)
        if organisation is not None:
            told.add("aws:principalorgid")
            pairs.update(organisation)
        callers = self._callers(call.caller, nameless=nameless)
        return Use(callers, actions, tuple(sorted(pairs.items())), frozenset(told))

    def may(self, use: Use, policy: KeyPolicy, *, iam: bool = True) -> bool:
        """Whether a policy may allow the use: to some possible caller, for some value of what is not told.

        `iam` says whether IAM of the caller's account allows it: of a use that succeeded under a policy that leaves it
        to IAM, it did.
        """
        upper = self._bound(policy, use, most=True)
        return any(self._decide(upper, request).possible for request in use.requests(iam=iam))

    def must(self, use: Use, policy: KeyPolicy, *, iam: bool = True) -> bool:
        """Whether a policy must allow the use: to all possible callers, for all values of what is not told."""
        lower = self._bound(policy, use, most=False)
        return all(self._decide(lower, request).allowed for request in use.requests(iam=iam))

    def _decide(self, policy: KeyPolicy, request: Request) -> Decision:
        return evaluate(policy, request, self._key.account, key_arn=self._key.arn)

    def _bound(self, policy: KeyPolicy, use: Use, *, most: bool) -> KeyPolicy:
        """The policy for such callers and actions, what is not told taken for what makes it allow most, or least."""
        group = replace(use, context=())
        known = self._bounds.get((id(policy), most, group))
        if known is None:
            results = [self._decide(policy, request).results for request in group.requests()]
            concerned = (
                each[0].statement
                for each in zip(*results, strict=True)
                if any(one.applies is not False or one.part is Part.CONDITION for one in each)
            )
            known = replace(policy, statements=tuple(_bounded(concerned, use.told, most=most)))
            self._bounds[id(policy), most, group] = known
        return known

    def _callers(self, caller: Caller, *, nameless: bool) -> tuple[Caller, ...]:
        if nameless:
            named = tuple(one for one in self._identities if one.account == caller.account)
            return (*named, replace(caller, name="any"))
        return (caller if self._sessions else replace(caller, session=None),)

    def _organisation(self, call: Call) -> Mapping[str, tuple[str, ...]] | None:
        organisation, account = self._accounts.organisation, call.caller.account if call.caller else None
        if organisation is None or account is None:
            return None
        inside = account == self._key.account or account in self._accounts.names
        return {"aws:PrincipalOrgID": (organisation,)} if inside else {}


def caller_of(principal: str) -> Caller | None:
    """The caller that an ARN or the name of a service names, None for anything else.

    >>> str(caller_of("backup.amazonaws.com"))
    'service:backup.amazonaws.com'
    """
    service = principal.endswith(_DOMAINS) and ":" not in principal
    try:
        return Caller.parse(f"service:{principal}" if service else principal)
    except UsageError:
        return None


def is_nameless(call: Call) -> bool:
    """Whether the record tells the account of the caller only."""
    caller = call.caller
    return caller is not None and caller.kind is CallerKind.ROLE and call.principal.endswith(":root")


_IDENTITIES = frozenset({PrincipalKind.ROLE, PrincipalKind.USER, PrincipalKind.SESSION, PrincipalKind.FEDERATED_USER})


# What a record tells of a condition key: pairs (none: the key was absent), or None where it does not tell.


def _encryption_context(call: Call, key: KeyName) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for one in call.contexts:
        for name, value in one:
            found.setdefault(f"kms:EncryptionContext:{name}", (value,))
    return found


def _via(call: Call, key: KeyName) -> Mapping[str, tuple[str, ...]] | None:
    if not call.invoked_by or (call.caller is not None and call.caller.kind is CallerKind.SERVICE):
        return {}
    service, _, domain = call.invoked_by.partition(".")
    if domain == "amazonaws.com":
        return {"kms:ViaService": (f"{service}.{key.region}.{domain}",)}
    return {"kms:ViaService": (call.invoked_by,)} if domain.endswith("amazonaws.com") else None


def _address(call: Call, key: KeyName) -> Mapping[str, tuple[str, ...]] | None:
    try:
        address = ipaddress.ip_address(call.address)
    except ValueError:
        return None
    # A private address came through a VPC endpoint, where the key is another one.
    return None if any(address in network for network in _PRIVATE) else {"aws:SourceIp": (call.address,)}


def _agent(call: Call, key: KeyName) -> Mapping[str, tuple[str, ...]] | None:
    return {"aws:UserAgent": (call.agent,)} if call.agent and not call.invoked_by else None


def _time(call: Call, key: KeyName) -> Mapping[str, tuple[str, ...]]:
    return {"aws:CurrentTime": (call.time.strftime("%Y-%m-%dT%H:%M:%SZ"),)}


_TOLD: Mapping[str, Callable[[Call, KeyName], Mapping[str, tuple[str, ...]] | None]] = {
    _CONTEXT: _encryption_context,
    "kms:viaservice": _via,
    "aws:viaawsservice": _via,
    "aws:sourceip": _address,
    "aws:useragent": _agent,
    "aws:currenttime": _time,
    "aws:epochtime": _time,
}


def _bounded(statements: Iterable[Statement], told: frozenset[str], *, most: bool) -> Iterator[Statement]:
    for statement in statements:
        known = tuple(one for one in statement.conditions if _is_told(one, told))
        if known == statement.conditions:
            yield statement
        elif (statement.effect == "Allow") is most:
            yield replace(statement, conditions=known)


def _is_told(condition: Condition, told: frozenset[str]) -> bool:
    if any("${" in value for value in condition.values):
        return False
    return (_CONTEXT if condition.name.startswith(_CONTEXT) else condition.name) in told
