"""`careloop migrate`."""

import argparse

from careloop.cli import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database-url", help="instead of CARELOOP_DATABASE_URL")
    parser.add_argument(
        "--service-roles",
        action="store_true",
        help="also make the group roles careloop_ingest, careloop_predictor, careloop_scheduler and careloop_api, "
        "and grant each what its service needs",
    )


def _run(options: argparse.Namespace) -> int:
    from careloop.database.main import run  # noqa: PLC0415 - the overview must not need the libraries

    return run(options.database_url, service_roles=options.service_roles)


COMMAND = Command(
    summary="bring the database up to date",
    needs="PostgreSQL 15 or newer, with or without TimescaleDB (CARELOOP_DATABASE_URL)",
    extra="database",
    configure=_configure,
    run=_run,
)
