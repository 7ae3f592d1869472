"""The ids that AWS shows in place of deleted users and roles: told apart from everything else that may be different."""

from __future__ import annotations

import json

import pytest

from keytrail.policy import KeyPolicy, compare
from keytrail.respond.deleted import without_deleted
from tests.investigate import records as made

OWN = made.allow({"AWS": made.root_arn(made.OWNER)})
APP, EVE = made.role_arn("App"), made.role_arn("Eve")
BOB = f"arn:aws:iam::{made.OWNER}:user/bob"
STRANGER = made.root_arn(made.OUTSIDE)
ROLE_ID, OTHER_ROLE_ID, USER_ID = "AROAQ3EGRKVPVEXAMPLE1", "AROAQ3EGRKVPVEXAMPLE2", "AIDAQ3EGRKVPVEXAMPLE1"


def policy(*statements: made.Json) -> KeyPolicy:
    return KeyPolicy.parse(json.dumps(made.policy(OWN, *statements)))


def decrypt(*principals: str, **more: object) -> made.Json:
    return made.allow({"AWS": list(principals)}, "kms:Decrypt", **more)  # type: ignore[arg-type]


def deny_others(*principals: str) -> made.Json:
    return {"Effect": "Deny", "NotPrincipal": {"AWS": list(principals)}, "Action": "kms:Decrypt", "Resource": "*"}


@pytest.mark.parametrize(
    ("before", "after", "ids", "principals"),
    [
        ([decrypt(APP)], [decrypt(ROLE_ID)], [ROLE_ID], [APP]),
        ([decrypt(APP, EVE)], [decrypt(EVE, ROLE_ID)], [ROLE_ID], [APP]),
        ([decrypt(APP, BOB)], [decrypt(USER_ID, ROLE_ID)], [USER_ID, ROLE_ID], [APP, BOB]),
        ([decrypt(APP), decrypt(APP)], [decrypt(ROLE_ID), decrypt(ROLE_ID)], [ROLE_ID], [APP]),
        ([deny_others(APP, EVE)], [deny_others(EVE, ROLE_ID)], [ROLE_ID], [APP]),
    ],
)
def test_what_aws_did_is_the_same_without_them(
    before: list[made.Json], after: list[made.Json], ids: list[str], principals: list[str]
) -> None:
    found = without_deleted(policy(*before), policy(*after))
    assert found is not None
    assert (found.ids, found.principals) == (tuple(ids), tuple(principals))
    assert compare(found.earlier, found.later, made.OWNER).unchanged


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([decrypt(APP)], [decrypt(APP)]),  # nobody was deleted
        ([decrypt(APP)], [decrypt(EVE)]),
        ([decrypt(APP)], [decrypt(USER_ID)]),  # the id of a user is none of a role
        ([decrypt(APP)], [decrypt(ROLE_ID, OTHER_ROLE_ID)]),
        ([decrypt(APP, EVE)], [decrypt(ROLE_ID)]),
        ([decrypt(APP), decrypt(EVE)], [decrypt(ROLE_ID, OTHER_ROLE_ID), decrypt(BOB)]),
        ([decrypt(APP)], [decrypt(ROLE_ID), decrypt(EVE)]),
        ([decrypt(STRANGER)], [decrypt(ROLE_ID)]),  # an account is not deleted
    ],
)
def test_what_aws_does_not_do_is_left(before: list[made.Json], after: list[made.Json]) -> None:
    found = without_deleted(policy(*before), policy(*after))
    assert found is None or not compare(found.earlier, found.later, made.OWNER).unchanged


def test_what_else_was_changed_stays_to_be_seen() -> None:
    found = without_deleted(policy(decrypt(APP)), policy(decrypt(ROLE_ID, STRANGER)))
    assert found is not None
    assert compare(found.earlier, found.later, made.OWNER).external_accounts == (made.OUTSIDE,)
