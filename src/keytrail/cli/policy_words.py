"""Key policies in words: who, which powers, under which conditions, and what a request is. Nothing here is safe yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from keytrail.phrases import joined

if TYPE_CHECKING:
    from keytrail.policy import Condition, Request, Statement
    from keytrail.policy.prover.classes import PrincipalClass

# What can be done with a key, and what can be done to it; the order is that of severity.
_USES = {
    "decrypt": "decrypt",
    "derive": "derive shared secrets",
    "sign": "sign",
    "generate": "generate data keys",
    "encrypt": "encrypt",
    "mac": "compute MACs",
    "verify": "verify signatures",
}
_HANDLINGS = {
    "policy": "change the policy of {}",
    "grants": "create grants for {}",
    "lifecycle": "disable, delete or replace {}",
    "tag-alias": "change tags and aliases of {}",
    "metadata": "read the description of {}",
}
_GRAVE_LIFECYCLE = frozenset(
    {"kms:DisableKey", "kms:ScheduleKeyDeletion", "kms:DeleteImportedKeyMaterial", "kms:ImportKeyMaterial",
     "kms:ReplicateKey", "kms:UpdatePrimaryRegion"}
)  # fmt: skip
_COMPARISONS = {
    "StringEquals": "is", "StringNotEquals": "is not", "StringEqualsIgnoreCase": "is, in any case,",
    "StringNotEqualsIgnoreCase": "is not, in any case,", "StringLike": "is like", "StringNotLike": "is not like",
    "ArnEquals": "is like", "ArnNotEquals": "is not like", "ArnLike": "is like", "ArnNotLike": "is not like",
    "Bool": "is", "BinaryEquals": "is", "NumericEquals": "is", "NumericNotEquals": "is not",
    "NumericLessThan": "is below", "NumericLessThanEquals": "is at most", "NumericGreaterThan": "is above",
    "NumericGreaterThanEquals": "is at least",
    "DateEquals": "is", "DateNotEquals": "is not", "DateLessThan": "is before", "DateLessThanEquals": "is not after",
    "DateGreaterThan": "is after", "DateGreaterThanEquals": "is not before", "IpAddress": "is in",
    "NotIpAddress": "is not in",
}  # fmt: skip
_NOTHING: Mapping[str, str] = MappingProxyType({})
_KINDS = {"user": "user", "role": "role", "federated-user": "federated user"}


def some(parts: Sequence[str], most: int, noun: str = "more") -> list[str]:
    """Return at most `most` of the parts, and how many there are besides.

    >>> some(["a", "b", "c"], 2), some(["a", "b"], 2)
    (['a', '2 more'], ['a', 'b'])
    """
    if len(parts) <= most:
        return list(parts)
    return [*parts[: most - 1], f"{len(parts) - most + 1:,} {noun}"]


def powers(actions: Collection[str], *, most: int = 3) -> str:
    """Return what a caller of these actions can do, the gravest first, `most` powers at most.

    >>> powers(["kms:Decrypt", "kms:DescribeKey"])
    'decrypt with this key'
    >>> powers(["kms:PutKeyPolicy", "kms:Encrypt", "kms:CreateGrant"])
    'encrypt with this key, change its policy and create grants for it'
    >>> powers(["kms:Decrypt", "kms:Sign", "kms:Encrypt", "kms:Verify"])
    'decrypt, sign and do 2 other things with this key'
    """
    from keytrail.policy import catalogue

    known = catalogue()
    names = set(actions)
    if names >= {action.name for action in known.key_actions()}:
        return "do everything with this key"
    if names >= {action.name for action in known.key_actions() if action.cross_account}:
        return "do everything with this key that a key policy can give to another account"
    groups = {action.group for action in known.key_actions() if action.name in names}
    if len(groups) > 1:
        groups.discard("metadata")  # worth a word only when it is all
    uses = _things([text for group, text in _USES.items() if group in groups], most, "with")
    handlings = [text for group, text in _HANDLINGS.items() if group in groups and _tells(group, names)]
    phrases = [f"{joined(uses)} with {{}}"] if uses else []
    phrases += _things(handlings, max(most + 1 - len(uses), 2), "to {}")
    if not phrases:
        phrases = [f"call {joined(some(sorted(names), most))} on {{}}"]
    first, *rest = phrases
    return joined([first.format("this key"), *(_its(phrase) for phrase in rest)])


def _things(verbs: Sequence[str], most: int, end: str) -> list[str]:
    """At most so many verbs, the rest as a number; "with this key" is added once, behind all uses."""
    if len(verbs) <= most:
        return list(verbs)
    rest = f"do {len(verbs) - most + 1} other things"
    return [*verbs[: most - 1], rest if end == "with" else f"{rest} {end}"]


def _tells(group: str, names: set[str]) -> bool:
    """Whether the words for a group hold: creating grants is not listing them."""
    if group == "grants":
        return "kms:CreateGrant" in names
    return bool(names & _GRAVE_LIFECYCLE) if group == "lifecycle" else True


def _its(phrase: str) -> str:
    return {
        _HANDLINGS["policy"]: "change its policy",
        _HANDLINGS["tag-alias"]: "change its tags and aliases",
    }.get(phrase, phrase.format("it"))


def callers(classes: Iterable[PrincipalClass], owner: str, standing: Mapping[str, str] = _NOTHING) -> list[str]:
    """Return who is meant, whole accounts before single identities. `standing` is what to say of accounts.

    A class is a set of callers that the policies do not tell apart; an account is the sum of some.
    """
    by_account: dict[str | None, list[PrincipalClass]] = {}
    for one in classes:
        by_account.setdefault(one.account if one.sort in ("root", "other") else None, []).append(one)
    singles = by_account.pop(None, [])
    found = []
    for account, members in by_account.items():
        whose = account_name(account or "", owner, standing)
        root = any(one.sort == "root" for one in members)
        others = [one for one in members if one.sort == "other"]
        if root and others:
            # Of the key's own account others are named, and mostly stand apart.
            found.append(f"the root user and other identities of {whose}" if account == owner else whose)
        elif root:
            found.append(f"the root user of {whose}")
        elif len({one.caller.kind for one in others}) > 2:
            found.append(f"other identities of {whose}")
        else:
            found += [_identity(one, whose) for one in others]
    strangers = [one for one in singles if one.sort == "stranger"]
    if strangers:
        kinds = {one.caller.kind.value for one in strangers}
        who = "anyone" if len(kinds) > 2 else joined([_KINDS.get(kind, f"{kind} user") for kind in sorted(kinds)], "or")
        found.insert(0, f"{who} in any other AWS account" if who == "anyone" else f"any {who} of any other AWS account")
    for one in singles:
        if one.sort == "stranger":
            continue
        whose = account_name(one.account, owner, standing) if one.account else ""
        found.append(_identity(one, "" if one.account == owner else whose))
    return list(dict.fromkeys(found))


def account_name(account: str, owner: str, standing: Mapping[str, str] = _NOTHING) -> str:
    """Return how an account is called: the key's own, or another one, with what there is to say of it.

    >>> account_name("777788889999", "111122223333", {"777788889999": "approved until 2027-04-06"})
    'account 777788889999 (approved until 2027-04-06)'
    """
    if account == owner:
        return f"this account ({account})"
    return f"account {account}" + (f" ({standing[account]})" if account in standing else "")


def _identity(one: PrincipalClass, whose: str) -> str:
    caller = one.caller
    of = f" of {whose}" if whose else ""
    match one.sort:
        case "service":
            return f"the AWS service {caller.name}"
        case "other service":
            return "any other AWS service"
        case "other" if caller.session is None:
            return f"any other {_KINDS[caller.kind.value]}{of}"
        case _:
            kind = _KINDS.get(caller.kind.value, caller.kind.value)
            session = f", session {caller.session}," if caller.session else ""
            return f"{kind} {caller.name}{session}{of}"


def condition_words(condition: Condition) -> str:
    """Return a condition as a sentence without its full stop.

    >>> from keytrail.policy import Condition, Operator
    >>> condition_words(Condition(Operator("StringLike", if_exists=True), "kms:ViaService", ("s3.*", "ebs.*")))
    'kms:ViaService is like s3.* or ebs.*, or is missing'
    >>> condition_words(Condition(Operator("Null"), "aws:TokenIssueTime", ("true",)))
    'aws:TokenIssueTime is missing'
    """
    operator, values = condition.operator, list(condition.values)
    if not operator.known or not values:
        return f"{operator} {condition.key} {', '.join(values) or 'of no value'}"
    if operator.name == "Null" and operator.qualifier is None and len(values) == 1 and values[0].lower() in _NULL:
        return f"{condition.key} {_NULL[values[0].lower()]}"
    comparison = _COMPARISONS.get(operator.name)
    if comparison is None:
        return f"{operator} {condition.key} {joined(some(values, 5), 'or')}"
    whose = {None: "", "ForAnyValue": "some value of ", "ForAllValues": "every value of "}[operator.qualifier]
    last = "nor" if " not" in comparison else "or"
    # What is missing is not the named value, and of no values every one is among the named.
    holds_missing = operator.qualifier == "ForAllValues" or (operator.qualifier is None and " not" in comparison)
    missing = ", or is missing" if operator.if_exists or holds_missing else ""
    return f"{whose}{condition.key} {comparison} {joined(some(values, 5), last)}{missing}"


_NULL = {"true": "is missing", "false": "is there"}


def conditions_words(statement: Statement) -> str:
    """Return all conditions of a statement as one clause, "" when it has none."""
    return joined(some([condition_words(condition) for condition in statement.conditions], 6, "more conditions"))


def request_words(request: Request) -> str:
    """Return a request as a sentence: who calls what, with what, and what IAM must say.

    >>> from keytrail.policy import Caller, Request
    >>> caller = Caller.parse("arn:aws:iam::444455556666:role/any")
    >>> request_words(Request(caller, "kms:Decrypt", {}, needs_iam=True))
    'arn:aws:iam::444455556666:role/any calls kms:Decrypt, and IAM of account 444455556666 allows it'
    """
    caller = request.caller
    text = f"{caller.arn.removeprefix('service:')} calls {request.action}"
    stated = [f"{key} = {joined(some(list(values), 4))}" for key, values in request.context.items()]
    if stated:
        text += f" with {joined(some(stated, 8))}"
    if caller.account is None:
        return text
    allowing = "and IAM" if request.needs_iam else "without IAM"
    return f"{text}, {allowing} of account {caller.account} {'allows' if request.needs_iam else 'allowing'} it"


def statements_words(statements: Sequence[Statement], most: int = 4) -> str:
    """Return which statements are meant: their numbers from 1, and their Sids."""
    return joined(some([statement.label for statement in statements], most, "more statements"))
