"""`careloop edge`."""

import argparse
import sys
from pathlib import Path

from careloop.cli import USAGE_ERROR, Command

WHAT_TO_DO = """careloop edge: say what to do:
  careloop edge example > edge.toml       write a configuration to start from
  careloop edge check edge.toml           see whether it is right, and what is wrong by line
  careloop edge check --read edge.toml    and read every source once
  careloop edge run --config edge.toml    run the agent (CARELOOP_BROKER_URL names the broker)
  careloop edge claim --into DIR …        get an identity from the platform by a claim key
  careloop edge schema                    the configuration's JSON Schema, for editors
  careloop edge catalogue | fleet         what the simulator offers, as JSON"""


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    run = actions.add_parser("run", help="read the sources, buffer, publish")
    run.add_argument("--config", type=Path, help="TOML file, instead of CARELOOP_EDGE_CONFIG")
    run.add_argument(
        "--step", action="store_true", help="take the time and readings from standard input, one JSON line a step"
    )
    claim = actions.add_parser("claim", help="turn a claim key into this device's identity")
    claim.add_argument("--api", required=True, metavar="URL", help="address of the API, https://…")
    claim.add_argument(
        "--key", help="the batch's claim key; CARELOOP_EDGE_CLAIM_KEY keeps it off the list of processes"
    )
    claim.add_argument("--serial", required=True, help="the device's serial number, or the gateway's id")
    claim.add_argument("--certificate", action="store_true", help="a certificate instead of a password")
    claim.add_argument("--asset", action="append", metavar="SERIAL", help="a machine behind the gateway; repeatable")
    claim.add_argument("--ca-file", type=Path, help="CA of the API's certificate; the system's when left out")
    claim.add_argument("--into", type=Path, required=True, help="directory for the identity")
    check = actions.add_parser("check", help="explain what is wrong with a configuration, by line")
    check.add_argument("file", type=Path)
    check.add_argument("--read", action="store_true", help="also read every source once, and tell what came")
    check.add_argument(
        "--seconds", type=float, default=10.0, help="with --read: how long to wait for each source (default 10)"
    )
    actions.add_parser("schema", help="print the configuration's JSON Schema")
    actions.add_parser("example", help="print a configuration to start from")
    actions.add_parser("catalogue", help="print the simulator's kinds of machine as JSON")
    fleet = actions.add_parser("fleet", help="print the simulated assets of a configuration as JSON")
    fleet.add_argument("--config", type=Path, help="TOML file, instead of CARELOOP_EDGE_CONFIG")


def _run(options: argparse.Namespace) -> int:
    if options.action is None:
        print(WHAT_TO_DO, file=sys.stderr)
        return USAGE_ERROR
    from edge_agent import checking, main  # noqa: PLC0415 - the overview must not need the libraries

    match options.action:
        case "run":
            code = main.run(options.config, step=options.step)
        case "claim":
            code = main.claim(
                options.into,
                api_url=options.api,
                claim_key=options.key,
                serial=options.serial,
                certificate=options.certificate,
                assets=options.asset,
                ca_file=options.ca_file,
            )
        case "check":
            code = main.check(options.file, read_s=options.seconds if options.read else None)
        case "schema":
            code = checking.print_schema()
        case "example":
            code = main.print_example()
        case "catalogue":
            code = main.print_catalogue()
        case _:
            code = main.print_fleet(options.config)
    return code


COMMAND = Command(
    summary="the agent on a device or gateway: sources to MQTT, losing nothing",
    needs="an MQTT 5 broker (CARELOOP_BROKER_URL) and a TOML file with sources (careloop edge example)",
    extra="edge",
    configure=_configure,
    run=_run,
)
