"""The report as a person reads it; pure."""

from collections.abc import Iterator
from datetime import timedelta

from ingest.report.forecast import Forecast
from ingest.report.measure import Storage
from ingest.storage.policy import NEVER, StoragePolicy

DAY = timedelta(days=1)
_LEAST_SHOWN = 8192 * 8


def report(storage: Storage, policy: StoragePolicy, ahead: Forecast, limit_bytes: float | None) -> str:
    """All of it, in lines of at most 100 characters."""
    return "\n".join([*_head(storage), "", *_tables(storage), "", *_shape(storage, policy), "",
                      *_growth(storage, ahead, limit_bytes), "", *_policies(storage, policy), "",
                      *_backlog(storage)])  # fmt: skip


def size(count: float) -> str:
    """Bytes in a unit that leaves 3 digits or so."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _head(storage: Storage) -> Iterator[str]:
    yield f"{storage.engine}, {size(storage.database_bytes)} in all"


def _tables(storage: Storage) -> Iterator[str]:
    reading = storage.reading
    yield f"{'table':<22}{'rows':>15}{'size':>11}{'of it indexes':>16}"
    yield f"{'reading':<22}{reading.readings:>15,}{size(reading.bytes):>11}{size(reading.index_bytes):>16}"
    small = [table for table in storage.tables if table.bytes < _LEAST_SHOWN]
    for table in storage.tables:
        if table not in small:
            yield f"{table.name:<22}{table.rows:>15,}{size(table.bytes):>11}{size(table.index_bytes):>16}"
    if small:
        yield f"{f'{len(small)} small ones':<22}{'':>15}{size(sum(table.bytes for table in small)):>11}"
    yield "Rows are estimates of the planner's."


def _shape(storage: Storage, policy: StoragePolicy) -> Iterator[str]:
    reading = storage.reading
    if not reading.readings:
        yield "No readings are stored yet (or ANALYZE has not run since)."
        return
    done = "compressed" if storage.engine.startswith("TimescaleDB") else "put in order"
    yield f"Readings of {reading.settled_days} of {reading.days} days are {done}."
    if reading.bytes_per_settled_reading is not None:
        ratio = f", {reading.ratio:.0f} times smaller than before" if reading.ratio else ""
        yield f"  {done}: {reading.bytes_per_settled_reading:.1f} bytes a reading{ratio}"
    if reading.bytes_per_new_reading is not None:
        until = f", until they are {_age(policy.compress_after)} old" if policy.compress_after > NEVER else ""
        yield f"  new: {reading.bytes_per_new_reading:.0f} bytes a reading{until}"


def _growth(storage: Storage, ahead: Forecast, limit_bytes: float | None) -> Iterator[str]:
    if not ahead.readings_per_day:
        yield "Nothing came in the last seven days that are over."
        return
    yield f"{'day':<22}{'readings':>15}"
    for day, readings in storage.readings_by_day:
        yield f"{day:%Y-%m-%d}{'':<12}{readings:>15,}"
    yield f"At {ahead.readings_per_day:,.0f} readings a day the database grows by {size(ahead.bytes_per_day)} a day."
    if ahead.levels_off_at_bytes is not None:
        yield f"Retention lets it grow to about {size(ahead.levels_off_at_bytes)}."
    if limit_bytes is None:
        yield "How much room there is I can't see from here; --limit-gb N tells."
    elif ahead.days_left is None:
        yield f"It stays below {size(limit_bytes)}."
    else:
        yield f"It reaches {size(limit_bytes)} in {ahead.days_left:,.0f} days."


def _policies(storage: Storage, policy: StoragePolicy) -> Iterator[str]:
    yield f"{'kept':<22}{'by these settings':>20}   in force"
    jobs = {(job["proc_name"], job["relation"]): job for job in storage.jobs}
    timescale = storage.engine.startswith("TimescaleDB")
    for what, age, key in (
        ("readings as they came", policy.compress_after, ("policy_compression", "reading")),
        ("readings", policy.keep_readings, ("policy_retention", "reading")),
        ("hourly rollup", policy.keep_hourly, ("policy_retention", "hourly")),
        ("daily rollup", policy.keep_daily, ("policy_retention", "daily")),
        ("events", policy.keep_events, None),
        ("message identities", policy.keep_identities, None),
        ("dead letters", policy.keep_dead_letters, None),
        ("command results", policy.keep_command_results, None),
    ):
        yield f"{what:<22}{_age(age):>20}   " + (_in_force(jobs.get(key)) if key and timescale else "by ingest")


def _in_force(job: dict[str, object] | None) -> str:
    if job is None:
        return "no job"
    age, status = job["age"], job["last_run_status"]
    told = f"job at {_age(age)}" if isinstance(age, timedelta) else "a job"
    if status == "Failed":
        return f"{told}, last run failed: {job['error']}; ingest runs it instead"
    return f"{told}, last run: {str(status).lower()}" if status else f"{told}, has not run yet"


def _backlog(storage: Storage) -> Iterator[str]:
    if not storage.backlog_hours and not storage.backlog_days:
        yield "Rollups of all hours and days that are over are up to date."
    else:
        oldest = storage.backlog_oldest
        since = f", the oldest of {oldest:%Y-%m-%d %H:%M} UTC" if oldest else ""
        yield (
            f"Rollups of {storage.backlog_hours} hours and {storage.backlog_days} days are out of date{since}; "
            "ingest computes them."
        )


def _age(age: timedelta) -> str:
    if age == NEVER:
        return "for ever"
    days = age / DAY
    return f"{days:g} day" + ("" if days == 1 else "s")
