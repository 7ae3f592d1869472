"""Editing accounts.toml: accounts approved and revoked, with the comments and the order of the file kept."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keytrail.errors import Place, SettingsError
from keytrail.settings.accounts import MAX_TEXT, account_problem, end_of, raise_first, read_accounts, text_of
from keytrail.settings.trust import Accounts, ApprovedAccount

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import AoT, Array, InlineTable, Item, Table

_HEAD = """\
# Whom keytrail takes for trusted. `keytrail accounts approve` and `revoke` edit this file and keep its comments.
#organisation = "o-exampleorgid"
#
#[accounts]                        # the accounts of the organisation
#"111122223333" = "management"
"""


@dataclass(frozen=True, slots=True)
class AccountEdit:
    """What was done to the approval of an account: `before` is None when it is new, `after` when it was revoked.

    `created` tells whether the file is new.
    """

    path: Path
    before: ApprovedAccount | None
    after: ApprovedAccount | None
    created: bool = False


def approve_account(
    path: Path, account: str, reason: str, expires: date | datetime | None, *, name: str = ""
) -> AccountEdit:
    """Approve an outside account in the file at `path`, which is created if it is missing, or renew its approval.

    A date counts with its whole day (UTC); None is no end. A renewal without a name keeps the old one.
    Raises SettingsError for what the file could not hold, for an account of the organisation, and for a file that is
    not good as it is.
    """
    created = not path.exists()
    text, accounts = (_HEAD, Accounts()) if created else _read(path)
    if problem := account_problem(account):
        what, advice = problem
        raise SettingsError(what, advice=advice)
    if account in accounts.names:
        called = f" ({accounts.names[account]})" if accounts.names[account] else ""
        raise SettingsError(
            f"account {account}{called} is of the organisation and needs no approval",
            place=Place(str(path)),
            advice="Nothing was changed.",
        )
    for what, value in (("reason", reason), ("name", name)):
        _usable(what, value)
    before = _approval(accounts, account)
    name = name or (before.name if before else "")
    after = ApprovedAccount(account, reason, None if expires is None else end_of(expires), name)
    values: dict[str, object] = {"account": account, "name": name or None, "reason": reason, "expires": expires}

    document = _document(text, path)
    entries = document.get("approved")
    found = next((entry for entry in entries or () if entry["account"] == account), None)
    if found is not None:
        _update(found, values)
    else:
        _add(document, entries, {key: value for key, value in values.items() if value is not None})
    others = tuple(one for one in accounts.approved if one.account != account)
    _write(document, path, replace(accounts, approved=(*others, after)))
    return AccountEdit(path, before, after, created)


def revoke_account(path: Path, account: str) -> AccountEdit:
    """Take the approval of an account out of the file at `path`; comments around it stay.

    Raises SettingsError when it is not approved, and for a file that is not good as it is.
    """
    text, accounts = _read(path)
    before = _approval(accounts, account)
    if before is None:
        of = " (it is of the organisation)" if account in accounts.names else ""
        raise SettingsError(
            f"account {account} is not approved{of}",
            place=Place(str(path)),
            advice="`keytrail accounts list` shows the accounts that are.",
        )
    document = _document(text, path)
    _remove(document, account)
    _write(document, path, replace(accounts, approved=tuple(o for o in accounts.approved if o.account != account)))
    return AccountEdit(path, before, None)


def _read(path: Path) -> tuple[str, Accounts]:
    text = text_of(path)
    accounts, problems = read_accounts(text, str(path))
    raise_first(problems)
    return text, accounts


def _approval(accounts: Accounts, account: str) -> ApprovedAccount | None:
    return next((one for one in accounts.approved if one.account == account), None)


def _usable(what: str, value: str) -> None:
    if what == "reason" and not value.strip():
        raise SettingsError("an approval needs a reason", advice="Say why the account may be let in.")
    if len(value) > MAX_TEXT:
        raise SettingsError(f"the {what} is longer than {MAX_TEXT} characters", advice="Shorten it.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise SettingsError(f"the {what} is not UTF-8 text", advice="Write it in the encoding of the terminal.")


# -- the document ---------------------------------------------------------------------------------------------------


def _document(text: str, path: Path) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        # The last line must be one before anything can stand behind it.
        return tomlkit.parse(text if text.endswith("\n") or not text else text + "\n")
    except TOMLKitError as error:
        raise _by_hand(path) from error


def _update(entry: Table | InlineTable, values: Mapping[str, object]) -> None:
    """Set the values of an approval that differ; the comments behind them stay, None takes one out."""
    rest = _cut_end(entry)
    for key, value in values.items():
        if value is None:
            entry.pop(key, None)
        elif entry.get(key) != value:
            entry[key] = value
    entry.value.body.extend((None, item) for item in rest)


def _add(document: TOMLDocument, entries: AoT | Array | None, values: Mapping[str, object]) -> None:
    """Put an approval behind the others, apart from them by an empty line."""
    import tomlkit
    from tomlkit.items import Array

    if isinstance(entries, Array):
        entry = tomlkit.inline_table()
        entry.update(values)
        entries.append(entry)
        return
    table = tomlkit.table()
    table.update(values)
    if not entries:
        if entries is not None:
            document.remove("approved")
        if not _ends_empty(document):
            document.add(tomlkit.nl())
        tables = tomlkit.aot()
        tables.append(table)
        document.append("approved", tables)
        return
    last = entries[-1]
    rest = _cut_end(last)
    if document.body[-1][1] is entries:
        last.value.body.extend((None, item) for item in rest)
        if not _ends_empty(document):
            last.add(tomlkit.nl())
    else:
        # What stands behind the last approval belongs to the table that follows.
        last.add(tomlkit.nl())
        table.value.body.extend((None, item) for item in rest)
    entries.append(table)


def _remove(document: TOMLDocument, account: str) -> None:
    from tomlkit.items import AoT, Whitespace

    entries = document["approved"]
    index = next(number for number, entry in enumerate(entries) if entry["account"] == account)
    if not isinstance(entries, AoT):
        del entries[index]
        return
    # The comments behind an approval are most likely about the next one.
    rest = [(None, item) for item in _cut_end(entries[index])]
    position = next(number for number, (_, item) in enumerate(document.body) if item is entries)
    if index:
        entries[index - 1].value.body.extend(rest)
        del entries[index]
        return
    del entries[index]
    if not entries:
        document.body[position] = (None, Whitespace(""))
    document.body[position:position] = rest


def _ends_empty(document: TOMLDocument) -> bool:
    """Whether the last line is empty, or there is none."""
    return not "".join(document.as_string().splitlines()[-1:]).strip()


def _cut_end(entry: Table | InlineTable) -> list[Item]:
    """Take the comments and empty lines behind the last value out of a table."""
    body, rest = entry.value.body, []
    while body and body[-1][0] is None:
        rest.append(body.pop()[1])
    return rest[::-1]


# -- the file -------------------------------------------------------------------------------------------------------


def _write(document: TOMLDocument, path: Path, meant: Accounts) -> None:
    """Replace the file by the document, at once or not at all, if it says what is meant."""
    text = document.as_string()
    try:
        said, problems = read_accounts(text, str(path))
    except SettingsError as error:
        raise _by_hand(path) from error
    if problems or _sorted(said) != _sorted(meant):
        raise _by_hand(path)
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{target.name[:100]}.{os.urandom(6).hex()}.part")
    try:
        with partial.open("x", encoding="utf-8", newline="") as stream:
            with suppress(FileNotFoundError):
                os.fchmod(stream.fileno(), stat.S_IMODE(target.stat().st_mode))
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, target)
    except OSError as error:
        raise SettingsError(
            f"cannot be written: {error.strerror or error}",
            place=Place(str(path)),
            advice="Nothing was changed. The folder must exist and be writable; --accounts names another file.",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _sorted(accounts: Accounts) -> Accounts:
    return replace(accounts, approved=tuple(sorted(accounts.approved, key=lambda one: one.account)))


def _by_hand(path: Path) -> SettingsError:
    return SettingsError(
        "is written in a way that cannot be edited here",
        place=Place(str(path)),
        advice="Nothing was changed: edit it by hand, and `keytrail accounts list` checks it.",
    )
