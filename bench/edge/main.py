"""Three phases with the real agent process and a real broker: as fast as it goes, twenty metrics a second, an outage.

The store only confirms; what a real one costs, `careloop bench ingest` says.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.edge.agent import edge, write_config
from bench.edge.wire import CountingWire, Store
from careloop.errors import CareloopError
from careloop.stack.ports import free_port, listens

METRICS = 20
READY_WITHIN_S = 20.0
WARM_UP_S = 4.0
MIB = 2**20
STEP_READINGS = 50_000
OUTAGE_S = 600
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def run(*, readings: int, seconds: float) -> Mapping[str, Any]:
    """Measure.

    Args:
        readings: How many go through as fast as possible.
        seconds: How long the agent is watched at twenty metrics a second.

    Returns:
        Readings/s accepted, published and confirmed; share of one core and resident memory (MiB) at twenty metrics a
        second; bytes per reading on the wire (both directions, all of MQTT), live and catching up, and on disk.
    """
    with tempfile.TemporaryDirectory(prefix="careloop-bench-") as name, _mosquitto(Path(name)) as port:
        directory, store, wire = Path(name), Store(port, lambda: datetime.now(UTC)), CountingWire(port)
        try:
            return {
                **_as_fast_as_it_goes(_new(directory, "fast"), port, readings),
                **_live(_new(directory, "live"), wire, store, seconds),
                **_outage(_new(directory, "outage"), wire),
                "confirmed_messages": store.messages,
            }
        finally:
            wire.close()
            store.close()


def _new(directory: Path, name: str) -> Path:
    (directory / name).mkdir()
    return directory / name


def _as_fast_as_it_goes(directory: Path, port: int, readings: int) -> Mapping[str, Any]:
    steps = [_step(number, STEP_READINGS // METRICS) for number in range(max(1, readings // STEP_READINGS))]
    with edge(write_config(directory, reads=None), port, "--step") as agent:
        agent.answer()
        agent.step(_step(-1, 50))
        before, begun_s = agent.used, time.perf_counter()
        answers = [agent.step(step) for step in steps]
        took_s = time.perf_counter() - begun_s
        cpu_s = agent.used.cpu_s - before.cpu_s
    accepted = sum(answer["accepted_readings"] for answer in answers)
    if answers[-1]["buffered"]:
        raise CareloopError(f"{answers[-1]['buffered']} messages were not confirmed; is the machine too busy?")
    return {"readings_per_s": round(accepted / took_s), "readings_per_cpu_s": round(accepted / cpu_s)}


def _step(number: int, rows: int) -> str:
    """Ten assets, a row of twenty metrics each second."""
    begun = BEGUN + timedelta(days=number)
    given = [
        [f"BENCH-{row % 10}", (begun + timedelta(seconds=row // 10)).isoformat(), _values(row)] for row in range(rows)
    ]
    return json.dumps({"do": "advance", "now": (begun + timedelta(days=1)).isoformat(), "readings": given})


def _values(moment: int) -> dict[str, float]:
    """Twenty metrics as sensors give them: a few digits."""
    return {f"metric_{metric:02d}": round(20 + metric + (moment * 7 % 100) / 100, 2) for metric in range(METRICS)}


def _live(directory: Path, wire: CountingWire, store: Store, seconds: float) -> Mapping[str, Any]:
    lines = directory / "lines.jsonl"
    lines.touch()
    with edge(write_config(directory, reads=lines), wire.port) as agent, lines.open("a") as given:
        time.sleep(WARM_UP_S)
        _write_line(given, 0)
        time.sleep(2.0)
        before, messages, on_wire = agent.used, store.messages, wire.size_bytes
        begun_s = time.perf_counter()
        for second in range(1, max(1, round(seconds)) + 1):
            _write_line(given, second)
            time.sleep(max(0.0, begun_s + second - time.perf_counter()))
        took_s = time.perf_counter() - begun_s
        time.sleep(2.0)
        after = agent.used
        arrived = store.messages - messages
        if arrived < round(seconds) * 0.8:
            raise CareloopError(f"only {arrived} messages arrived in {took_s:.0f} s; is the machine too busy?")
        readings = round(seconds) * METRICS
        return {
            "cpu_share": round((after.cpu_s - before.cpu_s) / (took_s + 2.0), 4),
            "resident_mb": round(after.resident_bytes / MIB, 1),
            "wire_bytes_per_reading": round((wire.size_bytes - on_wire) / readings, 1),
        }


def _write_line(given: Any, second: int) -> None:
    given.write(json.dumps({"time": time.time(), **_values(second)}) + "\n")
    given.flush()


def _outage(directory: Path, wire: CountingWire) -> Mapping[str, Any]:
    """Ten minutes without a broker, a commit each second; then the broker is back."""
    config, readings = write_config(directory, reads=None), OUTAGE_S * METRICS
    with edge(config, free_port(), "--step", environment={"CARELOOP_EDGE_PUBLISH_TIMEOUT_S": "0.001"}) as agent:
        agent.answer()
        for second in range(OUTAGE_S):
            moment = BEGUN + timedelta(seconds=second)
            given = [["BENCH", moment.isoformat(), _values(second)]]
            agent.step(json.dumps({"do": "advance", "now": moment.isoformat(), "readings": given}))
    on_disk = sum(path.stat().st_size for path in directory.glob("buffer.sqlite*") if "reserve" not in path.name)
    on_wire, begun_s = wire.size_bytes, time.perf_counter()
    with edge(config, wire.port, "--step") as agent:
        agent.answer()
        buffered = agent.step(json.dumps({"do": "advance", "now": BEGUN.isoformat()}))["buffered"]
        took_s = time.perf_counter() - begun_s
    if buffered:
        raise CareloopError(f"{buffered} messages of the outage were not confirmed; is the machine too busy?")
    return {
        "disk_bytes_per_reading": round(on_disk / readings, 1),
        "catch_up_wire_bytes_per_reading": round((wire.size_bytes - on_wire) / readings, 1),
        "catch_up_s": round(took_s, 2),
    }


@contextmanager
def _mosquitto(directory: Path) -> Iterator[int]:
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        raise CareloopError("mosquitto is missing; apt-get install mosquitto")
    port = free_port()
    config = directory / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages 100\n"
    )
    process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + READY_WITHIN_S
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise CareloopError("mosquitto did not start")
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(READY_WITHIN_S)
