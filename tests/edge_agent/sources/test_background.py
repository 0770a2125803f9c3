"""The hand-over from a source's thread to the agent's."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from edge_agent.sources.background import Background, HandOver, Parcel, Reader, Retry
from edge_agent.sources.source import Harvest, Row, SourceError
from tests.edge_agent.sources.conftest import CLOCK, Polled


def parcel(number: float, size: int = 1, **more) -> Parcel:
    return Parcel(Harvest([Row("KW-1", number, {str(n): number for n in range(size)})]), **more)


def numbers(harvest: Harvest) -> list[float]:
    return [row.time_s for row in harvest.rows]


def test_a_failure_is_told_in_its_turn_and_loses_nothing():
    over = HandOver(lambda: None)
    for brought in (parcel(1), parcel(2), Parcel(SourceError("gone")), parcel(3)):
        over.put(brought)
    assert numbers(over.take()) == [1, 2]
    with pytest.raises(SourceError, match="gone"):
        over.take()
    assert numbers(over.take()) == [3]
    assert not over


def test_a_full_hand_over_makes_the_reader_wait_and_wakes_the_agent():
    woken = threading.Event()
    over = HandOver(woken.set, max_waiting=10)
    over.put(parcel(1, size=3))
    assert not woken.is_set()
    over.put(parcel(2, size=3))
    assert woken.is_set()
    third = threading.Thread(target=over.put, args=(parcel(3, size=3),), daemon=True)
    third.start()
    third.join(0.2)
    assert third.is_alive()
    assert numbers(over.take()) == [1, 2]
    third.join(5)
    assert numbers(over.take()) == [3]
    # More than the bound at once is taken when nothing else waits.
    over.put(parcel(4, size=50))
    assert numbers(over.take()) == [4]


def test_closing_lets_a_waiting_reader_go():
    over = HandOver(lambda: None, max_waiting=4)
    over.put(parcel(1, size=3))
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(over.put(parcel(2, size=3))))
    waiting.start()
    over.close()
    waiting.join(5)
    assert answers == [False]


def test_tokens_and_memory_are_of_what_was_taken():
    over = HandOver(lambda: None)
    over.put(parcel(1, token="a", memory="m1"))
    over.put(parcel(2, token="b", memory="m2"))
    assert over.memory() is None
    over.take()
    over.put(parcel(3, token="c", memory="m3"))
    assert over.memory() == "m2"
    assert over.confirm() == ["a", "b"]
    assert over.memory() == "m2"
    assert over.confirm() == []


def test_retries_grow_up_to_the_interval_or_a_minute():
    def pauses(interval_s: float, count: int) -> list[float]:
        retry = Retry(interval_s)
        return [retry.pause_s() for _ in range(count)]

    for interval_s, longest in ((0.5, 60.0), (300.0, 300.0)):
        first = min(1.0, interval_s)
        for number, pause in enumerate(pauses(interval_s, 15)):
            expected = min(first * 2**number, longest)
            assert expected * 0.75 <= pause <= expected * 1.25
    assert len(set(pauses(300.0, 1) + pauses(300.0, 1))) == 2


class Numbers(Reader):
    def __init__(self, interval_s: float, fails: int = 0, defect: bool = False) -> None:
        self.name = "numbers"
        self.interval_s = interval_s
        self.read_at: list[float] = []
        self._fails = fails
        self._defect = defect

    def read(self) -> Iterator[Harvest | SourceError]:
        self.read_at.append(time.monotonic())
        if self._fails:
            self._fails -= 1
            if self._defect:
                raise KeyError("x")
            raise SourceError("no answer")
        yield Harvest([Row("KW-1", float(len(self.read_at)), {"a": 1.0})])


def started(reader: Reader) -> Polled:
    source = Background(reader, CLOCK)
    source.open(None, datetime.now(UTC))
    return Polled(source)


def test_a_reader_is_called_at_its_interval_and_another_one_is_heard_at_once():
    reader = Numbers(3600)
    polled = started(reader)
    polled.until(lambda p: p.rows)
    time.sleep(0.2)
    assert len(reader.read_at) == 1
    polled.source.set_interval(0.1)
    polled.until(lambda p: len(p.rows) >= 4)
    polled.source.close()
    assert reader.read_at[3] - reader.read_at[1] > 0.15


@pytest.mark.parametrize(("defect", "text"), [(False, "no answer"), (True, "defect: KeyError")])
def test_a_failure_is_told_and_tried_again(defect, text):
    polled = started(Numbers(0.05, fails=2, defect=defect))
    polled.until(lambda p: p.rows)
    polled.source.close()
    assert len(polled.errors) == 2
    assert all(text in error for error in polled.errors)
