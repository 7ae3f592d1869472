"""The data that is protected by the key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from keytrail.investigate.model.key import InventoryEntry
from keytrail.investigate.model.values import Capped


@dataclass(frozen=True, slots=True)
class DataAtStake:
    """A resource that was seen to be protected by the key, from the events before the change; a row for each context.

    `resource` is an ARN where one can be told; account and Region are the key's where a context does not name them.
    `basis`: "encryption_context" (the context of successful uses names it), "request" (a call named the key for it,
    such as CreateVolume with kmsKeyId), "inferred" (put together from something weaker, see `note`). `count` is the
    number of successful calls that named it, uses of the key and grants; `example` the id of the last one.
    """

    service: str
    kind: str
    resource: str
    context: Mapping[str, str]
    basis: Literal["encryption_context", "request", "inferred"]
    count: int
    first: datetime
    last: datetime
    principals: Capped[str]
    operations: tuple[str, ...]
    example: str
    note: str = ""
    inventory: tuple[InventoryEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class DataSummary:
    """Rows of `DataAtStake` taken together: the objects of a bucket, the versions of a secret. `contexts` of them."""

    service: str
    kind: str
    resource: str
    contexts: int
    count: int
    first: datetime
    last: datetime
    inventory: tuple[InventoryEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class StakedData(Capped[DataAtStake]):
    """The data at stake, most used first, and what a reader wants to see before it.

    `summary` is by bucket, secret, table and so on; `by_service` counts the distinct resources of each service.
    `complete` is False when the key has more calls than were kept, so that every count is at least what it says.
    """

    summary: Capped[DataSummary] = field(default_factory=Capped)
    by_service: Mapping[str, int] = field(default_factory=dict)
    complete: bool = True
