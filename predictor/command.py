"""`careloop predictor`."""

import argparse

from careloop.cli import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=["run"], default="run", help="work until stopped (the default)")
    parser.add_argument(
        "--step",
        action="store_true",
        help="read no clock: train, score and sweep as of the times given as JSON lines on standard input",
    )
    parser.add_argument("--database-url", help="instead of CARELOOP_DATABASE_URL")
    parser.add_argument("--api-url", help="instead of CARELOOP_API_URL")
    parser.add_argument("--model-dir", help="instead of CARELOOP_PREDICTOR_MODEL_DIR")


def _run(options: argparse.Namespace) -> int:
    from predictor.main import run, run_steps  # noqa: PLC0415 - the overview must not need the libraries

    given = {
        "database_url": options.database_url,
        "api_url": options.api_url,
        "predictor_model_dir": options.model_dir,
    }
    overrides = {name: value for name, value in given.items() if value is not None}
    return run_steps(overrides) if options.step else run(overrides)


COMMAND = Command(
    summary="foresee failures from telemetry and open tickets in time; announce the end of warranties",
    needs="a migrated database (CARELOOP_DATABASE_URL), the API (CARELOOP_API_URL), a key of role service "
    "(CARELOOP_API_KEY) and a directory for models (CARELOOP_STATE_DIR)",
    extra="predictor",
    configure=_configure,
    run=_run,
)
