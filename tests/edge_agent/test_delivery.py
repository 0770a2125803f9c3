"""From the buffer to the confirmed store, whatever happens to link, broker and store in between."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from careloop.contract.messages import AgentState
from careloop.stack.broker import EmbeddedBroker
from edge_agent.buffer import Buffer
from edge_agent.packing import Message, Packer
from edge_agent.sources.feed import Feed, FeedConfig
from edge_agent.sources.source import Row
from edge_agent.wire.link import Link
from tests.edge_agent.conftest import offer, running_mosquitto, take, wait_until

QUICK = {"reconnect_min_s": 0.02, "reconnect_max_s": 0.05}


@pytest.fixture
def feed() -> Feed:
    return Feed(FeedConfig(kind="feed"))


def test_what_the_broker_took_stays_until_the_store_has_confirmed_it(embedded_broker, listen, make_agent, feed):
    listener = listen(embedded_broker.url_of("platform"), "careloop/v1/KEEP/telemetry", confirms=False)
    agent = make_agent(Link(embedded_broker.url_of("device"), confirm_within_s=0.3), "keep-gw", feed)
    agent.start(None)
    offer(feed, "KEEP", 40)
    take(agent)
    agent.drain(0.25)
    assert len(listener.messages) == 2
    assert (agent.buffer.depth.messages, agent.tally.published_messages) == (2, 0)
    listener.confirms = True
    agent.drain(10.0)
    assert (agent.buffer.depth.messages, agent.tally.published_messages) == (0, 2)
    first, again = listener.messages[:2], listener.messages[2:]
    assert {(m.topic, m.payload) for m in again} == {(m.topic, m.payload) for m in first}
    agent.stop(2.0)


def test_a_broker_that_is_killed_and_forgets_gets_everything_again_at_once(tmp_path, listen, make_agent, feed):
    with running_mosquitto(tmp_path) as port:
        listen(f"mqtt://127.0.0.1:{port}", "careloop/v1/FORGET/telemetry", confirms=False)
        agent = make_agent(Link(f"mqtt://127.0.0.1:{port}", confirm_within_s=3600.0, **QUICK), "forget-gw", feed)
        agent.start(None)
        offer(feed, "FORGET", 60)
        take(agent)
        agent.drain(1.0)
        assert agent.publisher.awaiting_messages == 3
        assert len(agent.publisher._underway) == 0, "the broker took them all"
    with running_mosquitto(tmp_path, at=port):
        listener = listen(f"mqtt://127.0.0.1:{port}", "careloop/v1/FORGET/telemetry")
        agent.drain(15.0)
        assert agent.buffer.depth.messages == 0
        assert len(listener.readings(60)) == 60
        agent.stop(2.0)


# Everyone may do everything but subscribe to `stored`.
OLD_RIGHTS = {
    "defaultACLAccess": {
        "publishClientSend": True,
        "publishClientReceive": True,
        "subscribe": True,
        "unsubscribe": True,
    },
    "anonymousGroup": "all",
    "groups": [{"groupname": "all", "roles": [{"rolename": "old"}]}],
    "roles": [
        {"rolename": "old", "acls": [{"acltype": "subscribePattern", "topic": "careloop/v1/+/stored", "allow": False}]}
    ],
}


def test_where_the_broker_refuses_the_confirmations_its_word_is_taken_and_that_is_said(
    open_directory, listen, make_agent, feed, caplog
):
    plugins = list(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"))
    assert plugins, "mosquitto_dynamic_security.so comes with Debian's mosquitto"
    rights = open_directory / "rights.json"
    rights.write_text(json.dumps(OLD_RIGHTS))
    lines = (f"plugin {plugins[0]}", f"plugin_opt_config_file {rights}")
    with running_mosquitto(open_directory, *lines) as port:
        listen(f"mqtt://127.0.0.1:{port}", "careloop/v1/OLD/telemetry", confirms=False)
        agent = make_agent(Link(f"mqtt://127.0.0.1:{port}"), "old-gw", feed)
        agent.start(None)
        offer(feed, "OLD", 40)
        take(agent)
        agent.drain(10.0)
        assert agent.tally.published_messages == 2
        assert "does not let this account read careloop/v1/old-gw/stored" in caplog.text
        agent.stop(2.0)


def test_a_store_that_never_answers_is_told_of_and_nothing_is_given_up(
    embedded_broker, listen, make_agent, feed, caplog
):
    listen(embedded_broker.url_of("platform"), "careloop/v1/MUTE/telemetry", confirms=False)
    agent = make_agent(Link(embedded_broker.url_of("device"), confirm_within_s=0.05), "mute-gw", feed)
    agent.start(None)
    offer(feed, "MUTE", 40)
    take(agent)
    agent.drain(1.0)
    assert "the store confirms none" in caplog.text
    assert agent.buffer.depth.messages == 2
    agent.stop(0.1)


def test_events_and_equal_messages_are_confirmed_too(embedded_broker, listen, make_agent, feed, eventually):
    listen(embedded_broker.url_of("platform"), "careloop/v1/TWIN/#")
    agent = make_agent(Link(embedded_broker.url_of("device")), "twin-gw", feed)
    agent.start(None)
    eventually(lambda: agent.pump() or agent.publisher.connected, "it connected")
    for _ in range(2):
        feed.offer([["TWIN", "2015-01-01T00:00:00Z", {"a": 1.0}]], [["TWIN", "2015-01-01T00:00:00Z", "E1"]])
        take(agent)
    agent.drain(10.0)
    assert (agent.buffer.depth.messages, agent.tally.published_messages) == (0, 4)
    agent.stop(2.0)


@pytest.mark.parametrize("cut_after_bytes", [2500, 6000])
def test_a_link_that_is_cut_after_fewer_bytes_than_wait_still_gets_everything_through(
    own_broker: EmbeddedBroker, listen, make_agent, wire, cut_after_bytes
):
    feed = Feed(FeedConfig(kind="feed"))
    listener = listen(own_broker.url_of("platform"), "careloop/v1/CUTS/telemetry")
    cut = wire(own_broker.port, cut_after_bytes=cut_after_bytes)
    agent = make_agent(Link(cut.url(own_broker.url_of("device")), **QUICK), "cuts-gw", feed)
    agent.start(None)
    for number in range(40):
        offer(feed, "CUTS", 20, 20 * number)
        take(agent)
    assert agent.buffer.depth.size_bytes > 4 * cut_after_bytes
    agent.drain(40.0)
    assert agent.buffer.depth.messages == 0
    assert cut.cuts >= 3
    assert len(listener.readings(800)) == 800
    agent.stop(2.0)


def fill(buffer: Buffer, readings: int) -> None:
    """A backlog, as small messages of an outage: one a second, ten readings each."""
    packer = Packer(500, lambda _serial: {})
    messages: list[Message] = []
    for number in range(readings // 10):
        packer.add_rows([Row("BACK", 1.7e9 + number, {f"m{m}": float(number) for m in range(10)})])
        messages += packer.finish()
    buffer.add(messages, sealed=False)


def test_what_is_measured_now_does_not_wait_for_the_backlog(own_broker: EmbeddedBroker, listen, make_agent, feed, wire):
    """A backlog that takes the slow link half a minute."""
    back = listen(own_broker.url_of("platform"), "careloop/v1/BACK/telemetry")
    live = listen(own_broker.url_of("platform"), "careloop/v1/LIVE/telemetry")
    slow = wire(own_broker.port, bytes_per_s=100_000)
    agent = make_agent(Link(slow.url(own_broker.url_of("device"))), "back-gw", feed)
    fill(agent.buffer, 100_000)
    before = agent.buffer.depth.messages
    agent.start(None)
    agent.drain(1.0)
    latencies_s = []
    for number in range(8):
        offer(feed, "LIVE", 1, number)
        take(agent)
        begun_s = time.monotonic()
        while len(live.messages) <= number:
            assert time.monotonic() < begun_s + 20
            agent.drain(0.02)
        latencies_s.append(time.monotonic() - begun_s)
    assert 100 < agent.buffer.depth.messages < before, "it was catching up all the while"
    assert len(back.messages) > 10
    assert max(latencies_s) < 5.0, latencies_s
    agent.publisher.stop(lambda: False)


class SimulatedClock:
    """Monotonic seconds that pass as the test says."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_an_hour_without_a_broker_loses_nothing_within_the_buffer_s_bound(
    own_broker: EmbeddedBroker, listen, make_agent
):
    """An hour of the agent's clock: twenty readings a second, and one restart of the agent in between."""
    feed, clock, port = Feed(FeedConfig(kind="feed")), SimulatedClock(), own_broker.port
    own_broker.stop()
    link = Link(own_broker.url_of("device"), reconnect_min_s=1.0, reconnect_max_s=60.0)
    begun, accepted = datetime(2026, 1, 1, tzinfo=UTC), 0
    for half in (range(1800), range(1800, 3600)):
        agent = make_agent(link, "hour-gw", feed, clock=clock, max_bytes=16 << 20)
        agent.start(None)
        for second in half:
            clock.now_s += 1.0
            moment = begun + timedelta(seconds=second)
            feed.offer([["HOUR", moment.isoformat(), {f"m{m}": float(second) for m in range(20)}]], [])
            agent.poll(feed, moment)
            agent.commit()
            agent.pump()
            if second % 60 == 59:
                agent.tend()
        accepted += agent.tally.accepted_readings
        if half.stop < 3600:
            agent.stop(0.0)
    assert accepted == 72_000
    assert (agent.buffer.lost.messages, agent.buffer.depth.readings) == (0, 72_000)
    own_broker.start(port)
    listener = listen(own_broker.url_of("platform"), "careloop/v1/HOUR/telemetry")
    clock.now_s += 120.0
    deadline = time.monotonic() + 60
    while agent.buffer.depth.messages:
        assert time.monotonic() < deadline
        clock.now_s += 0.01
        agent.pump()
        time.sleep(0.01)
    assert len(listener.readings(72_000)) == 72_000
    agent.stop(2.0)


