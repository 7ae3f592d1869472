"""Whether a condition of a policy holds for a request: set qualifiers, IfExists, missing keys, variables (1.6).

Answers are three-valued: None where AWS does not document what happens, so that nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from keytrail.policy.catalogue import catalogue
from keytrail.policy.context import CompleteContext
from keytrail.policy.model import Condition
from keytrail.policy.operators import OPERATORS, Comparison
from keytrail.policy.patterns import Variable, resolve, template


def holds(condition: Condition, context: CompleteContext, *, variables: bool) -> bool | None:
    """Whether `condition` holds. `variables`: the policy's Version has policy variables."""
    operator = condition.operator
    if not operator.known:
        return None
    comparison = OPERATORS[operator.name]
    given = context.get(condition.name, ())
    if comparison.family == "Null":
        return _null(condition, comparison, missing=not given)
    if operator.qualifier is None and is_multivalued(condition.key):
        return None  # "Missing qualifier": an authoring error, what happens is not documented
    if not given:
        return _missing(condition, comparison)
    if not condition.values:
        # Key present, nothing listed: the set operators and IfExists match a missing key only; plain is contradictory.
        return False if operator.qualifier or operator.if_exists else None
    tests = [_value_test(value, comparison, context, variables=variables) for value in condition.values]

    def test(value: str) -> bool | None:
        """The values of a condition are alternatives; a negated operator holds when none of them matches."""
        found = any_of(matches(value) for matches in tests)
        return negate(found) if comparison.negated else found

    if operator.qualifier == "ForAllValues":
        return all_of(map(test, given))
    if operator.qualifier == "ForAnyValue":
        return any_of(map(test, given))
    return test(given[0]) if len(given) == 1 else None  # several values of a single-valued key: not documented


def is_multivalued(key: str) -> bool:
    """Whether a request may carry several values of the key; an unknown key is taken for single-valued."""
    known = catalogue().key(key)
    return known is not None and known.multi


def all_of(answers: Iterable[bool | None]) -> bool | None:
    """AND of three-valued answers: one False decides, else one None leaves it open."""
    found: bool | None = True
    for answer in answers:
        if answer is False:
            return False
        if answer is None:
            found = None
    return found


def any_of(answers: Iterable[bool | None]) -> bool | None:
    """OR of three-valued answers: one True decides, else one None leaves it open."""
    return negate(all_of(negate(answer) for answer in answers))


def negate(answer: bool | None) -> bool | None:
    """NOT of a three-valued answer."""
    return None if answer is None else not answer


def _null(condition: Condition, comparison: Comparison, *, missing: bool) -> bool | None:
    """Null "true": absent; "false": present. A set qualifier makes it constant."""
    if condition.operator.qualifier is not None:
        return condition.operator.qualifier == "ForAllValues"
    if not condition.values:
        return None
    return any_of(comparison.compare((value,), "true" if missing else "false") for value in condition.values)


def _missing(condition: Condition, comparison: Comparison) -> bool | None:
    """The table's column "Key missing"."""
    operator = condition.operator
    if operator.qualifier == "ForAnyValue" and operator.if_exists and not condition.values:
        return None  # the two rules for an empty list contradict each other
    if operator.if_exists or operator.qualifier == "ForAllValues":
        return True
    if operator.qualifier == "ForAnyValue":
        return False
    return comparison.negated if condition.values else None


def _value_test(
    value: str, comparison: Comparison, context: CompleteContext, *, variables: bool
) -> Callable[[str], bool | None]:
    """How one value of a policy is compared with a value of the request, once its variables are replaced."""
    parts = template(value, variables=variables and comparison.has_variables)
    sources = {part.key.lower() for part in parts if isinstance(part, Variable)}
    if any(is_multivalued(key) or len(context.get(key, ())) > 1 for key in sources):
        return lambda _: None  # variables are for single-valued keys; what else they do is not documented
    resolved = resolve(parts, lambda key: context.get(key.lower(), (None,))[0])
    if resolved is None:
        return lambda _: False  # a variable without value and default: the value matches nothing
    return partial(comparison.compare, resolved)


def consulted(condition: Condition, *, variables: bool) -> set[str]:
    """The lower-case names of the keys that decide a condition: its own and those of the variables in its values."""
    keys = {condition.name}
    if variables and condition.operator.known and OPERATORS[condition.operator.name].has_variables:
        for value in condition.values:
            if "${" in value:
                keys.update(p.key.lower() for p in template(value, variables=True) if isinstance(p, Variable))
    return keys
