"""Sources through the agent, its buffer and a real broker: gateways, kills, hanging devices, a full disk."""

import json
import random
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pymodbus.simulator import DataType, SimData

from careloop.contract.messages import AgentState
from edge_agent.buffer import BufferFullError
from edge_agent.packing import Message
from edge_agent.wire.link import Link
from tests.edge_agent.sources.conftest import device
from tests.edge_agent.sources.test_http import Device
from tests.edge_agent.sources.test_mqtt import Speaker

HEAD = """
[agent]
id = "{agent}"
[broker]
reconnect_min_s = 0.05
reconnect_max_s = 0.2
[batching]
interval_s = 0.1
"""

GATEWAY = """
[[sources]]
kind = "modbus_tcp"
host = "127.0.0.1"
port = {port}
interval_s = 0.2
serials = {{ "1" = "MB-1", "2" = "MB-2", "3" = "MB-3" }}
registers = [{{ metric = "pressure", address = 0, type = "float32", unit = "bar" }}]
[[sources]]
kind = "http"
url = "{web}"
interval_s = 0.2
serial = "WH-1"
metrics.temperature = {{ at = "temperature", unit = "Cel" }}
events = [{{ at = "error", code = "E{{value}}" }}]
[[sources]]
kind = "http"
name = "hanging"
url = "{hanging}"
interval_s = 0.2
timeout_s = 60
serial = "WH-2"
[[sources]]
kind = "file"
path = "{log}"
interval_s = 0.1
format = "csv"
header = true
time_at = "t"
time_format = "unix"
serial = "PR-1"
"""


@pytest.fixture
def start(run_agent, own_broker, tmp_path):
    """`careloop edge run` by a configuration; the same buffer each time."""

    def run(agent: str, sources: str):
        config = tmp_path / "edge.toml"
        config.write_text(HEAD.format(agent=agent) + sources)
        environment = {
            "CARELOOP_BROKER_URL": own_broker.url_of("device"),
            "CARELOOP_EDGE_BUFFER_FILE": str(tmp_path / "buffer.sqlite"),
        }
        return run_agent(environment, "--config", str(config))

    return run


# The fixtures are what such a test is made of.
# ruff: noqa: PLR0917
def test_one_gateway_reads_modbus_http_and_a_file_at_once_for_five_assets(
    start, own_broker, listen, eventually, tmp_path, modbus_tcp
):
    port, _ = modbus_tcp(
        *[device(n, holding=[SimData(0, values=float(n), datatype=DataType.FLOAT32)]) for n in (1, 2, 3)]
    )
    web, hanging = Device(), Device()
    web.answer, hanging.delay_s = {"temperature": 61.5, "error": 7}, 30.0
    log = tmp_path / "press.csv"
    log.write_text("t,n\n")
    listener = listen(own_broker.url_of("platform"), "careloop/v1/#")
    agent = start(
        "run-gw",
        GATEWAY.format(port=port, web=web.url, hanging=hanging.url, log=log),
    )
    for n in range(20):
        with log.open("a") as file:
            file.write(f"{1_700_000_000 + n},{n}\n")
        time.sleep(0.05)
    eventually(lambda: hanging.requests, "the hanging device is asked")
    before = len(listener.of("telemetry"))
    eventually(
        lambda: (
            len({key[0] for key in listener._readings()} & {"MB-1", "MB-2", "MB-3", "WH-1", "PR-1"}) == 5
            and len(listener.of("telemetry")) > before + 30
        ),
        "all five assets speak, while one device hangs",
    )
    agent.process.terminate()
    assert agent.process.wait(30) == 0, "".join(agent.log)
    web.close()
    hanging.close()
    check_readings(listener.readings())
    packs = [json.loads(message.payload) for message in listener.of("telemetry")]
    assert {(pack[0]["bn"], pack[0]["u"]) for pack in packs if "u" in pack[0]} == {
        ("MB-1/", "bar"), ("MB-2/", "bar"), ("MB-3/", "bar"), ("WH-1/", "Cel")
    }  # fmt: skip
    events = [(message.topic, json.loads(message.payload)["code"]) for message in listener.of("event")]
    assert events == [("careloop/v1/WH-1/event", "E7")]
    online = {
        message.topic.split("/")[2]
        for message in listener.of("state")
        if AgentState.from_json(json.loads(message.payload)).online
    }
    assert online >= {"run-gw", "MB-1", "MB-2", "MB-3", "WH-1", "PR-1"}


def check_readings(readings: dict[tuple[str, str, float], float]) -> None:
    for n in (1, 2, 3):
        values = [
            value for (serial, metric, _), value in readings.items() if (serial, metric) == (f"MB-{n}", "pressure")
        ]
        assert len(values) >= 3
        assert set(values) == {float(n)}
    of_file = {
        time_s: value for (serial, metric, time_s), value in readings.items() if (serial, metric) == ("PR-1", "n")
    }
    assert of_file == {1_700_000_000 + n: n for n in range(20)}


