"""Counters, windows, thinning and alarms of a live agent killed at any instant: what comes is what one run gives."""

import random
import threading
import time
import tomllib
from pathlib import Path

from careloop.stack.broker import EmbeddedBroker
from edge_agent.config import EdgeConfig
from edge_agent.rules import RuleMemory, judge, rule_book
from edge_agent.sources.source import Row

KILLS = 6
ROWS = 1500
START_S = 1_700_000_000
CONFIG = """
[agent]
id = "{serial}-gw"
[broker]
confirm = "broker"
reconnect_min_s = 0.05
reconnect_max_s = 0.1
[batching]
interval_s = 0.02
[[rules]]
kind = "running"
metric = "on"
report_every_s = 0
max_gap_s = 60
start_hours = 100
[[rules]]
kind = "window"
metric = "pressure"
every_s = 300
emit = ["min", "max", "mean", "count"]
[[rules]]
kind = "swinging_door"
metric = "level"
band = 0.5
max_silence_s = 600
[[rules]]
kind = "threshold"
metric = "level"
above = 53
clear = 50
code = "FULL"
[[sources]]
kind = "file"
path = "{path}"
serial = "{serial}"
interval_s = 0.02
time_at = "t"
time_format = "unix"
[sources.metrics]
on = "on"
pressure = "pressure"
level = "level"
"""


def rows_of(dice: random.Random, serial: str) -> list[Row]:
    """A machine that runs on and off, with gaps, a pressure and a level that wanders."""
    rows, time_s, on, level = [], float(START_S), 0, 50.0
    for _ in range(ROWS):
        time_s += dice.choice([1, 5, 10, 30, 90])
        on = on if dice.random() < 0.9 else 1 - on
        level = min(max(level + dice.gauss(0, 1), 0), 100)
        rows.append(Row(serial, time_s, {"on": on, "pressure": dice.randint(1, 9), "level": round(level, 2)}))
    return rows


def test_killed_at_any_instant_the_rules_neither_repeat_nor_skip_a_value(
    run_agent, embedded_broker: EmbeddedBroker, listen, eventually, tmp_path: Path
):
    serial, dice = "RULES-KILL", random.Random(7)
    rows, log = rows_of(dice, serial), tmp_path / "machine.jsonl"
    text = CONFIG.format(serial=serial, path=log)
    config = tmp_path / "edge.toml"
    config.write_text(text)
    rules = EdgeConfig.model_validate(tomllib.loads(text)).rules
    expected = judge(rule_book(rules), RuleMemory(), rows, rows[-1].time_s)
    listener = listen(
        embedded_broker.url_of("platform"), f"careloop/v1/{serial}/telemetry", f"careloop/v1/{serial}/event"
    )
    environment = {
        "CARELOOP_BROKER_URL": embedded_broker.url_of("device"),
        "CARELOOP_EDGE_BUFFER_FILE": str(tmp_path / "buffer.sqlite"),
    }

    def write(part: list[Row]) -> None:
        with log.open("a") as file:
            for row in part:
                fields = ", ".join(f'"{name}": {value}' for name, value in row.values.items())
                file.write(f'{{"t": {row.time_s:.0f}, {fields}}}\n')
                file.flush()
                time.sleep(0.002)

    size = len(rows) // (KILLS + 1) + 1
    parts = [rows[place : place + size] for place in range(0, len(rows), size)]
    for part in parts[:-1]:
        agent = run_agent(environment, "--config", str(config))
        eventually(lambda agent=agent: any("connected" in line for line in agent.log), "it is up")
        came = len(listener.messages)
        writer = threading.Thread(target=write, args=(part,))
        writer.start()
        eventually(lambda came=came: len(listener.messages) > came + 2, "readings flow")
        time.sleep(dice.uniform(0, 0.2))
        agent.kill()
        writer.join()
    write(parts[-1])
    run_agent(environment, "--config", str(config))
    wanted = {
        (serial, metric, row.time_s): float(value) for row in expected.rows for metric, value in row.values.items()
    }
    assert listener.readings(len(wanted)) == wanted
    raised = {message.payload for message in listener.of("event")}
    assert len(raised) == len(expected.events) > 3
    hours = [value for (_, metric, _), value in sorted(wanted.items(), key=lambda item: item[0][2])
             if metric == "running_hours"]  # fmt: skip
    assert hours == sorted(hours)
    assert hours[-1] > 101
