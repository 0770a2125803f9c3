"""Wires and runs the API process; the only place here that reads a clock."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import uvicorn
from psycopg.rows import dict_row

from api.access import service as access
from api.alerts.delivery import DeliveryLimits
from api.alerts.service import apprise_fault
from api.application import create_app
from api.conventions.roles import Role
from api.settings import ApiSettings
from careloop.database.engine import connect
from careloop.database.migrations import require_migrated
from careloop.errors import CareloopError
from careloop.logs import configure_logging
from careloop.settings import DatabaseSettings


def _now() -> datetime:
    return datetime.now(UTC)


def run(*, host: str | None, port: int | None, database_url: str | None) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    given: dict[str, Any] = {"api_host": host, "api_port": port, "database_url": database_url}
    settings = ApiSettings(**{name: value for name, value in given.items() if value is not None})
    configure_logging(settings.log_level)
    with connect(settings.database_url) as connection:
        require_migrated(connection)
    app = create_app(
        settings.database_url,
        clock=settings.clock,
        now=_now,
        connections=settings.api_connections,
        deliver_alerts=_limits(settings) if settings.alert_delivery else None,
    )
    server = uvicorn.Server(
        uvicorn.Config(app, host=settings.api_host, port=settings.api_port, log_config=None, access_log=False)
    )
    try:
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
