"""What of an archive could not be read or reached, and which accounts, Regions and days that leaves in the dark."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from keytrail.errors import InputError, SourceError
from keytrail.search import Result, site_of
from keytrail.store.model import Damage

# Errors kept. Whoever wants all of them listens to the results.
_MOST_ERRORS = 1_000
# Beyond this many damaged objects only those of another account, Region or day are added.
_MOST_DAMAGE = 10_000


class Problems:
    """Errors and lost sources, each once however often it is met, and the damage that they mean."""

    def __init__(self) -> None:
        self._errors: dict[str, InputError] = {}
        self._failures: dict[str, SourceError] = {}
        self._damage: dict[str, Damage] = {}
        self._sites: set[tuple[str, str, date | None]] = set()
        self._given = (0, 0)

    @property
    def errors(self) -> tuple[InputError, ...]:
        """What could not be read: the first ones."""
        return tuple(self._errors.values())

    @property
    def failures(self) -> tuple[SourceError, ...]:
        """The sources that could not be reached, or were lost."""
        return tuple(self._failures.values())

    def add(self, result: Result) -> None:
        """Add the problems of a result."""
        for error in result.errors:
            if len(self._errors) < _MOST_ERRORS:
                self._errors.setdefault(str(error), error)
            self._damaged(error)
        if result.failure is not None:
            self._failures.setdefault(str(result.failure), result.failure)

    def new(self) -> tuple[InputError | SourceError, ...]:
        """What was added since the last call."""
        errors, failures = self._given
        self._given = (len(self._errors), len(self._failures))
        return (*self.errors[errors:], *self.failures[failures:])

    def damage(self, since: datetime | None, until: datetime | None) -> tuple[Damage, ...]:
        """The damage that may be about events of these times, by name; a lost source is one of unknown place."""
        lost = [Damage(one.what) for one in self._failures.values()]
        objects = sorted(self._damage.values(), key=lambda one: one.what)
        return tuple(one for one in (*lost, *objects) if one.day is None or may_hold(one.day, since, until))

    def _damaged(self, error: InputError) -> None:
        file = "" if error.place is None else error.place.file
        site = site_of(file)
        where = ("", "", None) if site is None else (site.account, site.region, site.day)
        if file not in self._damage and (len(self._damage) < _MOST_DAMAGE or where not in self._sites):
            self._damage[file] = Damage(file or error.what, *where)
            self._sites.add(where)


def may_hold(day: date, since: datetime | None, until: datetime | None) -> bool:
    """Whether an object delivered on a day may hold such events: they happened on it, or on the day before."""
    first = None if since is None else since.astimezone(UTC).date()
    last = None if until is None else until.astimezone(UTC).date() + timedelta(days=1)
    return (first is None or day >= first) and (last is None or day <= last)
