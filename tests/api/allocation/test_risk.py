"""What taking a piece risks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.allocation.risk import half_up, marginal_minor, mean_behind, missing, tail, taking_minor


def poisson(mean: float, pieces: int) -> float:
    return math.exp(pieces * math.log(mean) - mean - math.lgamma(pieces + 1))


@pytest.mark.parametrize("mean", [0.01, 0.5, 1.0, 3.7, 20.0, 150.0])
@pytest.mark.parametrize("least", [0, 1, 2, 5, 19, 160])
def test_the_tail_is_what_the_terms_add_up_to(mean, least):
    assert tail(mean, least) == pytest.approx(1 - sum(poisson(mean, pieces) for pieces in range(least)), abs=1e-9)


def test_far_from_the_mean_a_tail_is_nothing_or_all():
    assert tail(1e6, 900_000) == 1.0
    assert tail(1e6, 1_100_000) == 0.0
    assert tail(1e6, 1_000_000) == pytest.approx(0.5, abs=0.01)
    assert tail(0.0, 1) == 0.0


@given(st.floats(0.001, 200), st.integers(0, 300))
def test_a_piece_saves_what_would_be_missing_without_it(mean, left):
    saved = missing(mean, left) - missing(mean, left + 1)
    assert saved == pytest.approx(tail(mean, left + 1), abs=1e-6)


@given(st.floats(0.001, 100), st.integers(1, 100), st.integers(1, 20), st.integers(0, 10**7))
def test_each_further_piece_risks_no_less(mean, available, pieces, shortage_minor):
    risks = marginal_minor(mean, available, min(pieces, available), shortage_minor)
    assert list(risks) == sorted(risks)
    assert taking_minor(mean, available, min(pieces, available), shortage_minor) == sum(risks)


@given(st.integers(1, 400), st.sampled_from([9000, 9500, 9900]))
def test_a_minimum_suffices_at_just_its_service_level(minimum, level):
    mean = mean_behind(minimum, level)
    assert 1 - tail(mean, minimum + 1) == pytest.approx(level / 10_000, abs=1e-6)


def test_without_a_minimum_nothing_is_expected():
    assert mean_behind(0, 9500) == 0.0
    assert marginal_minor(0.0, 5, 2, 1000) == ()
    assert [half_up(amount) for amount in (0.49, 0.5, 1.5, 2.4)] == [0, 1, 2, 2]
