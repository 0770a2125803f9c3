"""`careloop scheduler`."""

import argparse

from careloop.cli import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        choices=["run", "allocate"],
        default="run",
        help="run: work until stopped (the default); allocate: plan all open demand for parts once, now",
    )
    parser.add_argument(
        "--step",
        action="store_true",
        help="read no clock: do what is due as of the times given as JSON lines on standard input",
    )


def _run(options: argparse.Namespace) -> int:
    from scheduler.main import allocate, run, run_steps  # noqa: PLC0415 - the overview must not need the libraries

    if options.action == "allocate":
        return allocate()
    return run_steps() if options.step else run()


COMMAND = Command(
    summary="turn due plans and open tickets into dispatched visits",
    needs="a migrated database (CARELOOP_DATABASE_URL), the API (CARELOOP_API_URL) and a key of role service "
    "(CARELOOP_API_KEY)",
    extra="scheduler",
    configure=_configure,
    run=_run,
)
