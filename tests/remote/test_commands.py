"""Commands through the whole circle: done, refused, expired, and never done twice."""

import json
import time

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.remote.conftest import until


@pytest.fixture
def running(circle):
    circle.start_agent()
    circle.wait_until_there()
    return circle


def test_an_agent_tests_itself_and_sends_its_log(running) -> None:
    done = running.wait_for_command(running.tell("self_test"), "done")
    found = done["output"]
    assert found["passed"], found
    assert set(found["sources"]) == {"line", "probe"}
    assert all(source["ok"] for source in found["sources"].values())
    assert found["disk_free_bytes"] > 0
    assert 0 <= found["broker"]["round_trip_s"] < 10
    assert (done["sent_at"] is not None, done["finished_at"] is not None) == (True, True)
    # More than this broker takes in one message: it is cut to what it does.
    done = running.wait_for_command(running.tell("upload_log", kilobytes=128), "done")
    assert "self_test" in done["output"]["text"]
    refused = running.wait_for_command(running.tell("set_interval", source="lime", interval_s=2), "refused")
    assert refused["reason"].startswith("sources.lime: there is no such source")


def test_an_interval_holds_for_a_while_or_until_the_next_configuration_also_after_a_kill(running) -> None:
    running.wait_for_rate(3, 9)
    done = running.wait_for_command(running.tell("set_interval", source="line", interval_s=2, for_s=6), "done")
    assert (done["output"]["before_s"], done["output"]["interval_s"]) == (0.2, 2)
    running.wait_for_rate(0, 1.6)
    running.wait_for_rate(3, 9)
    running.wait_for_command(running.tell("set_interval", source="line", interval_s=2), "done")
    running.kill_agent()
    running.start_agent()
    running.wait_for_rate(0.1, 1.6)
    running.put({})
    running.wait_for_rate(3, 9)


def test_a_command_waits_for_its_agent_and_one_that_expired_is_not_executed(running) -> None:
    running.stop_agent()
    expiring = running.tell("set_interval", expires_in_s=1, source="line", interval_s=5)
    waiting = running.tell("upload_log")
    assert running.command(expiring)["state"] in {"queued", "sent"}
    time.sleep(1.5)
    assert running.command(expiring)["state"] == "expired"
    running.start_agent()
    assert running.wait_for_command(waiting, "done")["output"]["text"]
    assert running.command(expiring)["state"] == "expired"
    assert "every 5 s" not in running.log()


def test_a_command_delivered_twice_is_executed_once(running, broker_port) -> None:
    command_id = running.tell("set_interval", source="line", interval_s=0.7)
    running.wait_for_command(command_id, "done")
    again = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    again.connect("127.0.0.1", broker_port)
    again.loop_start()
    command = {"command_id": command_id, "kind": "set_interval", "expires_at": "2100-01-01T00:00:00Z",
               "arguments": {"source": "line", "interval_s": 0.9}}  # fmt: skip
    for _ in range(3):
        again.publish(f"careloop/v1/{running.agent_id}/command", json.dumps(command), qos=1).wait_for_publish(10)
    running.wait_for_command(running.tell("self_test"), "done")
    again.disconnect()
    again.loop_stop()
    assert running.log().count("came again") == 3
    assert "every 0.9 s" not in running.log()
    assert running.results() == 2


def test_a_command_cut_short_by_a_kill_is_answered_and_not_executed_again(running) -> None:
    slow = running.flag.with_name(f"{running.flag.name}-slow")
    slow.touch()
    command_id = running.tell("self_test")
    until(lambda: f"command {command_id}: self_test" in running.log(), "it is begun, and waits for a slow source")
    running.kill_agent()
    slow.unlink()
    running.start_agent()
    failed = running.wait_for_command(command_id, "failed")
    assert failed["reason"].startswith("interrupted")
    running.wait_for_command(running.tell("self_test"), "done")
    assert running.log().count(f"command {command_id}: self_test") == 1


def test_no_kill_at_any_instant_loses_or_doubles_a_command(running) -> None:
    """Killed at growing delays after a command was given: each ends once, executed at most once."""
    given = []
    for turn in range(6):
        given.append(running.tell("set_interval", source="line", interval_s=1 + turn / 10))
        time.sleep(0.05 * turn)
        running.kill_agent()
        running.start_agent()
    ended = [running.wait_for_command_any(command_id) for command_id in given]
    log = running.log()
    for turn, command in enumerate(ended):
        assert command["state"] in {"done", "failed"}, command
        assert log.count(f"every {1 + turn / 10:g} s instead") <= 1
        assert command["state"] == "done" or command["reason"].startswith("interrupted")
    assert running.results() == 6
