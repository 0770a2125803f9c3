"""While the database is away a million readings wait at the broker, and not in ingest's memory."""

import tempfile
import time
from pathlib import Path

import orjson
import psutil
import pytest

from careloop.contract.senml import Reading, encode_pack
from careloop.database.engine import connect
from careloop.database.migrations import migrate
from careloop.stack.postgres import EmbeddedPostgres

MESSAGES, READINGS = 17_000, 60
MOST_GROWTH_BYTES = 128 * 2**20


def payloads(serial: str):
    """Packs whose readings are told apart by their times, made from one template."""
    pack = encode_pack(serial, [Reading(1.5e9 + k, "temperature", k / 16, "Cel") for k in range(READINGS)])
    head, tail = orjson.dumps(pack).split(b"1500000000.0")
    for i in range(MESSAGES):
        yield b"%s%d%s" % (head, 1_500_000_000 + READINGS * i, tail)


@pytest.mark.slow
def test_a_million_readings_wait_for_the_database_outside_of_ingest(mosquitto, fleet_of, wait_until) -> None:
    with tempfile.TemporaryDirectory(prefix="careloop-pg-") as directory:
        Path(directory).chmod(0o711)
        server = EmbeddedPostgres(Path(directory) / "own")
        url = server.start(settings={"fsync": "off"})
        try:
            with connect(url) as connection:
                migrate(connection)
            fleet = fleet_of(url)
            worker = fleet.worker(mosquitto)
            device = fleet.device(mosquitto)
            device.telemetry([Reading(1.6e9, "temperature", 1.0, "Cel")])
            fleet.wait_until_stored(1)
            process = psutil.Process(worker.process.pid)
            before, port = process.memory_info().rss, server.port
            server.stop()
            most = 0
            for i, payload in enumerate(payloads(fleet.serial)):
                device.publish("telemetry", payload)
                if i % 500 == 0:
                    # paho's own queue must not become the test's.
                    wait_until(lambda: device.published - device.acknowledged < 1000, "published")
                    most = max(most, process.memory_info().rss)
            device.wait()
            time.sleep(1)
            most = max(most, process.memory_info().rss)
            assert most - before < MOST_GROWTH_BYTES, f"{(most - before) / 2**20:.0f} MiB more than before"
            server = EmbeddedPostgres(server.directory)
            server.start(port=port, settings={"fsync": "off"})
            fleet.wait_until_stored(1 + MESSAGES, within_s=120)
            assert fleet.rows(
                "SELECT count(*)::int AS n, count(DISTINCT time)::int AS distinct_n FROM telemetry.reading"
            ) == [(1 + MESSAGES * READINGS, 1 + MESSAGES * READINGS)]
            most = max(most, process.memory_info().rss)
            assert most - before < MOST_GROWTH_BYTES, f"{(most - before) / 2**20:.0f} MiB more than before"
            assert worker.terminate() == 0
        finally:
            server.stop()
