"""What deploy/ holds fits keytrail as it is: its commands, settings and metrics are there, its unit and image sound."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from prometheus_client.metrics_core import Metric

from keytrail.cli import app
from keytrail.service.health import Kind
from keytrail.service.watch.metrics import Metrics
from keytrail.settings import check, load_settings
from tests.conftest import require

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def samples() -> set[str]:
    """The names under which Prometheus sees the service's metrics."""
    found: set[str] = set()
    for metric in Metrics().registry.collect():
        found |= names_of(metric)
    return found


def names_of(metric: Metric) -> set[str]:
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(metric.type, [""])
    return {metric.name + ending for ending in endings}


def parses(words: list[str]) -> None:
    """Fail unless keytrail takes this command line; nothing is run."""
    program, *arguments = words
    assert Path(program).name == "keytrail"
    command: Any = typer.main.get_command(app)
    while arguments and hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    command.make_context("keytrail", arguments)


def settings_of(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The settings that an environment gives, beside no file."""
    for name in [name for name in os.environ if name.startswith("KEYTRAIL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        if name.startswith("KEYTRAIL_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return load_settings()


# -- the unit ---------------------------------------------------------------------------------------------------------


def unit() -> dict[str, list[tuple[str, str]]]:
    """The sections of the unit with their lines; a key may be there several times."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for line in (DEPLOY / "keytrail.service").read_text().splitlines():
        if line.startswith("["):
            lines = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            lines.append((key, value))
    return sections


def test_the_unit_starts_what_there_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    service = dict(unit()["Service"])
    parses(shlex.split(service["ExecStart"]))
    environment = dict(value.split("=", 1) for key, value in unit()["Service"] if key == "Environment")
    assert environment["XDG_CONFIG_HOME"] == "/etc"  # where the files of the README belong
    folder = settings_of(environment, monkeypatch, tmp_path).lake.folder
    # The one folder that the unit may write to.
    assert folder == Path("/var/lib") / service["StateDirectory"]


def test_the_unit_is_restarted_for_failures_and_not_for_wrong_settings() -> None:
    service = dict(unit()["Service"])
    assert (service["Type"], service["Restart"], service["RestartPreventExitStatus"]) == ("notify", "on-failure", "2")


def test_the_unit_is_hardened() -> None:
    service = dict(unit()["Service"])
    assert service["User"] not in ("", "root")
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictNamespaces"):
        assert service[key] == "yes"


def test_systemd_knows_every_key_of_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        require("systemd", "systemd, for systemd-analyze")
    # It wants the program to be there, wherever that is installed.
    text = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", (DEPLOY / "keytrail.service").read_text())
    copy = tmp_path / "keytrail.service"
    copy.write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", copy], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "keytrail.service" in line]) == (0, [])


# -- the image --------------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """The instructions of the container file with their arguments."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (DEPLOY / "Containerfile").read_text())
    lines = text.replace("\\\n", " ").splitlines()
    return [(words[0], " ".join(words[1:])) for line in lines if (words := line.split())]


def of(kind: str) -> list[str]:
    return [arguments for name, arguments in instructions() if name == kind]


def test_the_image_holds_what_there_is() -> None:
    copied = [words.split()[:-1] for words in of("COPY") if not words.startswith("--from")]
    kept = [line[1:] for line in (DEPLOY / "Containerfile.dockerignore").read_text().splitlines() if line[0] == "!"]
    for path in [path for paths in copied for path in paths]:
        assert (ROOT / path).exists(), path
        assert path in kept, path
    # What the build of the package reads, by pyproject.toml.
    assert {"pyproject.toml", "README.md", "LICENSE", "src"} <= {path for paths in copied for path in paths}


def test_the_image_runs_commands_that_there_are() -> None:
    [entry], [command] = of("ENTRYPOINT"), of("CMD")
    parses([*json.loads(entry), *json.loads(command)])
    [check_] = of("HEALTHCHECK")
    parses(shlex.split(check_.split(" CMD ")[1].split("||")[0]))
    with pytest.raises(Exception, match="no-such-option"):
        parses(["keytrail", "health", "--no-such-option"])


def test_the_image_is_no_root_and_writes_to_its_volume(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert of("USER") == ["10001:10001"]
    assert all(image.split()[0] == "docker.io/library/python:3.12-slim" for image in of("FROM"))
    assert not of("ADD")
    environment = dict(one.split("=", 1) for text in of("ENV") for one in shlex.split(text))
    settings = settings_of(environment, monkeypatch, tmp_path)
    [volumes] = of("VOLUME")
    assert json.loads(volumes) == [str(settings.lake.folder)]
    [port] = of("EXPOSE")
    assert settings.watch.metrics_address.endswith(f":{port}")


# -- settings, alerts, documentation ----------------------------------------------------------------------------------


def test_the_example_of_settings_is_good() -> None:
    assert check(DEPLOY / "keytrail.toml") == []
    settings = load_settings(config=DEPLOY / "keytrail.toml")
    assert settings.watch.sources
    assert [one.kind for one in settings.notify.sinks] == ["slack", "sns"]


def test_alerts_use_metrics_that_there_are() -> None:
    try:
        import yaml
    except ImportError:
        require("yaml", "PyYAML, which moto brings")
    [group] = yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    known = samples()
    for rule in group["rules"]:
        assert {"expr", "labels", "annotations"} <= set(rule)
        assert set(rule["annotations"]) == {"summary", "action"}
        used = re.findall(r"\bkeytrail_\w+", rule["expr"])
        assert used
        assert set(used) <= known, rule["alert"]


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    table = dict(re.findall(r"^\| `(keytrail_\w+)` \| (\w+) \|", text, re.MULTILINE))
    ending = {"counter": "_total"}
    assert table == {metric.name + ending.get(metric.type, ""): metric.type for metric in Metrics().registry.collect()}


def test_every_kind_of_finding_is_documented() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text.split("## What `health` says")[1].split("\n## ")[0]
    assert re.findall(r"^\| `([a-z ]+)` \|", section, re.MULTILINE) == list(get_args(Kind))


def test_links_between_pages_lead_somewhere() -> None:
    for page in (ROOT / "docs" / "operations.md", DEPLOY / "README.md"):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_commands_of_the_pages_are_commands() -> None:
    text = (ROOT / "docs" / "operations.md").read_text() + (DEPLOY / "README.md").read_text()
    written = {one.split(" > ")[0] for one in re.findall(r"`(keytrail [a-z][^`]*)`", text)}
    assert len(written) > 10
    for command in written:
        parses(shlex.split(command))
