"""An attacked key in KMS with its alert, in a folder of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from keytrail.investigate.reading import investigation_of
from keytrail.service.installation import installation
from keytrail.settings import load_settings
from tests.cli.conftest import Keytrail, write_archive
from tests.cli.service_state import add_investigated
from tests.respond.command.incident import PLACEHOLDER, Incident, events
from tests.respond.kit import (
    REGION,
    ROGUE,
    make_key,
)
from tests.servers.proxy import Proxy


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but the test's own, in an empty current folder."""
    for name in ("KEYTRAIL_CONFIG", "KEYTRAIL_USER", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def keytrail() -> Keytrail:
    return Keytrail()


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """The alert that a scan finds, and its archive, with a placeholder for the key."""
    archive = write_archive(tmp_path_factory.mktemp("scan") / "a.json", events(PLACEHOLDER))
    result = Keytrail()("scan", archive, "--format", "json", "--quiet")
    assert result.exit_code == 0, result.stderr
    found = [
        one for one in json.loads(result.stdout) if "999988887777" in json.dumps(investigation_of(one).get("after"))
    ]
    return json.dumps(found[-1]), archive.read_bytes()


@pytest.fixture
def incident(scanned: tuple[str, bytes], proxy: Proxy, tmp_path: Path) -> Incident:
    key = make_key(proxy.upstream, ROGUE)
    document, archive = (
        (one if isinstance(one, str) else one.decode()).replace(PLACEHOLDER.rpartition("/")[2], key.rpartition("/")[2])
        for one in scanned
    )
    path = tmp_path / "trail" / "a.json"
    path.parent.mkdir()
    path.write_text(archive)
    return Incident(key, json.loads(document), path)


@pytest.fixture(scope="module")
def empty_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state with nothing in it: making one takes longer than most tests."""
    folder = tmp_path_factory.mktemp("state")
    with installation(load_settings(overrides={"lake.folder": str(folder)}), set_up=True):
        pass
    return folder / "state.db"


@pytest.fixture
def alert(incident: Incident, empty_state: Path) -> str:
    """The incident's alert in the state of the current folder; returns its id."""
    Path("keytrail-lake").mkdir(mode=0o700)
    shutil.copy(empty_state, "keytrail-lake/state.db")
    return add_investigated(incident.document)


@pytest.fixture
def config(proxy: Proxy, tmp_path: Path) -> Path:
    path = tmp_path / "keytrail.toml"
    path.write_text(
        f'[aws]\nendpoint_url = "{proxy.url}"\nregion = "{REGION}"\nmax_attempts = 1\n\n[scan]\njobs = 1\n\n'
        "[respond]\nread_back_seconds = 2\n"
    )
    return path
