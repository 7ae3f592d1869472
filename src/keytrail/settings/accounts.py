"""accounts.toml: who is of the organisation and which outside accounts are approved, read with every problem in it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from types import MappingProxyType

from keytrail.errors import Place, SettingsError
from keytrail.settings.tomlfile import Tree, parse, places_in, read_text
from keytrail.settings.trust import Accounts, ApprovedAccount

MAX_TEXT = 1000
"""Characters of a name or a reason."""

_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_ORGANISATION = re.compile(r"o-[a-z0-9]{10,32}", re.ASCII)  # of the API reference of AWS Organizations
_LEADING_ZERO = re.compile(r"=\s*0\d{11}\b", re.ASCII)
_KEYS = ("organisation", "accounts", "approved")
_APPROVAL_KEYS = ("account", "name", "reason", "expires")
_HOW = 'Write organisation = "o-…", [accounts] and [[approved]] tables; docs/cli.md has an example.'
_QUOTE = 'Write it in quotes, such as "{}": a number loses its leading zeros.'


def load_accounts(path: Path) -> Accounts:
    """Return what accounts.toml at `path` says. Raises SettingsError with the place of the first problem."""
    accounts, problems = read_accounts(text_of(path), str(path))
    raise_first(problems)
    return accounts


def accounts_problems(path: Path) -> list[SettingsError]:
    """Every problem of the file at `path`, in the order of its lines; none when it is good."""
    try:
        _, problems = read_accounts(text_of(path), str(path))
    except SettingsError as error:
        return [error]
    return problems


def text_of(path: Path) -> str:
    """The text of accounts.toml at `path`. Raises SettingsError, also when there is none."""
    if not path.exists():
        advice = "It is named by --accounts or the setting accounts.file; `keytrail accounts approve` creates it."
        raise SettingsError("no such file", place=Place(str(path)), advice=advice)
    return read_text(path)


def raise_first(problems: list[SettingsError]) -> None:
    """Raise the first of the problems, if there is one, and count the others."""
    if problems:
        first = problems[0]
        if len(problems) > 1:
            first.advice = f"{first.advice}\n{len(problems) - 1} more; `keytrail accounts list` shows them".lstrip()
        raise first


def read_accounts(text: str, name: str) -> tuple[Accounts, list[SettingsError]]:
    """Return what `text` says, and every problem by its line. Raises SettingsError where it is not TOML at all."""
    try:
        tree = parse(text, name, advice=_HOW)
    except SettingsError as error:
        line = error.place.line if error.place else None
        if line and _LEADING_ZERO.search("".join(text.splitlines()[line - 1 : line])):
            error.advice = _QUOTE.format("012345678901")
        raise
    reader = _Reader(places_in(text, name), Place(name))
    accounts = reader.accounts(tree)
    return accounts, sorted(reader.problems, key=lambda one: (one.place.line or 0) if one.place else 0)


def is_account_id(text: str) -> bool:
    """Whether `text` is the id of an account."""
    return _ACCOUNT.fullmatch(text) is not None


def is_organisation_id(text: str) -> bool:
    """Whether `text` is the id of an organisation."""
    return _ORGANISATION.fullmatch(text) is not None


def account_problem(account: object) -> tuple[str, str] | None:
    """What is wrong with an account id, and what to do; None when it is one."""
    if isinstance(account, int) and not isinstance(account, bool):
        return f"{account} is a number, not an account id", _QUOTE.format(f"{account:012d}")
    if not isinstance(account, str) or not is_account_id(account):
        return f"{_shown(account)} is no account id", 'An account id has 12 digits, such as "111122223333".'
    return None


def end_of(expires: date | datetime) -> datetime:
    """When an approval that `expires` then ends, exclusive, in UTC: a date counts with its whole day.

    A time without an offset is in UTC. Raises OverflowError at the ends of the calendar.

    >>> end_of(date(2027, 4, 6)).isoformat()
    '2027-04-07T00:00:00+00:00'
    """
    if isinstance(expires, datetime):
        return expires.replace(tzinfo=expires.tzinfo or UTC).astimezone(UTC)
    return datetime.combine(expires + timedelta(days=1), time(), UTC)


class _Reader:
    """Collects what is wrong while it reads; what is wrong is left out of the result."""

    def __init__(self, places: Mapping[str, Place], whole: Place) -> None:
        self.problems: list[SettingsError] = []
        self._places = places
        self._whole = whole

    def accounts(self, tree: Tree) -> Accounts:
        self._unknown(tree, _KEYS, "")
        organisation = tree.get("organisation")
        if organisation is not None and not (isinstance(organisation, str) and is_organisation_id(organisation)):
            what = f"{_shown(organisation)} is no organisation id"
            self._wrong("organisation", what, 'Write it like "o-exampleorgid".')
        approved: dict[str, ApprovedAccount] = {}
        for at, entry in self._entries(tree.get("approved", [])):
            approval = self._approval(entry, at)
            if approval is not None and approval.account in approved:
                self._wrong(at, f"account {approval.account} is approved twice", "Keep one of them.")
            elif approval is not None:
                approved[approval.account] = approval
        return Accounts(
            organisation if isinstance(organisation, str) else None,
            MappingProxyType(self._names(tree.get("accounts", {}))),
            tuple(approved.values()),
        )

    def _names(self, value: object) -> dict[str, str]:
        if not isinstance(value, dict):
            advice = 'Write [accounts] and lines such as "111122223333" = "management" below it.'
            self._wrong("accounts", "accounts is a table, not a value", advice)
            return {}
        names = {}
        for account, name in value.items():
            at = f"accounts.{account}"
            if problem := account_problem(account):
                self._wrong(at, *problem)
            elif (text := self._text(name, f"the name of account {account}", at)) is not None:
                names[account] = text
        return names

    def _entries(self, value: object) -> Iterator[tuple[str, Tree]]:
        """The tables of `approved`, each with its dotted name."""
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            advice = "Write [[approved]], with two brackets on each side, above each of them."
            self._wrong("approved", "approved is a list of tables", advice)
            return
        for number, entry in enumerate(value):
            yield f"approved.{number}", entry

    def _approval(self, entry: Tree, at: str) -> ApprovedAccount | None:
        before = len(self.problems)
        self._unknown(entry, _APPROVAL_KEYS, at)
        account = entry.get("account")
        if account is None:
            self._wrong(at, "an approval without an account", 'Add account = "…", 12 digits in quotes.')
        elif problem := account_problem(account):
            self._wrong(f"{at}.account", *problem)
        reason = self._text(entry.get("reason", ""), "reason", f"{at}.reason")
        if reason is not None and not reason.strip():
            self._wrong(f"{at}.reason", "an approval without a reason", 'Add reason = "…": why it may be let in.')
        name = self._text(entry.get("name", ""), "name", f"{at}.name")
        expires = self._end(entry.get("expires"), f"{at}.expires")
        if len(self.problems) > before or not isinstance(account, str) or reason is None or name is None:
            return None
        return ApprovedAccount(account, reason, expires, name)

    def _text(self, value: object, what: str, at: str) -> str | None:
        if not isinstance(value, str):
            self._wrong(at, f"{what}: {_shown(value)} is not text", "Write it in quotes.")
            return None
        if len(value) > MAX_TEXT:
            self._wrong(at, f"{what}: longer than {MAX_TEXT} characters", "Shorten it.")
            return None
        return value

    def _end(self, value: object, at: str) -> datetime | None:
        if value is None:
            return None
        if not isinstance(value, date):  # a datetime is a date as well
            advice = "Write a date without quotes, such as expires = 2027-04-06; it holds through that day (UTC)."
            self._wrong(at, f"expires: {_shown(value)} is not a date", advice)
            return None
        try:
            return end_of(value)
        except OverflowError:
            self._wrong(at, f"expires: {value} is too far away", "Leave expires out for an approval without an end.")
            return None

    def _unknown(self, tree: Tree, known: Collection[str], at: str) -> None:
        for key in tree:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                advice = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
                if not at and (key in _APPROVAL_KEYS or is_account_id(key)):
                    table = "[[approved]]" if key in _APPROVAL_KEYS else "[accounts]"
                    advice = f"Write it below {table}."
                self._wrong(f"{at}.{key}" if at else key, f"no key is called {key}", advice)

    def _wrong(self, at: str, what: str, advice: str) -> None:
        self.problems.append(SettingsError(what, place=self._place(at), advice=advice))

    def _place(self, at: str) -> Place:
        """Where a dotted name stands, or else what encloses it."""
        while at:
            if at in self._places:
                return self._places[at]
            at = at.rpartition(".")[0]
        return self._whole


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool) else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
