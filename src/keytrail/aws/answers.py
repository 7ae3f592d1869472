"""Answers have to be whole: what botocore lets through as an empty answer would look like nothing new."""

from __future__ import annotations

from collections.abc import Mapping

from keytrail.errors import SourceError


def check_whole(answer: Mapping[str, object], member: str, *, action: str, resource: str) -> None:
    """Raise SourceError if an answer lacks a member that AWS always gives: it was cut, or is not from AWS."""
    if member not in answer:
        raise not_whole(action, resource)


def not_whole(action: str, resource: str) -> SourceError:
    """The error of an answer that was cut, or that something else than AWS gave."""
    return SourceError(
        f"the answer to {action} on {resource} did not arrive whole",
        advice="it may have come from something between here and AWS: check the network, proxies and portals",
    )
