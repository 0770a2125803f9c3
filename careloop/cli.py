"""The one command, `careloop`; its sub-commands come from the entry-point group `careloop.commands`.

An edge install has only the edge agent's dependencies, so a sub-command is imported when it is asked for, and one
whose libraries are missing says which extra brings them.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from pydantic import ValidationError

from careloop import __version__
from careloop.errors import CareloopError

USAGE_ERROR = 2
BROKEN_PIPE = 141  # what a shell reports of a process that SIGPIPE ended


@dataclass(frozen=True)
class Command:
    """A sub-command, declared in a service's `command.py`, which must import nothing heavy.

    Attributes:
        summary: One line for the overview.
        needs: What must be there for it to run, shown by `--help`.
        extra: The pip extra that brings its libraries, e.g. `ingest`.
        configure: Adds the arguments.
        run: Does the work and returns the exit code; imports the service's `main` when called.
    """

    summary: str
    needs: str
    extra: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit code; 2 means the user can mend it by the line printed."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands = {point.name: point for point in entry_points(group="careloop.commands")}
    if not words or words[0] in {"-h", "--help"}:
        print(_overview(commands))
        return 0 if words else USAGE_ERROR
    if words[0] == "--version":
        print(f"careloop {__version__}")
        return 0
    point = commands.get(words[0])
    if point is None:
        print(f"careloop: no command {words[0]!r}; one of: {', '.join(sorted(commands))}", file=sys.stderr)
        return USAGE_ERROR
    return _run(point, words[1:])


def _run(point: EntryPoint, words: Sequence[str]) -> int:
    try:
        command = _load(point)
        parser = argparse.ArgumentParser(
            prog=f"careloop {point.name}",
            description=command.summary,
            epilog=f"Needs: {command.needs}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.configure(parser)
        return command.run(parser.parse_args(words))
    except ModuleNotFoundError as error:
        print(
            f"careloop {point.name}: the library {error.name!r} is not installed; "
            f"pip install 'careloop[{_extra_of(point)}]' brings it",
            file=sys.stderr,
        )
        return USAGE_ERROR
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            print(f"careloop {point.name}: setting CARELOOP_{name}: {problem['msg']}", file=sys.stderr)
        return USAGE_ERROR
    except CareloopError as error:
        print(f"careloop {point.name}: {error}", file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:
        # Whoever read our output has seen enough, e.g. `| head`; Python's own flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return 130


def _load(point: EntryPoint) -> Command:
    command = point.load()
    if not isinstance(command, Command):
        raise TypeError(f"entry point {point.value} is not a careloop.cli.Command")
    return command


def _extra_of(point: EntryPoint) -> str:
    try:
        return _load(point).extra
    except ModuleNotFoundError:
        return "all"


def _overview(commands: dict[str, EntryPoint]) -> str:
    lines = ["usage: careloop COMMAND [options]", "", "commands:"]
    for name, point in sorted(commands.items()):
        try:
            summary = _load(point).summary
        except ModuleNotFoundError as error:
            summary = f"(not installed here: {error.name} is missing)"
        lines.append(f"  {name:<12} {summary}")
    return "\n".join([*lines, "", "careloop COMMAND --help tells what each needs."])
