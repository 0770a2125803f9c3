"""`careloop register-fleet`."""

import argparse
from pathlib import Path

from careloop.cli import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, help="the edge agent's file, with a simulator source")


def _run(options: argparse.Namespace) -> int:
    from careloop.line.fleet_main import run  # noqa: PLC0415 - the overview must not need the libraries

    return run(options.config.absolute())


COMMAND = Command(
    summary="register an edge agent's simulated fleet, with parts, people and plans, through the API",
    needs="the API (CARELOOP_API_URL) and a key of role admin (CARELOOP_API_KEY)",
    extra="line",
    configure=_configure,
    run=_run,
)
