"""Features as of a decision time."""

import numpy as np
import pytest

from predictor.features.matrix import FeaturePlan, feature_matrix, is_heard
from predictor.fleet import Decisions


def decisions(history, *hours):
    assets = np.arange(len(history.fleet))
    hour = history.grid.first_hour + np.array(hours)
    return Decisions(np.repeat(assets, len(hours)), np.tile(hour, len(assets)))


@pytest.fixture
def pumps(park):
    pumps = park(assets=4, hours=800).with_failures(8)
    pumps.values[1, 0, 100:130] = np.nan
    pumps.events += [(0, "E1", hour) for hour in (3, 199, 200, 201, 650)]
    return pumps


def test_a_feature_does_not_change_when_later_data_is_removed(pumps):
    for hour in (1, 30, 168, 200, 350, 799):
        whole, cut = pumps.history(), pumps.history(until=hour)
        # The codes known at the time of training may have come later than the decision.
        plan = FeaturePlan.of(whole.fleet, whole.event_codes)
        np.testing.assert_array_equal(
            feature_matrix(whole, plan, decisions(whole, hour)), feature_matrix(cut, plan, decisions(cut, hour))
        )


def test_a_feature_does_not_change_when_later_data_is_made_absurd(pumps):
    plan = FeaturePlan.of(pumps.fleet(), ("E1", "E7"))
    before = feature_matrix(pumps.history(), plan, decisions(pumps.history(), 200))
    pumps.values[:, :, 200:] = 1e9
    pumps.failures += [(asset, "seal", 200) for asset in range(4)]
    pumps.replacements += [(asset, "valve", 200, "scheduled") for asset in range(4)]
    pumps.events += [(asset, "E1", 200) for asset in range(4)]
    np.testing.assert_array_equal(before, feature_matrix(pumps.history(), plan, decisions(pumps.history(), 200)))


def test_but_the_last_hour_before_the_decision_is_seen(pumps):
    plan = FeaturePlan.of(pumps.fleet(), ("E1", "E7"))
    names = [feature.name for feature in plan.features()]
    at_200, at_201 = (feature_matrix(pumps.history(), plan, decisions(pumps.history(), hour)) for hour in (200, 201))
    changed = {name for name, one, other in zip(names, at_200[0], at_201[0], strict=True) if one != other}
    assert {"level_6h:pressure_bar", "count_24h:E1", "age:seal"} <= changed


def test_many_decisions_at_once_are_the_same_as_one_by_one_and_as_a_short_history(pumps):
    history = pumps.history()
    plan = FeaturePlan.of(history.fleet, history.event_codes)
    hours = list(range(24, 800, 7))
    together = feature_matrix(history, plan, decisions(history, *hours)).reshape(4, len(hours), -1)
    for number in (0, 50, len(hours) - 1):
        alone = feature_matrix(history, plan, decisions(history, hours[number]))
        np.testing.assert_array_equal(together[:, number], alone)


def test_values_are_what_they_say(pumps):
    history = pumps.history()
    plan = FeaturePlan.of(history.fleet, history.event_codes)
    columns = {feature.name: number for number, feature in enumerate(plan.features())}
    rows = feature_matrix(history, plan, decisions(history, 202))
    pressure = pumps.values[0, 0]
    early = pressure[:168]
    expected = {
        "level_24h:pressure_bar": pressure[178:202].mean(),
        "change_12h:pressure_bar": pressure[196:202].mean() - pressure[190:196].mean(),
        "spread_24h:pressure_bar": pressure[178:202].std(),
        "slope_72h:pressure_bar": np.polyfit(np.arange(72) / 24, pressure[130:202], 1)[0],
        "highest_24h:pressure_bar": pressure[178:202].max(),
        "drift_24h:pressure_bar": (pressure[178:202].mean() - early.mean()) / early.std(),
        "count_24h:E1": 3,
        "recency:E1": 1,
        "age:valve": (202 + 30 * 24) / 24,
        "attribute:age_years": 0,
        "model:P1": 1,
    }
    found = {name: rows[0, columns[name]] for name in expected}
    assert found == pytest.approx(expected)
    assert rows[1, columns["model:P1"]] == 0


def test_what_a_fleet_no_longer_has_is_unknown(pumps):
    history = pumps.history()
    plan = FeaturePlan(("gone", "pressure_bar"), ("", "bar"), ("E9",), ("gone", "seal"), ("gone",), ("P2",))
    columns = {feature.name: number for number, feature in enumerate(plan.features())}
    row = feature_matrix(history, plan, decisions(history, 202))[0]
    assert np.isnan(row[columns["level_24h:gone"]])
    assert np.isfinite(row[columns["level_24h:pressure_bar"]])
    assert row[columns["count_168h:E9"]] == 0
    assert np.isnan(row[columns["recency:E9"]])
    assert np.isnan(row[columns["attribute:gone"]])
    assert np.isnan(row[columns["model:P2"]])


def test_the_hour_of_day_is_no_feature(park):
    """The same machine shifted by some hours has the same features."""
    pumps = park(assets=1, hours=400)
    plan = FeaturePlan.of(pumps.fleet(), ())
    early = feature_matrix(pumps.history(), plan, decisions(pumps.history(), 300))
    shifted = park(assets=1, hours=405)
    shifted.values[:, :, 5:] = pumps.values
    shifted.values[:, :, :5] = np.nan
    history = shifted.history()
    later = feature_matrix(history, plan, decisions(history, 305))
    names = [feature.name for feature in plan.features()]
    known = [number for number, name in enumerate(names) if not name.startswith(("age:", "drift"))]
    np.testing.assert_allclose(early[:, known], later[:, known])


def test_an_asset_that_fell_silent_is_not_heard(pumps):
    pumps.values[2, :, 300:] = np.nan
    history = pumps.history()
    assert is_heard(history, decisions(history, 323))[2]
    assert is_heard(history, decisions(history, 324)).tolist() == [True, True, False, True]
