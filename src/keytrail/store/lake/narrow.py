"""What a query says of the columns and of the bytes of a record: conditions that every match meets, and others may.

A column holds the string at its path of the record, but for characters that are not ASCII; a record holds a run of
printable ASCII as it is, unless one of its characters is spelled as an escape. So both are asked for ASCII only, and
the record itself decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keytrail.cloudtrail import CATALOGUE
from keytrail.cloudtrail.scrub import PLACEHOLDERS
from keytrail.query import Query
from keytrail.query.nodes import EVERYTHING, And, Is, Name, Node, Or, Pattern, Text
from keytrail.query.values import only_strings
from keytrail.store.lake.schema import COLUMN_OF

# Of these the columns are parts of the identity: the member's string, wherever it is not empty, and maybe another's.
_COLUMNS = COLUMN_OF | {("eventID",): "event_id", ("awsRegion",): "region", ("recipientAccountId",): "account"}

# Characters that stand for themselves in a record, but for `\\u00..` and `\\/`.
_RUN = re.compile(r"[ !#-\[\]-~]+")
# A number of a record has a text too, in which a query may look for a part; such a part narrows nothing.
_OF_NUMBERS = re.compile(r"[-+.0-9eE]*")
_NUMBER_WORDS = ("-Infinity", "NaN", "true", "false")
# More values than a person writes; with more, a condition costs more than it saves.
_MOST_VALUES = 4_096


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What every match meets: `sql` over the columns ("" when nothing is known) with its `params`, in their order.

    And `needles`: one of them stands in the bytes of a match, unless it has an escape; none when nothing is known.
    With `never` nothing matches. `exact` says that what meets `sql` is a match ("" is met by everything).
    """

    sql: str = ""
    params: tuple[object, ...] = ()
    needles: tuple[bytes, ...] = ()
    never: bool = False
    exact: bool = False


_EQUALS = " = ?"
_NOTHING = Narrowing()
_ALWAYS = Narrowing(exact=True)
_NEVER = Narrowing(never=True, exact=True)


def narrowing_of(query: Query, *, strict: bool = False) -> Narrowing:
    """What the query says of columns and bytes; `strict` as the query was compiled."""
    if not all(query.necessary):
        return _NEVER
    return _of_node(query.node, strict)


def longest_run(texts: Iterable[str]) -> str:
    """The longest run of characters in one of the texts that stand for themselves in a record; "" when there is none.

    >>> longest_run(['Zoë "Miller" x'])
    'Miller'
    """
    return max((run for text in texts for run in _RUN.findall(text)), key=len, default="")


def _of_node(node: Node, strict: bool) -> Narrowing:
    match node:
        case _ if node == EVERYTHING:
            return _ALWAYS
        case And(operands):
            return _every([_of_node(one, strict) for one in operands])
        case Or(operands):
            return _some([_of_node(one, strict) for one in operands])
        case Is(Name(field), Text(text)):
            return _of_text(field, text)
        case Is(Name(field), Pattern(parts)):
            return _of_pattern(field, parts, strict)
    return _NOTHING


def _of_text(field: str, text: str) -> Narrowing:
    constant = CATALOGUE.constant_of(field)
    if constant is not None:
        return _ALWAYS if constant == text else _NEVER
    path = CATALOGUE.raw_path(field)
    # The text of a number is never a string's only; "" and its like are at the path and not in the field.
    plain = only_strings(text) and longest_run((text,)) == text != ""
    if path is None or CATALOGUE.type_of(field) != "keyword" or not plain:
        return _NOTHING
    column = _COLUMNS.get(path)
    needle = f'"{text}"'.encode()
    if column is None:
        return Narrowing(needles=(needle,))
    return Narrowing(column + _EQUALS, (text,), (needle,), exact=path in COLUMN_OF and text not in PLACEHOLDERS)


def _of_pattern(field: str, parts: tuple[str, ...], strict: bool) -> Narrowing:
    kind = CATALOGUE.type_of(field)
    run = longest_run(parts)
    # Strictly, blanks part the patterns of other types into terms.
    if kind != "keyword" and (kind != "flattened" or strict or field in CATALOGUE.names()):
        return _NOTHING
    path = CATALOGUE.raw_path(field)
    if (path is None and kind == "keyword") or _of_number(run):
        return _NOTHING
    column = None if path is None else _COLUMNS.get(path)
    if column is None:
        return Narrowing(needles=(run.encode(),))
    return Narrowing(f"contains({column}, ?)", (run,), (run.encode(),))


def _of_number(text: str) -> bool:
    """Whether text may be in that of a number or a boolean."""
    return _OF_NUMBERS.fullmatch(text) is not None or any(text in word for word in _NUMBER_WORDS)


def _every(parts: Sequence[Narrowing]) -> Narrowing:
    if any(part.never for part in parts):
        return _NEVER
    known = [part for part in parts if part.sql]
    sql = " AND ".join(part.sql for part in known)
    # The one that is looked for should be rare: few alternatives, and these long.
    searched = [part.needles for part in parts if part.needles]
    needles = min(searched, key=lambda some: (len(some), -min(map(len, some))), default=())
    exact = all(part.exact for part in parts)
    return Narrowing(f"({sql})" if len(known) > 1 else sql, _joined(known), needles, exact=exact)


def _some(parts: Sequence[Narrowing]) -> Narrowing:
    """One part, at least, has to be met; one of which nothing is known spoils it."""
    branches = [part for part in parts if not part.never]
    if not branches:
        return _NEVER
    params = _joined(branches)
    needles = tuple(dict.fromkeys(needle for part in branches for needle in part.needles))
    needles = needles if all(part.needles for part in branches) else ()
    if not all(part.sql for part in branches) or len(params) > _MOST_VALUES:
        return Narrowing(needles=needles)
    return Narrowing(*_one_of(branches), needles, exact=all(part.exact for part in branches))


def _one_of(branches: Sequence[Narrowing]) -> tuple[str, tuple[object, ...]]:
    """An OR; the values that are wanted of one column as one set, which DuckDB takes down into the reading of it."""
    values: dict[str, list[object]] = {}
    others: list[Narrowing] = []
    for part in branches:
        if part.sql.endswith(_EQUALS) and len(part.params) == 1:
            values.setdefault(part.sql.removesuffix(_EQUALS), []).append(part.params[0])
        else:
            others.append(part)
    terms = [part.sql for part in others]
    params = list(_joined(others))
    for column, wanted in values.items():
        if len(wanted) == 1:
            terms.append(column + _EQUALS)
            params.append(wanted[0])
        else:
            terms.append(f"{column} IN (SELECT unnest(?::VARCHAR[]))")
            params.append(wanted)
    return (f"({' OR '.join(terms)})" if len(terms) > 1 else terms[0]), tuple(params)


def _joined(parts: Iterable[Narrowing]) -> tuple[object, ...]:
    return tuple(param for part in parts for param in part.params)


__all__ = ["Narrowing", "longest_run", "narrowing_of"]
