"""The registry of live processes, written by many threads."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from careloop.stack.registry import ProcessRegistry


def test_many_threads_may_write_it_at_once(tmp_path: Path) -> None:
    registry = ProcessRegistry(tmp_path / "processes.json")
    names = [f"service-{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: registry.add(name, os.getpid()), names))
        assert set(registry.orphans()) == set(names)
        list(pool.map(registry.remove, names))
    assert registry.orphans() == {}
