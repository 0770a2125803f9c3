"""Desired, applied, proved; refused with the reason; rolled back when it turned out badly; whatever is killed."""

import time

import pytest

from tests.remote.conftest import until


@pytest.fixture
def running(circle):
    circle.start_agent()
    circle.wait_until_there()
    return circle


def test_settings_are_applied_without_a_restart_and_prove_themselves(running) -> None:
    running.wait_for_rate(3, 9)
    made = running.put(
        {"sources": {"line": {"interval_s": 1.0}}, "batching": {"interval_s": 0.5}, "log_level": "DEBUG"}
    )
    assert made["version"] == 1
    said = running.wait_for_config("applied")
    assert (said["reported"]["hash"], said["sent_at"] is not None) == (made["hash"], True)
    running.wait_for_rate(0.4, 2.5)
    running.wait_for_config("applied", proved=True)
    agent = running.desk.get(running.path)
    assert (agent["online"], agent["config_version"], agent["config_hash"]) == (True, 1, made["hash"])
    assert running.agent.poll() is None
    # In force after a restart, too; and taken back without one.
    running.stop_agent()
    running.start_agent()
    running.wait_for_rate(0.4, 2.5)
    running.put({})
    assert running.wait_for_config("applied", proved=True)["version"] == 2
    running.wait_for_rate(3, 9)


def test_rules_are_exchanged_while_it_runs(running) -> None:
    metrics = until(lambda: running.rows("SELECT name FROM telemetry.metric ORDER BY 1"), "readings arrive")
    running.put(
        {"rules": [{"kind": "threshold", "metric": name, "above": -1e9, "code": "SEEN"} for (name,) in metrics]}
    )
    running.wait_for_config("applied")
    until(
        lambda: running.rows("SELECT 1 FROM telemetry.event WHERE code = 'SEEN'"), "an alarm of the new rules arrives"
    )


REFUSED = [
    ({"sources": {"lime": {"interval_s": 5}}}, "sources.lime: there is no such source; there are: line, probe"),
    ({"sources": {"line": {"interval_s": -5}}}, "sources.line.interval_s: Input should be greater than"),
    ({"sources": {"line": {"seed": 5}}}, "sources.line.seed: cannot be set from afar"),
    ({"buffer": {"file": "/tmp/x"}}, "buffer.file: cannot be set from afar"),
    ({"batching": {"max_readings": "many"}}, "batching.max_readings: Input should be a valid integer"),
    ({"rules": [{"kind": "threshold", "metric": "a", "above": 1}]}, "rules.0.code: Field required"),
]


def test_settings_that_cannot_be_are_refused_by_the_agent_naming_the_field(running) -> None:
    for settings, reason in REFUSED:
        running.put(settings)
        said = running.wait_for_config("refused")
        assert said["reported"]["reason"].startswith(reason)
        assert (said["reported"]["hash"], said["reported"]["proved"]) == ("", True)


def test_what_the_broker_does_not_take_is_rolled_back(running) -> None:
    good = running.put({"batching": {"interval_s": 0.3}})
    running.wait_for_config("applied", proved=True)
    # 6 kB is what this broker takes; a message of so many readings is larger.
    running.put({"sources": {"line": {"interval_s": 0.1}}, "batching": {"interval_s": 4, "max_readings": 10000}})
    said = running.wait_for_config("rolled_back")
    assert "too large" in said["reported"]["reason"]
    assert (said["reported"]["version"], said["reported"]["hash"]) == (2, good["hash"])
    running.wait_for_rate(3, 9)


def test_a_source_that_cannot_be_read_any_more_rolls_back(circle) -> None:
    # Long enough for three tries, which come at growing intervals.
    circle.start_agent(probation_s=7)
    probe = "SELECT 1 FROM telemetry.asset JOIN telemetry.reading USING (asset_id) "
    probe += f"WHERE serial = '{circle.agent_id}-probe'"
    until(lambda: circle.rows(probe), "the probe is read")
    circle.flag.unlink()
    circle.put({"sources": {"probe": {"interval_s": 0.2}}})
    said = circle.wait_for_config("rolled_back")
    assert said["reported"]["reason"].startswith("sources.probe.interval_s: it could be read before")


def test_a_kill_leaves_settings_on_probation_a_broker_that_is_away_proves_nothing_crashes_do(running) -> None:
    running.put({"batching": {"interval_s": 0.3}})
    running.wait_for_config("applied")
    running.kill_agent()
    # An address where no broker is: the link is down for longer than the probation.
    running.start_agent(CARELOOP_BROKER_URL="mqtt://127.0.0.1:9")
    time.sleep(3)
    running.stop_agent()
    assert "rolled back" not in running.log()
    running.start_agent()
    assert running.wait_for_config("applied", proved=True)["version"] == 1
    running.stop_agent()
    running.start_agent(probation_s=60)
    running.put({"batching": {"interval_s": 0.4}})
    running.wait_for_config("applied", proved=False)
    for crash in range(1, 4):
        running.kill_agent()
        running.start_agent(probation_s=60)
        until(lambda crash=crash: running.log().count("connected to the broker") > 2 + crash, "it runs again")
    said = running.wait_for_config("rolled_back")
    assert "ended 3 times without being stopped" in said["reported"]["reason"]
    assert said["reported"]["hash"] != ""
