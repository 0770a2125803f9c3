"""The table of kinds: the example, the schema, missing libraries, and `careloop edge check`."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from careloop.cli import main
from careloop.errors import CareloopError
from edge_agent.checking import json_schema
from edge_agent.config import load_config
from edge_agent.sources.kinds import KINDS

EXAMPLE = Path("edge_agent/example.toml").read_text(encoding="utf-8")
PAGE = Path("docs/edge-sources.md").read_text(encoding="utf-8")
ALL_KINDS = {kind.config.model_fields["kind"].annotation.__args__[0] for kind in KINDS}
RUN = [sys.executable, "-c", "import sys; from careloop.cli import main; sys.exit(main())", "edge"]


def commented_sources() -> list[str]:
    """Each commented `[[sources]]` of the example, without its `# `."""
    blocks = re.findall(r"^# \[\[sources\]\]\n(?:#.*\n)*", EXAMPLE + "\n", re.MULTILINE)
    return ["".join(line.removeprefix("# ") for line in block.splitlines(keepends=True)) for block in blocks]


def page_sources() -> list[str]:
    return [
        block for block in re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if "[[sources]]" in block
    ]


def kind_of(text: str) -> str:
    return tomllib.loads(text)["sources"][0]["kind"]


@pytest.mark.parametrize("text", [*commented_sources(), *page_sources()], ids=kind_of)
def test_every_example_is_right_and_fits_the_schema(text, tmp_path):
    file = tmp_path / "edge.toml"
    file.write_text(text)
    load_config(file)
    jsonschema.Draft202012Validator(json_schema()).validate(tomllib.loads(text))


def test_there_is_an_example_of_every_kind_in_both_places():
    assert {kind_of(text) for text in commented_sources()} == ALL_KINDS - {"simulator", "feed"}
    assert {kind_of(text) for text in page_sources()} == ALL_KINDS - {"feed"}


def test_the_whole_example_with_every_comment_taken_off_is_right(tmp_path):
    file = tmp_path / "edge.toml"
    file.write_text(EXAMPLE + "\n" + "\n".join(commented_sources()))
    assert {source.kind for source in load_config(file).sources} == ALL_KINDS - {"feed"}


def test_the_schema_is_one_and_fits_the_example(capsys):
    assert main(["edge", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(tomllib.loads(EXAMPLE))
    for wrong in (
        {},
        {"sources": [{"kind": "modbus"}]},
        {"sources": [{"kind": "http", "url": "http://x", "serial": "KW-1", "intervall_s": 5}]},
        {"sources": [{"kind": "modbus_tcp", "host": "x", "serial": "a b", "registers": []}]},
        {"sources": [{"kind": "http", "url": "http://x", "serial": "KW-1", "metrics": {"a": 5}}]},
    ):
        assert not validator.is_valid(wrong), wrong
    assert validator.is_valid(
        {"sources": [{"kind": "http", "url": "http://x", "serial": "KW-1", "metrics": {"a": "/b", "c": {"at": "d"}}}]}
    )


WRONG = '''[[sources]]
kind = "modbus_tcp"
host = "127.0.0.1"
serials = { "1" = "KW 1" }
registers = [
  { metric = "a", address = 5 },
  { metric = "b", address = 70000 },
  # a remark, and [ brackets ] in it
  { metric = "c]", address = 7, type = """int17""" },
]
[[sources]]
kind = "http"
name = """
x"""
url = "http://me:pw@host/"
serial = "KW-1"
headers = { Authorization = "x" }
[sources.metrics]
pressure = { at = "/p", scale = "x" }
temperature = 5
[[sources.events]]
at = "/e"
[[sources.events]]
at = "/f"
severity = "bad"
[[sources]]
kind = "file"
name = "f"
path = "/x.csv"
format = "csv"
columns = ["a"]
serial = "KW-1"
metrics.b = "c"
'''


def test_every_fault_of_the_new_kinds_is_told_by_its_line(tmp_path):
    file = tmp_path / "edge.toml"
    file.write_text(WRONG)
    with pytest.raises(CareloopError) as caught:
        load_config(file)
    told = [line.partition("edge.toml:")[2] for line in str(caught.value).splitlines()]
    assert [line.partition(": ")[0] for line in told] == ["4", "7", "9", "15", "17", "19", "20", "25", "26"], told
    assert told[0].startswith("4: sources[0].serials.1: must be 1-64 letters")
    assert told[1].startswith("7: sources[0].registers[1].address: ")
    assert told[2].startswith("9: sources[0].registers[2].type: ")
    assert told[3] == ("15: sources[1].url: no user or password in the url; use user and secret_env or secret_file")
    assert told[5].startswith("19: sources[1].metrics.pressure.scale: ")
    assert told[7].startswith("25: sources[1].events[1].severity: ")
    assert told[8] == "26: sources[2]: 'c' is none of a"


@pytest.mark.parametrize(
    ("first", "second", "clashes"),
    [
        ('serial = "A"', 'serial = "A"', True),
        ('serial = "A"', 'serial = "B"', False),
        ('serial_at = "id"', 'serial = "B"', True),
        ('serial_at = "id"\nserials = { x = "A" }', 'serial = "B"', False),
    ],
)
def test_two_units_for_one_metric_of_one_asset_are_refused(tmp_path, first, second, clashes):
    file = tmp_path / "edge.toml"
    file.write_text(
        "\n".join(
            f'[[sources]]\nname = "{name}"\nkind = "http"\nurl = "http://x"\n{asset}\n'
            f'metrics.t = {{ at = "t", unit = "{unit}" }}'
            for name, asset, unit in (("one", first, "Cel"), ("two", second, "degF"))
        )
    )
    if clashes:
        with pytest.raises(CareloopError, match="'t' is in 'Cel' in source 'one' and in 'degF' in source 'two'"):
            load_config(file)
    else:
        load_config(file)


WITHOUT = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
from careloop.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("kind", "libraries", "extra"),
    [
        ('kind = "modbus_tcp"\nhost = "x"\nregisters = [{ metric = "a", address = 0 }]', "pymodbus", "edge-modbus"),
        ('kind = "http"\nurl = "http://x"', "urllib3", "edge-http"),
        ('kind = "serial"\ndevice = "/dev/ttyUSB0"', "serial", "edge-serial"),
    ],
)
def test_a_missing_library_is_one_line_that_names_the_extra(tmp_path, kind, libraries, extra):
    file = tmp_path / "edge.toml"
    file.write_text(f'[[sources]]\n{kind}\nserial = "KW-1"\n')
    environment = os.environ | {"CARELOOP_EDGE_BUFFER_FILE": str(tmp_path / "buffer")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", WITHOUT, libraries, "edge", *words],
            capture_output=True, text=True, env=environment, timeout=60, check=False,
        )  # fmt: skip

    done = run("run", "--config", str(file))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"needs the library '{libraries}'; pip install 'careloop[{extra}]' brings it" in done.stderr
    checked = run("check", str(file))
    assert checked.returncode == 0
    assert f"cannot run here: kind {kind[8:].partition(chr(34))[0]} needs the library" in checked.stdout


def test_nothing_of_a_kind_is_imported_before_a_configuration_names_it():
    program = (
        "import sys, edge_agent.main, edge_agent.checking; "
        "print(*[name for name in ('pymodbus', 'serial', 'urllib3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


def test_an_installer_sees_what_every_source_brings(tmp_path, terminal, capsys, modbus_tcp):
    from pymodbus.simulator import DataType, SimData

    from tests.edge_agent.sources.conftest import device

    port, _ = modbus_tcp(device(1, holding=[SimData(0, values=98.5, datatype=DataType.FLOAT32)]))
    log = tmp_path / "m.log"
    log.write_text('{"t": 20.5, "note": "x"}\nnonsense\n{"t": 21, "fault": "E4"}\n')
    file = tmp_path / "edge.toml"
    file.write_text(
        f'[[sources]]\nkind = "modbus_tcp"\nname = "plc"\nhost = "127.0.0.1"\nport = {port}\nserial = "KW-1"\n'
        'registers = [{ metric = "pressure", address = 0, type = "float32", unit = "bar" }]\n'
        f'[[sources]]\nkind = "file"\npath = "{log}"\nserial = "KW-2"\nstart = "end"\n'
        'metrics = { t = { at = "t", unit = "Cel" }, note = "note" }\nevents = [{ at = "fault" }]\n'
        '[[sources]]\nkind = "simulator"\n'
    )
    assert main(["edge", "check", "--read", "--seconds", "5", str(file)]) == 0
    out = capsys.readouterr().out
    assert "source plc: modbus_tcp, every 60 s\n    read in " in out
    assert "s: 1 assets, 1 readings, 0 events, 0 refused" in out
    assert "pressure 98.5 bar" in out
    assert "1 assets, 3 readings, 1 events, 1 refused" in out
    assert "t 21 Cel" in out
    assert "event E4, warning" in out
    file.write_text(file.read_text().replace(f"port = {port}", "port = 1"))
    assert main(["edge", "check", "--read", "--seconds", "5", str(file)]) == 2
    assert "FAILED: 127.0.0.1:1 cannot be reached" in capsys.readouterr().out
    file.write_text(f'[[sources]]\nkind = "serial"\ndevice = "{terminal.name}"\nserial = "KW-1"\n')
    assert main(["edge", "check", "--read", "--seconds", "0.5", str(file)]) == 2
    assert "nothing came within 0.5 s" in capsys.readouterr().out


@pytest.mark.parametrize("checkpoint", ["{", "[]", '{"rng": [1, 2], "places": 5}', '{"fault E KW-1": 7}'])
@pytest.mark.parametrize(
    "table",
    [
        {"kind": "file", "path": "/nowhere.log"},
        {"kind": "mqtt", "url": "mqtt://127.0.0.1:1", "topics": ["a"], "events": [{"at": "a"}]},
        {"kind": "exec", "command": ["true"], "events": [{"at": "a"}]},
    ],
    ids=lambda table: table["kind"],
)
def test_a_checkpoint_of_another_kind_is_left_out(opened, table, checkpoint):
    polled = opened(checkpoint=checkpoint, serial="KW-1", **table)
    polled.once()
    polled.source.close()
