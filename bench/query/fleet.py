"""Readings as a fleet's sensors would give them, made up by a seed.

A value is the sum of a level of the machine, a swing by the hour of the day, two slow swings of days and weeks, and
noise of a few steps of the sensor, rounded to the sensor's resolution, so it has 2 to 4 significant digits. One metric
is a counter (running hours) and one is a switch. Values with random digits to the last bit are not what sensors give,
and nothing could store them in 4 bytes.

A machine is polled once a minute, at a second of its own, and all its metrics carry the same time. Times are whole
seconds, as pollers give them by default; with `jitter_ms` they are what the poller's clock said.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from careloop.database.engine import connect

READINGS_A_DAY = 1440
# Of one kind each, so that the predictor reads a quarter of the fleet at once.
MODELS = 4
_POSTGRESQL_EPOCH_S = 946_684_800
# One row of COPY … (FORMAT binary): number of fields, then length and bytes of each.
ROW = np.dtype(
    [
        ("fields", ">i2"), ("time_bytes", ">i4"), ("time", ">i8"), ("asset_bytes", ">i4"), ("asset", ">i4"),
        ("metric_bytes", ">i4"), ("metric", ">i2"), ("value_bytes", ">i4"), ("value", ">f8"),
    ]
)  # fmt: skip
COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sensor:
    """One metric: its step, level, swing by the day, and noise (standard deviation), in its unit."""

    name: str
    unit: str
    resolution: float
    level: float
    swing: float
    noise: float


SENSORS = (
    Sensor("temperature", "Cel", 0.1, 60.0, 6.0, 0.15),
    Sensor("pressure", "bar", 0.01, 3.2, 0.1, 0.015),
    Sensor("flow", "l/min", 0.1, 12.0, 1.0, 0.2),
    Sensor("current", "A", 0.01, 4.3, 0.3, 0.03),
    Sensor("vibration", "mm/s", 0.01, 2.1, 0.2, 0.08),
    Sensor("humidity", "%RH", 0.5, 45.0, 8.0, 0.4),
    Sensor("running_hours", "h", 0.1, 1000.0, 0.0, 0.0),
    Sensor("running", "", 1.0, 0.0, 0.0, 0.0),
)


def readings_of_day(day: datetime, until: datetime, assets: int, jitter_ms: float) -> bytes:
    """One day of the whole fleet, in the order of time, as the rows of a binary COPY.

    Args:
        day: Its start, UTC.
        until: Readings before this only.
        assets: Numbered from 1.
        jitter_ms: Standard deviation of the poller's punctuality; 0 for whole seconds.
    """
    noise = np.random.default_rng(int(day.timestamp()))
    minutes = int(day.timestamp()) + np.arange(READINGS_A_DAY) * 60
    machine = np.arange(1, assets + 1)[:, None]
    time_us = (minutes[None, :] + machine * 7 % 60) * 1_000_000
    if jitter_ms:
        time_us = time_us + np.rint(noise.normal(0, jitter_ms, time_us.shape)).astype(np.int64) * 1000
    runs = (minutes[None, :] // 1800 + machine) % 3 > 0
    rows = np.empty((READINGS_A_DAY, assets, len(SENSORS)), ROW)
    rows["fields"], rows["time_bytes"], rows["asset_bytes"], rows["metric_bytes"], rows["value_bytes"] = 4, 8, 4, 2, 8
    rows["time"] = (time_us - _POSTGRESQL_EPOCH_S * 1_000_000).T[:, :, None]
    rows["asset"] = machine[:, 0][None, :, None]
    rows["metric"] = np.arange(1, len(SENSORS) + 1)
    for number, sensor in enumerate(SENSORS):
        rows["value"][:, :, number] = _values(sensor, minutes, machine, runs, noise).T
    packed: bytes = rows[minutes < until.timestamp()].tobytes()
    return packed


def _values(
    sensor: Sensor, minutes: NDArray[np.int64], machine: NDArray[np.int64], runs: NDArray[np.bool_],
    noise: np.random.Generator,
) -> Floats:  # fmt: skip
    if sensor.name == "running":
        return runs.astype(np.float64)
    if sensor.name == "running_hours":
        # Two of three half-hours run; the counter goes on from day to day.
        exact = sensor.level + machine * 100 + (minutes[0] / 86400 - 20_000) * 16 + np.cumsum(runs, axis=1) / 60
        hours: Floats = np.round(np.floor(exact / sensor.resolution) * sensor.resolution, 1)
        return hours
    days = minutes[None, :] / 86400
    swing = sensor.swing * (
        np.sin(2 * np.pi * days + machine)
        + 0.4 * np.sin(2 * np.pi * days / (3 + machine % 5) + machine)
        + 0.6 * np.sin(2 * np.pi * days / (20 + machine % 9))
    )
    exact = sensor.level * (1 + 0.02 * np.sin(machine)) + swing + noise.normal(0, sensor.noise, runs.shape)
    decimals = max(0, -int(np.floor(np.log10(sensor.resolution))))
    rounded: Floats = np.round(np.rint(exact / sensor.resolution) * sensor.resolution, decimals)
    return rounded


def register(database_url: str, assets: int) -> None:
    """Put the fleet's models, metrics, assets and agents' states into a database that has none yet."""
    with connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO service.product_model (code, name, kind) "
            "SELECT 'model-' || n, 'Model ' || n, 'kind-' || n FROM generate_series(1, %s) AS n",
            (MODELS,),
        )
        for sensor in SENSORS:
            cursor.execute("INSERT INTO service.metric (name, unit) VALUES (%s, %s)", (sensor.name, sensor.unit))
            cursor.execute(
                "INSERT INTO telemetry.metric (name, unit, learned, first_seen_at) VALUES (%s, %s, false, now())",
                (sensor.name, sensor.unit),
            )
        cursor.execute(
            "INSERT INTO service.asset (serial, model_id, installed_at, created_at) "
            "SELECT 'B' || to_char(n, 'FM00000'), 1 + n %% %s, now(), now() FROM generate_series(1, %s) AS n",
            (MODELS, assets),
        )
        cursor.execute(
            "INSERT INTO telemetry.agent_state (agent_id, online, changed_at) "
            "SELECT serial, asset_id % 20 <> 0, now() FROM service.asset"
        )
