"""`careloop edge run` on the system clock, and the publisher against links that break."""

import json
import time
from datetime import datetime

from careloop.contract.messages import AgentState
from careloop.stack.broker import EmbeddedBroker
from edge_agent.buffer import Buffer
from edge_agent.rules import rule_book
from edge_agent.rules.threshold import Threshold
from edge_agent.sources.feed import Feed, FeedConfig
from edge_agent.sources.source import Harvest, Row, Source, SourceError
from edge_agent.wire.link import Link
from tests.edge_agent.conftest import offer, take

LIVE = """
[agent]
id = "{agent}"
[broker]
reconnect_min_s = 0.05
reconnect_max_s = 0.2
confirm_within_s = 0.5
[batching]
interval_s = 0.1
[[sources]]
kind = "simulator"
interval_s = 0.1
seed = 5
[sources.fleet]
robot_vacuum = 2
"""


def test_live_readings_flow_through_kills_of_agent_and_broker(
    run_agent, own_broker: EmbeddedBroker, listen, eventually, tmp_path
):
    config = tmp_path / "edge.toml"
    config.write_text(LIVE.format(agent="live-gw"))
    environment = {
        "CARELOOP_BROKER_URL": own_broker.url_of("device"),
        "CARELOOP_EDGE_BUFFER_FILE": str(tmp_path / "buffer.sqlite"),
    }
    topics = ("careloop/v1/RV-0001/telemetry", "careloop/v1/RV-0002/telemetry", "careloop/v1/live-gw/state")
    listener = listen(own_broker.url_of("platform"), *topics)
    agent = run_agent(environment, "--config", str(config))
    eventually(lambda: len(listener.of("telemetry")) > 5, "readings flow")
    port = own_broker.port
    own_broker.stop()
    time.sleep(0.5)
    agent.kill()
    agent = run_agent(environment, "--config", str(config))
    eventually(lambda: any("cannot be reached" in line for line in agent.log), "it noticed that the broker is away")
    own_broker.start(port)
    again = listen(own_broker.url_of("platform"), *topics)
    eventually(lambda: len(again.of("telemetry")) > 10, "readings flow again")
    agent.process.terminate()
    assert agent.process.wait(15) == 0, "".join(agent.log)
    state = AgentState.from_json(json.loads(again.of("state")[-1].payload))
    assert not state.online
    assert state.detail["lost_readings"] == 0
    assert state.detail["buffered_messages"] == 0
    stored = Buffer(tmp_path / "buffer.sqlite", 1 << 30)
    assert stored.depth.messages == 0
    stored.close()
    assert listener.readings()
    assert again.readings()


def test_a_link_that_breaks_all_the_time_loses_nothing(own_broker: EmbeddedBroker, listen, make_agent, wire):
    cut_wire = wire(own_broker.port, cut_after_bytes=8000)
    listener = listen(own_broker.url_of("platform"), "careloop/v1/CUT/telemetry")
    feed = Feed(FeedConfig(kind="feed"))
    link = Link(cut_wire.url(own_broker.url_of("device")), inflight=4, reconnect_min_s=0.02, reconnect_max_s=0.05)
    agent = make_agent(link, "cut-gw", feed)
    agent.start(None)
    for number in range(60):
        offer(feed, "CUT", 20, 20 * number)
        take(agent)
    agent.drain(20.0)
    assert agent.buffer.depth.messages == 0
    assert cut_wire.cuts >= 3
    assert agent.tally.published_messages == 60
    agent.stop(2.0)
    assert len(listener.readings(1200)) == 1200


def test_never_more_in_flight_than_allowed(own_broker: EmbeddedBroker, listen, make_agent, eventually):
    feed = Feed(FeedConfig(kind="feed"))
    listen(own_broker.url_of("platform"), "careloop/v1/WIN/telemetry")
    agent = make_agent(Link(own_broker.url_of("device"), inflight=7, unconfirmed=20), "window-gw", feed)
    agent.start(None)
    eventually(lambda: agent.pump() or agent.publisher.connected, "it connected")
    offer(feed, "WIN", 1200)
    take(agent)
    most = 0
    while agent.buffer.depth.messages:
        agent.pump()
        most = max(most, len(agent.publisher._underway))
        assert agent.publisher.awaiting_messages <= 20
        time.sleep(0.001)
    assert most == 7
    agent.stop(2.0)


