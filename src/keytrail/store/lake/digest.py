"""The digest of an event's identity: 64 bits, the same in every process and version, for it is stored in segments."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from keytrail.cloudtrail import Identity

Digests = npt.NDArray[np.int64]

_BYTES = 8


def digest_of(who: Identity) -> int:
    """The BLAKE2b of 8 bytes of account, Region, event id and time, joined by NUL, as a little-endian signed integer.

    >>> digest_of(Identity("111122223333", "eu-west-1", "e1", "2026-03-01T08:00:00Z"))
    2473560552145908825
    """
    return int(digests([f"{who.account}\0{who.region}\0{who.event_id}\0{who.time}"])[0])


def digests(joined: Iterable[str]) -> Digests:
    """The digests of identities whose parts were joined."""
    return np.frombuffer(
        b"".join([blake2b(one.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest() for one in joined]), "<i8"
    )
