"""Histories as of now, from a real database and the real API."""

from datetime import timedelta

import numpy as np
import pytest

from careloop.database.engine import connect
from predictor.history import HistoryReader
from predictor.timeline import to_hour


@pytest.fixture
def connection(api):
    with connect(api.database_url) as connection:
        yield connection


@pytest.fixture
def reader(api, connection):
    def make():
        return HistoryReader(lambda: connection, api.client(), reread_hours=12, catalogue_every_hours=24)

    return make


@pytest.fixture
def pumps(park):
    pumps = park(assets=3, hours=700).with_failures(3)
    pumps.replacements.append((1, "valve", 300, "scheduled"))
    return pumps


def same(one, other):
    assert one.grid.first_hour == other.grid.first_hour
    np.testing.assert_array_equal(one.grid.means, other.grid.means)
    np.testing.assert_array_equal(one.grid.maxima, other.grid.maxima)
    np.testing.assert_array_equal(one.early_life.first_hour, other.early_life.first_hour)
    np.testing.assert_array_equal(one.early_life.means, other.early_life.means)
    assert one.event_codes == other.event_codes
    for name in ("events", "failures", "replacements", "renewals"):
        assert getattr(one, name)._keys.tolist() == getattr(other, name)._keys.tolist()


def test_what_is_read_is_what_happened(settle, reader, pumps, at):
    settle(pumps, 700)
    (read,) = reader().for_training(to_hour(at(700)), 400)
    expected = pumps.history()
    np.testing.assert_array_equal(read.grid.means, expected.grid.means)
    np.testing.assert_array_equal(read.early_life.means, expected.early_life.means)
    assert read.fleet.serials == expected.fleet.serials
    assert read.fleet.metrics == expected.fleet.metrics
    for name in ("events", "failures", "replacements", "renewals"):
        assert getattr(read, name)._keys.tolist() == getattr(expected, name)._keys.tolist()
        assert len(getattr(read, name)) > 0


def test_as_of_an_hour_nothing_at_or_after_it_is_known(settle, reader, pumps, at):
    settle(pumps, 700)
    failed_at = pumps.failures[0][2]
    (read,) = reader().for_training(to_hour(at(failed_at)), 400)
    expected = pumps.history(until=failed_at)
    np.testing.assert_array_equal(read.grid.means, expected.grid.means)
    assert len(read.failures) == len(expected.failures)
    assert len(read.events) == len(expected.events)


def test_step_by_step_is_the_same_as_reading_anew(settle, reader, pumps, at):
    kept = reader()
    since = 0
    for until in (5, 30, 33, 160, 170, 171, 400, 403, 650, 700):
        settle(pumps, until, since)
        since = until
        same(kept.for_scoring(to_hour(at(until)))[0], reader().for_scoring(to_hour(at(until)))[0])


def test_time_may_go_backwards(settle, reader, pumps, at):
    settle(pumps, 700)
    kept = reader()
    kept.for_scoring(to_hour(at(690)))
    same(kept.for_scoring(to_hour(at(350)))[0], reader().for_scoring(to_hour(at(350)))[0])


def test_late_readings_are_seen_by_the_next_step_or_the_next_training(settle, reader, pumps, at, connection):
    numbers = settle(pumps, 400)
    kept = reader()
    kept.for_scoring(to_hour(at(400)))
    late = [(at(390) + timedelta(minutes=5), 5000.0), (at(380), 4000.0)]
    for time, value in late:
        connection.execute(
            "INSERT INTO telemetry.reading SELECT %s, %s, metric_id, %s FROM telemetry.metric "
            "WHERE name = 'pressure_bar'",
            (time, numbers["PUMP-0"], value),
        )
    settle(pumps, 401, 400)
    (after,) = kept.for_scoring(to_hour(at(401)))
    assert 5000.0 in after.grid.maxima[0, 0]
    assert 4000.0 not in after.grid.maxima[0, 0]
    kept.for_training(to_hour(at(401)), 400)
    (after,) = kept.for_scoring(to_hour(at(401)))
    assert {4000.0, 5000.0} <= set(after.grid.maxima[0, 0])


def test_new_assets_are_found_when_the_catalogue_is_read_again(settle, reader, pumps, at, api):
    settle(pumps, 400)
    kept = reader()
    assert len(kept.for_scoring(to_hour(at(400)))[0].fleet) == 3
    new = {"serial": "PUMP-NEW", "model": "P1", "installed_at": at(400).isoformat()}
    api.client("admin").post("/v1/assets", new, now=at(400))
    assert len(kept.for_scoring(to_hour(at(410)))[0].fleet) == 3
    (read,) = kept.for_scoring(to_hour(at(424)))
    assert read.fleet.serials == ("PUMP-0", "PUMP-1", "PUMP-2", "PUMP-NEW")
    same(read, reader().for_scoring(to_hour(at(424)))[0])


def test_an_empty_platform_has_no_histories(api, reader, at):
    assert reader().for_scoring(to_hour(at(0))) == []
    assert reader().for_training(to_hour(at(0)), 400) == []


def test_readings_of_undeclared_metrics_and_unknown_assets_are_passed_over(settle, reader, pumps, at, connection):
    numbers = settle(pumps, 100)
    connection.execute("INSERT INTO telemetry.metric (name, learned, first_seen_at) VALUES ('odd', true, %s)", (at(0),))
    connection.execute(
        "INSERT INTO telemetry.reading SELECT %s, %s, metric_id, 1 FROM telemetry.metric WHERE name = 'odd'",
        (at(50), numbers["PUMP-0"]),
    )
    connection.execute(
        "INSERT INTO telemetry.reading SELECT %s, 9999, metric_id, 1 FROM telemetry.metric WHERE name = 'pressure_bar'",
        (at(50),),
    )
    (read,) = reader().for_training(to_hour(at(100)), 400)
    np.testing.assert_array_equal(read.grid.means, pumps.history(until=100).grid.means)
