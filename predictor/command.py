"""`careloop predictor`, and `careloop parts`: the demand of spare parts."""

import argparse
from pathlib import Path

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


def _configure_parts(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    evaluate = actions.add_parser("evaluate", help="measure the forecast methods on months that they have not seen")
    evaluate.add_argument("kind", choices=["carparts"], help="carparts: a CSV file, one row a month, one column a part")
    evaluate.add_argument("file", type=Path, metavar="FILE", help="gzipped or not; an empty field: not sold that month")
    evaluate.add_argument("--holdout-months", type=int, default=12, metavar="N", help="the last so many months")
    evaluate.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    forecast = actions.add_parser("forecast", help="forecast what each warehouse needs, and tell the API")
    forecast.add_argument("--review-days", type=int, metavar="N", help="instead of CARELOOP_PREDICTOR_REVIEW_DAYS")
    forecast.add_argument("--database-url", help="instead of CARELOOP_DATABASE_URL")
    forecast.add_argument("--api-url", help="instead of CARELOOP_API_URL")
    forecast.add_argument("--json", action="store_true", help="print what was told as one JSON object")


def _run_parts(options: argparse.Namespace) -> int:
    if options.action == "forecast":
        return _forecast_parts(options)
    from predictor.demand.evaluate import print_evaluation  # noqa: PLC0415 - the overview must not need the libraries

    print_evaluation(options.file, options.holdout_months, as_json=options.json)
    return 0


def _forecast_parts(options: argparse.Namespace) -> int:
    from predictor.main import forecast_parts  # noqa: PLC0415 - the overview must not need the libraries

    given = {
        "database_url": options.database_url,
        "api_url": options.api_url,
        "predictor_review_days": options.review_days,
    }
    return forecast_parts({name: value for name, value in given.items() if value is not None}, as_json=options.json)


PARTS_COMMAND = Command(
    summary="forecast the demand of spare parts, and measure how good the forecasts are",
    needs="for evaluate a file of monthly demand; for forecast a database with scores (CARELOOP_DATABASE_URL), the API "
    "(CARELOOP_API_URL) and a key of role service (CARELOOP_API_KEY)",
    extra="predictor",
    configure=_configure_parts,
    run=_run_parts,
)
