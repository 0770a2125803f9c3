"""What is kept, how long, and from which age in which shape."""

from dataclasses import dataclass
from datetime import timedelta

NEVER = timedelta()


@dataclass(frozen=True, kw_only=True)
class StoragePolicy:
    """Ages; zero switches the step off.

    Attributes:
        compress_after: From which TimescaleDB compresses readings, and PostgreSQL puts a day's in order.
        keep_readings: From which readings are dropped, whole days at a time.
        keep_hourly: From which hourly rollups are dropped.
        keep_daily: From which daily rollups are dropped.
        keep_events: From which events are deleted.
        keep_identities: From which the identities of messages are deleted; a message that comes again later than that
            counts again.
        keep_dead_letters: From which dead letters are deleted.
        keep_command_results: From which results of commands are deleted.
    """

    compress_after: timedelta = NEVER
    keep_readings: timedelta = NEVER
    keep_hourly: timedelta = NEVER
    keep_daily: timedelta = NEVER
    keep_events: timedelta = NEVER
    keep_identities: timedelta = NEVER
    keep_dead_letters: timedelta = NEVER
    keep_command_results: timedelta = NEVER
