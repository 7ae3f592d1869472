"""From a solution of the prover to a request anyone can evaluate, and the check that the evaluator agrees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from keytrail.policy.catalogue import catalogue
from keytrail.policy.evaluate import Outcome, evaluate
from keytrail.policy.model import KeyPolicy
from keytrail.policy.prover.encode import Atom, Presence, Vocabulary
from keytrail.policy.prover.slots import CONTEXT_KEYS, ENCRYPTION_CONTEXT, Fixed, Free, Setting
from keytrail.policy.prover.solve import Solution
from keytrail.policy.prover.theory import Theory
from keytrail.policy.prover.views import VIEWS
from keytrail.policy.prover.words import Meter
from keytrail.policy.requests import Request

_ENDPOINT_KEYS = ("aws:SourceVpce", "aws:SourceVpc", "aws:VpcSourceIp")
_PREFIX = "kms:EncryptionContext:"


def build(
    solution: Solution,
    setting: Setting,
    keys: Iterable[str],
    spellings: Mapping[str, str],
    vocabulary: Vocabulary,
    meter: Meter,
    *,
    iam: bool,
) -> Request:
    """The request of a solution: it states those of `keys` (lower case) that it carries. Raises BudgetExceededError."""
    presences = _presences(solution, vocabulary.atoms)
    theory = Theory(setting, vocabulary.atoms, meter)
    texts, lists = dict(solution.values.texts), solution.values.lists
    context: dict[str, tuple[str, ...]] = {}
    member = texts.get("principal")
    for key in keys:
        slot = setting.slot(key)
        if isinstance(slot, Fixed) and slot.texts and _is_stated(key):
            context[_spelling(key, spellings)] = slot.texts
        if not isinstance(slot, Free) or slot.base == "principal" or key == CONTEXT_KEYS:
            continue
        known = catalogue().key(key)
        if known is not None and known.presence == "caller":
            continue
        if not _present(slot.presence, presences):
            continue
        if key == "aws:viaawsservice" and slot.base not in texts:
            continue  # follows from the way of the call
        name = _spelling(key, spellings)
        if slot.multi:
            members = lists.get(slot.base) or ((theory.any_value(slot.base) or "x"),)
            if slot.base != "context keys":
                context[name] = tuple(members)
            continue
        if slot.view in ("first", "last"):
            chain = lists.get(slot.base)
            text = (chain[0] if slot.view == "first" else chain[-1]) if chain else None
        else:
            text = texts.get(slot.base)
        if text is None:
            text = theory.any_value(slot.base)
            if text is None:
                continue
            texts[slot.base] = text
        context[name] = (VIEWS[slot.view].project(text),)
    if presences.get("endpoint") and not any(name in context for name in _ENDPOINT_KEYS):
        # What explains that there is no source address.
        context["aws:SourceVpce"] = (theory.any_value("key:aws:sourcevpce") or "",)
    _add_context_names(context, lists.get("context keys", ()), texts)
    caller = setting.caller.member(member)
    return Request(caller, setting.action, context, needs_iam=iam)


def confirms(request: Request, allowed_by: KeyPolicy | None, not_allowed_by: KeyPolicy | None, owner: str) -> bool:
    """Whether the evaluator says yes to one policy and no to the other, for certain and for a finished request."""
    if allowed_by is None:
        return False
    first = evaluate(allowed_by, request, owner)
    if not first.allowed or first.unstated:
        return False
    if not_allowed_by is None:
        return True
    second = evaluate(not_allowed_by, request, owner)
    return second.outcome in (Outcome.DENIED, Outcome.NOT_ALLOWED) and not second.unstated


def _presences(solution: Solution, atoms: list[Atom | None]) -> dict[str, bool]:
    found = {}
    for literal in solution.literals:
        atom = atoms[abs(literal)]
        if isinstance(atom, Presence):
            found[atom.name] = literal > 0
    return found


def _present(name: str | None, presences: dict[str, bool]) -> bool:
    """Whether a key is there: what the solution leaves open is missing, as in most requests."""
    if name is None:
        return True
    if name.startswith("!"):
        return not presences.get(name[1:], False)
    return presences.get(name, False)


def _is_stated(key: str) -> bool:
    """Whether a request says the value of a key that all of them share: not where it follows from the caller."""
    known = catalogue().key(key)
    return known is not None and known.presence != "caller" and key != "aws:userid"


def _spelling(key: str, spellings: Mapping[str, str]) -> str:
    """The documented name; where part of it is somebody's own, that part as the policies write it."""
    known = catalogue().key(key)
    if known is None or known.name.endswith("*"):
        return spellings.get(key, key)
    return known.name


def _add_context_names(context: dict[str, tuple[str, ...]], members: Iterable[str], texts: Mapping[str, str]) -> None:
    """Names of the encryption context: a pair each; a name already stated takes the member's spelling."""
    stated = {key.lower(): key for key in context if key.lower().startswith(ENCRYPTION_CONTEXT)}
    for member in members:
        name = _PREFIX + member
        old = stated.pop(name.lower(), None)
        # Without an old one it is new, or differs from another in case alone: the evaluator judges what that gives.
        context[name] = context.pop(old) if old is not None else (texts.get(f"key:{name.lower()}", "x"),)
