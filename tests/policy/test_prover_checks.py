"""Values that are not text: the representatives show every combination of checks that any value has."""

from __future__ import annotations

import ipaddress
from decimal import Decimal
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from keytrail.policy.prover.checks import Check, Domain, NetworkCheck, OrderCheck, TextCheck, representatives
from keytrail.policy.prover.globs import Language

RELATIONS = ("Equals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
BOUND = st.sampled_from([Decimal(text) for text in ("0", "3", "4", "4.5", "7", "-2", "9")])
ORDER = st.builds(
    lambda relation, bounds: OrderCheck(relation, bounds, dates=False),
    st.sampled_from(RELATIONS),
    st.lists(BOUND, min_size=1, max_size=2),
)
EXACT = st.builds(
    lambda texts: TextCheck(Language.of(*texts)), st.lists(st.sampled_from(["3", "4", "5", "x"]), min_size=1)
)


def combinations(checks: list[Check], texts: list[str]) -> set[tuple[bool, ...]]:
    return {tuple(check.holds(text) for check in checks) for text in texts}


@given(st.lists(ORDER | EXACT, min_size=1, max_size=4))
def test_whole_numbers(checks: list[Check]) -> None:
    texts, complete = representatives(Domain("integer"), checks)
    assert complete
    assert combinations(checks, [str(number) for number in range(40)]) <= combinations(checks, texts)
    assert all(text.isdigit() for text in texts)


NETWORK = st.sampled_from(
    [
        "10.0.0.0/8",
        "10.0.0.0/9",
        "10.1.0.0/16",
        "10.1.2.3/32",
        "0.0.0.0/0",
        "0.0.0.0/1",
        "128.0.0.0/1",
        "::/0",
        "2001:db8::/32",
    ]
)
PLACES = [
    *(f"10.{a}.{b}.{c}" for a, b, c in product((0, 1, 2, 127, 128, 255), (0, 2, 255), (0, 3, 4, 255))),
    "0.0.0.0", "9.255.255.255", "11.0.0.0", "127.255.255.255", "128.0.0.0", "255.255.255.255",
    "::", "2001:db7::", "2001:db8::9",
    "2001:db9::",
]  # fmt: skip


@given(st.lists(st.lists(NETWORK, min_size=1, max_size=3), min_size=1, max_size=4))
def test_addresses(groups: list[list[str]]) -> None:
    checks: list[Check] = [NetworkCheck(map(ipaddress.ip_network, group)) for group in groups]
    for check, group in zip(checks, groups, strict=True):
        for place in PLACES:
            address = ipaddress.ip_address(place)
            assert check.holds(place) is any(address in ipaddress.ip_network(network) for network in group)
    texts, complete = representatives(Domain("address"), checks)
    assert complete
    assert combinations(checks, PLACES) <= combinations(checks, texts)