def test_what_nobody_is_subscribed_to_is_kept_until_somebody_is(mosquitto: str, listen, make_agent):
    feed = Feed(FeedConfig(kind="feed"))
    agent = make_agent(Link(mosquitto, reconnect_min_s=0.05, reconnect_max_s=0.1), "alone-gw", feed)
    agent.start(None)
    offer(feed, "ALONE", 40)
    take(agent)
    agent.drain(1.0)
    assert agent.buffer.depth.messages == 2
    listener = listen(mosquitto, "careloop/v1/ALONE/telemetry")
    agent.drain(10.0)
    assert agent.buffer.depth.messages == 0
    assert len(listener.readings(40)) == 40
    agent.stop(2.0)


def test_it_can_be_told_not_to_wait_for_subscribers(mosquitto: str, make_agent):
    feed = Feed(FeedConfig(kind="feed"))
    agent = make_agent(Link(mosquitto, wait_for_subscriber=False, confirm="broker"), "alone-gw", feed)
    agent.start(None)
    offer(feed, "ALONE", 40)
    take(agent)
    agent.drain(10.0)
    assert agent.tally.published_messages == 2
    agent.stop(2.0)


def test_telemetry_larger_than_the_broker_takes_is_parted_and_an_event_given_up_and_the_next_one_goes(
    mosquitto: str, listen, make_agent
):
    listener = listen(mosquitto, "careloop/v1/BIG/#")
    feed = Feed(FeedConfig(kind="feed"))
    agent = make_agent(Link(mosquitto, reconnect_min_s=0.05), "big-gw", feed)
    agent.start(None)
    # 28 kB and 56 kB, where the broker takes 20 kB; the second is parted twice.
    rows = [["BIG", f"2015-01-01T0{hour}:00:00Z", {f"{'metric' * 20}{n}": n + 0.25 for n in range(200 * hour)}]
            for hour in (1, 2)]  # fmt: skip
    for row in rows:
        feed.offer([row], [["BIG", "2015-01-01T00:00:00Z", "E1", "info", {"text": "x" * 30_000}]])
        take(agent)
    feed.offer([["BIG", "2015-01-01T03:00:00Z", {"a": 1.0}]], [])
    take(agent)
    agent.drain(20.0)
    assert agent.buffer.depth.messages == 0
    assert (agent.buffer.lost.messages, agent.buffer.lost.readings) == (2, 0)
    assert sorted(listener.readings().values()) == sorted([value for row in rows for value in row[2].values()] + [1.0])
    agent.stop(2.0)


def test_a_wrong_password_says_where_to_look_and_keeps_everything(own_broker, make_agent, caplog, eventually):
    feed = Feed(FeedConfig(kind="feed"))
    link = Link(own_broker.url_of("device").replace("device-pw", "wrong"), reconnect_min_s=0.05, reconnect_max_s=0.1)
    agent = make_agent(link, "wrong-gw", feed)
    agent.start(None)
    offer(feed, "X", 5)
    take(agent)
    agent.drain(1.0)
    assert agent.buffer.depth.readings == 5
    assert not agent.publisher.connected
    agent.stop(0.5)


def test_alarms_that_stand_are_not_raised_again_after_a_restart(own_broker, make_agent):
    rules = rule_book([Threshold(metric="a", above=5, clear=4, code="HIGH")])
    raised = []
    for start in (10, 20):
        feed = Feed(FeedConfig(kind="feed"))
        agent = make_agent(Link(own_broker.url_of("device")), "alarm-gw", feed, rules=rules)
        agent.start(None)
        offer(feed, "ALARM", 5, start)
        take(agent)
        raised.append(agent.tally.accepted_events)
        agent.stop(2.0)
    assert raised == [1, 0]


class Moody(Source):
    """Fails at every second poll."""

    name = "moody"
    interval_s = 1.0

    def __init__(self) -> None:
        self.polls = self.confirmed = 0

    def open(self, checkpoint: str | None, since: datetime | None) -> None:
        self.polls = int(checkpoint or 0)

    def poll(self, now: datetime) -> Harvest:
        self.polls += 1
        if self.polls % 2:
            raise SourceError("the bus is silent")
        return Harvest([Row("MOODY", 1.7e9 + self.polls, {"a": 1.0})])

    def checkpoint(self) -> str:
        return str(self.polls)

    def confirm(self) -> None:
        self.confirmed += 1


def test_a_source_that_fails_now_and_then_is_asked_again_and_goes_on_where_it_was(own_broker, make_agent):
    source = Moody()
    agent = make_agent(Link(own_broker.url_of("device")), "moody-gw", source)
    agent.start(None)
    for _ in range(4):
        take(agent)
    assert (agent.tally.failed_polls, agent.tally.accepted_readings, source.confirmed) == (2, 2, 2)
    agent.stop(2.0)
    again = Moody()
    agent = make_agent(Link(own_broker.url_of("device")), "moody-gw", again)
    agent.start(None)
    assert again.polls == 4
    agent.stop(2.0)
