"""Reads telemetry by SQL, and nothing else."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from psycopg import Connection
from psycopg.rows import DictRow

from careloop.database.queries import load_queries
from predictor.fleet import Fleet
from predictor.readings import EARLY_LIFE_HOURS, ReadingGrid, Readings, to_grid
from predictor.timeline import HOUR_MS, FloatArray, IntArray, from_hour, to_ms

SQL = load_queries("predictor")

SLICE_HOURS = 31 * 24
"""So much is read at once: memory is bounded by a month of a fleet's readings."""

_HEADER_BYTES = 19
_TRAILER_BYTES = 2
_POSTGRESQL_EPOCH_MS = 946_684_800_000
# One row of COPY … (FORMAT BINARY): number of fields, then length and value of each, all big-endian.
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("asset_bytes", ">i4"),
        ("asset", ">i4"),
        ("metric_bytes", ">i4"),
        ("metric", ">i2"),
        ("time_bytes", ">i4"),
        ("time", ">i8"),
        ("value_bytes", ">i4"),
        ("value", ">f8"),
    ]
)


def metric_numbers(connection: Connection[DictRow]) -> dict[str, int]:
    """Number of each metric that was ever stored, by name."""
    return {row["name"]: row["metric_id"] for row in connection.execute(SQL["metric_numbers"])}


def read_grid(
    connection: Connection[DictRow],
    fleet: Fleet,
    numbers: Mapping[str, int],
    first_hour: int,
    end_hour: int,
    *,
    received_by: datetime | None = None,
) -> ReadingGrid:
    """A fleet's readings with times in [first_hour, end_hour), on the grid of hours.

    Args:
        connection: To the database.
        fleet: Theirs.
        numbers: Of the metrics, by name.
        first_hour: Included.
        end_hour: Not included.
        received_by: Leave out what came later: so what was seen at an earlier moment can be seen again.
    """
    grid = to_grid(_nothing(), assets=len(fleet), metrics=len(fleet.metrics), first_hour=first_hour, end_hour=end_hour)
    for start in range(first_hour, end_hour, SLICE_HOURS):
        end = min(start + SLICE_HOURS, end_hour)
        readings = _read(
            connection,
            fleet,
            numbers,
            assets=np.arange(len(fleet)),
            first_hour=start,
            end_hour=end,
            received_by=received_by,
        )
        grid.put(to_grid(readings, assets=len(fleet), metrics=len(fleet.metrics), first_hour=start, end_hour=end))
    return grid


def first_hours(
    connection: Connection[DictRow], fleet: Fleet, numbers: Mapping[str, int], assets: IntArray, end_hour: int
) -> IntArray:
    """Hour of the first reading of some assets before `end_hour`; -1 where there is none; shape (len(assets),)."""
    position = {int(fleet.asset_ids[asset]): number for number, asset in enumerate(assets)}
    found = np.full(len(assets), -1, dtype=np.int64)
    parameters = {
        "assets": list(position),
        "metrics": [numbers[name] for name in fleet.metrics if name in numbers],
        "to_time": from_hour(end_hour),
    }
    for row in connection.execute(SQL["first_readings"], parameters):
        found[position[row["asset_id"]]] = to_ms(row["time"]) // HOUR_MS
    return found


def read_early_life(
    connection: Connection[DictRow],
    fleet: Fleet,
    numbers: Mapping[str, int],
    *,
    assets: IntArray,
    first_hour: IntArray,
    end_hour: int,
) -> FloatArray:
    """Hourly means of the first week of some assets, as far as it lies before `end_hour`.

    Args:
        connection: To the database.
        fleet: Theirs.
        numbers: Of the metrics, by name.
        assets: Positions in the fleet; shape (n,).
        first_hour: Hour of the first reading of each; shape (n,).
        end_hour: Now.

    Returns:
        Shape (n, metrics, EARLY_LIFE_HOURS).
    """
    means = np.full((len(assets), len(fleet.metrics), EARLY_LIFE_HOURS), np.nan)
    # Assets that began on the same day are read together.
    for day in np.unique(first_hour // 24):
        members = np.flatnonzero(first_hour // 24 == day)
        start, end = int(day) * 24, min((int(day) + 1) * 24 + EARLY_LIFE_HOURS, end_hour)
        readings = _read(connection, fleet, numbers, assets=assets[members], first_hour=start, end_hour=end)
        grid = to_grid(
            readings,
            assets=len(fleet),
            metrics=len(fleet.metrics),
            first_hour=start,
            end_hour=(int(day) + 1) * 24 + EARLY_LIFE_HOURS,
        )
        for member in members:
            offset = int(first_hour[member]) - start
            means[member] = grid.means[assets[member], :, offset : offset + EARLY_LIFE_HOURS]
    return means


def read_events(
    connection: Connection[DictRow], first_hour: int, end_hour: int, *, received_by: datetime | None = None
) -> Sequence[tuple[int, str, int]]:
    """Events of all assets with times in [first_hour, end_hour): asset number, code, milliseconds since 1970.

    With `received_by` those that came later are left out.
    """
    parameters = {"from_time": from_hour(first_hour), "to_time": from_hour(end_hour), "received_by": received_by}
    query = SQL["events"] if received_by is None else SQL["events_as_received"]
    return [(row["asset_id"], row["code"], to_ms(row["time"])) for row in connection.execute(query, parameters)]


def _read(
    connection: Connection[DictRow],
    fleet: Fleet,
    numbers: Mapping[str, int],
    *,
    assets: IntArray,
    first_hour: int,
    end_hour: int,
    received_by: datetime | None = None,
) -> Readings:
    metric_ids = [numbers.get(name, -1) for name in fleet.metrics]
    parameters = {
        "from_time": from_hour(first_hour),
        "to_time": from_hour(end_hour),
        "assets": [int(number) for number in fleet.asset_ids[assets]],
        "metrics": [number for number in metric_ids if number >= 0],
        "received_by": received_by,
    }
    query = SQL["copy_readings"] if received_by is None else SQL["copy_readings_as_received"]
    with connection.cursor() as cursor, cursor.copy(query, parameters) as copy:
        received = b"".join(bytes(block) for block in copy)
    rows = np.frombuffer(received, dtype=_ROW, offset=_HEADER_BYTES, count=_rows_in(received))
    position_of_metric = np.full(max(metric_ids, default=-1) + 2, -1, dtype=np.int64)
    for position, number in enumerate(metric_ids):
        if number >= 0:
            position_of_metric[number] = position
    return Readings(
        asset=np.searchsorted(fleet.asset_ids, rows["asset"].astype(np.int64)).astype(np.int64),
        metric=position_of_metric[rows["metric"].astype(np.int64)],
        times_ms=rows["time"].astype(np.int64) // 1000 + _POSTGRESQL_EPOCH_MS,
        values=rows["value"].astype(np.float64),
    )


def _rows_in(received: bytes) -> int:
    rows, rest = divmod(len(received) - _HEADER_BYTES - _TRAILER_BYTES, _ROW.itemsize)
    if rest or not received.startswith(b"PGCOPY\n\xff\r\n\0"):
        raise ValueError("the server's binary COPY has not the shape asked for")
    return rows


def _nothing() -> Readings:
    empty = np.empty(0, dtype=np.int64)
    return Readings(empty, empty, empty, np.empty(0))
