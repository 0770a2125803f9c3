"""What the README and the other pages tell people to type is there: commands, options, targets, settings, paths."""

import argparse
import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from pydantic_settings import BaseSettings

from careloop.cli import Command

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])

_FENCE = re.compile(r"^```(?P<language>[\w-]*)[^\n]*\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
_SETTING = re.compile(r"\bCARELOOP_[A-Z0-9_]*[A-Z0-9]\b(?!_|\*)")
ROOT_TOPIC = "careloop/v1/"  # begins like a path of the tree, and is an MQTT topic
_SHELL = {"sh", "bash", "shell", "console"}


def _commands(text: str) -> Iterator[list[str]]:
    """Each command of the shell blocks as words, without comments, prompts, environment, pipes and redirections."""
    for fence in _FENCE.finditer(text):
        if fence["language"] not in _SHELL:
            continue
        for line in fence["body"].replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|\|?|;", line.strip().removeprefix("$ ")):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"\w+=.*", words[0]):
                    words.pop(0)
                for number, word in enumerate(words):
                    if re.match(r"\d?>|<|&$", word):
                        words = words[:number]
                        break
                if words:
                    yield words


def _inline_commands(text: str) -> Iterator[list[str]]:
    """`make demo` and the like in running text; what has placeholders is held to its first words."""
    for match in _INLINE.finditer(_FENCE.sub("", text)):
        words = match[1].split()
        if words[0] in {"make", "careloop"}:
            plain = [word for word in words if not re.search(r"[…|\[\]<>]|^[A-Z]+$|\.\.\.", word)]
            yield plain[:2]


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def _careloop_commands() -> dict[str, Command]:
    return {point.name: point.load() for point in entry_points(group="careloop.commands")}


def _problem_of(words: list[str], *, whole: bool) -> str | None:
    program = Path(words[0]).name
    if program == "make":
        missing = {word for word in words[1:] if not word.startswith("-") and "=" not in word} - _targets()
        return f"make has no target {', '.join(sorted(missing))}" if missing else None
    if program == "careloop":
        return _careloop_problem(words[1:], whole=whole)
    if words[:2] == ["docker", "compose"]:
        services = set(yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"])
        if "run" in words:
            service = next((word for word in words[words.index("run") + 1 :] if not word.startswith("-")), "")
            return None if service in services else f"compose has no service {service!r}"
        return None
    if "/" in words[0] and not words[0].startswith(("/", "~", ".venv/", "..")):
        return None if (ROOT / words[0]).exists() else f"{words[0]} is not there"
    return None


def _careloop_problem(words: list[str], *, whole: bool) -> str | None:
    commands = _careloop_commands()
    if not words or words[0].startswith("-"):
        return None
    if words[0] not in commands:
        return f"careloop has no command {words[0]!r}"
    if not whole or words[1:] in (["--help"], ["-h"]):
        return None
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    commands[words[0]].configure(parser)
    try:
        parser.parse_args(words[1:])
    except (argparse.ArgumentError, SystemExit) as error:
        return f"careloop {' '.join(words)}: {error}"
    return None


def _settings() -> set[str]:
    known: set[str] = set()
    for file in ROOT.glob("*/**/settings.py"):
        if {".venv", "node_modules"} & set(file.parts):
            continue
        module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
        for _, settings in inspect.getmembers(module, inspect.isclass):
            if issubclass(settings, BaseSettings) and settings.__module__ == module.__name__:
                known |= {f"CARELOOP_{name.upper()}" for name in settings.model_fields}
    shared = importlib.import_module("careloop.settings")
    for _, settings in inspect.getmembers(shared, inspect.isclass):
        if issubclass(settings, BaseSettings):
            known |= {f"CARELOOP_{name.upper()}" for name in settings.model_fields}
    return known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    problems = [_problem_of(words, whole=True) for words in _commands(text)]
    problems += [_problem_of(words, whole=False) for words in _inline_commands(text)]
    assert [problem for problem in problems if problem] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "node_modules"}
    missing = [target for target in _LINK.findall(text) if not (page.parent / target).exists()]
    for code in _INLINE.findall(_FENCE.sub("", text)):
        looks_like_path = re.fullmatch(r"[\w.-]+(?:/[\w.-]+)*/?", code) and "/" in code
        if looks_like_path and code.split("/")[0] in rooms and not code.startswith((".venv", ROOT_TOPIC)):
            path = ROOT / code
            if not path.exists() and "secrets" not in path.parts:
                missing.append(code)
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_exist(page: Path) -> None:
    assert set(_SETTING.findall(page.read_text(encoding="utf-8"))) - _settings() == set()


def test_the_checks_find_what_is_wrong() -> None:
    text = "```sh\n$ X=1 make nothing && careloop replay azure-pdm . --machine 3 | tee log\n```"
    assert [_problem_of(words, whole=True) is not None for words in _commands(text)] == [True, True, False]
    assert _problem_of(["careloop", "fly"], whole=False) is not None
    assert _problem_of(["deploy/no-such-script.sh"], whole=True) is not None
