"""Whether who applies a plan may make its calls: by the key policy there is now, and by the one there will be.

The key policy is asked. What IAM says is not known, nor are all condition keys: what hangs on them is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from keytrail.errors import UsageError
from keytrail.investigate.requests import Reader, Use
from keytrail.phrases import start
from keytrail.policy import Caller, CallerKind, KeyPolicy, PrincipalKind
from keytrail.respond.model import Authority, Permission
from keytrail.respond.proofs import PUT, managers
from keytrail.respond.situation import Situation, some
from keytrail.respond.subject import Subject

# What is known of a call that an apply makes: it is direct, over TLS, for the one policy there is, and with the check.
_CONTEXT: Mapping[str, tuple[str, ...]] = {"aws:SecureTransport": ("true",)}
_OF_PUT: Mapping[str, tuple[str, ...]] = {
    "kms:PolicyName": ("default",),
    "kms:BypassPolicyLockoutSafetyCheck": ("false",),
}
_ABSENT = frozenset({"kms:viaservice", "aws:calledvia", "aws:calledviafirst", "aws:calledvialast"})
_OF_CALLER = frozenset(
    {
        "aws:principalaccount",
        "aws:principalisawsservice",
        "aws:principaltype",
        "aws:resourceaccount",
        "aws:viaawsservice",
        "kms:calleraccount",
    }
)
_OF_NAME = frozenset({"aws:principalarn", "aws:username"})


def authority(situation: Situation, action: str = PUT, result: KeyPolicy | None = None) -> Authority:
    """Whether the caller of a situation may do `action` on the key now, and again when `result` is its policy.

    `result` None leaves the policy as it is.
    """
    subject = situation.subject
    current = None if subject.current is None else subject.current.policy
    if current is None:
        sentence = "The key's policy is not known, so it does not tell who may do this."
        return Authority(situation.caller or "", "unknown", "unknown", (), sentence)
    others = managers(subject, current, action)
    if situation.caller is None:
        sentence = f"It is not known who will apply this. {_could(situation, others)}"
        return Authority("", "unknown", "unknown", others, sentence)
    policies = [one for one in (current, result) if one is not None]
    asked = _asked(subject, situation.caller, action, policies)
    reader = Reader(policies, subject.key, subject.accounts)
    who = situation.name(situation.caller)
    if asked is None:
        sentence = f"{start(who)} is no identity that a key policy can name. {_could(situation, others)}"
        return Authority(situation.caller, "unknown", "unknown", others, sentence)
    now, open_now = _answer(reader, current, asked)
    if result is None:
        return Authority(
            situation.caller,
            now,
            now,
            others if now == "denied" else (),
            _said(situation, who, action, now, open_now, others),
        )
    later, open_later = _answer(reader, result, asked)
    sentence = _said(situation, who, action, now, open_now, others)
    sentence += f" Afterwards it {_in_words(later, open_later, subject)}."
    if later == "denied" and action == PUT:
        sentence += " KMS refuses a policy that its caller cannot replace again, so somebody else has to apply this."
    short_of = "denied" in (now, later)
    return Authority(situation.caller, now, later, others if short_of else (), sentence)


def _said(
    situation: Situation,
    who: str,
    action: str,
    answer: Permission,
    conditions: tuple[str, ...],
    others: tuple[str, ...],
) -> str:
    said = f"{start(who)} {_in_words(answer, conditions, situation.subject, action)}."
    return f"{said} {_could(situation, others)}" if answer == "denied" else said


def _in_words(answer: Permission, conditions: tuple[str, ...], subject: Subject, action: str = "") -> str:
    what = f"call {action} on the key" if action else "do so"
    match answer:
        case "allowed":
            return f"may {what}, by the key policy alone"
        case "with-iam":
            return f"may {what} if IAM of account {subject.owner} allows it, which was not looked at"
        case "denied":
            return f"may not {what}"
        case _:
            return f"may be able to {what}: that hangs on {some(conditions) or 'what AWS does not document'}"


def _could(situation: Situation, others: tuple[str, ...]) -> str:
    if not others:
        return "Nobody can by the key policy: only AWS Support can help."
    said = f"By the key policy these could: {situation.names(others)}."
    if all(":role/" in one for one in others):
        said += " Who may become such a role, its trust policy says; whoever administers IAM can change that."
    return said


# By the evaluator ----------------------------------------------------------------------------------------------------


def _answer(reader: Reader, policy: KeyPolicy, asked: Use) -> tuple[Permission, tuple[str, ...]]:
    """The answer of a policy, and what decides where it is unknown."""
    if reader.must(asked, policy, iam=False):
        return "allowed", ()
    if not reader.may(asked, policy):
        return "denied", ()
    if reader.must(asked, policy):
        return "with-iam", ()
    named = (str(one) for _, one in policy.conditions() if one.name not in asked.told or "${" in "".join(one.values))
    several = [f"which of {some(one.arn for one in asked.callers)} it is"] if len(asked.callers) > 1 else []
    return "unknown", tuple(dict.fromkeys((*named, *several)))


# Who it is -----------------------------------------------------------------------------------------------------------


def _asked(subject: Subject, caller: str, action: str, policies: Iterable[KeyPolicy]) -> Use | None:
    """The call as policies see it. The ARN of a session has no path, so it may be of one of several roles."""
    try:
        one = Caller.parse(caller)
    except UsageError:
        return None
    context = {**_CONTEXT, **(_OF_PUT if action == PUT else {})}
    told = {name.lower() for name in context} | _OF_CALLER | _ABSENT
    organisation = subject.accounts.organisation
    if organisation is not None and subject.is_ours(one.account or ""):
        context["aws:PrincipalOrgID"] = (organisation,)
        told.add("aws:principalorgid")
    named = _roles_named(one, policies) if one.session is not None else ()
    if one.session is None or len(named) == 1:
        told |= _OF_NAME
    return Use(named or (one,), (action,), tuple(sorted(context.items())), frozenset(told))


def _roles_named(session: Caller, policies: Iterable[KeyPolicy]) -> tuple[Caller, ...]:
    """The roles of policies that a session may be of: names of roles are unique in an account, whatever the path."""
    arns = {
        text
        for policy in policies
        for statement in policy.statements
        for text in (
            *(one.value for one in statement.all_principals() if one.kind is PrincipalKind.ROLE),
            *(value for one in statement.conditions if one.name == "aws:principalarn" for value in one.values),
        )
    }
    found = []
    for arn in sorted(arns):
        try:
            role = Caller.parse(arn)
        except UsageError:
            continue
        is_role = role.kind is CallerKind.ROLE and role.session is None
        if is_role and role.account == session.account and role.name.rpartition("/")[2] == session.name:
            found.append(replace(role, session=session.session))
    return tuple(found)


__all__ = ["authority"]
