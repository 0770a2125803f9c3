"""Wires and runs `careloop migrate`."""

from typing import get_args

from careloop.database.engine import connect
from careloop.database.migrations import migrate
from careloop.database.roles import ServiceName, create_service_login, create_service_roles, login_of
from careloop.database.settings import MigrateSettings


def run(database_url: str | None, *, service_roles: bool = False) -> int:
    """Migrate the database named, or the one of the settings; print what was done.

    Args:
        database_url: Instead of the settings'.
        service_roles: Also make the services' group roles, and a login for each service whose password is set.
    """
    settings = MigrateSettings(database_url=database_url) if database_url else MigrateSettings()
    with connect(settings.database_url) as connection:
        engine, applied = migrate(connection)
        if service_roles:
            create_service_roles(connection)
            for service in get_args(ServiceName):
                password = getattr(settings, f"database_password_{service}")
                if password:
                    create_service_login(connection, service, login_of(service), password)
    print(f"{engine}: " + (f"applied {', '.join(applied)}" if applied else "already up to date"))
    return 0
