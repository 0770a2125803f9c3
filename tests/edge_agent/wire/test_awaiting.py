import random

from careloop.contract.identity import identity_of
from edge_agent.wire.awaiting import LEAST_PATIENCE_S, PROBES, Awaiting

TOPIC = "careloop/v1/X/telemetry"


def identity(number: int) -> bytes:
    return identity_of(TOPIC, b"%d" % number)


def awaiting(*numbers: int, taken_at_s: float = 0.0) -> Awaiting:
    """So many messages of 10 bytes, sent and taken by the broker; no jitter, 15 s first and 300 s at most."""
    waiting = Awaiting(15.0, 300.0, dice=lambda: 0.0)
    for number in numbers:
        waiting.sent(number, identity(number), 10)
        waiting.taken_by_broker(number, taken_at_s)
    return waiting


def again(waiting: Awaiting, places: list[int], now_s: float) -> None:
    for seq in places:
        waiting.sent(seq, identity(seq), 10)
        waiting.taken_by_broker(seq, now_s)


def test_what_the_store_names_is_done_and_nothing_else():
    waiting = awaiting(1, 2, 3)
    assert waiting.confirmed(identity(3) + identity(9) + identity(1), 0.1) == [3, 1]
    assert (waiting.messages, waiting.size_bytes) == (1, 10)
    assert waiting.confirmed(identity(1), 0.2) == []
    assert waiting.confirmed(b"broken", 0.2) == []


def test_one_confirmation_is_good_for_equal_messages():
    waiting = awaiting()
    waiting.sent(1, identity(7), 10)
    waiting.sent(2, identity(7), 10)
    assert waiting.confirmed(identity(7), 0.0) == [1, 2]
    assert waiting.messages == 0


def test_what_the_broker_has_not_taken_is_never_overdue():
    waiting = awaiting()
    waiting.sent(1, identity(1), 10)
    assert waiting.overdue(1e9) == []


def test_the_time_doubles_with_every_try_up_to_its_bound():
    waiting = awaiting(1)
    now_s, pauses = 0.0, []
    for _ in range(7):
        begun = now_s
        while not (places := waiting.overdue(now_s)):
            now_s += 1.0
        pauses.append(now_s - begun)
        again(waiting, places, now_s)
    assert pauses == [15.0, 30.0, 60.0, 120.0, 240.0, 300.0, 300.0]


def test_jitter_only_makes_it_later():
    waiting = Awaiting(15.0, 300.0, dice=lambda: 1.0)
    waiting.sent(1, identity(1), 10)
    waiting.taken_by_broker(1, 0.0)
    assert waiting.overdue(22.4) == []
    assert waiting.overdue(22.5) == [1]


def test_while_nothing_is_confirmed_only_a_few_are_sent_again_and_then_all():
    waiting = awaiting(*range(100))
    first = waiting.overdue(15.0)
    assert len(first) == 100
    again(waiting, first, 15.0)
    assert waiting.overdue(44.0) == []
    probes = waiting.overdue(45.0)
    assert probes == first[:PROBES]
    again(waiting, probes, 45.0)
    assert waiting.overdue(46.0) == []
    waiting.confirmed(identity(0), 47.0)
    assert len(waiting.overdue(48.0)) == 100 - PROBES


def test_silence_is_told_now_and_then():
    waiting = awaiting(1)
    told, now_s = [], 0.0
    for _ in range(8):
        while not (places := waiting.overdue(now_s)):
            now_s += 1.0
        told.append(waiting.is_silent)
        again(waiting, places, now_s)
    assert told == [False, True, False, True, False, False, False, True]
    waiting.confirmed(identity(1), now_s)
    assert not waiting.is_silent


def test_a_broker_that_forgot_everything_gets_everything_again():
    waiting = awaiting(1, 2)
    waiting.sent(3, identity(3), 10)
    assert waiting.drop_all() == [1, 2, 3]
    assert (waiting.messages, waiting.size_bytes) == (0, 0)


def test_after_a_break_what_is_owed_has_only_its_usual_time():
    waiting = awaiting(1, 2)
    waiting.confirmed(identity(1), 0.05)
    waiting.connected_again(1.0)
    assert waiting.overdue(1.0 + LEAST_PATIENCE_S - 0.01) == []
    assert waiting.overdue(1.0 + LEAST_PATIENCE_S) == [2]


def test_a_store_that_is_behind_gets_the_more_time():
    waiting, now_s = awaiting(), 0.0
    for number in range(100):
        waiting.sent(number, identity(number), 10)
        waiting.taken_by_broker(number, now_s)
        now_s += 10.0
        waiting.confirmed(identity(number), now_s)
    waiting.sent(200, identity(200), 10)
    waiting.taken_by_broker(200, now_s)
    assert waiting.overdue(now_s + 39.0) == []
    assert waiting.overdue(now_s + 40.0) == [200]


def test_it_never_loses_count_of_what_it_holds():
    dice = random.Random(5)
    waiting, now_s, held = awaiting(), 0.0, set()
    for _ in range(3000):
        now_s += dice.random()
        number = dice.randrange(50)
        match dice.randrange(5):
            case 0 | 1 if number not in held:
                waiting.sent(number, identity(number % 20), 10)
                held.add(number)
            case 2:
                waiting.taken_by_broker(number, now_s)
            case 3:
                held -= set(waiting.confirmed(identity(number), now_s))
            case 4:
                held -= set(waiting.overdue(now_s))
        if dice.random() < 0.01:
            assert set(waiting.drop_all()) == held
            held.clear()
        assert (waiting.messages, waiting.size_bytes) == (len(held), 10 * len(held))
