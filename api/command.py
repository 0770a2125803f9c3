"""`careloop api` and `careloop api-key`."""

import argparse
from typing import get_args

from api.conventions.roles import Role
from careloop.cli import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="instead of CARELOOP_API_HOST (127.0.0.1)")
    parser.add_argument("--port", type=int, help="instead of CARELOOP_API_PORT (8080)")
    parser.add_argument("--database-url", help="instead of CARELOOP_DATABASE_URL")


def _run(options: argparse.Namespace) -> int:
    from api.main import run  # noqa: PLC0415 - the overview must not need the libraries

    return run(host=options.host, port=options.port, database_url=options.database_url)


def _configure_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["create"], help="what to do")
    parser.add_argument("--name", required=True, help="who will use the key, e.g. predictor")
    parser.add_argument("--role", required=True, choices=get_args(Role))
    parser.add_argument("--expires-in-days", type=int, help="the key ends after so many days (default: never)")
    parser.add_argument("--database-url", help="instead of CARELOOP_DATABASE_URL")


def _run_key(options: argparse.Namespace) -> int:
    from api.main import create_key  # noqa: PLC0415 - the overview must not need the libraries

    return create_key(options.name, options.role, options.expires_in_days, options.database_url)


COMMAND = Command(
    summary="serve the REST API of assets, tickets, parts, plans, jobs and reports",
    needs="a migrated database (CARELOOP_DATABASE_URL)",
    extra="api",
    configure=_configure,
    run=_run,
)

API_KEY_COMMAND = Command(
    summary="make an API key, printed once",
    needs="a migrated database (CARELOOP_DATABASE_URL)",
    extra="api",
    configure=_configure_key,
    run=_run_key,
)
