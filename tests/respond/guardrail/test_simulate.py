"""What a guardrail is said to have denied is what AWS would have denied: judged anew, by the text of its policies."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keytrail.respond.guardrail.calls import attempt_of, query_of
from keytrail.respond.guardrail.model import Guardrail, Kind, guardrail
from keytrail.respond.guardrail.registry import FORMS
from keytrail.respond.guardrail.simulate import EXAMPLES, Simulation, denies, simulate
from keytrail.respond.guardrail.statements import denied_actions, groups_but

START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
ADMIN = "arn:aws:iam::111122223333:role/Admin"
LINKED = "arn:aws:iam::111122223333:role/aws-service-role/backup.amazonaws.com/AWSServiceRoleForBackup"
BOTH: tuple[Kind, ...] = ("scp", "rcp")


def tried(rail: Guardrail, *events: Any, kinds: tuple[Kind, ...] = BOTH, **more: Any) -> Simulation:
    return simulate(events, rail, kinds, since=START, until=END, **more)


def test_it_says_who_would_have_been_denied_what(rails: Any) -> None:
    events = [rails.event(ADMIN, number=number) for number in range(5)]
    events.append(rails.event(ADMIN, "kms:CreateGrant", 5, errorCode="AccessDenied"))
    events.append(rails.event("arn:aws:iam::111122223333:root", number=6))
    found = tried(rails.make(), *events, rails.event(rails.break_glass, number=7), rails.event(LINKED, number=8))
    admin, root = found.denied
    assert (admin.principal, admin.calls, dict(admin.actions)) == (
        ADMIN,
        6,
        {"kms:CreateGrant": 1, "kms:PutKeyPolicy": 5},
    )
    assert (admin.refused, admin.certain, admin.by) == (1, True, ("scp", "rcp"))
    assert admin.last == datetime(2026, 3, 1, 8, 0, 5, tzinfo=UTC)
    assert admin.examples == tuple(event.id for event in (events[5], events[4], events[3]))
    assert len(admin.examples) == EXAMPLES
    assert admin.resources == (rails.key,)
    assert root.principal.endswith(":root")
    assert (found.calls, found.examined, dict(found.spared)) == (7, 9, {"break-glass": 1, "service-linked role": 1})


def test_services_and_the_grants_they_make_stay_possible(rails: Any) -> None:
    service = {"type": "AWSService", "invokedBy": "backup.amazonaws.com"}
    own = rails.event(ADMIN, "kms:CreateGrant", userIdentity=service)
    passed_on = rails.event(
        ADMIN, "kms:CreateGrant", 1, userIdentity=dict(own.identity) | {"invokedBy": "ec2.amazonaws.com"}
    )
    through = dict(rails.event(ADMIN).identity) | {"invokedBy": "ec2.amazonaws.com"}
    for_resource = rails.event(ADMIN, "kms:CreateGrant", 2, userIdentity=through)
    policy_through = rails.event(ADMIN, "kms:PutKeyPolicy", 3, userIdentity=through)
    found = tried(rails.make(), own, passed_on, for_resource, policy_through)
    assert [dict(one.actions) for one in found.denied] == [{"kms:PutKeyPolicy": 1}]
    assert dict(found.spared) == {"AWS service": 2, "not denied": 1}


def test_the_management_account_is_beyond_both_policies(rails: Any) -> None:
    event = rails.event(ADMIN)
    assert tried(rails.make(), event).calls == 1
    found = tried(rails.make(), event, management=rails.account)
    assert (found.calls, dict(found.spared)) == (0, {"management account": 1})


def test_a_stranger_is_held_back_at_the_key_only(rails: Any) -> None:
    """Of a call from another account the key's account often records the caller's account alone."""
    identity = {"type": "AWSAccount", "principalId": "AROAEXAMPLE:x", "accountId": "999988887777"}
    stranger = {"userIdentity": identity, "recipientAccountId": rails.account}
    event = rails.event(ADMIN, "kms:CreateGrant", **stranger)
    (one,) = tried(rails.make(), event).denied
    assert (one.by, one.certain, one.principal) == (("rcp",), True, "somebody of account 999988887777")
    # It may be the break-glass role where that is in its account; in the organisation, that would be let through.
    rail = rails.make("arn:aws:iam::999988887777:role/BreakGlass")
    (one,) = tried(rail, event, accounts=frozenset({"999988887777"})).denied
    assert (one.by, one.certain) == (("scp", "rcp"), False)
    # A stranger's role of the right name is not one of ours, and grants work across accounts.
    anywhere = rails.make("arn:aws:iam::*:role/BreakGlass")
    named = rails.event(
        "arn:aws:iam::999988887777:role/BreakGlass", "kms:CreateGrant", recipientAccountId=rails.account
    )
    assert [(one.by, one.certain) for one in tried(anywhere, named).denied] == [(("rcp",), True)]
    ours = tried(anywhere, named, accounts=frozenset({"999988887777"}))
    assert (ours.denied, dict(ours.spared)) == ((), {"break-glass": 1})


def test_a_call_that_two_accounts_recorded_counts_once(rails: Any) -> None:
    shared = {"sharedEventID": "5b2ad3a1-0000-4000-8000-000000000000"}
    named = rails.event(ADMIN, "kms:CreateGrant", 1, **shared)
    identity = {"type": "AWSAccount", "principalId": "AROAEXAMPLE:x", "accountId": rails.account}
    key = rails.key.replace(rails.account, "444455556666")
    other = rails.event(
        ADMIN, "kms:CreateGrant", 2, userIdentity=identity, recipientAccountId="444455556666",
        resources=[{"ARN": key}], **shared,
    )  # fmt: skip
    for events in ((named, other), (other, named)):
        found = tried(rails.make(), *events)
        assert (found.examined, found.denied[0].principal, found.denied[0].calls) == (1, ADMIN, 1)


def test_moving_a_primary_key_is_one_call_in_two_regions(rails: Any) -> None:
    echo = dict(rails.event(ADMIN).identity) | {"invokedBy": "kms.amazonaws.com"}
    events = (
        rails.event(ADMIN, "kms:UpdatePrimaryRegion"),
        rails.event(ADMIN, "kms:UpdatePrimaryRegion", 1, userIdentity=echo, resources=None),
    )
    assert tried(rails.make(), *events).examined == 1


def test_only_the_time_asked_for_counts(rails: Any) -> None:
    event = rails.event(ADMIN)
    rail = rails.make()
    for since, until, calls in (
        (event.time, END, 1),
        (event.time + timedelta(seconds=1), END, 0),
        (START, event.time, 0),
        (START, event.time + timedelta(seconds=1), 1),
    ):
        assert simulate([event], rail, BOTH, since=since, until=until).calls == calls


def test_a_record_that_does_not_tell_who_called_is_counted_as_such(rails: Any) -> None:
    event = rails.event(ADMIN, userIdentity={"type": "Unknown"})
    found = tried(rails.make(), event)
    assert (found.untold, found.examined, found.denied) == (1, 0, ())


def test_roles_are_known_by_their_names_where_the_record_leaves_out_the_path(rails: Any) -> None:
    rail = rails.make(rails.break_glass, "arn:aws:iam::*:role/ops/break-glass/*")

    def denied(action: str, **parameters: str) -> list[bool]:
        event = rails.event(ADMIN, action, requestParameters=parameters)
        return [one.certain for one in tried(rail, event).denied]

    assert denied("iam:UpdateAssumeRolePolicy", roleName="BreakGlass") == [True]
    assert denied("iam:CreateRole", roleName="BreakGlass") == [True]
    assert denied("iam:CreateRole", roleName="BreakGlass", path="/x/") == []
    assert denied("iam:CreateRole", roleName="New", path="/ops/break-glass/") == [True]
    assert denied("iam:AttachRolePolicy", roleName="App") == [False]  # its path is not told, and any name may be there
    named_only = rails.make()
    event = rails.event(ADMIN, "iam:AttachRolePolicy", requestParameters={"roleName": "App"})
    assert tried(named_only, event).denied == ()


def test_a_boundary_has_to_be_on_new_identities(rails: Any) -> None:
    def denied(action: str, **parameters: str) -> int:
        event = rails.event(ADMIN, action, requestParameters=parameters)
        return tried(rails.make(), event, kinds=("boundary",)).calls

    ours = "arn:aws:iam::111122223333:policy/keytrail-key-policy-boundary"
    assert denied("iam:CreateRole", roleName="App") == 1
    assert denied("iam:CreateRole", roleName="App", permissionsBoundary="arn:aws:iam::111122223333:policy/other") == 1
    assert denied("iam:CreateRole", roleName="App", permissionsBoundary=ours) == 0
    assert denied("iam:DeleteUserPermissionsBoundary", userName="ada") == 1
    assert denied("iam:CreatePolicyVersion", policyArn=ours) == 1
    assert denied("iam:CreatePolicyVersion", policyArn="arn:aws:iam::111122223333:policy/other") == 0
    root = rails.event("arn:aws:iam::111122223333:root")
    assert tried(rails.make(), root, kinds=("boundary",)).calls == 0


def test_the_query_finds_the_events_of_what_is_denied(rails: Any) -> None:
    from keytrail.cloudtrail import Document
    from keytrail.search import Pattern, dispatch

    pattern = Pattern("query", query_of(denied_actions(rails.make(), BOTH)))
    for action, found in (
        ("kms:PutKeyPolicy", True),
        ("iam:PutRolePolicy", True),
        ("kms:Decrypt", False),
        ("s3:PutRolePolicy", False),
    ):
        (one,) = dispatch([pattern], now=END).candidates(data := rails.event(ADMIN, action).data) or [None]
        assert (one is not None and one.query.matches(Document(data))) is found


# -- the same judged by the text ---------------------------------------------------------------------------------------

NAMES = st.sampled_from(["BreakGlass", "BreakGlassX", "Break", "Admin", "x"])
PATHS = st.sampled_from(["", "ops/", "ops/x/", "BreakGlass/"])
ACCOUNTS = st.sampled_from(["111122223333", "444455556666"])
ROLES = st.builds(lambda account, path, name: f"arn:aws:iam::{account}:role/{path}{name}", ACCOUNTS, PATHS, NAMES)
CALLERS = (
    ROLES
    | st.builds(lambda a, n: f"arn:aws:iam::{a}:user/{n}", ACCOUNTS, NAMES)
    | ACCOUNTS.map("arn:aws:iam::{}:root".format)
)
PATTERNS = st.sampled_from(
    [
        "arn:aws:iam::*:role/BreakGlass",
        "arn:aws:iam::111122223333:role/BreakGlass",
        "arn:aws:iam::444455556666:role/ops/BreakGlass",
        "arn:aws:iam::*:role/ops/*",
        "arn:aws:iam::111122223333:role/*/BreakGlass",
        "arn:aws:iam::*:role/Break*",
    ]
)
KEYS = st.sampled_from(
    [
        "arn:aws:kms:eu-west-1:111122223333:key/1",
        "arn:aws:kms:us-east-1:111122223333:key/1",
        "arn:aws:kms:eu-west-1:444455556666:key/2",
    ]
)
RAILS = st.builds(
    lambda arns, without, keys, organisation: guardrail(
        tuple(arns), groups=groups_but(without), keys=tuple(keys), organisation=organisation
    ),
    st.lists(PATTERNS, min_size=1, max_size=3),
    st.lists(st.sampled_from(["replicas", "grants", "sharing", "takeover"]), max_size=2),
    st.sampled_from([(), ("arn:aws:kms:*:111122223333:key/*",), ("arn:aws:kms:eu-west-1:111122223333:key/1",)]),
    st.sampled_from([None, "o-example"]),
)
ACTIONS = st.sampled_from(
    [
        "kms:PutKeyPolicy",
        "kms:ReplicateKey",
        "kms:UpdatePrimaryRegion",
        "kms:CreateGrant",
        "iam:CreateRole",
        "ram:CreateResourceShare",
    ]
)
KINDS: tuple[Kind, ...] = ("scp", "rcp", "boundary")


@given(RAILS, CALLERS, ACTIONS, KEYS, ROLES, st.booleans(), st.booleans())
def test_the_simulation_says_what_the_policies_say(
    rails: Any, rail: Guardrail, caller: str, action: str, key: str, role: str, by_service: bool, of_key: bool
) -> None:
    event = call(rails, caller, action, key=key, role=role, by_service=by_service, of_key=of_key)
    attempt = attempt_of(event, rail)
    assert attempt is not None
    ours = frozenset({"111122223333", "444455556666"})
    asked = {
        "aws:PrincipalArn": caller,
        "aws:PrincipalIsAWSService": "false",
        "kms:GrantIsForAWSResource": ("true" if by_service else "false") if action == "kms:CreateGrant" else None,
        "ram:RequestedResourceType": "kms:Key" if action.startswith("ram:") and of_key else None,
        "aws:PrincipalOrgID": rail.organisation or "o-own",
        "aws:ResourceOrgID": rail.organisation or "o-own",
        "iam:PermissionsBoundary": None,
    }
    resource = {"kms": key, "iam": role, "ram": "*"}[action[:3]]
    for form in FORMS:
        if form.name in KINDS:
            (file,) = form.write(rail)
            assert denies(attempt, rail, form.name, ours) is judged(json.loads(file.text), action, resource, asked)


@given(RAILS, ACTIONS, ACCOUNTS, KEYS, ROLES, st.booleans())
def test_break_glass_roles_are_never_denied(
    rails: Any, rail: Guardrail, action: str, account: str, key: str, role: str, of_key: bool
) -> None:
    """Neither what the policies say nor what the simulation says holds back a role that an ARN covers."""
    for one in rail.break_glass:
        caller = one.example(account if one.account == "*" else one.account)
        event = call(rails, caller, action, key=key, role=role, by_service=False, of_key=of_key)
        attempt = attempt_of(event, rail)
        assert attempt is not None
        ours = frozenset({"111122223333", "444455556666"})
        for kind in KINDS:
            assert denies(attempt, rail, kind, ours) is False
        found = simulate([event], rail, KINDS, since=START, until=END, accounts=ours)
        assert found.denied == ()


def call(rails: Any, caller: str, action: str, *, key: str, role: str, by_service: bool, of_key: bool) -> Any:
    event = rails.event(caller)
    changes: dict[str, Any] = {}
    if by_service:
        changes["userIdentity"] = dict(event.identity) | {"invokedBy": "ec2.amazonaws.com"}
    if action.startswith("kms:"):
        changes |= {
            "resources": [{"ARN": key}],
            "requestParameters": {"keyId": key},
            "recipientAccountId": key.split(":")[4],
        }
    elif action.startswith("iam:"):
        path, _, name = role.partition(":role/")[2].rpartition("/")
        changes |= {
            "requestParameters": {"roleName": name, "path": f"/{path}/"},
            "recipientAccountId": role.split(":")[4],
        }
    else:
        arn = key if of_key else "arn:aws:ec2:eu-west-1:111122223333:subnet/1"
        changes["requestParameters"] = {"resourceArns": [arn]}
    return rails.event(caller, action, **changes)


def judged(policy: dict[str, Any], action: str, resource: str, asked: dict[str, str | None]) -> bool:
    """Whether a policy denies a request: read from its text by what IAM documents, and from nothing of keytrail."""
    return any(
        one["Effect"] == "Deny"
        and action in listed(one["Action"])
        and any(globbed(pattern, resource) for pattern in listed(one["Resource"]))
        and all(
            holds(operator, [resolved(value, asked) for value in listed(values)], asked[key])
            for operator, tests in one["Condition"].items()
            for key, values in tests.items()
        )
        for one in policy["Statement"]
    )


def holds(operator: str, values: list[str], given: str | None) -> bool:
    match operator:
        case "ArnNotLike":
            return given is None or not any(arn_like(value, given) for value in values)
        case "Bool":
            return given in values
        case "BoolIfExists":
            return given is None or given in values
        case "StringEqualsIgnoreCase":
            return given is not None and given.lower() in [value.lower() for value in values]
        case "StringNotEqualsIfExists":
            return given is None or given not in values
        case "StringNotLike":
            return given is None or not any(globbed(value, given) for value in values)
    raise AssertionError(operator)


def resolved(value: str, asked: dict[str, str | None]) -> str:
    return re.sub(r"\$\{([^}]+)\}", lambda found: asked[found[1]] or "", value)


def arn_like(pattern: str, arn: str) -> bool:
    return all(globbed(*pair) for pair in zip(pattern.split(":", 5), arn.split(":", 5), strict=True))


def globbed(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("kind", KINDS)
def test_the_judge_of_these_tests_tells_a_guardrail_from_none(kind: Kind, rails: Any) -> None:
    """Its answer changes with the caller: a judge that always said no would agree with a simulation that did."""
    (form,) = (one for one in FORMS if one.name == kind)
    policy = json.loads(form.write(rails.make())[0].text)
    asked = {"aws:PrincipalArn": ADMIN, "aws:PrincipalIsAWSService": "false"}
    assert judged(policy, "kms:PutKeyPolicy", rails.key, asked)
    assert not judged(policy, "kms:PutKeyPolicy", rails.key, asked | {"aws:PrincipalArn": rails.break_glass})
