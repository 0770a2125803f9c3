"""How storage grows, from how it grew; pure."""

from dataclasses import dataclass
from datetime import timedelta

from ingest.report.measure import Storage
from ingest.storage.policy import NEVER, StoragePolicy


@dataclass(frozen=True)
class Forecast:
    """What is to be expected if everything goes on as in the last days.

    Attributes:
        readings_per_day: Mean of the days that anything came, of the last seven that are over.
        bytes_per_day: What a day takes once its readings are compressed, rollups and the rest included.
        levels_off_at_bytes: The size at which retention takes as much as comes, None where readings are kept for ever.
        days_left: Until the limit is reached; None if it never is, or nothing grows, or no limit is known.
    """

    readings_per_day: float
    bytes_per_day: float
    levels_off_at_bytes: float | None
    days_left: float | None


def forecast(storage: Storage, policy: StoragePolicy, limit_bytes: float | None) -> Forecast:
    """Look ahead from what is stored.

    Args:
        storage: As it is.
        policy: What is kept how long.
        limit_bytes: Room for the whole database.
    """
    days = [readings for _, readings in storage.readings_by_day if readings]
    readings_per_day = sum(days) / len(days) if days else 0.0
    each = settled_bytes_per_reading(storage, policy)
    beside = 0.0
    if storage.reading.readings:
        beside = sum(table.bytes for table in storage.tables) / storage.reading.readings
    bytes_per_day = readings_per_day * (each + beside)
    kept_days = policy.keep_readings / timedelta(days=1)
    # The rollups' own growth is small beside the readings', but goes on.
    most = (
        storage.database_bytes + max(0.0, readings_per_day * each * kept_days - storage.reading.bytes)
        if policy.keep_readings > NEVER
        else None
    )
    room = None if limit_bytes is None else limit_bytes - storage.database_bytes
    days_left = None
    if room is not None and bytes_per_day > 0 and (most is None or limit_bytes is None or most > limit_bytes):
        days_left = max(0.0, room / bytes_per_day)
    return Forecast(readings_per_day, bytes_per_day, most, days_left)


def settled_bytes_per_reading(storage: Storage, policy: StoragePolicy) -> float:
    """What a reading takes in the end: as those compressed do, if any are and new ones will be."""
    settled = storage.reading.bytes_per_settled_reading
    if settled is not None and policy.compress_after > NEVER:
        return settled
    return storage.reading.bytes_per_reading or 0.0
