"""Keys that show a part of another value: the account in an ARN, the name of a user, the organisation of a path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from keytrail.policy import values
from keytrail.policy.prover.globs import ANY, DIGITS, EVERYTHING, Chars, Glob, Language, literal, one_of

LOWER = "abcdefghijklmnopqrstuvwxyz"
ALNUM = one_of(LOWER + LOWER.upper() + "0123456789")
NAME = one_of(LOWER + LOWER.upper() + "0123456789+=,.@_-")
"""What user, role and session names are made of (IAM API reference)."""

PRINTABLE = one_of("".join(chr(code) for code in range(0x21, 0x7F)))
_NOT_SLASH = Chars(frozenset("/"), True)


@dataclass(frozen=True, slots=True)
class View:
    """A part of a whole text: `project` cuts it out, `embed` gives the wholes whose part is in a language."""

    project: Callable[[str], str]
    embed: Callable[[Language], Language]
    parts: Language | None = None  # what a part can be; None = anything


def _cut(text: str, separator: str, index: int) -> str:
    pieces = text.split(separator)
    return pieces[index] if len(pieces) > index else ""


def _account(language: Language) -> Language:
    before = [
        literal(f"arn:{partition}:{service}::")
        for partition in ("aws", "aws-cn", "aws-us-gov")
        for service in ("iam", "sts")
    ]
    return language.within(DIGITS).between(before, [literal(":").then(EVERYTHING)])


def _user_name(language: Language) -> Language:
    start = Glob((), (ANY,)).then(literal(":user/"))
    path = Glob((*start.steps, PRINTABLE, Chars(frozenset("/"))), (*start.loops, PRINTABLE, None))
    return language.within(NAME).between([start, path], [literal("")])


def _organisation(language: Language) -> Language:
    return language.within(_NOT_SLASH).between([literal("")], [literal("/").then(EVERYTHING)])


def _iso(seconds: str) -> str:
    return values.iso_time(Decimal(seconds)) or ""


def _no_language(language: Language) -> Language:
    raise AssertionError("a time is not a text")


def _row(*parts: Chars | str, loops: dict[int, Chars] | None = None) -> Glob:
    """A glob from texts and single characters of a set; `loops` by the position among the parts they stand before."""
    steps: list[Chars] = []
    all_loops: list[Chars | None] = [None]
    for index, part in enumerate(parts):
        if loops and index in loops:
            all_loops[-1] = loops[index]
        for step in [Chars(frozenset(char)) for char in part] if isinstance(part, str) else [part]:
            steps.append(step)
            all_loops.append(None)
    if loops and len(parts) in loops:
        all_loops[-1] = loops[len(parts)]
    return Glob(tuple(steps), tuple(all_loops))


ACCOUNTS = Language([_row(*[DIGITS] * 12)])
"""Account ids."""

ORGANISATION_PATHS = Language(
    [_row("o-", ALNUM, "/r-", ALNUM, "/", loops={2: ALNUM, 4: one_of("-/" + "".join(sorted(ALNUM.listed)))})]
)
"""Paths like o-x/r-y/ou-z/; an account is in one place of one organisation."""

SERVICE_NAMES = Language([_row(one_of(LOWER), ".amazonaws.com", loops={1: one_of(LOWER + "0123456789.-")})])


NAMES = Language([_row(NAME, loops={1: NAME})])
"""Names of users, without their path."""

ORGANISATIONS = Language([_row("o-", ALNUM, loops={2: ALNUM})])

VIEWS: dict[str, View] = {
    "": View(lambda text: text, lambda language: language),
    "account": View(lambda text: _cut(text, ":", 4), _account, ACCOUNTS),
    "user name": View(lambda text: text.rpartition("/")[2], _user_name, NAMES),
    "organisation": View(lambda text: text.partition("/")[0], _organisation, ORGANISATIONS),
    "iso": View(_iso, _no_language),
    "first": View(lambda text: text, lambda language: language),
    "last": View(lambda text: text, lambda language: language),
}
"""By name. "first" and "last" are elements of a list and are told apart where the list is built."""


def prefixed(prefix: str) -> Language:
    """Identifiers such as vpce-0a1b."""
    return Language([_row(prefix, ALNUM, loops={2: ALNUM})])


def identities(kind: str, accounts: list[str] | None, partitions: list[str]) -> Language:
    """The ARNs of all principals of one kind ("root", "user", "role", "federated-user"), by account or of any."""
    globs = []
    digits: list[list[Chars | str]] = [[DIGITS] * 12] if accounts is None else [[account] for account in accounts]
    for partition in partitions:
        for account in digits:
            if kind == "root":
                globs.append(_row(f"arn:{partition}:iam::", *account, ":root"))
                continue
            service = "sts" if kind == "federated-user" else "iam"
            head: list[Chars | str] = [f"arn:{partition}:{service}::", *account, f":{kind}/"]
            size = len(head)
            globs.append(_row(*head, NAME, loops={size + 1: NAME}))
            if kind != "federated-user":
                globs.append(_row(*head, PRINTABLE, "/", NAME, loops={size + 1: PRINTABLE, size + 3: NAME}))
    return Language(globs)


def roles_named(name: str, account: str, partition: str) -> Language:
    """The ARNs of a role of that name under any path: the ARN of a session does not show the path."""
    head = f"arn:{partition}:iam::{account}:role/"
    return Language([literal(head + name), _row(head, PRINTABLE, "/" + name, loops={2: PRINTABLE})])
