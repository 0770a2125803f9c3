"""`careloop edge run --step` as the process that it is, against the real broker."""

import json
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from careloop.contract.messages import AgentState, Event
from careloop.contract.senml import decode_pack
from careloop.stack.broker import EmbeddedBroker

JANUARY = "2015-01-{day:02d}T{hour:02d}:00:00Z"


def day_of(serial: str, day: int, *metrics: str) -> list[list[object]]:
    return [
        [serial, JANUARY.format(day=day, hour=hour), dict.fromkeys(metrics, day * 100.0 + hour)] for hour in range(24)
    ]


def midnight(day: int) -> str:
    return JANUARY.format(day=day, hour=0)


@pytest.fixture
def serial(request) -> str:
    """One of its own for each test, for the broker is shared."""
    return request.node.name.replace("test_", "")[-60:].replace("[", ".").replace("]", "")


@pytest.fixture
def environment(embedded_broker: EmbeddedBroker, serial: str, tmp_path: Path) -> dict[str, str]:
    return {
        "CARELOOP_BROKER_URL": embedded_broker.url_of("device"),
        "CARELOOP_EDGE_ID": f"{serial}-gw",
        "CARELOOP_EDGE_BUFFER_FILE": str(tmp_path / "buffer.sqlite"),
    }


@pytest.fixture
def listener(embedded_broker: EmbeddedBroker, serial: str, listen):
    topics = [f"careloop/v1/{serial}/{channel}" for channel in ("telemetry", "event", "state")]
    return listen(embedded_broker.url_of("platform"), *topics, f"careloop/v1/{serial}-gw/state")


def test_a_day_s_readings_and_events_arrive(run_agent, environment, listener, serial, eventually):
    agent = run_agent(environment, "--step")
    assert agent.answer() == {"do": "ready"}
    answer = agent.step(
        do="advance",
        now=midnight(2),
        readings=day_of(serial, 1, "volt", "rotate"),
        events=[[serial, JANUARY.format(day=1, hour=6), "error1", "warning", {"step": 1}], [serial, midnight(1), "e2"]],
    )
    assert answer == {
        "do": "advance", "accepted_readings": 48, "accepted_events": 2, "thinned_readings": 0, "refused_readings": 0,
        "refused_events": 0, "published_messages": 3, "buffered": 0, "lost_readings": 0,
    }  # fmt: skip
    eventually(lambda: len(listener.messages) >= 4, "three messages and a state came")
    (telemetry,) = listener.of("telemetry")
    assert telemetry.qos == 1
    assert telemetry.properties.ContentType == "application/senml+json"
    readings, bad = decode_pack(json.loads(telemetry.payload), serial, 0.0)
    assert not bad
    assert len(readings) == 48
    assert (readings[0].time_s, readings[0].metric, readings[0].value) == (1420070400.0, "volt", 100.0)
    events = [Event.from_json(json.loads(message.payload)) for message in listener.of("event")]
    assert [(event.code, event.severity, event.detail) for event in events] == [
        ("error1", "warning", {"step": 1}),
        ("e2", "warning", {}),
    ]
    assert agent.end() == 0


@pytest.mark.usefixtures("listener")
def test_the_state_of_gateway_and_asset_is_retained_online_and_then_offline(
    run_agent, environment, embedded_broker, listen, eventually
):
    serial = environment["CARELOOP_EDGE_ID"].removesuffix("-gw")
    agent = run_agent(environment, "--step")
    agent.answer()
    agent.step(do="advance", now=midnight(2), readings=day_of(serial, 1, "volt"))

    def states() -> dict[str, AgentState]:
        late = listen(
            embedded_broker.url_of("platform"), f"careloop/v1/{serial}/state", f"careloop/v1/{serial}-gw/state"
        )
        eventually(lambda: len(late.messages) == 2, "both states are retained")
        assert all(message.retain for message in late.messages)
        return {
            message.topic.split("/")[2]: AgentState.from_json(json.loads(message.payload)) for message in late.messages
        }

    online = states()
    assert online[serial].online
    assert online[serial].detail == {"gateway": f"{serial}-gw"}
    assert online[f"{serial}-gw"].online
    assert online[f"{serial}-gw"].agent_version == "0.1.0"
    assert agent.end() == 0
    offline = states()
    assert not offline[serial].online
    assert not offline[f"{serial}-gw"].online


