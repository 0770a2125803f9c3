from datetime import UTC, datetime

from edge_agent.birth import birth
from edge_agent.config import EdgeConfig

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def config(interval_s: float) -> EdgeConfig:
    return EdgeConfig.model_validate({"sources": [{"kind": "simulator", "interval_s": interval_s}]})


def test_it_says_since_when_with_what_and_what_it_can_do():
    said = birth(config(60.0), NOW)
    assert said["started_at"] == "2026-01-01T12:00:00+00:00"
    can = said["capabilities"]
    assert {"simulator", "modbus_tcp", "http", "file"} <= set(can["sources"])
    assert {"dead_band", "threshold", "window"} <= set(can["rules"])
    assert "self_test" in can["commands"]
    assert can["confirm"] == "stored"


def test_two_agents_of_one_configuration_say_the_same_hash():
    assert birth(config(60.0), NOW)["config_hash"] == birth(config(60.0), NOW)["config_hash"]
    assert birth(config(60.0), NOW)["config_hash"] != birth(config(61.0), NOW)["config_hash"]
