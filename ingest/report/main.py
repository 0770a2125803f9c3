"""Wires and runs `careloop storage`."""

import json
import shutil
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from careloop.database.engine import connect
from careloop.database.migrations import require_migrated
from ingest.report.forecast import forecast
from ingest.report.measure import Storage, measure
from ingest.report.text import report
from ingest.settings import IngestSettings

GB = 1_000_000_000


def run(database_url: str | None, *, limit_gb: float | None, as_json: bool) -> int:
    """Print what is stored, in which shape, and how long there is room.

    Args:
        database_url: Instead of the settings'.
        limit_gb: Room for the whole database; None takes the disk's, if the server's directory is on this machine.
        as_json: For programs instead of people.

    Raises:
        CareloopError: The database cannot be used.
    """
    given: dict[str, Any] = {} if database_url is None else {"database_url": database_url}
    settings = IngestSettings(**given)
    now = datetime.now(UTC)
    with connect(settings.database_url, application_name="careloop storage") as connection:
        storage = measure(connection, require_migrated(connection), now)
    policy = settings.storage_policy
    limit_bytes = _room(storage) if limit_gb is None else limit_gb * GB
    ahead = forecast(storage, policy, limit_bytes)
    if as_json:
        figures = {**asdict(storage), "forecast": asdict(ahead), "limit_bytes": limit_bytes, "settings": asdict(policy)}
        figures["reading"] |= {
            "bytes_per_reading": storage.reading.bytes_per_reading,
            "bytes_per_settled_reading": storage.reading.bytes_per_settled_reading,
            "ratio": storage.reading.ratio,
        }
        print(json.dumps(figures, indent=2, default=_plain))
    else:
        print(report(storage, policy, ahead, limit_bytes))
    return 0


def _room(storage: Storage) -> float | None:
    """What the database may grow to on its disk, if that is a disk of this machine."""
    if not storage.directory:
        return None
    try:
        # Another machine may have a directory of that name too; PG_VERSION makes it a server's.
        if not Path(storage.directory, "PG_VERSION").is_file():
            return None
        return storage.database_bytes + shutil.disk_usage(storage.directory).free
    except OSError:
        return None


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value / timedelta(days=1)
    raise TypeError(f"{value!r} has no JSON form")
