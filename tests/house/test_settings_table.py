"""The README's table of settings is the code's, not somebody's memory of it; run this file to print the table anew."""

import importlib
import inspect
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = {
    "edge": "edge_agent.settings",
    "ingest": "ingest.settings",
    "predictor": "predictor.settings",
    "scheduler": "scheduler.settings",
    "api": "api.settings",
    "up": "careloop.stack.settings",
}


def table() -> str:
    """All settings, each once, with the processes that read it."""
    readers: dict[str, list[str]] = {}
    fields: dict[str, Any] = {}
    for process, module_name in PROCESSES.items():
        module = importlib.import_module(module_name)
        for _, settings in inspect.getmembers(module, inspect.isclass):
            if issubclass(settings, BaseSettings) and settings.__module__ == module_name:
                for name, field in settings.model_fields.items():
                    if process not in readers.setdefault(name, []):
                        readers[name].append(process)
                    fields.setdefault(name, field)
    lines = ["| setting | default | read by | what it is |", "|---|---|---|---|"]
    for name, field in sorted(fields.items(), key=lambda item: (-len(readers[item[0]]), readers[item[0]], item[0])):
        default = "" if field.default in (None, "", PydanticUndefined) else f"`{field.default}`"
        assert field.description, f"{name} has no description"
        lines.append(f"| `CARELOOP_{name.upper()}` | {default} | {', '.join(readers[name])} | {field.description} |")
    return "\n".join(lines)


def test_the_table_in_readme_is_true() -> None:
    assert table() in (ROOT / "README.md").read_text(encoding="utf-8")


if __name__ == "__main__":
    print(table())
