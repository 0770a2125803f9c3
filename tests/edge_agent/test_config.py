from pathlib import Path

import pytest

from careloop.errors import CareloopError
from edge_agent.config import load_config
from edge_agent.rules import MetricRules, rule_book
from edge_agent.rules.dead_band import DeadBand
from edge_agent.rules.threshold import Threshold
from edge_agent.sources.simulator_config import SimulatorConfig

SOURCE = '[[sources]]\nkind = "feed"\n'


@pytest.fixture
def load(tmp_path: Path):
    def write_and_load(text: str):
        file = tmp_path / "edge.toml"
        file.write_text(text)
        return load_config(file)

    return write_and_load


def test_the_example_is_right_and_says_what_the_defaults_are(load):
    example = Path("edge_agent/example.toml").read_text()
    config = load(example)
    bare = load(SOURCE)
    assert config.broker == bare.broker
    assert config.batching == bare.batching
    assert config.buffer.max_bytes == bare.buffer.max_bytes
    (simulator,) = config.sources
    assert isinstance(simulator, SimulatorConfig)
    assert sum(simulator.fleet.values()) == 48


def test_rules_become_a_book(load):
    config = load(
        SOURCE
        + '[[rules]]\nkind = "dead_band"\nmetric = "t"\nband = 0.5\n'
        + '[[rules]]\nkind = "threshold"\nmetric = "t"\nabove = 85\nclear = 80\ncode = "HOT"\nseverity = "error"\n'
        + '[[rules]]\nkind = "threshold"\nmetric = "t"\nbelow = 0\ncode = "COLD"\n'
        + '[[rules]]\nkind = "dead_band"\nserial = "A"\nmetric = "t"\nband = 2\n'
    )
    hot = Threshold(metric="t", above=85, clear=80, code="HOT", severity="error")
    cold = Threshold(metric="t", below=0, code="COLD")
    assert rule_book(config.rules) == {
        (None, "t"): MetricRules([], [hot, cold], [], DeadBand(metric="t", band=0.5)),
        ("A", "t"): MetricRules([], [], [], DeadBand(metric="t", serial="A", band=2)),
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "1: sources: is missing"),
        ("sources = []\n", "1: sources: "),
        ('[agent]\nid = "a b"\n' + SOURCE, "2: agent.id: must be 1-64 letters"),
        ("[agent]\n# remark\nname = 1\n" + SOURCE, "3: agent.name: there is no such field"),
        ("[boker]\n" + SOURCE, "1: boker: there is no such field"),
        ('[broker]\nurl = "http://x"\n' + SOURCE, "2: broker.url: must look like mqtt://"),
        ('[broker]\ncert_file = "x"\n' + SOURCE, "1: broker: cert_file and key_file go together"),
        ("[buffer]\n\nmax_bytes = 10\n" + SOURCE, "3: buffer.max_bytes: "),
        (SOURCE + '[[sources]]\nkind = "simulator"\nseed = "x"\n', "5: sources[1].seed: "),
        (SOURCE + '[[sources]]\nkind = "simulator"\n[sources.fleet]\nrobot = 1\n', "6: sources[1].fleet.robot: "),
        (SOURCE + '[[sources]]\nkind = "modbus"\n', "3: sources[1]: "),
        (SOURCE + "[[sources]]\n", "3: sources[1]: has no kind"),
        (SOURCE + SOURCE, "1: the file: two sources are called 'feed'"),
        (SOURCE + '[[assets]]\nserial = "A"\n' * 2, "1: the file: the asset 'A' stands twice"),
        (SOURCE + '[[rules]]\nkind = "threshold"\nmetric = "t"\ncode = "X"\n', "3: rules[0]: a threshold has either"),
        (
            SOURCE + '[[rules]]\nkind = "threshold"\nmetric = "t"\ncode = "X"\nabove = 5\nclear = 6\n',
            "3: rules[0]: clear must lie on the healthy side",
        ),
        (SOURCE + '[[rules]]\nkind = "dead_band"\nmetric = "t"\nband = -1\n', "6: rules[0].band: "),
        (SOURCE + '[[rules]]\nkind = "dead_band"\nmetric = "t"\n', "3: rules[0]: a dead band has either"),
        (SOURCE + '[[rules]]\nkind = "mean"\nmetric = "t"\n', "3: rules[0]: "),
        (SOURCE + '[[rules]]\nkind = "window"\nmetric = "t"\nevery_s = 60\nemit = ["median"]\n', "7: rules[0].emit"),
        (
            SOURCE + '[[rules]]\nkind = "running"\nmetric = "p"\nabove = 5\nclear = 6\n',
            "3: rules[0]: clear must not lie above",
        ),
        (
            SOURCE + '[[rules]]\nkind = "dead_band"\nmetric = "t"\nband = 2\n'
            '[[rules]]\nkind = "swinging_door"\nmetric = "t"\nband = 2\n',
            "7: rules[1]: 't' has a dead_band already",
        ),
        (
            SOURCE + '[[rules]]\nkind = "threshold"\nmetric = "t"\nabove = 2\ncode = "X"\n' * 2,
            "8: rules[1]: 't' has such a threshold already",
        ),
        (
            SOURCE + '[[rules]]\nkind = "window"\nmetric = "t"\nevery_s = 60\n'
            '[[rules]]\nkind = "window"\nmetric = "t"\nevery_s = 3600\n',
            "7: rules[1]: the metric 't.min' is made by another rule",
        ),
        (
            SOURCE + '[[rules]]\nkind = "threshold"\nmetric = "cycles"\nabove = 5\ncode = "X"\n'
            '[[rules]]\nkind = "running"\nserial = "A"\nmetric = "power"\n',
            "3: rules[0]: 'cycles' is made by a rule",
        ),
        (SOURCE + "\n[agent\n", "4:7: not TOML: "),
        ("id = 'a'\nid = 'b'\n", "2:9: not TOML: "),
        (SOURCE + '[[sources]]\nkind = "simulator"\nstart = 2026-01-01T00:00:00\n', "5: sources[1].start: "),
    ],
)
def test_what_is_wrong_is_said_with_its_line(load, text, line):
    with pytest.raises(CareloopError) as caught:
        load(text)
    assert f"edge.toml:{line}" in str(caught.value)


def test_everything_wrong_is_said_at_once(load):
    with pytest.raises(CareloopError) as caught:
        load('[agent]\nid = "a b"\n[broker]\nfoo = 1\n')
    assert [line.rpartition("edge.toml:")[2][:2] for line in str(caught.value).splitlines()] == ["1:", "2:", "4:"]


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path):
    with pytest.raises(CareloopError, match=r"none\.toml cannot be read: No such file"):
        load_config(tmp_path / "none.toml")
    file = tmp_path / "binary.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CareloopError, match="not UTF-8"):
        load_config(file)
