"""Wires and runs `careloop migrate`."""

from careloop.database.engine import connect
from careloop.database.migrations import migrate
from careloop.database.roles import create_service_roles
from careloop.settings import DatabaseSettings


def run(database_url: str | None, *, service_roles: bool = False) -> int:
    """Migrate the database named, or the one of the settings; print what was done."""
    settings = DatabaseSettings(database_url=database_url) if database_url else DatabaseSettings()
    with connect(settings.database_url) as connection:
        engine, applied = migrate(connection)
        if service_roles:
            create_service_roles(connection)
    print(f"{engine}: " + (f"applied {', '.join(applied)}" if applied else "already up to date"))
    return 0