def test_the_last_will_says_offline_for_an_agent_that_was_killed(run_agent, environment, listener, serial, eventually):
    agent = run_agent(environment, "--step")
    agent.answer()
    agent.step(do="advance", now=midnight(2), readings=day_of(serial, 1, "volt"))
    agent.kill()

    def last() -> AgentState:
        own = [message for message in listener.of("state") if "-gw/" in message.topic]
        return AgentState.from_json(json.loads(own[-1].payload)) if own else AgentState(online=True)

    eventually(lambda: not last().online, "the will came")
    assert last().detail == {"will": True}


def test_a_wrong_request_stores_nothing_and_the_next_one_works(run_agent, environment, listener, serial):
    agent = run_agent(environment, "--step")
    agent.answer()
    for wrong, said in [
        ({"readings": [*day_of(serial, 1, "volt"), [serial, "yesterday", {"volt": 1.0}]]}, "readings[24]"),
        ({"readings": [[serial, "2015-01-01T00:00:00", {"volt": 1.0}]]}, "no offset"),
        ({"readings": [[serial, midnight(1)]]}, "readings[0] must be"),
        ({"readings": [[serial, midnight(1), [1.0]]]}, "readings[0] must be"),
        ({"readings": day_of(serial, 1, "volt"), "events": [[serial, midnight(1), "E", "awful"]]}, "severity"),
        ({"events": ["E"]}, "events[0] must be"),
    ]:
        assert said in agent.step(do="advance", now=midnight(2), **wrong)["error"]
    answer = agent.step(do="advance", now=midnight(2), readings=[[serial, midnight(1), {"volt": 1.0}]])
    assert answer["accepted_readings"] == 1
    assert len(listener.readings()) == 1
    assert "no simulated asset" in agent.step(do="inspect", now=midnight(2), serial="X", component="c")["error"]
    assert "unknown step" in agent.step(do="dance", now=midnight(2))["error"]


def test_readings_that_are_no_numbers_are_counted_and_the_others_go(run_agent, environment, listener, serial):
    agent = run_agent(environment, "--step")
    agent.answer()
    row = [serial, midnight(1), {"volt": float("nan"), "rotate": 1.5, "text": "x"}]
    answer = agent.step(do="advance", now=midnight(2), readings=[row, ["no/topic", midnight(1), {"volt": 1.0}]],
                        events=[["no/topic", midnight(1), "E1"]])  # fmt: skip
    assert (answer["accepted_readings"], answer["refused_readings"], answer["refused_events"]) == (1, 3, 1)
    assert list(listener.readings().values()) == [1.5]


def test_without_a_broker_everything_is_kept_and_sent_when_it_is_back(
    run_agent, environment, own_broker, listen, eventually
):
    serial = environment["CARELOOP_EDGE_ID"].removesuffix("-gw")
    port = own_broker.port
    own_broker.stop()
    environment |= {"CARELOOP_BROKER_URL": own_broker.url_of("device"), "CARELOOP_EDGE_PUBLISH_TIMEOUT_S": "0.2"}
    config = Path(environment["CARELOOP_EDGE_BUFFER_FILE"]).with_name("edge.toml")
    config.write_text('[broker]\nreconnect_min_s = 0.05\nreconnect_max_s = 0.2\n[[sources]]\nkind = "feed"\n')
    agent = run_agent(environment, "--step", "--config", str(config))
    agent.answer()
    for day in (1, 2):
        answer = agent.step(do="advance", now=midnight(day + 1), readings=day_of(serial, day, "volt"))
        assert (answer["accepted_readings"], answer["published_messages"], answer["buffered"]) == (24, 0, day)
    agent.kill()
    agent = run_agent(environment, "--step", "--config", str(config))
    agent.answer()
    assert agent.step(do="advance", now=midnight(3))["buffered"] == 2, "it survived the kill"
    own_broker.start(port)
    listener = listen(own_broker.url_of("platform"), f"careloop/v1/{serial}/telemetry")
    eventually(lambda: agent.step(do="advance", now=midnight(3))["buffered"] == 0, "the agent found the broker again")
    assert len(listener.readings(48)) == 48