def test_the_state_says_how_far_the_clock_is_off(embedded_broker, listen, make_agent, feed, caplog):
    states = listen(embedded_broker.url_of("platform"), "careloop/v1/skew-gw/state", "careloop/v1/SKEW/telemetry")
    agent = make_agent(Link(embedded_broker.url_of("device")), "skew-gw", feed)
    agent.publisher._wall = lambda: time.time() + 100.0
    agent.start(None)
    offer(feed, "SKEW", 40)
    take(agent)
    agent.drain(10.0)
    agent.stop(2.0)
    state = AgentState.from_json(json.loads(states.of("state")[-1].payload))
    assert state.detail["clock_skew_s"] == pytest.approx(100.0, abs=1.0)
    assert "the clock of this device is" in caplog.text


def test_the_buffer_s_depth_and_losses_are_readings_when_asked_for(embedded_broker, listen, make_agent, feed):
    listener = listen(embedded_broker.url_of("platform"), "careloop/v1/depth-gw/telemetry")
    agent = make_agent(Link(embedded_broker.url_of("device")), "depth-gw", feed)
    agent.own_metrics = True
    offer(feed, "DEPTH", 40)
    take(agent)
    agent.tend()
    agent.commit()
    agent.start(None)
    agent.drain(1.0)
    values = {metric: value for (_, metric, _), value in listener.readings(3).items()}
    assert values["careloop.buffer_messages"] == 2
    assert values["careloop.buffer_bytes"] > 500
    assert values["careloop.lost_readings"] == 0
    agent.stop(0.1)


