"""Demand of spare parts: the methods, what a file must look like, and that the future is not seen."""

import doctest
import gzip
import importlib

import numpy as np
import pytest

from careloop.errors import CareloopError
from predictor.demand import base_stock, classic, shrinkage
from predictor.demand.chosen import ChosenMethod
from predictor.demand.distributions import over_months, poisson, quantile
from predictor.demand.histories import read_histories
from predictor.demand.signs import signs

MODULES = ["base_stock", "chosen", "classic", "distributions", "histories", "pooled", "shrinkage", "signs"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name):
    assert doctest.testmod(importlib.import_module(f"predictor.demand.{name}")).failed == 0


def _history(rows=400, months=20, seed=0):
    rng = np.random.default_rng(seed)
    history = rng.poisson(rng.gamma(0.5, 1.0, rows)[:, None], (rows, months)).astype(float)
    history[:9, -3:] = np.nan
    history[9:12] = np.nan
    return history


def test_distributions_are_whole_and_know_nothing_of_the_place_in_the_file():
    history = _history(months=12)
    chance = ChosenMethod(history).forecast(history)
    assert chance.shape == (400, 121)
    assert np.allclose(chance.sum(axis=1), 1)
    assert (chance >= 0).all()
    turned = np.random.default_rng(1).permutation(400)
    assert np.allclose(shrinkage.forecast(history[turned]), shrinkage.forecast(history)[turned])
    assert np.allclose(signs(history[turned]), signs(history)[turned], equal_nan=True)


def test_the_quantiles_are_met_as_often_as_they_say():
    history = _history(rows=800, months=13)
    chance = ChosenMethod(history[:, :-1]).forecast(history[:, :-1])
    wanted = history[12:, -1]
    for level in (0.5, 0.9, 0.95):
        assert (wanted <= quantile(chance, level)[12:]).mean() >= level - 0.015
    # Not by being too careful: one piece less would be too few.
    assert (wanted <= quantile(chance, 0.95)[12:] - 1).mean() < 0.95


@pytest.mark.parametrize("rule", sorted(classic.RULES))
@pytest.mark.parametrize("rate", [classic.croston, classic.sba, classic.tsb, classic.moving_average])
def test_published_rates_get_whole_distributions(rate, rule):
    history = _history(rows=30)
    rates = rate(history)
    assert (rates >= 0).all()
    assert (rates[9:12] == 0).all()
    chance = classic.RULES[rule](rates, history)
    assert np.allclose(chance.sum(axis=1), 1)
    # No sizes but those seen: nothing seen is nothing forecast.
    assert np.allclose(chance[9:12, 0], 1)


def test_months_add_up():
    assert np.allclose(over_months(poisson(np.array([0.7])), 3), poisson(np.array([2.1])))


def test_more_stock_serves_more():
    history = _history(rows=200, months=24)
    chances = [shrinkage.forecast(history[:, :month]) for month in range(12, 24)]
    curve = base_stock.outcome(chances, history[:, 12:])["curve"]
    for name in ("fill_rate", "average_stock"):
        values = [point[name] for point in curve]
        assert values == sorted(values)
    assert curve[-1]["fill_rate"] > 0.95


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("part,1\n2020-01,2\n", "needs the column 'month'"),
        ("month,a\n2020-01,1\n2020-03,1\n", "line 3: 2020-03 does not follow 2020-01"),
        ("month,a\nJune-ish,1\n", "line 2: 'June-ish' is no month"),
        ("month,a,b\n2020-01,1,-2\n", "month 2020-01, part b: "),
        ("month,a,b\n2020-01,1,0.5\n", "month 2020-01, part b: "),
        ("month,a,b\n2020-01,x,\n", "month 2020-01, part a: 'x' is no demand"),
        ("", "is no CSV file that can be read"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path, text, said):
    file = tmp_path / "demand.csv"
    file.write_text(text)
    with pytest.raises(CareloopError, match=said):
        read_histories(file)


def test_a_gap_is_not_a_demand_of_zero(tmp_path):
    file = tmp_path / "demand.csv.gz"
    file.write_bytes(gzip.compress(b"month,a,b\n2020-12,1,\n2021-01,0,3\n"))
    histories = read_histories(file)
    assert histories.parts == ("a", "b")
    assert np.isnan(histories.pieces[1, 0])
    assert histories.pieces.tolist()[0] == [1, 0]
    with pytest.raises(CareloopError, match="no such file"):
        read_histories(tmp_path / "none.csv")
    file.write_bytes(b"\x1f\x8bnonsense")
    with pytest.raises(CareloopError, match=r"demand\.csv\.gz"):
        read_histories(file)
