"""The benchmark of reading, in small: its readings are what it says they are, and its figures are those of the rows."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from bench.query import fleet
from bench.query.main import run
from careloop.database.engine import connect
from careloop.errors import CareloopError

DAY = datetime(2026, 6, 1, tzinfo=UTC)


def readings(until: datetime, jitter_ms: float = 0.0) -> np.ndarray:
    return np.frombuffer(fleet.readings_of_day(DAY, until, 3, jitter_ms), fleet.ROW)


def test_values_have_the_digits_of_a_sensor_and_times_their_order() -> None:
    rows = readings(DAY + timedelta(days=1))
    assert len(rows) == 1440 * 3 * len(fleet.SENSORS)
    for number, sensor in enumerate(fleet.SENSORS, 1):
        values = rows["value"][rows["metric"] == number]
        assert np.abs(values / sensor.resolution - np.rint(values / sensor.resolution)).max() < 1e-6
        assert len(np.unique(values)) > 1
    minutes = rows["time"] // 60_000_000
    assert (np.diff(minutes) >= 0).all()
    assert (rows["time"] % 1_000_000 == 0).all()
    assert (readings(DAY + timedelta(days=1), jitter_ms=20)["time"] % 1_000_000 != 0).any()
    assert len(readings(DAY + timedelta(hours=2))) == 120 * 3 * len(fleet.SENSORS)


def test_it_loads_settles_and_times_what_it_loaded(postgres) -> None:
    given = {
        "readings": 100_000, "assets": 4, "minutes": 2.0, "runs": 6, "jitter_ms": 0.0,
        "database_url": postgres.url_of("postgres"), "database": "bench_query_test",
    }  # fmt: skip
    figures = run(**given, keep=True, reuse=False)
    try:
        with connect(postgres.url_of("bench_query_test")) as connection:
            row = connection.execute("SELECT count(*) AS stored FROM telemetry.reading").fetchone()
        assert figures["readings"] == row["stored"] >= 100_000
        assert 40 < figures["bytes_per_reading_compressed"] < figures["bytes_per_reading_before"] < 130
        assert all(
            figures[f"{name}_p95_ms"] >= figures[f"{name}_p50_ms"] > 0 for name in ("chart", "latest", "features")
        )
        with pytest.raises(CareloopError, match="--reuse it, or drop it"):
            run(**given, keep=True, reuse=False)
        assert run(**given, keep=False, reuse=True)["readings"] == figures["readings"]
    finally:
        with connect(postgres.url_of("postgres")) as connection:
            connection.execute("DROP DATABASE bench_query_test WITH (FORCE)")
