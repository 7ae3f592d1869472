"""How long to wait before what failed is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Pauses:
    """Pauses that double from the first to the longest; both in seconds.

    >>> pauses = Pauses(5, 60)
    >>> [int(pauses.after(failures).total_seconds()) for failures in (1, 2, 3, 4, 5, 400)]
    [5, 10, 20, 40, 60, 60]
    """

    first_seconds: float
    longest_seconds: float

    def after(self, failures: int) -> timedelta:
        """The pause after so many failures in a row, at least one."""
        # Beyond 2**32 every first pause is longer than any that can be set.
        return timedelta(seconds=min(self.first_seconds * 2.0 ** min(failures - 1, 32), self.longest_seconds))