def test_kill_9_at_any_moment_loses_nothing_and_doubles_nothing(run_agent, environment, listener, serial):
    """Sent again after a kill is to the byte the same: `readings` fails when one reading stands in two messages."""
    accepted = 0
    for day in range(1, 8):
        agent = run_agent(environment, "--step")
        agent.answer()
        answer = agent.step(do="advance", now=midnight(2 * day), readings=day_of(serial, 2 * day - 1, "a", "b", "c"))
        accepted += answer["accepted_readings"]
        agent.send(do="advance", now=midnight(2 * day + 1), readings=day_of(serial, 2 * day, "a", "b", "c"))
        if day % 2:
            # Somewhere between reading the request and answering it.
            agent.process.send_signal(signal.SIGKILL)
        else:
            accepted += agent.answer()["accepted_readings"]
        agent.kill()
    agent = run_agent(environment, "--step")
    agent.answer()
    assert agent.step(do="advance", now=midnight(20))["buffered"] == 0
    readings = listener.readings(accepted)
    assert accepted <= len(readings) <= accepted + 4 * 72
    assert len(readings) % 72 == 0, "a day is stored whole or not at all"


def test_a_stop_signal_ends_it_cleanly(run_agent, environment, listener, serial, eventually):
    agent = run_agent(environment, "--step")
    agent.answer()
    agent.step(do="advance", now=midnight(2), readings=day_of(serial, 1, "volt"))
    agent.process.terminate()
    assert agent.process.wait(10) == 0
    eventually(lambda: not AgentState.from_json(json.loads(listener.of("state")[-1].payload)).online, "it said offline")


SIMULATOR = """
[batching]
max_readings = 60
[[rules]]
kind = "dead_band"
metric = "ambient_temperature"
band = 1.0
max_silence_s = 86400
[[sources]]
kind = "simulator"
seed = 7
start = "2026-01-01T00:00:00Z"
acceleration = 4.0
[sources.fleet]
pressure_washer = 2
robot_vacuum = 1
"""


def test_a_simulated_fleet_is_polled_inspected_and_mended(run_agent, environment, embedded_broker, listen, tmp_path):
    config = tmp_path / "edge.toml"
    config.write_text(SIMULATOR)
    topics = [f"careloop/v1/{name}/{channel}" for name in ("PW-0001", "PW-0002", "RV-0001")
              for channel in ("telemetry", "event")]  # fmt: skip
    listener = listen(embedded_broker.url_of("platform"), *topics)
    agent = run_agent(environment, "--step", "--config", str(config))
    agent.answer()
    accepted, failures, day = 0, [], 1
    while not failures:
        day += 1
        assert day < 31, "at four times the pace something must fail within a month"
        answer = agent.step(do="advance", now=f"2026-01-{day:02d}T00:00:00Z")
        accepted += answer["accepted_readings"]
        assert answer["thinned_readings"] > 0
        failures = answer["failures"]
    failed = failures[0]
    where = {"serial": failed["serial"], "component": failed["component"]}
    found = agent.step(do="inspect", now=f"2026-01-{day:02d}T09:30:00Z", **where)
    assert found["failed"] is True
    assert 0.1 < found["wear"] < 1.2
    # What the fleet said until the visit is durable with the replacement, also when the agent dies right after.
    assert agent.step(do="replace", now=f"2026-01-{day:02d}T10:30:00Z", **where)["wear_before"] == found["wear"]
    agent.kill()
    agent = run_agent(environment, "--step", "--config", str(config))
    agent.answer()
    assert agent.step(do="inspect", now=f"2026-01-{day:02d}T10:30:00Z", **where) == {
        "do": "inspect", "wear": 0.0, "failed": False,
    }  # fmt: skip
    answer = agent.step(do="advance", now=f"2026-01-{day + 1:02d}T00:00:00Z")
    assert answer["buffered"] == 0
    readings = listener.readings(accepted + answer["accepted_readings"])
    # The ten hours before the visit were accepted by the process that was killed, which could not say so any more.
    assert len(readings) >= accepted + answer["accepted_readings"]
    times = sorted({time_s for serial, metric, time_s in readings if metric == "running_hours"})
    assert [late - early for early, late in pairwise(times)] == [3600.0] * (day * 24 - 1)
    codes = {json.loads(message.payload)["code"] for message in listener.of("event")}
    assert codes
    assert (
        "no component" in agent.step(do="inspect", now="2026-02-01T00:00:00Z", serial="PW-0001", component="x")["error"]
    )
