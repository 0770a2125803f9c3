from edge_agent.wire.connection import Backoff


def test_pauses_double_up_to_the_longest_and_their_lower_half_is_random():
    backoffs = [Backoff(1.0, 60.0) for _ in range(200)]
    for longest_s in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
        pauses = [backoff.failed() for backoff in backoffs]
        assert longest_s / 2 <= min(pauses) < 0.6 * longest_s
        assert 0.9 * longest_s < max(pauses) <= longest_s


def test_what_got_through_begins_it_anew():
    backoff = Backoff(1.0, 60.0)
    for _ in range(2000):
        backoff.failed()
    backoff.succeeded()
    assert backoff.failed() <= 1.0
