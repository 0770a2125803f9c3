"""`careloop storage`."""

import argparse

from careloop.cli import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database-url", help="instead of CARELOOP_DATABASE_URL")
    parser.add_argument(
        "--limit-gb", type=float, metavar="N", help="room for the database in GB; else what the disk has, if it is here"
    )
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object, sizes in bytes")


def _run(options: argparse.Namespace) -> int:
    from ingest.report.main import run  # noqa: PLC0415 - the overview must not need the libraries

    return run(options.database_url, limit_gb=options.limit_gb, as_json=options.json)


COMMAND = Command(
    summary="what is stored, how small it is, and how long there is room",
    needs="a migrated database (CARELOOP_DATABASE_URL)",
    extra="ingest",
    configure=_configure,
    run=_run,
)
