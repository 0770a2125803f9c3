"""What the house rules are checked on: the files of the project, tracked or about to be."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("careloop", "edge_agent", "ingest", "predictor", "scheduler", "api", "bench")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def project_files() -> list[Path]:
    """Every file that git tracks or would track, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return sorted({Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file()})


@pytest.fixture(scope="session")
def product_code(project_files: list[Path]) -> list[Path]:
    """The Python files that ship."""
    return [path for path in project_files if path.suffix == ".py" and path.parts[0] in PACKAGES]
