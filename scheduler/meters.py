"""What assets' meters show, read from telemetry by SQL, for all assets of a model at once."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from careloop.database.queries import load_queries

QUERIES = load_queries("scheduler")

# Readings are kept in daily partitions. A machine in use reports within the recent span, so reading one meter touches
# two or three of them instead of all; the meters of silent machines are looked up in all of history, once a day.
RECENT = timedelta(days=2)
LOOK_BACK_EVERY = timedelta(days=1)
BEGINNING = datetime.fromisoformat("2000-01-01T00:00:00Z")


@dataclass
class _Silent:
    """Meters of assets that reported nothing recently, as of one look at all of history."""

    looked_at: datetime
    meters: dict[str, float | None] = field(default_factory=dict)


class Meters:
    """Reads meters.

    Args:
        connection: In autocommit mode; only reads.
    """

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._silent: dict[tuple[str, str], _Silent] = {}

    def reported(self, metric: str) -> bool:
        """Whether any asset has ever reported the metric."""
        row = self._connection.execute(QUERIES["metric_reported"], {"metric": metric}).fetchone()
        return bool(row and row["reported"])

    def latest(self, model: str, metric: str, now: datetime) -> dict[str, float]:
        """The latest value strictly before `now`, by serial number; assets that never reported are left out."""
        found = self._read(model, metric, now - RECENT, now, None)
        missing = [serial for serial, value in found.items() if value is None]
        if missing:
            found |= self._of_silent(model, metric, missing, now)
        return {serial: value for serial, value in found.items() if value is not None}

    def _of_silent(self, model: str, metric: str, serials: list[str], now: datetime) -> dict[str, float | None]:
        known = self._silent.get((model, metric))
        if known is None or not known.looked_at <= now < known.looked_at + LOOK_BACK_EVERY:
            known = self._silent[model, metric] = _Silent(now)
        unknown = [serial for serial in serials if serial not in known.meters]
        if unknown:
            known.meters |= self._read(model, metric, BEGINNING, now, unknown)
        return {serial: known.meters[serial] for serial in serials if serial in known.meters}

    def _read(
        self, model: str, metric: str, since: datetime, now: datetime, serials: list[str] | None
    ) -> dict[str, float | None]:
        parameters = {"model": model, "metric": metric, "since": since, "now": now, "serials": serials}
        # Planned for these very times, so that partitions outside the span are left out before anything is locked.
        rows = self._connection.execute(QUERIES["latest_meters"], parameters, prepare=False).fetchall()
        return {row["serial"]: row["value"] for row in rows}
