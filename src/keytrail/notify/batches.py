"""Messages in the batches that an API takes, and exactly what failed of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from keytrail.errors import SettingsError
from keytrail.notify.model import DeliveryError, Message
from keytrail.settings import Secret

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prepared(Generic[T]):
    """A message as an API takes it, and its size there in bytes."""

    message: Message
    entry: T
    size: int


def send_in_batches(
    entries: Iterable[Prepared[T]],
    call: Callable[[Sequence[Prepared[T]]], Mapping[str, DeliveryError]],
    *,
    most: int,
    most_bytes: int,
) -> None:
    """Give `call` all entries, at most `most` of together `most_bytes` at a time; it tells the failed, by message id.

    A `call` that raises DeliveryError failed as a whole; if that is worth a retry, the batches after it are not tried
    now. Raises DeliveryError where something failed.
    """
    failed: dict[str, DeliveryError] = {}
    count = 0
    whole: DeliveryError | None = None
    for batch in _batches(entries, most, most_bytes):
        count += len(batch)
        if whole is None or not whole.retry:
            try:
                failed |= call(batch)
                continue
            except DeliveryError as error:
                whole = error
        failed |= {one.message.id: whole for one in batch}
    if failed:
        raise gathered(failed, count)


def gathered(failed: Mapping[str, DeliveryError], count: int) -> DeliveryError:
    """One error for what failed of `count` messages."""
    errors = list(failed.values())
    first = next((one for one in errors if one.retry), errors[0])
    pauses = [one.after_seconds for one in errors if one.after_seconds is not None]
    what = first.what if len(failed) == count else f"{len(failed)} of {count} messages were not taken: {first.what}"
    return DeliveryError(
        what,
        retry=first.retry,
        after_seconds=max(pauses, default=None),
        advice=first.advice,
        parts=failed,
    )


def reveal(secret: Secret | None) -> str:
    """The value of a secret, "" when there is none. Raises DeliveryError when it cannot be had just now."""
    try:
        return secret.value() if secret is not None else ""
    except SettingsError as error:
        where = f" ({error.place})" if error.place else ""
        raise DeliveryError(f"{error.what}{where}", retry=True, advice=error.advice) from None


def _batches(entries: Iterable[Prepared[T]], most: int, most_bytes: int) -> Iterator[list[Prepared[T]]]:
    batch: list[Prepared[T]] = []
    size = 0
    for entry in entries:
        if batch and (len(batch) == most or size + entry.size > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch
