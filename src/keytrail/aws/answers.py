"""Answers have to be whole: what botocore lets through as an empty answer would look like nothing new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keytrail.aws.failures import explained, not_whole


def check_whole(answer: Mapping[str, object], member: str, *, action: str, resource: str) -> None:
    """Raise SourceError if an answer lacks a member that AWS always gives: it was cut, or is not from AWS."""
    if member not in answer:
        raise not_whole(action, resource)


# The methods of a client, and what they answer, are made from AWS's descriptions: only stubs could type them.
def whole(made: Any, operation: str, member: str, *, resource: str, **parameters: object) -> Any:
    """The answer to a call, which has a member that AWS always gives; `operation` is boto3's name. Raises SourceError.

    `resource` is what errors say that the call was for.
    """
    action = _action(made, operation)
    with explained(action=action, resource=resource):
        answer = getattr(made, operation)(**parameters)
    check_whole(answer, member, action=action, resource=resource)
    return answer


def paged(made: Any, operation: str, member: str, *, resource: str, **parameters: object) -> Iterator[Any]:
    """What all pages of a list hold under a member, as `whole` gives one. Raises SourceError."""
    action = _action(made, operation)
    pages = iter(made.get_paginator(operation).paginate(**parameters))
    more = False
    while True:
        with explained(action=action, resource=resource):
            page = next(pages, None)
        if page is None:
            break
        check_whole(page, member, action=action, resource=resource)
        yield from page[member]
        more = bool(page.get("Truncated") or page.get("IsTruncated"))
    if more:  # and no word of where it goes on, at which botocore ends
        raise not_whole(action, resource)


def _action(made: Any, operation: str) -> str:
    """The IAM action of an operation."""
    return f"{made.meta.service_model.service_name}:{made.meta.method_to_api_mapping[operation]}"
