"""`careloop migrate`."""

import argparse

from careloop.cli import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database-url", help="instead of CARELOOP_DATABASE_URL")


def _run(options: argparse.Namespace) -> int:
    from careloop.database.main import run  # noqa: PLC0415 - the overview must not need the libraries

    return run(options.database_url)


COMMAND = Command(
    summary="bring the database up to date",
    needs="PostgreSQL 15 or newer, with or without TimescaleDB (CARELOOP_DATABASE_URL)",
    extra="database",
    configure=_configure,
    run=_run,
)
