import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from careloop.cli import main

KEYS_OF_A_COMPONENT = {
    "name",
    "sku",
    "part_name",
    "skill",
    "labour_minutes",
    "failure_cost_minor",
    "planned_cost_minor",
}


@pytest.fixture
def example(tmp_path: Path, capsys) -> Path:
    assert main(["edge", "example"]) == 0
    file = tmp_path / "edge.toml"
    file.write_text(capsys.readouterr().out)
    return file


def test_without_an_action_it_says_what_to_do(capsys):
    assert main(["edge"]) == 2
    assert "careloop edge example" in capsys.readouterr().err


def test_without_a_configuration_it_says_how_to_get_one(capsys, monkeypatch):
    monkeypatch.delenv("CARELOOP_EDGE_CONFIG", raising=False)
    assert main(["edge", "run"]) == 2
    assert "careloop edge example > edge.toml" in capsys.readouterr().err


def test_a_buffer_must_be_named_and_a_feed_needs_steps(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("CARELOOP_EDGE_BUFFER_FILE", raising=False)
    file = tmp_path / "edge.toml"
    file.write_text('[[sources]]\nkind = "feed"\n')
    assert main(["edge", "run", "--config", str(file)]) == 2
    assert "[buffer] file" in capsys.readouterr().err
    monkeypatch.setenv("CARELOOP_EDGE_BUFFER_FILE", str(tmp_path / "buffer"))
    assert main(["edge", "run", "--config", str(file)]) == 2
    assert "--step" in capsys.readouterr().err


def test_check_tells_what_a_right_file_means(example, capsys):
    assert main(["edge", "check", str(example)]) == 0
    out = capsys.readouterr().out
    assert "right" in out
    assert "source fleet: simulator, every 3600 s, 48 assets" in out


def test_check_tells_what_is_wrong_by_line(example, capsys):
    example.write_text(example.read_text().replace("inflight = 50", "inflight = 0"))
    line = next(n for n, text in enumerate(example.read_text().splitlines(), 1) if text.startswith("inflight"))
    assert main(["edge", "check", str(example)]) == 2
    assert f"edge.toml:{line}: broker.inflight: " in capsys.readouterr().err


def test_the_catalogue_is_what_product_models_are_registered_from(capsys):
    assert main(["edge", "catalogue"]) == 0
    catalogue = json.loads(capsys.readouterr().out)
    assert {entry["kind"] for entry in catalogue} == {
        "pressure_washer",
        "robot_vacuum",
        "gas_water_heater",
        "washing_machine",
    }
    for entry in catalogue:
        assert set(entry) == {"kind", "code", "name", "metrics", "components"}
        assert {"name": "running_hours", "unit": "h"} in entry["metrics"]
        assert all(set(component) == KEYS_OF_A_COMPONENT for component in entry["components"])


def test_the_fleet_is_told_as_assets(example, capsys):
    assert main(["edge", "fleet", "--config", str(example)]) == 0
    fleet = json.loads(capsys.readouterr().out)
    assert len({asset["serial"] for asset in fleet}) == 48
    assert all(set(asset) == {"serial", "kind", "model", "installed_at"} for asset in fleet)
    assert max(asset["installed_at"] for asset in fleet) < "2026-01-01"


def test_a_fleet_without_a_simulator_is_an_error(tmp_path, capsys):
    file = tmp_path / "edge.toml"
    file.write_text('[[sources]]\nkind = "feed"\n')
    assert main(["edge", "fleet", "--config", str(file)]) == 2
    assert "no source of kind simulator" in capsys.readouterr().err


def test_an_edge_install_needs_paho_and_pydantic_settings_only():
    """Whatever is installed here, the agent's modules import nothing that an edge install has not."""
    program = (
        "import sys, edge_agent.main; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ, timeout=60
    )
    # paho takes dnspython, with what that takes, where another part of careloop has brought it.
    theirs = {name for name in done.stdout.split() if not name.startswith("_")} - {"dns", "idna"}
    assert theirs <= {
        "annotated_types", "careloop", "dotenv", "edge_agent", "paho", "pydantic", "pydantic_core",
        "pydantic_settings", "typing_extensions", "typing_inspection",
    }  # fmt: skip
