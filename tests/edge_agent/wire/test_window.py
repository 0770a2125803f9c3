from hypothesis import given
from hypothesis import strategies as st

from edge_agent.wire.window import FIRST_BYTES, LEAST_BYTES, MOST_BYTES, SLOW_S, Window


def send_all(window: Window, times: int, took_s: float = 0.01, start_s: float = 0.0) -> float:
    """So many full windows there and back; the time after."""
    for _ in range(times):
        window.acknowledged(window.size_bytes, start_s, start_s + took_s)
        start_s += took_s
    return start_s


def test_it_doubles_with_every_round_trip_up_to_the_most():
    window = Window()
    send_all(window, 1)
    assert window.size_bytes == 2 * FIRST_BYTES
    send_all(window, 10)
    assert window.size_bytes == MOST_BYTES


def test_after_a_break_it_starts_small_doubles_to_half_of_what_was_underway_and_then_grows_slowly():
    window = Window()
    window.broke(underway_bytes=32 * 1024)
    sizes = []
    for _ in range(6):
        sizes.append(window.size_bytes)
        send_all(window, 1)
    assert sizes == [2048, 4096, 8192, 16384, 18432, 20480]


def test_on_a_slow_link_it_shrinks_once_for_each_round_trip():
    window = Window()
    for _ in range(10):
        window.acknowledged(1000, 0.0, 1.5 * SLOW_S)
    assert window.size_bytes == int(FIRST_BYTES * 0.7)
    send_all(window, 50, took_s=1.5 * SLOW_S, start_s=2.0)
    assert window.size_bytes == LEAST_BYTES


@given(st.lists(st.tuples(st.integers(1, 10**6), st.floats(0, 100), st.booleans())))
def test_it_never_leaves_its_bounds(happenings):
    window, now_s = Window(), 0.0
    for size_bytes, took_s, breaks in happenings:
        if breaks:
            window.broke(size_bytes)
        window.acknowledged(size_bytes, now_s, now_s + took_s)
        now_s += took_s
        assert LEAST_BYTES <= window.size_bytes <= MOST_BYTES
