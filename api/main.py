"""Wires and runs the API process; the only place here that reads a clock."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import uvicorn
from psycopg.rows import dict_row
from pydantic import BaseModel, ValidationError

from api.access import service as access
from api.access.login import Entrance
from api.access.models import NewApiKey, NewUser
from api.access.oidc import OidcClient, OidcProvider
from api.access.passwords import Passwords
from api.access.rules import read_role_claims
from api.alerts.delivery import DeliveryLimits
from api.alerts.service import apprise_fault
from api.application import create_app
from api.conventions.call import Call, begin_as
from api.conventions.limits import Limiter
from api.conventions.problems import Problem
from api.conventions.roles import Principal
from api.devices.authority import Authority, make_authority
from api.devices.broker_files import BrokerFiles, write_once
from api.devices.provisioning import Provisioning, read_accounts
from api.devices.rules import OtherTopics
from api.feed.delivery import FeedLimits
from api.observation.watching import Observed
from api.satisfaction.rules import Survey
from api.settings import ApiSettings, DeviceSettings, LoginSettings, listed
from api.settlement.signing import SigningKey
from careloop.database.engine import connect
from careloop.database.migrations import require_migrated
from careloop.errors import CareloopError
from careloop.logs import configure_logging
from careloop.observability.metrics import render_from
from careloop.observability.server import serving
from careloop.settings import DatabaseSettings

COMMAND_LINE = "command line"

Wish = TypeVar("Wish", bound=BaseModel)


def _now() -> datetime:
    return datetime.now(UTC)


def run(*, host: str | None, port: int | None, database_url: str | None) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    given: dict[str, Any] = {"api_host": host, "api_port": port, "database_url": database_url}
    settings = ApiSettings(**{name: value for name, value in given.items() if value is not None})
    configure_logging(settings.log_level, settings.log_format, process="api")
    with connect(settings.database_url) as connection:
        require_migrated(connection)
    observed = Observed.by(time.monotonic, settings.stalled_after_s)
    app = create_app(
        settings.database_url,
        clock=settings.clock,
        now=_now,
        connections=settings.api_connections,
        deliver_alerts=_limits(settings) if settings.alert_delivery else None,
        deliver_feed=FeedLimits(settings.alert_attempts, settings.alert_lease_s) if settings.alert_delivery else None,
        # With the time of replays and tests, what is due is for whoever gives the time to say.
        duties_every_s=settings.duties_every_s if settings.clock == "system" else None,
        largest_file_bytes=settings.file_largest_bytes,
        entrance=_entrance(settings),
        provisioning=_provisioning(settings),
        broker_files=_broker_files(settings, settings.mosquitto_directory),
        observed=observed,
        settlement_key=SigningKey.load(settings.settlement_key_file) if settings.settlement_key_file else None,
    )
    app.state.survey = Survey(settings.satisfaction_bad_score, Limiter(settings.satisfaction_tries_per_minute))
    app.state.count_approval_minor = settings.stock_count_approval_minor
    server = uvicorn.Server(
        uvicorn.Config(app, host=settings.api_host, port=settings.api_port, log_config=None, access_log=False)
    )
    try:
        with serving(settings.metrics_host, settings.metrics_port, app.state.probes, render_from(observed.registry)):
            server.run()
    except SystemExit as error:
        raise CareloopError(
            f"the API could not listen on {settings.api_host}:{settings.api_port}; "
            "free the port or set CARELOOP_API_PORT"
        ) from error
    return 0


def _limits(settings: ApiSettings) -> DeliveryLimits:
    fault = apprise_fault(settings.alert_default_url)
    if fault:
        raise CareloopError(f"CARELOOP_ALERT_DEFAULT_URL {fault}")
    return DeliveryLimits(settings.alert_attempts, settings.alert_lease_s, settings.alert_default_url)


def _provisioning(settings: DeviceSettings) -> Provisioning:
    authority = None
    if settings.device_ca_certificate is not None and settings.device_ca_key is not None:
        authority = Authority.load(settings.device_ca_certificate, settings.device_ca_key)
    broker_ca = None
    if settings.device_broker_ca_file is not None:
        try:
            broker_ca = settings.device_broker_ca_file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise CareloopError(f"CARELOOP_DEVICE_BROKER_CA_FILE cannot be read: {error}") from error
    return Provisioning(
        authority=authority,
        certificate_life=timedelta(days=settings.device_certificate_days),
        renewal_grace=timedelta(days=settings.device_renewal_grace_days),
        crl_good_for=timedelta(days=settings.device_crl_days),
        broker_url=settings.device_broker_url,
        broker_certificate_url=settings.device_broker_certificate_url,
        broker_ca=broker_ca,
        services=frozenset(listed(settings.broker_services)),
        accounts=read_accounts(settings.broker_accounts) if settings.broker_accounts else {},
        other_topics=OtherTopics(
            service_reads=listed(settings.broker_service_reads),
            service_writes=listed(settings.broker_service_writes),
            device_reads=listed(settings.broker_device_reads),
            device_writes=listed(settings.broker_device_writes),
        ),
        hook_secret=settings.broker_hook_secret,
        claims=Limiter(settings.device_claims_per_minute),
        failures=Limiter(settings.device_failures_per_minute),
    )


def _entrance(settings: LoginSettings) -> Entrance:
    provider = None
    if settings.oidc_issuer:
        client = OidcClient(
            issuer=settings.oidc_issuer,
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret,
            redirect_url=settings.oidc_redirect_url,
            scopes=settings.oidc_scopes,
        )
        provider = OidcProvider(client)
    try:
        role_of_claim = read_role_claims(settings.oidc_roles)
    except ValueError as error:
        raise CareloopError(f"CARELOOP_OIDC_ROLES: {error}") from error
    return Entrance(
        session_life=timedelta(hours=settings.session_hours),
        by_address=Limiter(settings.login_address_failures_per_minute),
        by_login=Limiter(settings.login_failures_per_minute),
        oidc=provider,
        role_claim=settings.oidc_role_claim,
        role_of_claim=role_of_claim,
        create_users=settings.oidc_create_users,
    )


def _broker_files(settings: DeviceSettings, directory: Path | None) -> BrokerFiles | None:
    if directory is None:
        return None
    return BrokerFiles(directory, settings.mosquitto_pid_file, settings.mosquitto_every_s)


def init_authority(directory: Path, name: str, years: int) -> int:
    """Make the CA of devices, and say where it is."""
    certificate, key = make_authority(directory, name, timedelta(days=365 * years), _now())
    print(f"CARELOOP_DEVICE_CA_CERTIFICATE={certificate.absolute()}")
    print(f"CARELOOP_DEVICE_CA_KEY={key.absolute()}")
    return 0


def write_mosquitto(directory: Path | None, database_url: str | None) -> int:
    """Write Mosquitto's files as they are to be now."""
    settings = DeviceSettings(database_url=database_url) if database_url else DeviceSettings()
    configure_logging(settings.log_level, settings.log_format, process="devices")
    files = _broker_files(settings, directory or settings.mosquitto_directory)
    if files is None:
        raise CareloopError("no directory for the broker's files; name it by --into or CARELOOP_MOSQUITTO_DIRECTORY")
    with connect(settings.database_url) as connection:
        require_migrated(connection)
    changed = asyncio.run(write_once(settings.database_url, files, _provisioning(settings), _now()))
    print(f"{files.directory}: {'written' if changed else 'up to date'}")
    return 0


