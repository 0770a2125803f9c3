"""`careloop edge`."""

import argparse
import sys
from pathlib import Path

from careloop.cli import USAGE_ERROR, Command

WHAT_TO_DO = """careloop edge: say what to do:
  careloop edge example > edge.toml       write a configuration to start from
  careloop edge check edge.toml           see whether it is right, and what is wrong by line
  careloop edge run --config edge.toml    run the agent (CARELOOP_BROKER_URL names the broker)
  careloop edge catalogue | fleet         what the simulator offers, as JSON"""


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    run = actions.add_parser("run", help="read the sources, buffer, publish")
    run.add_argument("--config", type=Path, help="TOML file, instead of CARELOOP_EDGE_CONFIG")
    run.add_argument(
        "--step", action="store_true", help="take the time and readings from standard input, one JSON line a step"
    )
    check = actions.add_parser("check", help="explain what is wrong with a configuration, by line")
    check.add_argument("file", type=Path)
    actions.add_parser("example", help="print a configuration to start from")
    actions.add_parser("catalogue", help="print the simulator's kinds of machine as JSON")
    fleet = actions.add_parser("fleet", help="print the simulated assets of a configuration as JSON")
    fleet.add_argument("--config", type=Path, help="TOML file, instead of CARELOOP_EDGE_CONFIG")


def _run(options: argparse.Namespace) -> int:
    if options.action is None:
        print(WHAT_TO_DO, file=sys.stderr)
        return USAGE_ERROR
    from edge_agent import main  # noqa: PLC0415 - the overview must not need the libraries

    match options.action:
        case "run":
            return main.run(options.config, step=options.step)
        case "check":
            return main.check(options.file)
        case "example":
            return main.print_example()
        case "catalogue":
            return main.print_catalogue()
        case _:
            return main.print_fleet(options.config)


COMMAND = Command(
    summary="the agent on a device or gateway: sources to MQTT, losing nothing",
    needs="an MQTT 5 broker (CARELOOP_BROKER_URL) and a TOML file with sources (careloop edge example)",
    extra="edge",
    configure=_configure,
    run=_run,
)
