"""Random choices that are the same for one seed on every machine and Python version.

Only `random.random` and `getrandbits` are used: their algorithms are fixed, while `choice`, `sample` and `shuffle`
may consume the generator differently from one Python version to the next.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_POOL_DIGITS = 32 * 128
_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_MIXED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Chance:
    """One stream of choices, named so that streams of the same seed do not disturb each other.

    >>> Chance(7, "story").uuid() == Chance(7, "story").uuid() != Chance(7, "background").uuid()
    True
    """

    def __init__(self, seed: int, stream: str) -> None:
        # A seed of text goes through SHA-512, so that neighbouring seeds give unrelated streams.
        generator = random.Random(f"keytrail/{stream}/{seed}")  # noqa: S311 - an example archive guards no secret
        self.random = generator.random
        self.bits = generator.getrandbits
        self._pool = ""
        self._at = _POOL_DIGITS

    def below(self, bound: int) -> int:
        """Return an integer from 0 to `bound` - 1."""
        return int(self.random() * bound)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of `items`."""
        return items[int(self.random() * len(items))]

    def uuid(self) -> str:
        """Return the text of a version 4 UUID."""
        at = self._at
        if at == _POOL_DIGITS:  # Drawn by the hundred: archives need two for each record.
            self._pool = f"{self.bits(4 * _POOL_DIGITS):0{_POOL_DIGITS}x}"
            at = 0
        self._at = at + 32
        text = self._pool[at : at + 32]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    def hex(self, digits: int) -> str:
        """Return `digits` lower-case hexadecimal digits."""
        return f"{self.bits(4 * digits):0{digits}x}"

    def upper(self, length: int) -> str:
        """Return capital letters and digits, as AWS uses in key and principal ids."""
        bits = self.bits(5 * length)
        return "".join(_UPPER[bits >> 5 * i & 31] for i in range(length))

    def mixed(self, length: int) -> str:
        """Return letters and digits, as AWS uses in file names and request ids."""
        return "".join(_MIXED[int(self.random() * 62)] for _ in range(length))
