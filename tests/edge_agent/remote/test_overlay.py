"""Desired settings over the agent's own file, judged by the file's own models."""

import pytest

from edge_agent.config import EdgeConfig
from edge_agent.remote.overlay import RefusedError, log_level_of, overlay

BASE = EdgeConfig.model_validate(
    {
        "batching": {"max_readings": 100},
        "rules": [{"kind": "dead_band", "metric": "a", "band": 1}],
        "sources": [
            {"kind": "simulator", "interval_s": 10, "seed": 7},
            {"kind": "exec", "name": "probe", "command": ["true"], "serial": "X"},
        ],
    }
)


def test_what_is_left_out_is_as_in_the_file() -> None:
    assert overlay(BASE, {}) == BASE
    config = overlay(BASE, {"sources": {"simulator": {"interval_s": 3}}, "batching": {"interval_s": 9}})
    assert [source.interval_s for source in config.sources] == [3, 60]
    assert config.sources[0].seed == 7
    assert (config.batching.interval_s, config.batching.max_readings) == (9, 100)
    assert config.rules == BASE.rules
    assert config.sources[1] is BASE.sources[1]


def test_rules_are_replaced_and_bounds_are_set() -> None:
    assert overlay(BASE, {"rules": []}).rules == []
    config = overlay(BASE, {"buffer": {"max_bytes": 1 << 20, "max_age_days": 2}})
    assert (config.buffer.max_bytes, config.buffer.max_age_days) == (1 << 20, 2)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"broker": {"url": "mqtt://x"}}, "broker: cannot be set from afar; change the agent's own file"),
        ({"remote": {"probation_s": 1}}, "remote: cannot be set from afar"),
        ({"colour": 1}, "colour: unknown"),
        ({"sources": 1}, "sources: must be an object"),
        ({"sources": {"probe": 1}}, "sources.probe: must be an object"),
        ({"sources": {"probe": {}}}, "sources.probe: says nothing"),
        ({"sources": {"probe": {"command": ["rm"]}}}, "sources.probe.command: cannot be set from afar"),
        ({"sources": {"x": {"interval_s": 1}}}, "sources.x: there is no such source; there are: simulator, probe"),
        ({"sources": {"probe": {"interval_s": "x"}}}, "sources.probe.interval_s: Input should be a valid number"),
        ({"batching": {"interval": 1}}, "batching.interval: Extra inputs"),
        ({"batching": {"interval_s": 0}}, "batching.interval_s: Input should be greater than 0"),
        ({"buffer": {"survives": "kill"}}, "buffer.survives: cannot be set from afar"),
        ({"rules": {"a": 1}}, "rules: Input should be"),
        ({"rules": [{"kind": "magic"}]}, "rules.0: Input tag 'magic'"),
        ({"rules": [{"kind": "dead_band", "metric": "a", "band": -1}]}, "rules.0.band: Input should be greater than 0"),
        ({"rules": [{"kind": "dead_band", "metric": "a", "band": 1}] * 2}, "rules.1: 'a' has a dead_band already"),
    ],
)
def test_refused_naming_the_field(settings, reason) -> None:
    with pytest.raises(RefusedError) as refused:
        overlay(BASE, settings)
    assert str(refused.value).startswith(reason)


def test_levels() -> None:
    assert log_level_of({}, "WARNING") == "WARNING"
    assert log_level_of({"log_level": "DEBUG"}, "WARNING") == "DEBUG"
    with pytest.raises(RefusedError, match="log_level: must be one of DEBUG"):
        log_level_of({"log_level": ["DEBUG"]}, "INFO")
