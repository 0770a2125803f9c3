"""Names say what a thing is, and nothing tracked knows the machine it was written on."""

import ast
import re
from pathlib import Path

# The design, section 7: these name nothing.
NAMES_NOTHING = {"data", "info", "manager", "helper", "helpers", "util", "utils", "misc", "stuff"}

# Built from pieces, so that this file does not contain what it looks for.
ELSEWHERE = re.compile(
    "|".join(
        [
            r"(?<![\w.])/" + r"work/",
            r"(?<![\w.])/" + r"opt/(?:wheels|pypi)",
            r"(?<![\w.])/" + r"root/",
            r"files\." + r"pythonhosted",
            r"registry\." + r"npmjs",
            r"find-" + r"links",
            r"extra-" + r"index-url",
        ]
    )
)
TEXT = {".py", ".sql", ".md", ".toml", ".yaml", ".yml", ".json", ".lock", ".mjs", ".conf", ".html", ".txt", ""}


def _words(name: str) -> set[str]:
    return set(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_"))


def test_modules_and_definitions_are_named_for_what_they_are(root: Path, product_code: list[Path]) -> None:
    empty: list[str] = []
    for path in product_code:
        named = [path.stem, *path.parts[:-1]]
        tree = ast.parse((root / path).read_text(encoding="utf-8"))
        named += [
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        ]
        empty += [f"{path}: {name}" for name in named if _words(name) & NAMES_NOTHING]
    assert empty == []


def test_no_path_of_a_machine_and_no_address_of_a_registry_is_tracked(root: Path, project_files: list[Path]) -> None:
    found: list[str] = []
    for path in project_files:
        if path.suffix in TEXT:
            text = (root / path).read_text(encoding="utf-8", errors="replace")
            found += [
                f"{path}:{number}: {line.strip()[:100]}"
                for number, line in enumerate(text.splitlines(), 1)
                if ELSEWHERE.search(line)
            ]
    assert found == []


def test_only_a_main_reads_the_clock(root: Path, product_code: list[Path]) -> None:
    """`now` is passed in, so that a replay of last year's data drives the whole platform as if it were live."""
    reads = re.compile(r"\bdatetime\.(?:now|utcnow|today)\(|\bdate\.today\(|\btime\.time(?:_ns)?\(")
    found = [
        f"{path}: {match[0]}"
        for path in product_code
        if not path.name.endswith("main.py")
        for match in reads.finditer((root / path).read_text(encoding="utf-8"))
    ]
    assert found == []
