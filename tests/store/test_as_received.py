"""What was known at an earlier moment can be read again after late readings came, on every engine."""

from datetime import UTC, datetime, timedelta

import numpy as np

from careloop.contract.senml import Reading
from predictor.fleet import Fleet
from predictor.telemetry import metric_numbers, read_events, read_grid
from predictor.timeline import HOUR_MS, to_ms

START = datetime(2026, 6, 30, 6, tzinfo=UTC)


def readings(hour: int, value: float, metric: str = "temperature") -> list[Reading]:
    return [Reading((START + timedelta(hours=hour, minutes=m)).timestamp(), metric, value, "") for m in range(0, 60, 5)]


def seen(line, received_by: datetime | None):
    sql = "SELECT asset_id, time, value FROM {} ORDER BY 1, 2"
    if received_by is None:
        return line.rows(sql.format("telemetry.reading"))
    span = f"'{received_by.isoformat()}', '2026-06-01Z', '2026-07-01Z'"
    return line.rows(sql.format(f"telemetry.reading_as_received({span})"))


def fleet_of(line) -> Fleet:
    assets = line.rows("SELECT asset_id, serial FROM telemetry.asset ORDER BY asset_id")
    return Fleet(
        kind="kind",
        horizon_hours=24,
        metrics=("temperature",),
        units={"temperature": "Cel"},
        components=(),
        attributes=(),
        asset_ids=np.array([asset_id for asset_id, _ in assets]),
        serials=tuple(serial for _, serial in assets),
        models=("m",) * len(assets),
        installed_ms=np.zeros(len(assets), dtype=np.int64),
        attribute_values=np.zeros((len(assets), 0)),
        declared={},
    )


def test_late_readings_are_told_from_those_that_came_in_time(line) -> None:
    line.write(line.telemetry("A1", readings(0, 20.0)), line.telemetry("A2", readings(0, 30.0)))
    line.write(line.delivery("careloop/v1/A1/event", b'{"time":"2026-06-30T06:30:00Z","code":"E1"}'))
    then, before = line.now, seen(line, None)
    line.now += timedelta(days=3)
    # The rest of an outage, a correction of nothing, and another asset's hour that was there already.
    line.write(line.telemetry("A1", readings(1, 21.0)), line.telemetry("A3", readings(0, 40.0)))
    line.write(line.delivery("careloop/v1/A1/event", b'{"time":"2026-06-30T06:45:00Z","code":"E2"}'))
    line.write(line.telemetry("A2", readings(0, 30.0)))
    assert len(seen(line, None)) == 48
    assert seen(line, then) == before
    assert len(before) == 24
    assert seen(line, line.now) == seen(line, None)
    events = "SELECT code FROM telemetry.event_as_received('{}', '2026-06-01Z', '2026-07-01Z') ORDER BY 1"
    assert line.rows(events.format(then.isoformat())) == [("E1",)]
    assert line.rows(events.format(line.now.isoformat())) == [("E1",), ("E2",)]


def test_the_predictor_sees_again_what_it_saw(line) -> None:
    line.write(line.telemetry("A1", readings(0, 20.0)), line.telemetry("A2", readings(0, 30.0)))
    first_hour = to_ms(START) // HOUR_MS
    numbers = metric_numbers(line.connection)
    fleet = fleet_of(line)
    then = line.now
    before = read_grid(line.connection, fleet, numbers, first_hour, first_hour + 3).means.copy()
    line.now += timedelta(days=1)
    line.write(line.telemetry("A1", readings(1, 99.0)), line.telemetry("A4", readings(0, 50.0)))
    now = read_grid(line.connection, fleet, numbers, first_hour, first_hour + 3).means
    again = read_grid(line.connection, fleet, numbers, first_hour, first_hour + 3, received_by=then).means
    assert not np.array_equal(before, now, equal_nan=True)
    np.testing.assert_array_equal(before, again)
    assert read_events(line.connection, first_hour, first_hour + 3, received_by=then) == []