KILLED = """
[agent]
id = "killed-gw"
[broker]
reconnect_min_s = 0.02
reconnect_max_s = 0.05
confirm_within_s = 0.3
[batching]
max_readings = 60
[buffer]
survives = "kill"
[[sources]]
kind = "simulator"
interval_s = 0.2
[sources.fleet]
robot_vacuum = 1
"""


def test_kills_while_a_backlog_is_merged_and_sent_lose_nothing_and_double_nothing(
    own_broker: EmbeddedBroker, listen, run_agent, wire, tmp_path
):
    """What was merged once is sent again as it was merged: `readings` fails when one stands in two messages."""
    buffer = Buffer(tmp_path / "buffer.sqlite", 1 << 30)
    fill(buffer, 15_000)
    buffer.close()
    config = tmp_path / "edge.toml"
    config.write_text(KILLED)
    listener = listen(own_broker.url_of("platform"), "careloop/v1/BACK/telemetry", "careloop/v1/RV-0001/telemetry")
    slow = wire(own_broker.port, bytes_per_s=200_000)
    environment = {
        "CARELOOP_BROKER_URL": slow.url(own_broker.url_of("device")),
        "CARELOOP_EDGE_BUFFER_FILE": str(tmp_path / "buffer.sqlite"),
    }
    for _ in range(3):
        before = len(listener.messages)
        agent = run_agent(environment, "--config", str(config))
        wait_until(lambda least=before + 20: len(listener.messages) >= least, "it sends")
        agent.kill()
    environment["CARELOOP_BROKER_URL"] = own_broker.url_of("device")
    run_agent(environment, "--config", str(config))

    def backlog() -> dict[tuple[str, str, float], float]:
        return {key: value for key, value in listener.readings().items() if key[0] == "BACK"}

    wait_until(lambda: len(backlog()) >= 15_000, "everything came")
    assert len(backlog()) == 15_000
