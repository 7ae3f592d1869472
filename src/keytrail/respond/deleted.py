"""What AWS itself does to a key policy: in place of a user or role that was deleted it shows the id that it had."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keytrail.policy import KeyPolicy, Principal, PrincipalKind, Statement

# What the ids of users and of roles begin with.
_KIND_OF_ID = {"AIDA": PrincipalKind.USER, "AROA": PrincipalKind.ROLE}


@dataclass(frozen=True, slots=True)
class WithoutDeleted:
    """Two versions of a policy without the principals that were deleted in between.

    `ids` are those that the later one names them by, `principals` the ARNs of the earlier one. With one of each they
    stand for each other; with more, nothing tells which for which.
    """

    earlier: KeyPolicy
    later: KeyPolicy
    ids: tuple[str, ...]
    principals: tuple[str, ...]


def without_deleted(earlier: KeyPolicy, later: KeyPolicy) -> WithoutDeleted | None:
    """The two versions without the users and roles whose ARN became an id, None where that cannot be what happened.

    It can be if in every statement as many ids of users and of roles are new as ARNs of such are gone. What else
    differs is left as it is: whether the rest is the same is for `policy.compare` to say.
    """
    before, after = _principals(earlier), _principals(later)
    ids = {one for one in after - before if one.kind is PrincipalKind.DELETED}
    gone = {one for one in before - after if one.kind in _KIND_OF_ID.values()}
    if not ids or len(earlier.statements) != len(later.statements):
        return None
    for first, second in zip(earlier.statements, later.statements, strict=True):
        for kind in _KIND_OF_ID.values():
            arns = [one for one in set(first.all_principals()) & gone if one.kind is kind]
            named = [one for one in set(second.all_principals()) & ids if _KIND_OF_ID.get(one.value[:4]) is kind]
            if len(arns) != len(named):
                return None
    return WithoutDeleted(
        _without(earlier, gone),
        _without(later, ids),
        tuple(sorted(one.value for one in ids)),
        tuple(sorted(one.value for one in gone)),
    )


def _principals(policy: KeyPolicy) -> set[Principal]:
    return {principal for statement in policy.statements for principal in statement.all_principals()}


def _without(policy: KeyPolicy, principals: set[Principal]) -> KeyPolicy:
    def rest(statement: Statement) -> Statement:
        return replace(
            statement,
            principals=_rest(statement.principals, principals),
            not_principals=_rest(statement.not_principals, principals),
        )

    return replace(policy, statements=tuple(map(rest, policy.statements)))


def _rest(given: tuple[Principal, ...] | None, without: set[Principal]) -> tuple[Principal, ...] | None:
    return None if given is None else tuple(one for one in given if one not in without)
