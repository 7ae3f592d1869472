"""What AWS answers to a call that it does not carry out: what it means for a plan, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from keytrail.aws import source_error
from keytrail.aws.failures import THROTTLED, error_code
from keytrail.errors import SourceError

if TYPE_CHECKING:
    from keytrail.respond.model import Call

_ADVICE: Mapping[str, str] = {
    "MalformedPolicyDocumentException": (
        "A principal in it is most likely one that no longer exists (AWS then shows ids such as AROA… or AIDA… for "
        "it), or the lock-out check refused it because nobody in the account could change the policy afterwards. "
        "Ask for plans again, so that ids of deleted principals are left out; that check is never bypassed."
    ),
    "MalformedPolicyDocument": "The policy is not one that IAM takes: ask for plans again, and report this plan.",
    "KMSInvalidStateException": (
        "The key is in a state that does not allow it, pending deletion for example: aws kms describe-key shows it. "
        "aws kms cancel-key-deletion takes a key back from deletion; ask for plans again afterwards."
    ),
    "LimitExceededException": (
        "A quota of AWS is used up: a key policy may have 32,768 bytes. Remove statements that nobody needs, "
        "or choose a plan that removes instead of one that restores."
    ),
    "LimitExceeded": (
        "The inline policies of a user may have 2,048 characters together, those of a role 10,240: "
        "remove one that nobody needs."
    ),
    "NotFoundException": (
        "It is not there: the key or the grant is gone, or the Region or the account is another one. "
        "Ask for plans again: keytrail respond ALERT."
    ),
    "NoSuchEntity": "The role or user is gone, so there is nobody left to quarantine.",
    "UnmodifiableEntity": (
        "Only the service that owns a service-linked role can change it: remove what it may do from the key's policy."
    ),
    "AlreadyExistsException": "Somebody else made it in the meantime: ask for plans again.",
}
_DENIED = {"AccessDenied", "AccessDeniedException"}


def refused(error: Exception, call: Call) -> SourceError:
    """The error of a call that botocore reports, with what to do about it."""
    found = source_error(error, action=call.action, resource=call.resource)
    code = error_code(error)
    if code in _DENIED:
        found.advice = (
            f"allow {call.action} on {call.resource} for the identity in use (keytrail respond ALERT --iam-policy "
            "prints the least policy), in IAM and, for a key, in what its policy says now. The plan says who could; if "
            "nobody can, only AWS Support can put the policy back."
        )
    elif code in _ADVICE:
        found.advice = _ADVICE[code]
    return found


def is_definite(error: BaseException) -> bool:
    """Whether AWS said that it did not carry a call out; without an answer, or after a fault of its own, it may have.

    >>> is_definite(ValueError())
    False
    """
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return False
    if error_code(error) in THROTTLED:
        return True
    told = response.get("ResponseMetadata", {})
    status = told.get("HTTPStatusCode", 0)
    # The refusal of a call that was sent again says nothing about the one before, whose answer was lost.
    return isinstance(status, int) and 400 <= status < 500 and not told.get("RetryAttempts")
