"""The error tree: what went wrong, where it was, and what to do about it.

KeytrailError
├── UsageError              the command, a setting, a rule or a query is wrong       exit 2
│   ├── SettingsError       a value in keytrail.toml, the environment or a flag
│   ├── QueryError          a KQL query
│   │   ├── QuerySyntaxError    it does not parse
│   │   └── QueryTypeError      a value does not fit the field's type
│   ├── RuleError           a rule file or one rule in it
│   ├── PolicyError         a key policy, with every problem found in it
│   ├── StalePlan           AWS has something else than a plan was made for (respond.apply)
│   └── OutputError         the result cannot be written where it was asked for
├── InputError              one object, record or line cannot be read; the rest goes on   exit 3
│   ├── ObjectError         a whole object: damaged gzip, too large, no known layout
│   └── RecordError         one record or line of an object
├── SourceError             a source cannot be reached, or holds nothing to read     exit 4
├── StoreError              what the state or the lake keeps cannot be read or written   exit 4
│   └── LeaseLost           another process has taken the service over (store.state.lease)
└── DeliveryError           a sink did not take all messages; they are sent again (notify)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was found. Numbers count from 1, except `record`, the index in its object."""

    file: str
    record: int | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        text = self.file
        if self.line is not None:
            text += f":{self.line}"
            if self.column is not None:
                text += f":{self.column}"
        if self.record is not None:
            text += f" record {self.record}"
        return text


class KeytrailError(Exception):
    """Base of every error that keytrail raises on purpose.

    `what` says what happened, `place` where, `advice` what the user can do. All three may hold text an
    attacker wrote: pass them through `keytrail.text` before they reach a terminal or a page.
    """

    def __init__(self, what: str, *, place: Place | None = None, advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.place = place
        self.advice = advice

    def __str__(self) -> str:
        text = f"{self.place}: {self.what}" if self.place else self.what
        return f"{text}\n{self.advice}" if self.advice else text

    def __reduce__(self) -> tuple[object, ...]:
        # Errors travel from worker processes; the default would call __init__ with `what` alone.
        return _rebuild, (type(self), dict(self.__dict__))


def _rebuild(kind: type[KeytrailError], state: dict[str, object]) -> KeytrailError:
    error = kind.__new__(kind)
    Exception.__init__(error, state["what"])
    error.__dict__.update(state)
    return error


class UsageError(KeytrailError):
    """The command, a setting, a rule or a query is wrong."""


class SettingsError(UsageError):
    """A value in keytrail.toml, the environment or a flag is not usable."""


class QueryError(UsageError):
    """A KQL query is wrong at `offset` (characters from 0) of `text`; prints the text with a caret below."""

    def __init__(self, what: str, *, text: str, offset: int, place: Place | None = None, advice: str = "") -> None:
        super().__init__(what, place=place, advice=advice)
        self.text = text
        self.offset = offset

    def __str__(self) -> str:
        start = self.text.rfind("\n", 0, self.offset) + 1
        end = self.text.find("\n", self.offset)
        line = self.text[start : end if end >= 0 else len(self.text)]
        # Tabs stay tabs above the caret, so that it stands under the same column.
        pad = "".join("\t" if c == "\t" else " " for c in self.text[start : self.offset])
        return f"{super().__str__()}\n{line}\n{pad}^"


class QuerySyntaxError(QueryError):
    """The query does not parse; `expected` lists what could have stood at the offset."""

    def __init__(
        self, what: str, *, text: str, offset: int, expected: tuple[str, ...] = (), place: Place | None = None
    ) -> None:
        super().__init__(what, text=text, offset=offset, place=place)
        self.expected = expected


class QueryTypeError(QueryError):
    """A value of the query does not fit the type of its field (an address, a number, a date)."""


class RuleError(UsageError):
    """A rule file, or one rule in it, is not valid."""


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One thing that makes a policy illegal; `path` is where in the document, as in `Statement[0].Effect`."""

    what: str
    path: str
    place: Place

    def __str__(self) -> str:
        return f"{self.place}: {self.path}: {self.what}" if self.path else f"{self.place}: {self.what}"


class PolicyError(UsageError):
    """A key policy is not legal. `problems` holds all that was found, in the order of the document, at least one."""

    def __init__(self, problems: tuple[PolicyProblem, ...], *, advice: str = "") -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(
            f"{first.path}: {first.what}{more}" if first.path else f"{first.what}{more}",
            place=first.place,
            advice=advice,
        )
        self.problems = problems


class OutputError(UsageError):
    """The result cannot be written where it was asked for."""


class InputError(KeytrailError):
    """Something of the input cannot be read; it is reported and skipped, the rest goes on."""


class ObjectError(InputError):
    """A whole object cannot be read: damaged gzip, larger than allowed, no known layout."""


class RecordError(InputError):
    """One record or line of an object cannot be read."""


class SourceError(KeytrailError):
    """A source cannot be reached, or holds nothing of what was asked for."""


class StoreError(KeytrailError):
    """What the state or the lake keeps cannot be read or written: a full disk, a lock, a damaged segment."""
