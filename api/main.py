"""Wires and runs the API process; the only place here that reads a clock."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import uvicorn
from psycopg.rows import dict_row

from api.access import service as access
from api.alerts.delivery import DeliveryLimits
from api.alerts.service import apprise_fault
from api.application import create_app
from api.conventions.limits import Limiter
from api.conventions.roles import Role
from api.devices.authority import Authority, make_authority
from api.devices.broker_files import BrokerFiles, write_once
from api.devices.provisioning import Provisioning, read_accounts
from api.devices.rules import OtherTopics
from api.feed.delivery import FeedLimits
from api.observation.watching import Observed
from api.settings import ApiSettings, DeviceSettings, listed
from careloop.database.engine import connect
from careloop.database.migrations import require_migrated
from careloop.errors import CareloopError
from careloop.logs import configure_logging
from careloop.observability.metrics import render_from
from careloop.observability.server import serving
from careloop.settings import DatabaseSettings


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
        provisioning=_provisioning(settings),
        broker_files=_broker_files(settings, settings.mosquitto_directory),
        observed=observed,
    )
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


def create_key(name: str, role: Role, expires_in_days: int | None, database_url: str | None) -> int:
    """Make an API key and print it."""
    settings = DatabaseSettings(database_url=database_url) if database_url else DatabaseSettings()
    with connect(settings.database_url) as connection:
        require_migrated(connection)
    expires_at = _now() + timedelta(days=expires_in_days) if expires_in_days else None
    print(asyncio.run(_create_key(settings.database_url, name, role, expires_at)))
    return 0


async def _create_key(database_url: str, name: str, role: Role, expires_at: datetime | None) -> str:
    async with await psycopg.AsyncConnection.connect(database_url, row_factory=dict_row) as connection:
        key, _ = await access.create_key(connection, name, role, expires_at, _now())
    return key
