"""Recorded calls as a guardrail meets them: which action they are, on what, and what their records tell of the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from keytrail.cloudtrail import text_of
from keytrail.investigate import Event
from keytrail.investigate.wording import undated
from keytrail.policy import Caller, CallerKind, Request
from keytrail.respond.guardrail.model import Guardrail

_PROVIDER = ".amazonaws.com"
_OUTSIDE, _INSIDE = "o-outside", "o-inside"  # where the organisation's id is not known, only who is in it counts


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a recorded call tried, as far as a guardrail looks at it: two calls with the same value get the same answer.

    `principal` is who called as the record names it, `callers` are all that it may have been. `owner` is the account of
    what was called for, `resource` the ARN of that, "" where the record does not tell it. `maybe_resource` says that
    it may be another one as well, since the record leaves out the path.
    """

    principal: str
    callers: tuple[Caller, ...]
    action: str
    owner: str
    resource: str
    context: tuple[tuple[str, tuple[str, ...]], ...]
    maybe_resource: bool = False

    @property
    def caller(self) -> Caller:
        """Who called, as the record has it."""
        return self.callers[0]

    @property
    def is_linked(self) -> bool:
        """Whether a service-linked role called."""
        return self.caller.kind is CallerKind.ROLE and self.caller.name.startswith("aws-service-role/")

    def requests(self, guardrail: Guardrail, ours: frozenset[str]) -> Iterator[Request]:
        """What it may have been as requests; `ours` are the accounts that are in the organisation of the resource."""
        own = guardrail.organisation or _INSIDE
        for caller in self.callers:
            context = dict(self.context) | {"aws:ResourceOrgID": (own,)}
            if caller.account is not None:
                inside = caller.account == self.owner or caller.account in ours
                context["aws:PrincipalOrgID"] = (own if inside else _OUTSIDE,)
            yield Request(caller, self.action, context, needs_iam=True)


def query_of(actions: Iterable[str]) -> str:
    """The KQL query for the events of actions.

    >>> query_of(["kms:PutKeyPolicy", "kms:CreateGrant"])
    '(event.provider: "kms.amazonaws.com" and event.action: (PutKeyPolicy or CreateGrant))'
    """
    services: dict[str, list[str]] = {}
    for action in actions:
        service, _, name = action.partition(":")
        services.setdefault(service, []).append(name)
    return " or ".join(
        f'(event.provider: "{service}{_PROVIDER}" and event.action: ({" or ".join(names)}))'
        for service, names in services.items()
    )


def action_of(event: Event) -> str:
    """The IAM action that an event is a call of: `kms:PutKeyPolicy`."""
    return f"{event.provider.removesuffix(_PROVIDER)}:{undated(event.name)}"


def is_echo(event: Event) -> bool:
    """Whether an event is the second one of the same call: UpdatePrimaryRegion is recorded in both Regions."""
    return event.name == "UpdatePrimaryRegion" and event.invoked_by == "kms.amazonaws.com"


def attempt_of(event: Event, guardrail: Guardrail) -> Attempt | None:
    """What an event tried, None where its record does not tell who called."""
    caller = event.caller
    if caller is None:
        return None
    action = action_of(event)
    account = event.account or event.caller_account
    maybe = False
    if action.startswith("kms:"):
        resource = _key(event)
        account = resource.split(":")[4] if resource else account
    elif action.startswith("iam:"):
        resource, maybe = _identity(event, account, guardrail)
    else:
        resource = ""
    callers = _callers(event, caller, guardrail)
    principal = f"somebody of account {caller.account}" if _is_nameless(event, caller) else event.principal
    return Attempt(principal, callers, action, account, resource, _context(event, action), maybe)


# -- what the record tells --------------------------------------------------------------------------------------------


def _key(event: Event) -> str:
    """The ARN of the key that was called for; of a refused call it stands in the request at best."""
    candidates = (*event.resources, text_of(event.parameters, "keyId"))
    return next((one for one in candidates if one.count(":") == 5 and ":key/" in one), "")


def _identity(event: Event, account: str, guardrail: Guardrail) -> tuple[str, bool]:
    """The ARN of the role, user or policy of a call of IAM; only calls that make one tell its path."""
    prefix = f"arn:{guardrail.partition}:iam::{account}"
    path = text_of(event.parameters, "path").strip("/")
    folder = f"{path}/" if path else ""
    if user := text_of(event.parameters, "userName"):
        return f"{prefix}:user/{folder}{user}", False
    name = text_of(event.parameters, "roleName")
    if not name:
        return text_of(event.parameters, "policyArn"), False
    if not path and undated(event.name) != "CreateRole":
        # Names of roles are unique in an account, whatever their path: a break-glass role of that name is this one.
        for role in guardrail.break_glass:
            if arn := role.named(name, account):
                return arn, not role.name.strip("*")
    return f"{prefix}:role/{folder}{name}", False


def _context(event: Event, action: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if action == "kms:CreateGrant":
        by_service = event.invoked_by or text_of(event.identity, "type") == "AWSService"
        return (("kms:GrantIsForAWSResource", ("true" if by_service else "false",)),)
    if action.startswith("ram:"):
        arns = event.parameters.get("resourceArns")
        of_key = isinstance(arns, list) and any(isinstance(one, str) and ":kms:" in one for one in arns)
        return (("ram:RequestedResourceType", ("kms:Key",)),) if of_key else ()
    boundary = text_of(event.parameters, "permissionsBoundary")
    return (("iam:PermissionsBoundary", (boundary,)),) if boundary else ()


def _callers(event: Event, caller: Caller, guardrail: Guardrail) -> tuple[Caller, ...]:
    if not _is_nameless(event, caller) or caller.account is None:
        return (replace(caller, session=None),)  # which session it was makes no difference here
    account = caller.account
    possible = (one.example(account) for one in guardrail.break_glass if one.in_account(account))
    return (caller, *map(Caller.parse, possible))


def _is_nameless(event: Event, caller: Caller) -> bool:
    """Whether the record tells the account of the caller only, as it often is for another account's."""
    return caller.kind is CallerKind.ROLE and not text_of(event.identity, "arn")
