"""The command as a process: help, versions, exit codes, defects, and how fast it answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from keytrail import __version__
from keytrail.cli import ExitCode, app
from keytrail.cli.exits import HealthExit, PolicyExit, RespondExit, code_of, finished
from keytrail.errors import ObjectError, OutputError, RuleError, SourceError, UsageError

# The fixture of conftest.py: runs commands, makes records and archives.
Keytrail = Any
DOCS = Path(__file__).parents[2] / "docs"


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of the program, as its words and its object."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), get_command(app))]
    while todo:
        words, command = todo.pop()
        yield words, command
        todo += [((*words, name), child) for name, child in getattr(command, "commands", {}).items()]


COMMANDS = dict(commands())


def test_version(keytrail: Keytrail) -> None:
    result = keytrail("--version")
    assert (result.exit_code, result.stdout) == (0, f"keytrail {__version__}\n")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(keytrail: Keytrail, words: tuple[str, ...]) -> None:
    result = keytrail(*words, "--help")
    assert result.exit_code == 0
    assert keytrail(*words, "-h").stdout == result.stdout
    if not hasattr(COMMANDS[words], "commands"):
        assert re.search(rf"Examples:\n +(\S+ .*\| )?keytrail {' '.join(words)}", result.stdout)


def test_the_help_has_the_exit_codes(keytrail: Keytrail) -> None:
    text = keytrail("--help").stdout
    for code in ExitCode:
        assert f"{code.value:>3}  {code.meaning}\n" in text
    for command, answers in (("policy", PolicyExit), ("health", HealthExit), ("respond", RespondExit)):
        text = keytrail(command, "--help").stdout
        for answer in answers:
            assert f"{answer.value:>3}  {answer.meaning}\n" in text


@pytest.mark.parametrize("words", [(), ("rules",), ("policy",), ("config",)])
def test_a_group_without_a_command_shows_its_help(keytrail: Keytrail, words: tuple[str, ...]) -> None:
    result = keytrail(*words)
    assert result.exit_code == 2
    assert "Commands:" in result.output


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom keytrail.cli import app\nfrom typer.testing import CliRunner\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = 'rich boto3 botocore pydantic pydantic_settings maxminddb ua_parser msgspec isal keytrail.settings "
        "keytrail.service keytrail.report keytrail.investigate keytrail.detect keytrail.store keytrail.search "
        "keytrail.sources keytrail.rules keytrail.cloudtrail keytrail.query keytrail.policy jinja2 tomlkit'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"[]\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (RuleError("x"), 2),
        (OutputError("x"), 2),
        (ObjectError("x"), 3),
        (SourceError("x"), 4),
    ],
)
def test_errors_have_codes(error: Any, code: int) -> None:
    assert code_of(error) == code


def test_of_several_codes_the_first_in_order_counts() -> None:
    assert finished() == 0
    assert finished(unreadable=True) == 3
    assert finished(unreadable=True, unreached=True) == 4
    assert finished(unreadable=True, unreached=True, alert=True) == 1


# -- defects --------------------------------------------------------------------------------------------------------


@pytest.fixture
def defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in a room below: what no test can know of beforehand."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("\x1b[2Jboom")

    monkeypatch.setattr("keytrail.settings.load_settings", broken)


@pytest.mark.usefixtures("defect")
def test_a_defect_asks_to_be_reported_and_shows_no_traceback(keytrail: Keytrail) -> None:
    result = keytrail("config", "show")
    assert result.exit_code == 70
    assert result.stderr.startswith("error: unexpected ZeroDivisionError: \\x1b[2Jboom\n")
    assert "report it" in result.stderr
    assert "KEYTRAIL_DEBUG=1" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("defect")
@pytest.mark.parametrize("how", ["flag", "variable"])
def test_the_traceback_is_there_on_demand(keytrail: Keytrail, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setenv("KEYTRAIL_DEBUG", "1" if how == "variable" else "0")
    result = keytrail(*(["--debug"] if how == "flag" else []), "config", "show")
    assert result.exit_code == 70
    assert "Traceback" in result.stderr
    assert "ZeroDivisionError: \\x1b[2Jboom" in result.stderr
    assert result.stderr.replace("\n", "").isprintable()


# -- endings --------------------------------------------------------------------------------------------------------


def test_a_reader_that_is_gone_is_no_error_message(keytrail: Keytrail) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(keytrail.command("config", "show"), stdout=writer, stderr=subprocess.PIPE, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_is_an_error(keytrail: Keytrail) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(keytrail.command("config", "show"), stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 2
    assert done.stderr == b"error: cannot write the output: No space left on device\n"


def test_a_terminal_of_another_encoding_ends_nothing(keytrail: Keytrail) -> None:
    Path("keytrail.toml").write_text('[geoip]\ndatabases = ["/data/鍵.mmdb"]\n')
    done = subprocess.run(
        keytrail.command("config", "show", "--format", "table"),
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        timeout=60,
    )
    assert done.returncode == 0
    assert b"\\u9375" in done.stdout


# -- documentation --------------------------------------------------------------------------------------------------


def test_the_documented_exit_codes_are_the_codes() -> None:
    tables = [
        re.findall(r"^\| (\d+) \| (.+?) \|$", part, re.MULTILINE)
        for part in re.split(r"^#+ ", (DOCS / "exit-codes.md").read_text(), flags=re.MULTILINE)
    ]
    assert [table for table in tables if table] == [
        [(str(code.value), code.meaning.replace("|", "\\|")) for code in codes]
        for codes in (ExitCode, PolicyExit, HealthExit, RespondExit)
    ]


@pytest.mark.parametrize("words", [words for words in COMMANDS if words], ids=" ".join)
def test_every_command_and_option_is_documented(words: tuple[str, ...]) -> None:
    text = (DOCS / "cli.md").read_text()
    if hasattr(COMMANDS[words], "commands"):
        return
    [section] = re.findall(rf"^## keytrail {' '.join(words)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    shared = re.search(r"^## Options of all scans.*?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert shared is not None
    for option in COMMANDS[words].params:
        for name in option.opts:
            if name.startswith("--") and name != "--help":
                assert f"`{name}" in section or ("SOURCE" in section and f"`{name}" in shared[1]), name


def test_the_documented_columns_are_the_columns() -> None:
    from keytrail.cli.facts import ALERT_COLUMNS, EVENT_COLUMNS

    text = (DOCS / "cli.md").read_text()
    tables = [re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE) for part in re.split(r"^#+ ", text, flags=re.MULTILINE)]
    tables = [tuple(table) for table in tables if table]
    assert tables == [ALERT_COLUMNS, EVENT_COLUMNS]
