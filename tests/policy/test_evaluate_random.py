"""The evaluator on random policies and requests: it always answers, and its answers obey the laws of the language."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from keytrail.policy import Caller, Decision, KeyPolicy, Outcome, Request, catalogue, evaluate
from keytrail.policy.operators import OPERATORS

OWNER = "111122223333"
ARNS = [
    f"arn:aws:iam::{OWNER}:role/App",
    f"arn:aws:sts::{OWNER}:assumed-role/App/s",
    f"arn:aws:iam::{OWNER}:user/bob",
    "arn:aws:iam::444455556666:role/App",
]
CALLERS = [*ARNS, f"arn:aws:iam::{OWNER}:root", "arn:aws:iam::999999999999:role/x", "service:sns.amazonaws.com"]
KEYS = [
    *(key.name for key in catalogue().keys.values()),
    *(key.name[:-1] + "k" for key in catalogue().families),
    "test:unknown",
]
VALUES = st.sampled_from(
    ["a", "A", "*", "a*", "${aws:username}", "${aws:CalledVia}", "${aws:none, 'a'}", "bob", OWNER, "7", "7.0", "true",
     "False", "2030-01-01T00:00:00Z", "1893456000", "198.51.100.7", "198.51.100.0/24", "2600::1", "YQ==", "o-1/r-1/",
     "Decrypt", *ARNS]
) | st.text(max_size=4)  # fmt: skip
OPERATOR = st.builds(
    lambda q, name, exists: q + name + ("IfExists" if exists and name != "Null" else ""),
    st.sampled_from(["", "", "ForAllValues:", "ForAnyValue:"]),
    st.sampled_from([*OPERATORS, "Frobnicate"]),
    st.booleans(),
)
CONDITION = st.dictionaries(
    OPERATOR,
    st.dictionaries(
        st.sampled_from(KEYS), VALUES | st.booleans() | st.integers() | st.lists(VALUES, max_size=3), max_size=2
    ),
    max_size=2,
)
PRINCIPAL = st.just("*") | st.fixed_dictionaries(
    {},
    optional={
        "AWS": st.lists(st.sampled_from(["*", OWNER, "444455556666", "AROAEXAMPLEEXAMPLE123", *ARNS]), max_size=3),
        "Service": st.sampled_from(["sns.amazonaws.com", "sqs.amazonaws.com", "*"]),
    },
)
ACTIONS = st.lists(
    st.sampled_from(["kms:*", "kms:Decrypt", "kms:D*", "*", "kms:CreateGrant", "kms:Frob", "s3:*"]), max_size=2
)
RESOURCES = st.sampled_from(["*", "*", "*", f"arn:aws:kms:*:{OWNER}:key/1", "arn:aws:s3:::x", "*${x}?"])


@st.composite
def statements(draw) -> dict[str, object]:
    statement: dict[str, object] = {"Effect": draw(st.sampled_from(["Allow", "Allow", "Deny"]))}
    for element, strategy in (("Principal", PRINCIPAL), ("Action", ACTIONS), ("Resource", RESOURCES)):
        name = element if draw(st.integers(0, 4)) else f"Not{element}"
        statement[name] = draw(strategy)
    if draw(st.booleans()):
        statement["Condition"] = draw(CONDITION)
    return statement


REQUESTS = st.builds(
    Request,
    st.sampled_from(CALLERS).map(Caller.parse),
    st.sampled_from([*(a.name for a in catalogue().actions.values()), "kms:Decrypt", "kms:CreateGrant", "s3:x", ""]),
    st.dictionaries(st.sampled_from(KEYS), st.lists(VALUES, max_size=3).map(tuple), max_size=4),
    st.booleans(),
)
POLICIES = st.lists(statements(), max_size=4)
VERSIONS = st.sampled_from(["2012-10-17", "2008-10-17"])


def decide(items: list[dict[str, object]], request: Request, version: str = "2012-10-17") -> Decision:
    return evaluate(KeyPolicy.parse({"Version": version, "Statement": items}), request, OWNER)


@settings(max_examples=400, deadline=None)
@given(POLICIES, REQUESTS, VERSIONS)
def test_it_always_answers_and_the_answer_follows_from_the_statements(items, request, version):
    decision = decide(items, request, version)
    assert len(decision.results) == len(items)
    certain = decision.allowed_by and not decision.barrier
    match decision.outcome:
        case Outcome.ALLOWED:
            assert certain
            assert not decision.denied_by
        case Outcome.DENIED:
            assert decision.denied_by
        case Outcome.UNKNOWN:
            assert decision.undocumented
        case Outcome.NOT_ALLOWED:
            assert not certain
            assert not decision.denied_by


@settings(max_examples=200, deadline=None)
@given(POLICIES, statements(), REQUESTS)
def test_an_allow_only_adds_and_a_deny_only_takes(items, more, request):
    before, after = decide(items, request), decide([*items, more], request)
    if more["Effect"] == "Allow":
        assert after.possible or not before.possible
        assert after.allowed or not before.allowed
    else:
        assert before.possible or not after.possible
        assert before.allowed or not after.allowed


@settings(max_examples=200, deadline=None)
@given(POLICIES, REQUESTS, st.randoms())
def test_the_order_of_statements_and_copies_of_them_mean_nothing(items, request, random):
    again = items + items
    random.shuffle(again)
    assert decide(again, request).outcome == decide(items, request).outcome


@settings(max_examples=200, deadline=None)
@given(statements(), REQUESTS)
def test_a_list_is_its_members(item, request):
    """A statement over several actions says what one statement for each says."""
    if "Action" not in item or not item["Action"]:
        return
    split = [{**item, "Action": action} for action in item["Action"]]
    allow = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    assert decide([allow, *split], request).outcome == decide([allow, item], request).outcome


@settings(max_examples=200, deadline=None)
@given(POLICIES, REQUESTS)
def test_iam_only_adds(items, request):
    """Bit g: what a caller may do without IAM of its account, it may do with it."""
    without, with_iam = (Request(request.caller, request.action, request.context, g) for g in (False, True))
    assert decide(items, with_iam).possible or not decide(items, without).possible


@settings(max_examples=200, deadline=None)
@given(POLICIES, REQUESTS)
def test_the_case_of_key_names_and_actions_means_nothing(items, request):
    context = {key.upper() if "context:" not in key.lower() else key: value for key, value in request.context.items()}
    other = Request(request.caller, request.action.upper(), context, request.needs_iam)
    assert decide(items, other).outcome == decide(items, request).outcome


@settings(max_examples=100, deadline=None)
@given(REQUESTS)
def test_a_witness_is_read_as_it_is_written(request):
    # A single value and a list of one are the same; a key without values is not there.
    stated = {key: values for key, values in request.context.items() if values}
    again = Request.from_witness(Request(request.caller, request.action, stated, request.needs_iam).to_witness())
    assert again == Request(request.caller, request.action, stated, request.needs_iam)
