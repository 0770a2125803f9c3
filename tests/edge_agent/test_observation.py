"""What the agent shows of itself, as a process and inside."""

import doctest
import json
import os
import signal
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import edge_agent.observation
from careloop.stack.broker import EmbeddedBroker
from careloop.stack.ports import free_port
from edge_agent.observation import Observation, Polls
from edge_agent.sources.feed import Feed, FeedConfig
from edge_agent.wire.link import Link

CONFIG = """
[agent]
id = "shown-gw"
[broker]
confirm = "broker"
reconnect_min_s = 0.05
reconnect_max_s = 0.1
[batching]
interval_s = 0.1
[metrics]
port = {port}
[[rules]]
kind = "dead_band"
metric = "ambient_temperature"
band = 50
[[sources]]
kind = "simulator"
name = 'the "fleet"'
interval_s = 0.1
[sources.fleet]
robot_vacuum = 2
"""


def ask(port: int, path: str, timeout_s: float = 5.0) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout_s) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def samples(text: str) -> dict[str, float]:
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_example_is_true():
    assert doctest.testmod(edge_agent.observation).failed == 0


def test_a_running_agent_is_scraped_and_asked_while_its_broker_goes_and_comes(
    run_agent, own_broker: EmbeddedBroker, listen, eventually, tmp_path: Path
):
    port = free_port()
    config = tmp_path / "edge.toml"
    config.write_text(CONFIG.format(port=port))
    listen(own_broker.url_of("platform"), "careloop/v1/+/telemetry", "careloop/v1/+/event")
    agent = run_agent(
        {
            "CARELOOP_BROKER_URL": own_broker.url_of("device"),
            "CARELOOP_EDGE_BUFFER_FILE": str(tmp_path / "buffer.sqlite"),
        },
        "--config",
        str(config),
    )
    eventually(lambda: ask(port, "/ready")[0] == 200, "it is ready")

    def found() -> dict[str, float]:
        return samples(ask(port, "/metrics")[1])

    eventually(lambda: found().get("careloop_edge_published_messages_total", 0) >= 2, "messages were published")
    now = found()
    assert now["careloop_edge_broker_connected"] == 1
    assert now["careloop_edge_broker_connections_total"] == 1
    assert now['careloop_edge_source_polls_total the "fleet" done'] >= 1
    assert now['careloop_edge_source_polls_total the "fleet" failed'] == 0
    assert now['careloop_edge_source_readings_total the "fleet"'] > 0
    assert now["careloop_edge_accepted_readings_total"] > 0
    assert now["careloop_edge_lost_readings_total"] == 0
    assert now["process_resident_memory_bytes"] > 1e7
    eventually(lambda: found()["careloop_edge_thinned_readings_total"] > 0, "the rule thinned")
    broker_port = own_broker.port
    own_broker.stop()
    eventually(lambda: ask(port, "/ready")[0] == 503, "it is not ready without a broker")
    checks = json.loads(ask(port, "/ready")[1])["checks"]
    assert not checks["broker"]["ok"]
    assert checks["disk"]["ok"]
    assert ask(port, "/live")[0] == 200
    eventually(lambda: found()["careloop_edge_buffer_messages"] > 0, "messages wait")
    own_broker.start(broker_port)
    eventually(lambda: ask(port, "/ready")[0] == 200, "it is ready again")
    assert found()["careloop_edge_broker_connections_total"] == 2
    os.kill(agent.process.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        ask(port, "/live", timeout_s=0.5)
    os.kill(agent.process.pid, signal.SIGCONT)
    eventually(lambda: ask(port, "/live")[0] == 200, "it answers again")
    agent.process.terminate()
    assert agent.process.wait(15) == 0, "".join(agent.log)


def test_the_environment_wins_over_the_file_and_a_taken_port_is_said(run_agent, own_broker, tmp_path, eventually):
    config = tmp_path / "edge.toml"
    config.write_text(CONFIG.format(port=1))
    port = free_port()
    environment = {
        "CARELOOP_BROKER_URL": own_broker.url_of("device"),
        "CARELOOP_EDGE_BUFFER_FILE": str(tmp_path / "buffer.sqlite"),
        "CARELOOP_METRICS_PORT": str(port),
    }
    first = run_agent(environment, "--config", str(config))
    eventually(lambda: ask(port, "/live")[0] == 200, "it serves on the port of the environment")
    second = run_agent(
        environment | {"CARELOOP_EDGE_BUFFER_FILE": str(tmp_path / "other.sqlite")}, "--config", str(config)
    )
    assert second.process.wait(20) == 2
    assert f"127.0.0.1:{port}" in "".join(second.log)
    assert first.process.poll() is None


@pytest.fixture
def observed(make_agent, own_broker):
    """An agent that is not started, its observation and a clock to turn."""
    clock = [1000.0]
    agent = make_agent(Link(own_broker.url_of("device")), "shown-gw", Feed(FeedConfig(kind="feed")))
    observation = Observation(agent, clock=lambda: clock[0], wall=time.time, stalled_after_s=30)
    return agent, observation, clock


def test_a_loop_that_hangs_is_not_live(observed):
    _, observation, clock = observed
    observation.look()
    clock[0] += 31
    assert observation.probes.live().status == 503
    assert list(observation.probes.live().document["stalled"]) == ["agent"]
    observation.look()
    assert observation.probes.live().status == 200


def test_the_age_of_the_buffer_is_that_of_what_waits_longest_and_absent_without(observed):
    agent, observation, _ = observed
    observation.look()
    assert "careloop_edge_buffer_oldest_age_seconds" not in samples(observation.render()[1].decode())
    (feed,) = agent.sources
    feed.offer([["A", "2026-01-01T00:00:00Z", {"a": 1.0}]], [])
    observation.poll(feed, datetime.now(UTC))
    agent.commit()
    observation._looked_at_s = float("-inf")
    observation.look()
    found = samples(observation.render()[1].decode())
    assert 0 <= found["careloop_edge_buffer_oldest_age_seconds"] < 60
    assert (found["careloop_edge_buffer_messages"], found["careloop_edge_source_readings_total feed"]) == (1, 1)


def test_one_failing_source_among_several_is_told_and_all_failing_is_not_ready(observed):
    _, observation, _ = observed
    observation._polls = {"bus": Polls(failed=1, error="no answer"), "file": Polls(done=1)}
    assert observation._check_sources() == "bus: no answer"
    observation._polls["file"].error = "gone"
    checks = observation.probes.ready().document["checks"]
    assert checks["sources"] == {"ok": False, "detail": "no source can be read; bus: no answer; file: gone"}
