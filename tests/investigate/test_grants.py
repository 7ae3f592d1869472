"""Grants on a key: who got which, and whether it ended."""

from __future__ import annotations

from keytrail.investigate.grants import grants_of
from tests.investigate.records import (
    OUTSIDE,
    activity,
    grant,
    moment,
    outsider,
    refused,
    retire_grant,
    revoke_grant,
    role_arn,
    root_arn,
    session,
    user,
)

EXFIL = role_arn("exfil", OUTSIDE)


def test_a_grant_says_who_got_what_from_whom() -> None:
    made = grant(
        "10:00",
        session("ops/Admin"),
        EXFIL,
        grant_id="g1",
        operations=("Decrypt", "CreateGrant"),
        constraints={"encryptionContextSubset": {"tenant": "7"}},
        retiring=root_arn(OUTSIDE),
    )
    (found,) = grants_of(activity(made))
    assert (found.grant_id, found.grantee, found.operations) == ("g1", EXFIL, ("Decrypt", "CreateGrant"))
    assert (found.created_by, found.retiring) == (role_arn("ops/Admin"), root_arn(OUTSIDE))
    assert (found.created, found.event_id) == (moment("10:00"), made["eventID"])
    assert found.constraints == {"encryptionContextSubset": {"tenant": "7"}}
    assert (found.ended, found.ended_by) == (None, None)


def test_a_grant_to_a_service_names_the_service() -> None:
    made = grant("10:00", user(), "", grant_id="g1")
    parameters = made["requestParameters"]
    assert isinstance(parameters, dict)
    del parameters["granteePrincipal"]
    parameters["granteeServicePrincipal"] = "rds.amazonaws.com"
    assert [one.grantee for one in grants_of(activity(made))] == ["rds.amazonaws.com"]


def test_a_grant_ends_when_it_is_revoked_or_retired_and_not_by_a_refused_attempt() -> None:
    revoked = revoke_grant("11:00", user(), "g1")
    retired = retire_grant("12:00", outsider(), "g2")
    found = grants_of(
        activity(
            *(grant("10:00", user(), EXFIL, grant_id=one) for one in ("g1", "g2", "g3")),
            revoked,
            retired,
            retire_grant("13:00", outsider(), "g1"),
            refused(revoke_grant("11:30", user(), "g3")),
        )
    )
    ends = {one.grant_id: (one.ended_by, one.ended) for one in found}
    assert ends == {
        "g1": (revoked["eventID"], moment("11:00")),
        "g2": (retired["eventID"], moment("12:00")),
        "g3": (None, None),
    }


def test_a_grant_that_two_accounts_logged_or_that_was_asked_for_twice_is_one_grant() -> None:
    first = grant("10:00", user(), EXFIL, grant_id="g1", recipientAccountId=OUTSIDE)
    again = grant("10:05", user(), EXFIL, grant_id="g1")
    assert [one.event_id for one in grants_of(activity(again, first))] == [first["eventID"]]


def test_no_grant_comes_of_a_refused_call() -> None:
    assert grants_of(activity(refused(grant("10:00", user(), EXFIL, grant_id="g1")))) == ()
