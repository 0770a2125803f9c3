"""`careloop up`."""

import argparse
from pathlib import Path

from careloop.cli import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state-dir", type=Path, help="instead of CARELOOP_STATE_DIR; what is kept between runs")
    parser.add_argument("--api-port", type=int, help="instead of CARELOOP_API_PORT (8080)")
    parser.add_argument("--broker-port", type=int, help="instead of CARELOOP_BROKER_PORT (1883)")
    parser.add_argument("--postgres-port", type=int, help="instead of CARELOOP_POSTGRES_PORT (5433)")
    parser.add_argument("--database-url", help="use this server instead of the embedded PostgreSQL")
    parser.add_argument("--broker-url", help="use this broker instead of the embedded one")
    parser.add_argument("--simulate", action="store_true", help="also run an edge agent with a simulated fleet")


def _run(options: argparse.Namespace) -> int:
    from careloop.stack.main import run  # noqa: PLC0415 - the overview must not need the libraries

    chosen = {name: value for name, value in vars(options).items() if name != "simulate" and value is not None}
    return run(chosen, simulate=options.simulate)


COMMAND = Command(
    summary="run everything on this machine: database, broker and all services, supervised",
    needs="nothing else; keeps its state in CARELOOP_STATE_DIR",
    extra="all",
    configure=_configure,
    run=_run,
)
