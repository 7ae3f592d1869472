"""Settings: which layer wins, what errors say, what `config init`, `show` and `check` are made of."""

from __future__ import annotations

import os
import pickle
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from keytrail.cloudtrail.records import ReadLimits
from keytrail.errors import SettingsError
from keytrail.investigate.limits import Limits
from keytrail.settings import Settings, accounts_place, check, describe, find_config, load_settings, template
from keytrail.settings.load import looks_secret, sections


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder and home, and no variable of ours."""
    for name in list(os.environ):
        if name.upper().startswith("KEYTRAIL_"):
            monkeypatch.delenv(name)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def write(text: str, path: Path = Path("keytrail.toml")) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def failing(text: str) -> SettingsError:
    """The one error of a file."""
    path = write(text)
    [error] = check(path)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == str(error), "check and load say the same"
    return error


def test_flags_win_over_environment_over_file_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[scan]\njobs = 2\nbatch_files = 20\nmin_severity = 'high'\n[reading]\nmax_depth = 99\n")
    monkeypatch.setenv("KEYTRAIL_SCAN__JOBS", "3")
    monkeypatch.setenv("KEYTRAIL_SCAN__BATCH_FILES", "30")
    settings = load_settings(overrides={"scan.jobs": 4, "scan.min_severity": None})
    assert settings.scan.jobs == 4
    assert settings.scan.batch_files == 30
    assert settings.scan.min_severity == "high"
    assert settings.reading.max_depth == 99
    assert settings.aws.lookup_days == 7
    origins = {row.name: row.origin for row in describe(settings)}
    assert origins["scan.jobs"] == "command line"
    assert origins["scan.batch_files"] == "environment variable KEYTRAIL_SCAN__BATCH_FILES"
    assert origins["scan.min_severity"] == "keytrail.toml:4:1"
    assert origins["aws.lookup_days"] == "default"


def test_defaults_read_no_file_and_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[scan]\njobs = 2\n")
    monkeypatch.setenv("KEYTRAIL_SCAN__JOBS", "3")
    assert Settings().scan.jobs == 0


def test_defaults_of_reading_are_the_limits_of_the_reader() -> None:
    assert Settings().reading.model_dump() == asdict(ReadLimits())


def test_defaults_of_investigate_are_the_limits_of_an_investigation() -> None:
    limits = asdict(Limits())
    assert Settings().investigate.model_dump(include=set(limits)) == limits


def test_the_file_is_found_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_config() is None
    home = write("", tmp_path / "config" / "keytrail" / "keytrail.toml")
    assert find_config() == home
    here = write("")
    assert find_config() == here
    named = write("", tmp_path / "named.toml")
    monkeypatch.setenv("KEYTRAIL_CONFIG", str(named))
    assert find_config() == named
    asked = write("", tmp_path / "asked.toml")
    assert find_config(asked) == asked


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: no such settings file"):
        load_settings(config=tmp_path / "absent.toml")
    monkeypatch.setenv("KEYTRAIL_CONFIG", "absent.toml")
    with pytest.raises(SettingsError, match="named by KEYTRAIL_CONFIG"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "place", "what", "advice"),
    [
        (
            "[reading]\nmax_dept = 9\n",
            "2:1",
            "no setting is called reading.max_dept",
            "Did you mean reading.max_depth?",
        ),
        ("[scan]\nmax_depth = 9\n", "2:1", "no setting is called scan.max_depth", "Did you mean reading.max_depth?"),
        ("[readin]\nmax_depth = 9\n", "1:2", "no section is called readin", "Did you mean reading?"),
        ("jobs = 3\n", "1:1", "no section is called jobs", "Did you mean scan.jobs?"),
        ("\n[scan]\n  jobs = -1\n", "3:3", "scan.jobs: -1 is not allowed", "A whole number from 0 to 1024"),
        ("[scan]\njobs = 1.5\n", "2:1", "scan.jobs: 1.5 is not allowed", "A whole number"),
        ("[scan]\nfail_on = 'bad'\n", "2:1", "scan.fail_on: 'bad' is not allowed", "One of never, low, medium"),
        ("scan.jobs = 'x'\n", "1:1", "scan.jobs: 'x' is not allowed", "A whole number"),
        ("scan = { jobs = -4 }\n", "1:1", "scan.jobs: -4 is not allowed", "A whole number"),
        ("scan = 3\n", "1:1", "scan is a section", "Write [scan]"),
        (
            "[aws]\nrole_arn = 'me'\n",
            "2:1",
            "aws.role_arn: 'me' is not allowed",
            "such as arn:aws:iam::111122223333:role/reader",
        ),
        ("[aws]\nread_timeout_seconds = 0\n", "2:1", "aws.read_timeout_seconds: 0", "A number above 0 to 3600"),
        ("[geoip]\ndatabases = 5\n", "2:1", "geoip.databases: 5 is not allowed", "A list of paths"),
        ("[investigate]\nenabled = 'no way'\n", "2:1", "investigate.enabled: 'no way'", "Either true or false"),
        ("[investigate]\nmax_acts = 0\n", "2:1", "investigate.max_acts: 0", "from 1 to 10000"),
        ("[investigate]\nsnapshots = 'x'\ninventory = 5\n", "3:1", "investigate.inventory: 5", "A path"),
        ("[accounts]\nfile = ''\n", "2:1", "accounts.file: '' is not allowed: no file is called so", "A path"),
        ("[scan]\njobs =\n", "2:7", "not TOML", "key = value"),
        ("[scan]\njobs = 1\njobs = 2\n", "3:9", "not TOML", "key = value"),
        ("[scan", "1:6", "not TOML", "key = value"),
    ],
)
def test_errors_say_where_what_and_what_is_allowed(text: str, place: str, what: str, advice: str) -> None:
    error = failing(text)
    assert str(error.place) == f"keytrail.toml:{place}"
    assert what in error.what
    assert advice in error.advice


def test_check_lists_every_error_in_order_and_load_counts_them() -> None:
    path = write("[scan]\njobs = -1\n[reading]\nmax_depth = 0\nbogus = 1\n")
    errors = check(path)
    assert [error.place.line for error in errors if error.place] == [2, 4, 5]
    with pytest.raises(SettingsError, match="2 more; `keytrail config check`"):
        load_settings()


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe", b"[scan]\njobs = 1 # \xff\n", b"#" * 2_000_000, b"a = " + b"[" * 9_000, b"a = " + b"1" * 9_000],
)
def test_files_that_are_no_settings_are_settings_errors(data: bytes) -> None:
    path = Path("keytrail.toml")
    path.write_bytes(data)
    assert len(check(path)) == 1


def test_variables_are_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYTRAIL_SCAN__JOBS", "many")
    with pytest.raises(SettingsError, match=r"environment variable KEYTRAIL_SCAN__JOBS: scan\.jobs: 'many'"):
        load_settings()
    monkeypatch.delenv("KEYTRAIL_SCAN__JOBS")
    monkeypatch.setenv("KEYTRAIL_SCAN__JOB", "3")
    with pytest.raises(SettingsError, match=r"Did you mean KEYTRAIL_SCAN__JOBS\?"):
        load_settings()
    monkeypatch.delenv("KEYTRAIL_SCAN__JOB")
    monkeypatch.setenv("KEYTRAIL_REQUIRE", "moto")  # of the tests, no section
    assert load_settings() == Settings()


@pytest.mark.parametrize("value", [f"a.mmdb{os.pathsep}b.mmdb", '["a.mmdb", "b.mmdb"]'])
def test_a_list_in_a_variable(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYTRAIL_GEOIP__DATABASES", value)
    monkeypatch.setenv("KEYTRAIL_INVESTIGATE__SNAPSHOTS", value)
    settings = load_settings()
    assert settings.geoip.databases == settings.investigate.snapshots == (Path("a.mmdb"), Path("b.mmdb"))


def test_a_bad_list_in_a_variable_is_a_settings_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYTRAIL_GEOIP__DATABASES", "[a.mmdb")
    with pytest.raises(SettingsError, match="KEYTRAIL_GEOIP__DATABASES"):
        load_settings()


def test_a_variable_that_names_no_setting_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYTRAIL_INVESTIGATE__ENABLE", "true")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.advice == "Did you mean KEYTRAIL_INVESTIGATE__ENABLED?"


def test_a_wrong_flag_says_so() -> None:
    with pytest.raises(SettingsError, match=r"command line: scan\.jobs: -1 is not allowed"):
        load_settings(overrides={"scan.jobs": -1})


def test_the_template_is_valid_names_everything_and_holds_the_defaults(tmp_path: Path) -> None:
    path = write(template(), tmp_path / "new.toml")
    assert check(path) == []
    assert load_settings(config=path) == Settings()
    # With the values uncommented, all but the empty ones are the defaults.
    lines = [
        line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in template().splitlines()
    ]
    tree = tomllib.loads("\n".join(lines))
    assert {name: set(table) for name, table in tree.items()} == {
        name: set(model.model_fields) for name, model in sections().items()
    }
    tree = {name: {key: value for key, value in table.items() if value != ""} for name, table in tree.items()}
    assert Settings(**tree) == Settings()


def test_every_setting_is_described_and_bounded() -> None:
    rows = describe(Settings())
    assert {row.origin for row in rows} == {"default"}
    assert all(row.description.endswith(".") for row in rows)
    for model in sections().values():
        for key, field in model.model_fields.items():
            if field.annotation in (int, float):
                assert len(field.metadata) == 2, f"{key} has no range"


def test_the_accounts_file_is_the_named_one_or_that_beside_the_settings_or_here(tmp_path: Path) -> None:
    config = write("", tmp_path / "etc" / "keytrail.toml")
    assert load_settings().accounts.file is None
    assert accounts_place(load_settings()) == Path("accounts.toml")
    assert accounts_place(load_settings(config=config), config) == tmp_path / "etc" / "accounts.toml"
    here = write("", Path("accounts.toml"))
    assert load_settings().accounts.file == load_settings(config=config).accounts.file == here
    beside = write("", tmp_path / "etc" / "accounts.toml")
    assert load_settings(config=config).accounts.file == beside
    write("[accounts]\nfile = 'trust.toml'\n", config)
    settings = load_settings(config=config)
    assert settings.accounts.file == accounts_place(settings, config) == Path("trust.toml")
    assert Settings().accounts.file is None


def test_secrets_are_not_shown() -> None:
    assert looks_secret("server.session_secret")
    assert looks_secret("notify.slack_webhook_url")
    assert not looks_secret("reading.max_depth")
    settings = load_settings(overrides={"aws.endpoint_url": "https://user:pass@gateway.example/x"})
    [row] = [row for row in describe(settings) if row.name == "aws.endpoint_url"]
    assert row.value == '"https://********@gateway.example/x"'


def test_settings_travel_to_worker_processes() -> None:
    settings = load_settings(overrides={"scan.jobs": 2, "geoip.databases": ["a.mmdb"]})
    assert pickle.loads(pickle.dumps(settings)) == settings
