"""`careloop ingest`."""

import argparse

from careloop.cli import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", nargs="?", choices=["run"], default="run", help="the only thing it does; may be left out")
    parser.add_argument("--broker-url", help="instead of CARELOOP_BROKER_URL")
    parser.add_argument("--database-url", help="instead of CARELOOP_DATABASE_URL")
    parser.add_argument("--worker-name", help="instead of CARELOOP_INGEST_WORKER; unique, and the same at every start")


def _run(options: argparse.Namespace) -> int:
    from ingest.main import run  # noqa: PLC0415 - the overview must not need the libraries

    return run(broker_url=options.broker_url, database_url=options.database_url, ingest_worker=options.worker_name)


COMMAND = Command(
    summary="store what machines send: MQTT to telemetry tables, exactly once",
    needs="an MQTT 5 broker (CARELOOP_BROKER_URL) and a migrated database (CARELOOP_DATABASE_URL)",
    extra="ingest",
    configure=_configure,
    run=_run,
)
