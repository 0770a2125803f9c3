"""`careloop ingest`."""

import argparse

from careloop.cli import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "do",
        nargs="?",
        choices=["run", "replay-dead-letters"],
        default="run",
        help="run (may be left out): store what comes; replay-dead-letters: try again what could not be stored",
    )
    parser.add_argument("--broker-url", help="instead of CARELOOP_BROKER_URL")
    parser.add_argument("--database-url", help="instead of CARELOOP_DATABASE_URL")
    parser.add_argument("--worker-name", help="instead of CARELOOP_INGEST_WORKER; unique, and the same at every start")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N",
        help="processes on one shared subscription, named after the worker with -1, -2 …; on Mosquitto or EMQX only",
    )  # fmt: skip
    # Given to workers: the process whose end is theirs.
    parser.add_argument("--end-with", type=int, default=0, help=argparse.SUPPRESS)
    which = parser.add_argument_group("replay-dead-letters", "which of them; all when nothing is said")
    which.add_argument("--reason", help="those of one reason, e.g. unknown_asset")
    which.add_argument("--serial", help="those of one asset")
    which.add_argument("--dead-letter-id", type=int, help="those of the message that this one belongs to")


def _run(options: argparse.Namespace) -> int:
    from ingest.main import replay_dead_letters, run, run_workers  # noqa: PLC0415 - the overview must not need the libraries

    if options.do == "replay-dead-letters":
        return replay_dead_letters(options.database_url, options.dead_letter_id, options.reason, options.serial)
    given = {
        "broker_url": options.broker_url, "database_url": options.database_url, "ingest_worker": options.worker_name,
    }  # fmt: skip
    return run(options.end_with, **given) if options.workers == 1 else run_workers(options.workers, **given)


COMMAND = Command(
    summary="store what machines send: MQTT to telemetry tables, exactly once",
    needs="an MQTT 5 broker (CARELOOP_BROKER_URL) and a migrated database (CARELOOP_DATABASE_URL)",
    extra="ingest",
    configure=_configure,
    run=_run,
)
