"""`careloop api`, `careloop api-key`, `careloop user` and `careloop devices`."""

import argparse
import getpass
import sys
from pathlib import Path
from typing import Any, get_args

from api.conventions.roles import Role
from careloop.cli import USAGE_ERROR, Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="instead of CARELOOP_API_HOST (127.0.0.1)")
    parser.add_argument("--port", type=int, help="instead of CARELOOP_API_PORT (8080)")
    parser.add_argument("--database-url", help="instead of CARELOOP_DATABASE_URL")


def _run(options: argparse.Namespace) -> int:
    from api.main import run  # noqa: PLC0415 - the overview must not need the libraries

    return run(host=options.host, port=options.port, database_url=options.database_url)


def _configure_belonging(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--role", required=True, choices=get_args(Role))
    parser.add_argument("--customer-id", type=int, help="whose things alone a customer sees")
    parser.add_argument("--provider-id", type=int, help="whose cases alone a technician or partner manager sees")
    parser.add_argument("--technician-id", type=int, help="which technician it is")
    parser.add_argument("--database-url", help="instead of CARELOOP_DATABASE_URL")


def _belonging(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("name", "role", "customer_id", "provider_id", "technician_id")}


def _configure_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["create"], help="what to do")
    parser.add_argument("--name", required=True, help="who will use the key, e.g. predictor")
    parser.add_argument("--scope", action="append", help="what of the role it may, e.g. tickets:read; again for more")
    parser.add_argument("--expires-in-days", type=int, help="the key ends after so many days (default: never)")
    _configure_belonging(parser)


def _run_key(options: argparse.Namespace) -> int:
    from api.main import create_key  # noqa: PLC0415 - the overview must not need the libraries

    wanted = {**_belonging(options), "scopes": options.scope}
    return create_key(wanted, options.expires_in_days, options.database_url)


def _configure_user(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["create"], help="what to do")
    parser.add_argument("--login", required=True, help="what somebody types to log in")
    parser.add_argument("--name", required=True, help="the person's name")
    parser.add_argument("--email", help="by it an identity provider's user is known")
    _configure_belonging(parser)


def _run_user(options: argparse.Namespace) -> int:
    from api.main import create_user  # noqa: PLC0415 - the overview must not need the libraries

    # From a pipe as it is; never from the command line, which others can read.
    password = getpass.getpass("password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    return create_user(
        {**_belonging(options), "login": options.login, "email": options.email}, password, options.database_url
    )


DEVICES_TO_DO = """careloop devices: say what to do:
  careloop devices init-ca --into DIR     make the CA that signs devices' certificates
  careloop devices write-mosquitto        write Mosquitto's passwords, ACL and revoked certificates"""


def _configure_devices(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    authority = actions.add_parser("init-ca", help="make the CA that signs devices' certificates")
    authority.add_argument("--into", type=Path, required=True, help="directory for ca.pem and ca-key.pem (mode 0600)")
    authority.add_argument("--name", default="careloop devices", help="the CA's common name")
    authority.add_argument("--years", type=int, default=20, help="how long it is valid")
    writing = actions.add_parser("write-mosquitto", help="write Mosquitto's passwords, ACL and revoked certificates")
    writing.add_argument("--into", type=Path, help="instead of CARELOOP_MOSQUITTO_DIRECTORY")
    writing.add_argument("--database-url", help="instead of CARELOOP_DATABASE_URL")


def _run_devices(options: argparse.Namespace) -> int:
    if options.action is None:
        print(DEVICES_TO_DO, file=sys.stderr)
        return USAGE_ERROR
    from api import main  # noqa: PLC0415 - the overview must not need the libraries

    if options.action == "init-ca":
        return main.init_authority(options.into, options.name, options.years)
    return main.write_mosquitto(options.into, options.database_url)


COMMAND = Command(
    summary="serve the REST API of assets, tickets, parts, plans, jobs and reports",
    needs="a migrated database (CARELOOP_DATABASE_URL)",
    extra="api",
    configure=_configure,
    run=_run,
)

DEVICES_COMMAND = Command(
    summary="the CA of devices' certificates, and Mosquitto's files",
    needs="to write Mosquitto's files, a migrated database (CARELOOP_DATABASE_URL)",
    extra="api",
    configure=_configure_devices,
    run=_run_devices,
)

API_KEY_COMMAND = Command(
    summary="make an API key, printed once",
    needs="a migrated database (CARELOOP_DATABASE_URL)",
    extra="api",
    configure=_configure_key,
    run=_run_key,
)

USER_COMMAND = Command(
    summary="make a user, e.g. the first administrator; the password is asked for, or read from a pipe",
    needs="a migrated database (CARELOOP_DATABASE_URL)",
    extra="api",
    configure=_configure_user,
    run=_run_user,
)
