"""Questions about moments, against the plain answer by looping."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from predictor.moments import Moments
from predictor.timeline import NEVER_MS

MOMENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), max_size=30)
QUESTIONS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 31)), min_size=1, max_size=20)


@given(MOMENTS, QUESTIONS)
def test_every_question_is_answered_as_by_looping(moments, questions):
    index = Moments(np.array([s for s, _ in moments], np.int64), np.array([t for _, t in moments], np.int64))
    series = np.array([s for s, _ in questions], np.int64)
    times = np.array([t for _, t in questions], np.int64)

    def expect(choose):
        return [choose([t for s, t in moments if s == series], at) for series, at in questions]

    assert index.count_before(series, times).tolist() == expect(lambda own, at: sum(t < at for t in own))
    assert index.last_before(series, times).tolist() == expect(
        lambda own, at: max((t for t in own if t < at), default=-1)
    )
    assert index.last_until(series, times).tolist() == expect(
        lambda own, at: max((t for t in own if t <= at), default=-1)
    )
    assert index.next_after(series, times).tolist() == expect(
        lambda own, at: min((t for t in own if t > at), default=NEVER_MS)
    )
    assert index.next_from(series, times).tolist() == expect(
        lambda own, at: min((t for t in own if t >= at), default=NEVER_MS)
    )


def test_real_times_of_many_series_do_not_run_into_each_other():
    latest = 4_000_000_000_000  # the year 2096
    index = Moments(np.array([1_000_000, 1_000_001]), np.array([latest, 5]))
    assert index.last_before(np.array([1_000_001]), np.array([5])).tolist() == [-1]
    assert index.next_after(np.array([1_000_000]), np.array([latest])).tolist() == [NEVER_MS]
    assert index.last_before(np.array([1_000_000]), np.array([latest + 1])).tolist() == [latest]
