"""The inventory of an organisation (its CMDB): who owns a key or the data it protects, joined into an investigation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from keytrail.investigate.change import KeyName
from keytrail.investigate.model import Capped, DataAtStake, DataSummary, InventoryEntry, KeyFacts, StakedData
from keytrail.investigate.services import bucket_of, names_of


@dataclass(frozen=True)
class Inventory:
    """The lines of an inventory, in their order.

    The `matched` of an entry names a key (ARN, id, alias or the alias's ARN) or a resource (ARN or name); a `*` at its
    end stands for any rest. An entry of a bucket is about its objects too.
    """

    entries: tuple[InventoryEntry, ...] = ()

    def find(self, arn: str, aliases: Iterable[str] = ()) -> tuple[InventoryEntry, ...]:
        """The entries about a key, by its ARN and the names or ARNs of its aliases."""
        key = KeyName.parse(arn)
        return self._about({arn} if key is None else {f"key/{key.id}", *names_of(key, aliases)})

    def for_resource(self, row: DataAtStake | DataSummary) -> tuple[InventoryEntry, ...]:
        """The entries about a resource that the key protects."""
        return self._about(set(_names_of_resource(row.resource)))

    def with_key(self, facts: KeyFacts) -> KeyFacts:
        """The facts of a key with the entries about it, by its ARN and the aliases that named it at the change."""
        aliases = [alias.name for alias in facts.aliases if alias.current]
        return replace(facts, inventory=self.find(facts.arn, aliases))

    def with_data(self, data: StakedData) -> StakedData:
        """The data at stake with the entries about each resource that is shown."""
        rows = tuple(replace(row, inventory=self.for_resource(row)) for row in data.items)
        held = tuple(replace(one, inventory=self.for_resource(one)) for one in data.summary.items)
        return replace(data, items=rows, summary=Capped(held, data.summary.total))

    def _about(self, names: set[str]) -> tuple[InventoryEntry, ...]:
        found = {number for name in names for number in self._by_name.get(name, ())}
        for name in names:
            for length in self._lengths:
                found.update(self._by_name.get(name[:length] + "*", ()))
        return tuple(self.entries[number] for number in sorted(found))

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, entry in enumerate(self.entries):
            found.setdefault(entry.matched, []).append(number)
        return found

    @cached_property
    def _lengths(self) -> tuple[int, ...]:
        """How long what stands before a `*` is: few lengths, however many entries."""
        return tuple({len(name) - 1 for name in self._by_name if name.endswith("*")})


_ARN = re.compile(r"arn:[a-z-]+:([a-z0-9-]+):[^:]*:[^:]*:(.+)", re.ASCII | re.DOTALL)
_SECRET_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$", re.ASCII)  # Secrets Manager adds it to the name in the ARN.


def _names_of_resource(resource: str) -> Iterator[str]:
    """Every way in which an inventory may name a resource."""
    yield resource
    found = _ARN.fullmatch(resource)
    if found is None:
        return
    service, rest = found.groups()
    yield rest
    if service == "s3":
        yield f"s3://{rest}"
        bucket = rest.partition("/")[0]
        yield from (bucket_of(resource), bucket, f"s3://{bucket}", f"s3://{bucket}/")
        return
    name = re.split("[:/]", rest, maxsplit=1)[-1]
    yield name
    if service == "ssm":
        yield f"/{name}"  # The ARN leaves out the slash that the parameter's name begins with.
    if service == "secretsmanager":
        yield _SECRET_SUFFIX.sub("", name)
        yield _SECRET_SUFFIX.sub("", resource)