def test_kill_9_in_the_middle_of_a_file_loses_and_doubles_no_line(start, own_broker, listen, eventually, tmp_path):
    log = tmp_path / "press.log"
    source = (
        f'[[sources]]\nkind = "file"\npath = "{log}"\ninterval_s = 0.02\nserial = "KILL-1"\n'
        'time_at = "t"\ntime_format = "unix"\nmetrics.n = "n"\n'
    )
    listener = listen(own_broker.url_of("platform"), "careloop/v1/KILL-1/telemetry")
    chance, written, done = random.Random(3), 0, threading.Event()

    def write() -> None:
        nonlocal written
        while not done.is_set():
            with log.open("a") as file:
                for _ in range(chance.randrange(8)):
                    line = f'{{"t": {1_700_000_000 + written}, "n": {written}}}\n'
                    cut = chance.randrange(len(line))
                    file.write(line[:cut])
                    file.flush()
                    file.write(line[cut:])
                    written += 1
            # Not before the file was seen: what another file holds at the very first start is not asked for.
            if listener.messages and chance.random() < 0.05:
                log.rename(log.with_name(f"press.log-{time.time_ns()}"))
            time.sleep(chance.random() * 0.03)

    writer = threading.Thread(target=write)
    writer.start()
    kills = 0
    try:
        for _ in range(4):
            before = len(listener.messages)
            agent = start("kill-gw", source)
            eventually(lambda before=before: len(listener.messages) > before + 2, "lines flow")
            time.sleep(chance.random() * 0.3)
            agent.kill()
            kills += 1
    finally:
        done.set()
        writer.join()
    agent = start("kill-gw", source)
    readings = listener.readings(written)
    agent.process.terminate()
    assert agent.process.wait(30) == 0
    assert kills == 4
    assert {key[2]: value for key, value in readings.items()} == {1_700_000_000 + n: n for n in range(written)}
    assert len(readings) == written > 50


def test_kill_9_between_a_local_broker_and_the_platform_loses_and_doubles_nothing(
    start, own_broker, listen, eventually, mosquitto, request
):
    source = (
        f'[[sources]]\nkind = "mqtt"\nurl = "{mosquitto}"\ntopics = ["house/{{serial}}"]\n'
        'time_at = "t"\ntime_format = "unix"\nmetrics.n = "n"\n'
    )
    serials = ["HOUSE-1", "HOUSE-2", "HOUSE-3"]
    listener = listen(own_broker.url_of("platform"), *[f"careloop/v1/{serial}/telemetry" for serial in serials])
    speaker = Speaker(mosquitto)
    request.addfinalizer(speaker.close)
    agent = start("house-gw", source)

    def say(serial: str, n: int) -> None:
        speaker.say(f"house/{serial}", json.dumps({"t": 1_700_000_000 + n, "n": n}))

    def heard() -> set[str]:
        say("HOUSE-1", -1)
        time.sleep(0.1)
        return {key[0] for key in listener._readings()}

    # The session is there for good after the first start; what was said before it nobody promised to keep.
    deadline = time.monotonic() + 20
    while "HOUSE-1" not in heard():
        assert time.monotonic() < deadline, "".join(agent.log)
    n = 0
    for _ in range(3):
        for _ in range(40):
            for serial in serials:
                say(serial, n)
            n += 1
        agent.kill()
        say("HOUSE-2", n)
        n += 1
        agent = start("house-gw", source)
    wanted = {("HOUSE-2", 1_700_000_000 + number) for number in range(n)}
    eventually(lambda: {(key[0], key[2]) for key in listener._readings()} >= wanted, "all of one asset came")
    agent.process.terminate()
    assert agent.process.wait(30) == 0
    readings = {(serial, time_s): value for (serial, _, time_s), value in listener.readings().items() if value >= 0}
    expected = {("HOUSE-2", 1_700_000_000 + number): float(number) for number in range(n)}
    for serial in ("HOUSE-1", "HOUSE-3"):
        expected |= {(serial, 1_700_000_000 + number): float(number) for number in range(n) if number % 41 != 40}
    assert readings == expected


def test_a_full_disk_holds_the_sources_back_and_loses_nothing(make_agent, make, own_broker, listen, tmp_path: Path):
    log = tmp_path / "press.log"
    log.write_text("".join(f'{{"t": {1_700_000_000 + n}, "n": {n}}}\n' for n in range(100)))
    source = make(kind="file", path=str(log), serial="FULL-1", time_at="t", time_format="unix", metrics={"n": "n"})
    listener = listen(own_broker.url_of("platform"), "careloop/v1/FULL-1/telemetry", "careloop/v1/FULL-9/event")
    agent = make_agent(Link(own_broker.url_of("device")), "full-gw", source)
    agent.start(datetime.now(UTC))
    sqlite = agent.buffer._sqlite
    sqlite.execute("PRAGMA max_page_count = 40")
    event = Message("event", "careloop/v1/FULL-9/event", "application/json", b"x" * 100, 0)

    def fill() -> None:
        while True:
            agent.buffer.add([event], {}, now_s=time.time())

    with pytest.raises(BufferFullError):
        fill()

    def turn() -> None:
        agent.poll(source, datetime.now(UTC))
        agent.commit()

    turn()
    with log.open("a") as file:
        file.writelines(f'{{"t": {1_700_000_000 + n}, "n": {n}}}\n' for n in range(100, 200))
    turn()
    turn()
    assert agent.tally.accepted_readings == 0
    assert agent.buffer.lost.messages == 0
    sqlite.execute("PRAGMA max_page_count = 1000000")
    turn()
    turn()
    assert agent.tally.accepted_readings == 200
    agent.drain(10)
    agent.stop(5)
    assert len(listener.readings(200)) == 200