def create_key(wanted: Mapping[str, Any], expires_in_days: int | None, database_url: str | None) -> int:
    """Make an API key and print it.

    Args:
        wanted: The fields of `NewApiKey` but its end.
        expires_in_days: When it ends; None for never.
        database_url: Instead of the environment's.
    """
    settings = _migrated(database_url)
    expires_at = _now() + timedelta(days=expires_in_days) if expires_in_days else None
    body = _judged(NewApiKey, {**wanted, "expires_at": expires_at})
    print(asyncio.run(_create_key(settings.database_url, body)))
    return 0


async def _create_key(database_url: str, body: NewApiKey) -> str:
    async with await psycopg.AsyncConnection.connect(database_url, row_factory=dict_row) as connection:
        await begin_as(connection, COMMAND_LINE, _now())
        try:
            key, _ = await access.create_key(connection, body, _now())
        except Problem as problem:
            raise CareloopError(problem.detail.removeprefix("body.")) from problem
    return key


def create_user(wanted: Mapping[str, Any], password: str, database_url: str | None) -> int:
    """Make a user with a password, e.g. the first administrator, and print the number.

    Args:
        wanted: The fields of `NewUser`.
        password: Of the user.
        database_url: Instead of the environment's.
    """
    settings = _migrated(database_url)
    body = _judged(NewUser, wanted)
    print(asyncio.run(_create_user(settings.database_url, body, password)))
    return 0


async def _create_user(database_url: str, body: NewUser, password: str) -> int:
    now = _now()
    principal = Principal(key=COMMAND_LINE, name=COMMAND_LINE, role="admin")
    async with await psycopg.AsyncConnection.connect(database_url, row_factory=dict_row) as connection:
        await begin_as(connection, COMMAND_LINE, now)
        call = Call(connection, now, principal)
        try:
            user = await access.create_user(call, body)
            await access.set_password(call, user["user_id"], password, Passwords())
        except Problem as problem:
            raise CareloopError(problem.detail.removeprefix("body.")) from problem
    return int(user["user_id"])


def _migrated(database_url: str | None) -> DatabaseSettings:
    settings = DatabaseSettings(database_url=database_url) if database_url else DatabaseSettings()
    with connect(settings.database_url) as connection:
        require_migrated(connection)
    return settings


def _judged(model: type[Wish], wanted: Mapping[str, Any]) -> Wish:
    try:
        return model.model_validate(wanted)
    except ValidationError as error:
        first = error.errors()[0]
        raise CareloopError(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error
