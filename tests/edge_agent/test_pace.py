"""What is due when, with the agent's own parts and no clock."""

from datetime import UTC, datetime

import pytest

from edge_agent.agent import Agent
from edge_agent.buffer import Buffer
from edge_agent.pace import Pace
from edge_agent.sources.source import Harvest, Source
from edge_agent.wire.link import Link

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Counting(Source):
    def __init__(self, name: str, interval_s: float) -> None:
        self.name, self.interval_s = name, interval_s
        self.polls, self.news = 0, False

    @property
    def has_news(self) -> bool:
        return self.news

    def poll(self, now: datetime) -> Harvest:
        self.polls += 1
        self.news = False
        return Harvest()


@pytest.fixture
def agent(tmp_path):
    agent = Agent(
        Buffer(tmp_path / "buffer.sqlite", 1 << 30), Link("mqtt://127.0.0.1:9"), "gw",
        sources=[Counting("fast", 1.0), Counting("slow", 3600.0)], rules={}, max_readings=20, units={},
        monotonic=lambda: 0.0, wall=lambda: 1.8e9,
    )  # fmt: skip
    agent.commit_every_s = 10.0
    yield agent
    agent.buffer.close()


def test_each_source_is_polled_at_its_interval_and_after_a_halt_only_once(agent) -> None:
    fast, slow = agent.sources
    pace = Pace(agent, 100.0)
    for now_s in (100.0, 100.5, 101.0, 102.0):
        pace.work(NOW, now_s)
    assert (fast.polls, slow.polls) == (3, 1)
    assert pace.next_at_s(102.0) == 103.0
    pace.work(NOW, 500.0)
    pace.work(NOW, 500.5)
    assert fast.polls == 5, "once for the halt, and once since it was due again from then on"


def test_one_with_news_is_polled_at_once_and_keeps_its_time(agent) -> None:
    _, slow = agent.sources
    pace = Pace(agent, 0.0)
    pace.work(NOW, 0.0)
    slow.news = True
    pace.work(NOW, 1.0)
    pace.work(NOW, 2.0)
    assert slow.polls == 2
    pace.work(NOW, 3600.0)
    assert slow.polls == 3


def test_shorter_intervals_count_from_now(agent) -> None:
    fast, slow = agent.sources
    fast.set_interval(1e6)
    pace = Pace(agent, 0.0)
    pace.work(NOW, 0.0)
    assert pace.next_at_s(0.0) == 10.0, "the commit"
    slow.set_interval(2.0)
    agent.commit_every_s = 5.0
    assert pace.next_at_s(1.0) == 3.0
    pace.work(NOW, 3.0)
    assert slow.polls == 2
