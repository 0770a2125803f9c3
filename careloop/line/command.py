"""`careloop replay` and `careloop demo`."""

import argparse
from datetime import date
from pathlib import Path

from careloop.cli import Command


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day like 2015-07-01") from error


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _configure_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", choices=["azure-pdm"], help="how the files are shaped")
    parser.add_argument("directory", type=Path, metavar="DIR", help="where the files are")
    parser.add_argument("--machines", type=_positive, help="only the first so many machines")
    parser.add_argument("--until", type=_day, metavar="DATE", help="nothing from this day on")
    parser.add_argument("--train-until", type=_day, metavar="DATE", help="train on the time before, score from here on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts here")
    parser.add_argument(
        "--database-url", help="use this empty PostgreSQL or TimescaleDB database, not the embedded one"
    )
    parser.add_argument("--broker-url", help="use this MQTT broker, not the embedded one")
    parser.add_argument("--reset", action="store_true", help="first drop what careloop has in --database-url")


def _run_replay(options: argparse.Namespace) -> int:
    from careloop.line.main import run_replay  # noqa: PLC0415 - the overview must not need the libraries

    return run_replay(options)


def _configure_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="end after the summary, do not keep serving")
    parser.add_argument("--days", type=_positive, default=120, help="how many simulated days (default 120)")
    parser.add_argument("--assets", type=_positive, default=48, help="how many machines (default 48)")
    parser.add_argument("--seed", type=int, default=7, help="another seed is another fleet (default 7)")


def _run_demo(options: argparse.Namespace) -> int:
    from careloop.line.main import run_demo  # noqa: PLC0415 - the overview must not need the libraries

    return run_demo(options)


REPLAY_COMMAND = Command(
    summary="drive recorded data through the whole line and count what came of it",
    needs="nothing but the files; the database and the broker are embedded unless given",
    extra="all",
    configure=_configure_replay,
    run=_run_replay,
)

DEMO_COMMAND = Command(
    summary="watch a simulated fleet wear out and be looked after",
    needs="nothing; the database and the broker are embedded",
    extra="all",
    configure=_configure_demo,
    run=_run_demo,
)
