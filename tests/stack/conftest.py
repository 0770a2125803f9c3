"""A state directory that PostgreSQL may enter when the tests run as root."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def state_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="careloop-state-") as name:
        Path(name).chmod(0o711)
        yield Path(name) / "state"
