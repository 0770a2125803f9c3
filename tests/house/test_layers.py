"""The floors of the design; import-linter checks them, and this checks import-linter's orders."""

import subprocess
import sys
import tomllib
from pathlib import Path


def _project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def test_imports_keep_to_the_layers(root: Path) -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_no_package_is_left_out_of_the_orders(root: Path) -> None:
    project = _project(root)
    shipped = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    there = {path.parent.name for path in root.glob("*/__init__.py")} - {"tests"}
    assert there == shipped
    assert set(project["tool"]["importlinter"]["root_packages"]) == shipped
    assert set(project["tool"]["mypy"]["packages"]) == shipped
    floors = project["tool"]["importlinter"]["contracts"][0]["layers"]
    assert {name.strip() for floor in floors for name in floor.split("|")} == shipped


def test_inside_each_room_every_module_stands_on_a_layer(root: Path) -> None:
    contracts = _project(root)["tool"]["importlinter"]["contracts"]
    exhaustive = {room for contract in contracts if contract.get("exhaustive") for room in contract["containers"]}
    assert {"careloop", "edge_agent", "ingest", "predictor", "scheduler", "api"} <= exhaustive
    assert {f"api.{path.parent.name}" for path in root.glob("api/*/routes.py")} <= exhaustive
